"""Pictures of a campaign as inline SVG: throughput, latency and faults on one time axis; recoveries; outcomes.

Plain text in, plain text out; colours and fonts are classes that the page's style sheet
gives, so that light and dark look right.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from orchestrator.campaign.figures import Bin, Figures, Recovery
from orchestrator.campaign.nemesis import Deed
from orchestrator.campaign.schedule import LINK_KINDS

_WIDTH = 1080
_LEFT, _RIGHT = 150, 16
_PLOT = _WIDTH - _LEFT - _RIGHT
_LANE = 22
_MARK_MIN = 3.0
_LETTER = 6.0
_ALL, _CLIENTS = "all nodes", "clients"
_TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900)

Scale = Callable[[float], float]


def draw_timeline(figures: Figures, deeds: Sequence[Deed]) -> str:
    """Draw what committed, how long it took, and what was broken meanwhile, one under the other."""
    across = _scale_time(figures.lasted_s)
    lanes = _list_lanes(deeds)
    lanes_top = 350
    bottom = lanes_top + _LANE * len(lanes) + 8
    parts = [
        *_shade_deeds(deeds, across, bottom),
        *_draw_throughput(figures.bins, across, top=26, height=130),
        *_draw_latency(figures.bins, across, top=200, height=110),
        *_draw_lanes(deeds, lanes, across, lanes_top),
        *_draw_time_axis(figures.lasted_s, across, bottom),
    ]
    return _svg(bottom + 26, "Throughput, latency and faults over time", parts)


def draw_recoveries(recoveries: Sequence[Recovery]) -> str:
    """Draw a dot for each node that was killed: how long until a payment with it committed again."""
    found = [each for each in recoveries if each.took_s is not None]
    rows = sorted({(each.kind, each.target) for each in found})
    longest_s = max([1.0, *(each.took_s or 0.0 for each in found)])
    height = 20 + _LANE * max(1, len(rows))

    def across(took_s: float) -> float:
        return _LEFT + took_s / longest_s * _PLOT

    parts = []
    for at_s in _ticks(longest_s, 10):
        parts += [
            _line(across(at_s), 10, across(at_s), height, "grid"),
            _text(across(at_s), height + 14, f"{at_s:g} s", "tick mid"),
        ]
    for index, row in enumerate(rows):
        y = 20 + _LANE * index + _LANE / 2
        parts.append(_text(_LEFT - 10, y + 4, " ".join(row).strip(), "label end"))
        for each in found:
            if (each.kind, each.target) == row and each.took_s is not None:
                words = f"{each.took_s:.2f} s, killed at {each.at_s:.1f} s" + (
                    "" if each.is_alone else ", other faults active"
                )
                kind = "dot" if each.is_alone else "dot faint"
                parts.append(
                    f'<circle class="{kind}" cx="{across(each.took_s):.1f}" cy="{y:.1f}" r="5">'
                    f"<title>{escape(words)}</title></circle>"
                )
    return _svg(height + 22, "Recovery times", parts)


def draw_outcomes(counts: Sequence[tuple[str, int, str]]) -> str:
    """Draw one bar of (name, count, class), as wide as their shares."""
    total = sum(count for _, count, _ in counts) or 1
    parts, x = [], 0.0
    for name, count, kind in counts:
        width = count / total * _WIDTH
        if count:
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="0" width="{max(1.0, width - 1):.1f}" height="26">'
                f"<title>{name}: {count:,}</title></rect>"
            )
        x += width
    return _svg(26, "Outcomes", parts)


# -- the parts of the timeline ------------------------------------------------------


def _draw_throughput(bins: Sequence[Bin], across: Scale, *, top: int, height: int) -> list[str]:
    span_s = bins[1].at_s - bins[0].at_s if len(bins) > 1 else 1.0
    rates = [each.committed / span_s for each in bins]
    ceiling = _round_up(max([1.0, *rates]))
    down = _scale(0.0, ceiling, top + height, top)
    points = [(across(each.at_s + span_s / 2), down(rate)) for each, rate in zip(bins, rates, strict=True)]
    base = top + height
    area = [(across(0), base), *points, (points[-1][0], base)]
    return [
        _text(_LEFT, top - 10, "payments committed a second", "title"),
        *_draw_grid([(down(at), f"{at:,.0f}") for at in (0, ceiling / 2, ceiling)]),
        f'<path class="area" d="{_path(area)}Z"/>',
        f'<path class="line" d="{_path(points)}"/>',
    ]


def _draw_latency(bins: Sequence[Bin], across: Scale, *, top: int, height: int) -> list[str]:
    highest = max([10.0, *(each.p99_ms for each in bins)])
    decades = math.ceil(math.log10(highest))
    down = _scale(0.0, float(decades), top + height, top)

    def place(ms: float) -> float:
        return down(math.log10(max(1.0, ms)))

    half_s = (bins[1].at_s - bins[0].at_s) / 2 if len(bins) > 1 else 0.5
    seen = [each for each in bins if each.committed]
    dots = [
        f'<circle class="{kind}" cx="{across(each.at_s + half_s):.1f}" cy="{place(ms):.1f}" r="2.2"/>'
        for each in seen
        for kind, ms in (("p99", each.p99_ms), ("p50", each.p50_ms))
    ]
    names = {0: "1 ms", 1: "10 ms", 2: "100 ms", 3: "1 s", 4: "10 s", 5: "100 s"}
    return [
        _text(_LEFT, top - 10, "latency of what committed", "title"),
        _text(_WIDTH - _RIGHT - 60, top - 10, "● p50", "title p50 end"),
        _text(_WIDTH - _RIGHT, top - 10, "● p99", "title p99 end"),
        *_draw_grid([(down(decade), names.get(decade, "")) for decade in range(decades + 1)]),
        *dots,
    ]


def _draw_lanes(deeds: Sequence[Deed], lanes: Sequence[str], across: Scale, top: int) -> list[str]:
    parts = [_text(_LEFT, top - 10, "what was broken", "title")]
    for index, lane in enumerate(lanes):
        y = top + _LANE * index
        parts.append(_line(_LEFT, y + _LANE / 2, _WIDTH - _RIGHT, y + _LANE / 2, "grid"))
        parts.append(_text(_LEFT - 10, y + _LANE / 2 + 4, lane, "label end"))
    for lane in lanes:
        y = top + _LANE * lanes.index(lane)
        parts += _draw_lane([deed for deed in deeds if _lane(deed) == lane], across, y)
    return parts


def _draw_lane(deeds: Sequence[Deed], across: Scale, y: float) -> list[str]:
    """Draw a lane's bars, each with its name where there is room; a pointer over one tells all of it."""
    parts = []
    starts = [across(deed.began_s) for deed in deeds]
    for deed, x, next_x in zip(deeds, starts, [*starts[1:], float(_WIDTH)], strict=True):
        width = max(_MARK_MIN, across(deed.ended_s) - x) if deed.step.lasts_s else _MARK_MIN
        words = f"{deed.began_s:.1f} s: {deed.step}" + (f" (not done: {deed.failure})" if deed.failure else "")
        kind = "undone" if deed.failure else _kind(deed)
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="{_LANE - 8}" rx="2">'
            f"<title>{escape(words)}</title></rect>"
        )
        if x + width + _LETTER * (len(deed.step.kind) + 1) < next_x:
            parts.append(_text(x + width + 3, y + _LANE / 2 + 4, deed.step.kind, "mark"))
    return parts


def _shade_deeds(deeds: Iterable[Deed], across: Scale, bottom: float) -> list[str]:
    return [
        f'<rect class="shade" x="{across(deed.began_s):.1f}" y="26" '
        f'width="{max(1.0, across(deed.ended_s) - across(deed.began_s)):.1f}" height="{bottom - 26:.0f}"/>'
        for deed in deeds
        if not deed.failure
    ]


def _draw_time_axis(lasted_s: float, across: Scale, y: float) -> list[str]:
    parts = [_line(_LEFT, y, _WIDTH - _RIGHT, y, "axis")]
    for at_s in _ticks(lasted_s, 12):
        parts += [
            _line(across(at_s), y, across(at_s), y + 4, "axis"),
            _text(across(at_s), y + 18, f"{at_s:g} s", "tick mid"),
        ]
    return parts


def _list_lanes(deeds: Iterable[Deed]) -> list[str]:
    lanes = {_lane(deed) for deed in deeds}
    return sorted(lanes, key=lambda lane: ("->" in lane, lane == _CLIENTS, lane != _ALL, lane != "gateway", lane))


def _lane(deed: Deed) -> str:
    if deed.step.kind == "kill-client":
        return _CLIENTS
    return deed.step.target or _ALL


def _kind(deed: Deed) -> str:
    return "link" if deed.step.kind in LINK_KINDS else "frozen" if deed.step.lasts_s else "killed"


# -- small strokes --------------------------------------------------------------------


def _draw_grid(marks: Iterable[tuple[float, str]]) -> list[str]:
    parts = []
    for y, text in marks:
        parts += [_line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"), _text(_LEFT - 10, y + 4, text, "tick end")]
    return parts


def _scale_time(lasted_s: float) -> Scale:
    return _scale(0.0, max(lasted_s, 1.0), _LEFT, _WIDTH - _RIGHT)


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _ticks(until_s: float, count: int) -> list[float]:
    step_s = next((tick for tick in _TICKS_S if until_s / tick <= count), until_s / count)
    return [index * step_s for index in range(int(until_s / step_s) + 1)]


def _round_up(value: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(value))
    return next(step * magnitude for step in (1, 2, 4, 5, 8, 10) if step * magnitude >= value)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _svg(height: float, title: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>'
