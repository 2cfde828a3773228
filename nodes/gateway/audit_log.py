"""Who asked for which payment: the gateway's audit log has a line for each, beside all that every node's has.

A payment's line is handed to the system before the payment can be decided: lines gather while
the loop does one round, and go out together before the next. Why and how a payment ended
stands in the database under the same payment id.
"""

from collections.abc import Iterable

from nodes.core.messages import Payment
from nodes.core.violations import format_payment_id
from nodes.runtime.access import Caller
from nodes.runtime.audit_log import AuditLog, describe_caller, format_time
from nodes.runtime.call_log import name_peer
from nodes.runtime.crash_points import reach
from nodes.runtime.event_log import shorten
from nodes.runtime.server_calls import Denial


class PaymentAudit(AuditLog):
    """The gateway's audit log."""

    def pay(self, caller: Caller, payments: Iterable[Payment]) -> None:
        """Note that payments were asked for; call it before they are begun."""
        start = f'{{"at":"{format_time(self.clock())}",{describe_caller(caller)},"did":"pay"'
        # Every text here is from a list of allowed letters: nothing needs escaping.
        self.put(
            f'{start},"payment_id":"{format_payment_id(payment_id)}","payer":"{payer}@{payer_bank}",'
            f'"payee":"{payee}@{payee_bank}","amount_minor":{amount_minor},"currency":"{currency}"}}\n'
            for payment_id, payer, payer_bank, payee, payee_bank, amount_minor, currency, _ in payments
        )

    def deny_payment(self, caller: Caller, payment_id: str, details: str) -> None:
        """Note that one payment among many was denied."""
        assert caller.login is not None
        about = {"payment_id": shorten(payment_id), "user": caller.login.user}
        peer = name_peer(caller.identity)
        self.deny(Denial("PayMany", peer, caller.thumbprint, "PERMISSION_DENIED", shorten(details), about))

    def flush(self) -> None:
        """Hand what has gathered to the system."""
        if self.has_lines:
            reach("gateway.audit-log.unwritten")
        super().flush()
