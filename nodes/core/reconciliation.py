"""What was decided on payments, against what banks, holds and clients have on record of them, one by one."""

from collections.abc import Collection, Iterator, Mapping
from itertools import compress
from typing import NamedTuple

from nodes.core.books import BankBooks, GatewayBooks, Told, read_decision, read_entry
from nodes.core.ledger import Entry, Hold, clearing_account
from nodes.core.messages import UNKNOWN_USER, Decision, Outcome, Payment, PaymentKey
from nodes.core.violations import format_payment_id


class Finding(NamedTuple):
    """One thing that is wrong: which check found it, where, and with which payment, if with one."""

    check: str
    node: str
    said: str
    key: PaymentKey | None = None

    def __str__(self) -> str:
        """Write it on one line."""
        if self.key is None:
            return f"{self.check}: {self.node}: {self.said}"
        payment_id, payer = self.key
        return f"{self.check}: {self.node}: payment {format_payment_id(payment_id)} of {payer}: {self.said}"


class _Decided(NamedTuple):
    epoch: int
    payment: Payment
    outcome: int

    @property
    def is_committed(self) -> bool:
        return self.outcome == Outcome.COMMITTED


class Reconciliation:
    """Some payments, by their keys: what was decided on them, against what banks and clients have on record."""

    def __init__(self, gateway: GatewayBooks, keys: Collection[PaymentKey]) -> None:
        self.findings: list[Finding] = []
        self.on_the_way: dict[str, int] = {}
        self._epoch = gateway.epoch
        self._resolved = {each.transaction: each.commit for each in gateway.resolutions}
        self._keys = keys
        self._decided: dict[PaymentKey, _Decided] = {}
        for page in gateway.decisions():
            is_wanted = map(keys.__contains__, zip(page[2], page[3], strict=True))
            for row in compress(zip(*page, strict=True), is_wanted):
                self._add_decision(read_decision(row))

    def _add_decision(self, decision: Decision) -> None:
        key = decision.payment.key
        if key in self._decided:
            self._find("exactly once", "gateway", key, f"decided again, as number {decision.sequence}")
        self._decided[key] = _Decided(decision.epoch, decision.payment, decision.outcome)

    def _find(self, check: str, node: str, key: PaymentKey, said: str) -> None:
        self.findings.append(Finding(check, node, said, key))

    def look_at(self, bank: BankBooks) -> None:
        """Compare a bank's journal and holds with the decisions."""
        posted: set[PaymentKey] = set()
        for entry in self._entries(bank):
            self._check_entry(bank.name, entry, (entry.payment_id, entry.payer), posted)
        held = {hold.key: hold for hold in bank.holds if hold.key in self._keys}
        for hold in held.values():
            self._check_hold(bank.name, hold, hold.key in posted)
        for key, decided in self._decided.items():
            if decided.is_committed and bank.name in decided.payment.banks and key not in posted:
                self._check_unposted(bank.name, key, decided, held.get(key))

    def _entries(self, bank: BankBooks) -> Iterator[Entry]:
        for page in bank.entries():
            is_wanted = map(self._keys.__contains__, zip(page[1], page[2], strict=True))
            yield from map(read_entry, compress(zip(*page, strict=True), is_wanted))

    def _check_entry(self, bank: str, entry: Entry, key: PaymentKey, posted: set[PaymentKey]) -> None:
        decided = self._decided.get(key)
        is_same_try = decided is not None and decided.is_committed and decided.epoch == entry.epoch
        if entry.outcome != Outcome.COMMITTED:
            if is_same_try:
                self._find(
                    "atomicity", bank, key, f"aborted here, committed by the gateway in epoch {entry.epoch}"
                )
            return
        if key in posted:
            self._find("exactly once", bank, key, "posted more than once")
        posted.add(key)
        if self._resolved.get((*key, entry.epoch)):
            self._add_resolved(entry)
        elif decided is None:
            self._find("atomicity", bank, key, "posted here, and the gateway has no decision on it")
        elif not is_same_try:
            decision = f"{_name(decided.outcome)} in epoch {decided.epoch}"
            said = f"posted here for epoch {entry.epoch}; the gateway's decision is: {decision}"
            self._find("atomicity", bank, key, said)
        elif _moved(entry) != _due(bank, decided.payment):
            self._find(
                "atomicity",
                bank,
                key,
                f"posted as {_show(*_moved(entry))}; decided was {_show(*_due(bank, decided.payment))}",
            )

    def _add_resolved(self, entry: Entry) -> None:
        """Count what an operator's commit has moved here, until it is posted at its other bank, too."""
        sign = entry.credit_account.startswith("@") - entry.debit_account.startswith("@")
        on_the_way = self.on_the_way.get(entry.currency, 0) + sign * entry.amount_minor
        self.on_the_way[entry.currency] = on_the_way

    def _check_hold(self, bank: str, hold: Hold, is_posted: bool) -> None:
        decided = self._decided.get(hold.key)
        if is_posted:
            self._find("holds", bank, hold.key, "held here, though it is posted")
        elif hold.epoch > self._epoch and (*hold.key, hold.epoch) not in self._resolved:
            self._find("holds", bank, hold.key, f"held here for epoch {hold.epoch}, which has not begun")
        elif (
            decided
            and decided.is_committed
            and decided.epoch == hold.epoch
            and _moved(hold) != _due(bank, decided.payment)
        ):
            self._find(
                "holds",
                bank,
                hold.key,
                f"held as {_show(*_moved(hold))}; decided was {_show(*_due(bank, decided.payment))}",
            )

    def _check_unposted(self, bank: str, key: PaymentKey, decided: _Decided, hold: Hold | None) -> None:
        if hold is None or hold.epoch != decided.epoch:
            self._find(
                "atomicity",
                bank,
                key,
                f"committed by the gateway in epoch {decided.epoch}; neither posted nor held here",
            )
            return
        payment = decided.payment
        sign = (bank == payment.payee_bank) - (bank == payment.payer_bank)
        amount_minor = self.on_the_way.get(payment.currency, 0) + sign * payment.amount_minor
        self.on_the_way[payment.currency] = amount_minor

    def look_at_clients(self, told: Mapping[PaymentKey, Told]) -> None:
        """Compare what clients were told with the decisions."""
        for key, each in told.items():
            if key not in self._keys:
                continue
            decided = self._decided.get(key)
            recorded = "no decision" if decided is None else _name(decided.outcome)
            if each.outcome is None:
                if decided is not None and decided.is_committed and _is_asked(decided.payment, each):
                    self._find("told", "client", key, "was told that it will not be paid; on record is: committed")
            elif decided is None or decided.outcome != each.outcome or not _is_asked(decided.payment, each):
                said = f"was told {each.outcome.name.lower()}; on record is: {recorded}"
                same = decided is not None and decided.outcome == each.outcome
                self._find(
                    "told", "client", key, f"{said}, with other parties or another amount" if same else said
                )


def _name(outcome: int) -> str:
    return Outcome(outcome).name.lower() if outcome in set(Outcome) else f"outcome {outcome}"


def _is_asked(payment: Payment, told: Told) -> bool:
    """Tell whether a payment is what its client asked for; of one, nothing but the id may be left."""
    _, payer, payer_bank, payee, payee_bank, amount_minor, currency, _ = payment
    asked = f"{payer}@{payer_bank}", f"{payee}@{payee_bank}", amount_minor, currency
    return payee == UNKNOWN_USER or asked == told[1:5]


def _moved(moved: Entry | Hold) -> tuple[str, str, int, str]:
    return moved.debit_account, moved.credit_account, moved.amount_minor, moved.currency


def _due(bank: str, payment: Payment) -> tuple[str, str, int, str]:
    """Return what a payment that commits moves at one of its banks."""
    currency = payment.currency
    debit = payment.payer if payment.payer_bank == bank else clearing_account(payment.payer_bank, currency)
    credit = payment.payee if payment.payee_bank == bank else clearing_account(payment.payee_bank, currency)
    return debit, credit, payment.amount_minor, currency


def _show(debit: str, credit: str, amount_minor: int, currency: str) -> str:
    return f"{amount_minor} {currency} from {debit} to {credit}"
