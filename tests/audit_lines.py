"""What tests of the audit logs share: a clock that stands still, a denial, and the lines of the file."""

import json
from pathlib import Path
from typing import Any

from nodes.runtime.server_calls import Denial

DENIAL = Denial(
    "/interbank.v1.PaymentService/Pay", "payments.test/client/shell", "t", "PERMISSION_DENIED", "no", {}
)


class Clock:
    """Wall time that the test sets."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the audit log in ``folder``."""
    return [json.loads(line) for line in (folder / "audit.log").read_text().splitlines()]
