"""Plots as SVG text, to stand in a page that fetches nothing: bars and curves, plain values in.

Colours come from the page's style sheet (`c0` to `c7`), so that they follow its theme;
each mark tells its value when pointed at.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = 8
_WIDTH = 860
_LABEL_WIDTH = 290
_VALUE_WIDTH = 90
_BAR, _GAP = 20, 8
_TOP, _LEFT, _RIGHT, _BOTTOM = 12, 60, 16, 40
_CURVE_HEIGHT = 320


class Bar(NamedTuple):
    """One bar: its label, and its segments as (name, value), from left to right."""

    label: str
    segments: Sequence[tuple[str, float]]

    @property
    def total(self) -> float:
        """The bar's length."""
        return sum(value for _, value in self.segments)


class Curve(NamedTuple):
    """One curve: its label and its points, x rising."""

    label: str
    points: Sequence[tuple[float, float]]


def draw_bars(bars: Sequence[Bar], unit: str) -> str:
    """Return one horizontal bar for each of ``bars``, all to one scale from 0."""
    longest = max((bar.total for bar in bars), default=0.0) or 1.0
    scale = (_WIDTH - _LABEL_WIDTH - _VALUE_WIDTH) / longest
    parts = [part for row, bar in enumerate(bars) for part in _draw_bar(bar, row * (_BAR + _GAP), scale, unit)]
    return _svg(len(bars) * (_BAR + _GAP), parts)


def _draw_bar(bar: Bar, top: int, scale: float, unit: str) -> list[str]:
    middle, left = top + _BAR * 0.7, float(_LABEL_WIDTH)
    parts = [f'<text x="{_LABEL_WIDTH - 10}" y="{middle:.1f}" text-anchor="end">{escape(bar.label)}</text>']
    for number, (name, value) in enumerate(bar.segments):
        width = value * scale
        title = f"<title>{escape(f'{bar.label}: {name} {value:,.1f} {unit}')}</title>"
        parts.append(
            f'<rect class="c{number % COLOURS}" x="{left:.1f}" y="{top}" width="{width:.1f}"'
            f' height="{_BAR}">{title}</rect>'
        )
        left += width
    return [
        *parts,
        f'<text x="{left + 8:.1f}" y="{middle:.1f}">{bar.total:,.{0 if bar.total >= 100 else 1}f}</text>',
    ]


def draw_curves(curves: Sequence[Curve], x_unit: str, *, is_x_logarithmic: bool) -> str:
    """Return all curves over one pair of axes, y from 0 to the highest; without points, an empty drawing."""
    xs = [x for curve in curves for x, _ in curve.points]
    if not xs:
        return _svg(_CURVE_HEIGHT, [])
    low = max(min(xs), 1e-3) if is_x_logarithmic else min(xs)
    axis = _Axis(low, max(*xs, low * 1.001 + 1e-9), is_x_logarithmic)
    highest = max(y for curve in curves for _, y in curve.points) or 1.0
    parts = [*_draw_grid(axis, highest, x_unit)]
    for number, curve in enumerate(curves):
        points = " ".join(f"{axis.place(x):.1f},{_place_y(y, highest):.1f}" for x, y in curve.points)
        title = f"<title>{escape(curve.label)}</title>"
        parts.append(f'<polyline class="line c{number % COLOURS}" points="{points}">{title}</polyline>')
    return _svg(_CURVE_HEIGHT, parts)


class _Axis(NamedTuple):
    low: float
    high: float
    is_logarithmic: bool

    def place(self, x: float) -> float:
        """Return where ``x`` is from the left."""
        low, high, x = (self._measure(value) for value in (self.low, self.high, max(x, self.low)))
        return _LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def ticks(self) -> list[float]:
        """Return round values along the axis."""
        if not self.is_logarithmic:
            return [tick for tick in _round_values(self.high) if tick >= self.low]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        return [tick for tick in (10.0**decade for decade in decades) if self.low <= tick <= self.high]

    def _measure(self, x: float) -> float:
        return math.log(x) if self.is_logarithmic else x


def _round_values(highest: float) -> list[float]:
    """Return 0 and up to eight steps of 1, 2 or 5, or ten times as much, that do not pass ``highest``."""
    least = highest / 8
    power = 10.0 ** math.floor(math.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    return [number * step for number in range(int(highest / step + 1e-9) + 1)]


def _place_y(y: float, highest: float) -> float:
    return _TOP + (1 - y / highest) * (_CURVE_HEIGHT - _TOP - _BOTTOM)


def _draw_grid(axis: _Axis, highest: float, x_unit: str) -> list[str]:
    bottom = _CURVE_HEIGHT - _BOTTOM
    parts = []
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:,.4g}</text>')
    for value in _round_values(highest):
        y = _place_y(value, highest)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,.4g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [*parts, f'<text x="{middle:.0f}" y="{bottom + 34}" text-anchor="middle">{escape(x_unit)}</text>']


def _svg(height: int, parts: Sequence[str]) -> str:
    inside = "\n".join(parts)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">\n{inside}\n</svg>'
