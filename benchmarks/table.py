"""The table of ratios, in Markdown, as it stands in the README."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.figures import Figures

BEGIN, END = "<!-- bench-peers -->", "<!-- /bench-peers -->"


class Row(NamedTuple):
    """One load: what it is, ours, and the peers' by their names."""

    load: str
    ours: Figures
    peers: Mapping[str, Figures]

    @property
    def best(self) -> Figures:
        """The fastest of the peers."""
        return max(self.peers.values(), key=lambda figures: figures.payments_per_s)


def format_markdown(rows: Sequence[Row], machine: str) -> str:
    """Return the table, with a line below it that says where it was made."""
    names = list(dict.fromkeys(name for row in rows for name in row.peers))
    heading = [
        "load",
        "payments/s here",
        *names,
        "ratio to the best",
        "p50 / p99 ms here",
        "the best's",
        "CPU µs here",
        "the best's",
    ]
    lines = [_join(heading), _join(["---", *["---:"] * (len(heading) - 1)])]
    lines += [_join(_cells(row, names)) for row in rows]
    return "\n".join([*lines, "", machine])


def put_between_marks(text: str, table: str) -> str:
    """Return a document with the table in the place of what was between `BEGIN` and `END`."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"there is no {BEGIN} and, after it, {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    ours, best = row.ours, row.best
    return [
        row.load,
        f"**{ours.payments_per_s:,.0f}**",
        *(f"{row.peers[name].payments_per_s:,.0f}" if name in row.peers else "" for name in names),
        f"**{ours.payments_per_s / best.payments_per_s:.1f}**",
        f"{ours.p50_ms:.1f} / {ours.p99_ms:.1f}",
        f"{best.p50_ms:.1f} / {best.p99_ms:.1f}",
        f"{ours.cpu_us:,.0f}",
        f"{best.cpu_us:,.0f}",
    ]


def _join(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
