"""The report of a run: one page that needs nothing else, and the same as JSON beside it."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from orchestrator.benchmark.plots import COLOURS, Bar, Curve, draw_bars, draw_curves
from orchestrator.layout.files import write_whole

PAGE, DOCUMENT = "bench.html", "bench.json"
_ROLES = {"gateway": "gateway", "bank": "banks", "generator": "callers"}
_MB = 2**20
_SLOTS_PER_S = 10
_HEADINGS = (
    "load", "payments/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU µs a payment", "largest node MB",
    "fsyncs/s", "audit",
)  # fmt: skip
_LIGHT = ("#2a6fbb", "#d9822b", "#3a9d5d", "#b8435f", "#7a5cc0", "#8a6d3b", "#4aa3b5", "#777777")
_DARK = ("#6cabf0", "#f0a65c", "#6fce93", "#ea7f99", "#ab92ea", "#c9ab77", "#7fd0e0", "#aaaaaa")
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --faint: #d8dde2; --ground: #ffffff; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { text-align: right; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; } .bad { font-weight: bold; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; } svg text { fill: var(--ink); }
.line { fill: none !important; stroke-width: 2; } .grid { stroke: var(--faint); }
.legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.4em; }
"""


def write_report(folder: Path, document: dict[str, Any]) -> Path:
    """Write the page and the JSON of `orchestrator.benchmark.view.make_document`; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / DOCUMENT, json.dumps(document, indent=1).encode() + b"\n", mode=0o644)
    write_whole(folder / PAGE, make_page(document).encode(), mode=0o644)
    return folder / PAGE


def make_page(document: dict[str, Any]) -> str:
    """Return the page as HTML."""
    loads = document["loads"]
    titles = [load["title"] for load in loads]
    body = [
        "<h1>cluster bench</h1>",
        f"<p>{escape(_describe_machine(document['machine']))}</p>",
        _make_table(loads),
        *_make_faults(loads),
        "<h2>Payments a second</h2>",
        draw_bars([Bar(load["title"], [("", load["payments_per_s"])]) for load in loads], "payments/s"),
        "<h2>Processor time of one payment, µs</h2>",
        _make_legend(_ROLES.values()),
        draw_bars([Bar(load["title"], _cpu_by_role(load)) for load in loads], "µs"),
        "<h2>Share of payments that took no longer, %</h2>",
        _make_legend(titles),
        draw_curves([Curve(load["title"], _share_curve(load)) for load in loads], "ms", is_x_logarithmic=True),
        *(part for load in loads for part in _make_timeline(load)),
    ]
    return _HTML.format(style=_STYLE + _colours(), body="\n".join(body))


_HTML = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>cluster bench</title><style>{style}</style></head>
<body>
{body}
</body>
</html>
"""


def _colours() -> str:
    def rules(colours: Sequence[str]) -> str:
        return "".join(
            f".c{number} {{ fill: {colour}; stroke: {colour}; background: {colour}; }}\n"
            for number, colour in enumerate(colours[:COLOURS])
        )

    dark = ":root { --ink: #e6e9ec; --faint: #3a4149; --ground: #15191d; }"
    return f"{rules(_LIGHT)}@media (prefers-color-scheme: dark) {{ {dark}\n{rules(_DARK)}}}\n"


def _describe_machine(machine: dict[str, Any]) -> str:
    return (
        f"{machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GB, {machine['system']},"
        f" Python {machine['python']}; {machine['file_system']}, fsync of {machine['fsync_ms']:.2f} ms;"
        f" measured at {machine['at']}. Callers share the machine with the nodes."
    )


def _make_table(loads: Iterable[dict[str, Any]]) -> str:
    heading = "".join(f"<th>{escape(name)}</th>" for name in _HEADINGS)
    rows = "".join(f"<tr>{_make_cells(load)}</tr>\n" for load in loads)
    return f'<div class="scroll"><table><tr>{heading}</tr>\n{rows}</table></div>'


def _make_cells(load: dict[str, Any]) -> str:
    latency, nodes = load["latency_ms"], [each for each in load["processes"] if each["role"] != "generator"]
    cells = [
        load["title"],
        f"{load['payments_per_s']:,.0f}",
        *(f"{latency[name]:.1f}" for name in ("p50", "p95", "p99", "max")),
        f"{sum(process['cpu_us_per_payment'] for process in load['processes']):.1f}",
        f"{max(node['rss_bytes'] for node in nodes) / _MB:.0f}",
        f"{sum(node['fsyncs'] for node in nodes) / load['measured_s']:,.0f}",
        "clean" if load["audit"]["is_clean"] else "FAILED",
    ]
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def _make_faults(loads: Iterable[dict[str, Any]]) -> list[str]:
    told = [f"{load['title']}: {fault}" for load in loads for fault in load["audit"]["faults"]]
    told += [f"{load['title']}: {count:,} {how}" for load in loads for how, count in load["not_committed"].items()]
    return [f'<p class="bad">{escape(line)}</p>' for line in told]


def _make_legend(names: Iterable[str]) -> str:
    marks = (
        f'<span><i class="c{number % COLOURS}"></i>{escape(name)}</span>' for number, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(marks)}</p>'


def _cpu_by_role(load: dict[str, Any]) -> list[tuple[str, float]]:
    return [
        (name, sum(each["cpu_us_per_payment"] for each in load["processes"] if each["role"] == role))
        for role, name in _ROLES.items()
    ]


def _share_curve(load: dict[str, Any]) -> list[tuple[float, float]]:
    return [(ms, share * 100) for ms, share in load["latency_curve_ms"]]


def _make_timeline(load: dict[str, Any]) -> list[str]:
    slots = enumerate(load["payments_by_tenth_of_second"])
    curve = Curve(load["title"], [(slot / _SLOTS_PER_S, count * _SLOTS_PER_S) for slot, count in slots])
    heading = f"<h2>Payments a second over time: {escape(load['title'])}</h2>"
    return [heading, draw_curves([curve], "s", is_x_logarithmic=False)]
