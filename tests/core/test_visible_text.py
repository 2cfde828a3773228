"""What others wrote cannot do anything to a terminal."""

import pytest

from nodes.core.visible_text import make_visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("₹5 für Ünal", "₹5 für Ünal"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nb\r\tc\0", "a\\nb\\r\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2028", "\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_cannot_be_printed_is_written_out(text, shown):
    assert make_visible(text) == shown
