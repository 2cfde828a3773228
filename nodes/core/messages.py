"""What gateway and banks say to each other and put on record, as plain tuples.

A *payment* is what a client asked for. A *transaction* is one try of the gateway to
carry it out: (payment id, payer, epoch). Payment ids are made by clients and are each
user's own, so the payer is part of every key: nobody meets another's id.
"""

from enum import IntEnum
from typing import NamedTuple

from nodes.core.authority import Authority

PaymentKey = tuple[bytes, str]
"""(payment id, 16 bytes; user who pays)."""

TransactionKey = tuple[bytes, str, int]
"""(payment id, payer, epoch of the gateway that tries)."""


LOST_MEMO = "\x7f"
"""Stands for the memo of a payment that was made anew from its banks' books, which keep none; no memo is such."""

UNKNOWN_USER = "?"
"""Stands for the payee of a declined payment of which its bank kept nothing but the id; no user is called so."""


class Outcome(IntEnum):
    """How a payment stands; the values are those of interbank.v1.Outcome."""

    PENDING = 1
    COMMITTED = 2
    DECLINED = 3


class Reason(IntEnum):
    """Why a payment is declined; the values are those of interbank.v1.DeclineReason."""

    NONE = 0
    INSUFFICIENT_FUNDS = 1
    PAYER_ACCOUNT_NOT_FOUND = 2
    PAYEE_ACCOUNT_NOT_FOUND = 3
    CURRENCY_MISMATCH = 4
    BANK_UNAVAILABLE = 5
    BALANCE_LIMIT_EXCEEDED = 6
    ABORTED_BY_BANK = 7
    NOT_AUTHORIZED = 8


class VoteKind(IntEnum):
    """A bank's answer to a prepare; the values are those of interbank.v1.VoteKind."""

    YES = 1
    NO = 2
    COMMITTED = 3
    ABORTED = 4


class Payment(NamedTuple):
    """What a client asked for, parsed and found well-formed. Two are the same if all fields are."""

    payment_id: bytes
    payer: str
    payer_bank: str
    payee: str
    payee_bank: str
    amount_minor: int
    currency: str
    memo: str

    @property
    def key(self) -> PaymentKey:
        """What the payment is known by."""
        return self.payment_id, self.payer

    @property
    def banks(self) -> tuple[str, ...]:
        """The participants: both banks, or the one that keeps both accounts."""
        if self.payer_bank == self.payee_bank:
            return (self.payer_bank,)
        return self.payer_bank, self.payee_bank


class Decision(NamedTuple):
    """The gateway's record of how a payment ended; written once. ``sequence`` counts up without gaps."""

    sequence: int
    epoch: int
    payment: Payment
    outcome: Outcome
    reason: Reason
    created_at_us: int
    decided_at_us: int

    @property
    def is_committed(self) -> bool:
        """Whether the money moves."""
        return self.outcome is Outcome.COMMITTED


class Prepare(NamedTuple):
    """Gateway to bank: promise your part of this transaction, or refuse.

    At the gateway it carries the payer's ``authority``; a bank that has looked at that
    (`nodes.core.authority`) notes what it found in ``is_rightful``.
    """

    payment_id: bytes
    payer: str
    epoch: int
    payer_bank: str
    payee: str
    payee_bank: str
    amount_minor: int
    currency: str
    authority: Authority | None = None
    is_rightful: bool = True


class Decide(NamedTuple):
    """Gateway to bank: the decision."""

    payment_id: bytes
    payer: str
    epoch: int
    commit: bool


class Vote(NamedTuple):
    """Bank to gateway: the durable answer to a prepare."""

    payment_id: bytes
    payer: str
    epoch: int
    kind: VoteKind
    reason: Reason


class Contradiction(NamedTuple):
    """Two records that cannot both be true; nothing was changed. An alarm for the operator."""

    payment_id: bytes
    payer: str
    epoch: int
    said: str
    recorded: str
