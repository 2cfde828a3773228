"""Plain columns: the same on a terminal and in a pipe."""

from collections.abc import Sequence

_GAP = "  "


def format_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, none for none, its columns in line; the last column is as long as it likes."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
