"""What a command says on standard error while people wait."""

import sys
import time


class Progress:
    """Says what is waited for, but only from the second second on, and only when it changes."""

    def __init__(self, quiet_s: float = 1.0) -> None:
        self._from_s = time.monotonic() + quiet_s
        self._said = ""
        self._is_terminal = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Show ``text`` in the place of what was said before."""
        if text == self._said or time.monotonic() < self._from_s:
            return
        self._said = text
        sys.stderr.write(f"\r\x1b[K{text}" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line clean for what comes next."""
        if self._said and self._is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._said = ""
