"""The audit: what the gateway decided, what every bank has on its books, what clients were told: all must agree.

It reads records alone and trusts none of them: each node's against themselves (the
chain of hashes, double entry, holds), then against each other. What must hold, by the
names of the literature:

    chain         no record was changed, removed or added after it was written
    heads         no chain was cut or made anew: it holds what other nodes heard of it
    double entry  each account is what the journal folds to, and all sum to zero
    holds         what is promised belongs to a transaction that may still end
    atomicity     what committed is posted, or held, at every bank of it; the rest nowhere
    exactly once  no payment is decided twice, nor posted twice at a bank
    money         what customers own and what is on its way is what was once paid in
    told          what a client was told is what is on record

The records must be of one moment: files of nodes that have stopped, or a consistent cut
of running ones. A payment under way is no fault: a bank that has not heard of a decision
still holds it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from nodes.core.books import BankBooks, Chain, GatewayBooks, Told, decision_record
from nodes.core.chain import Heard, Record, begin_chain, explain_head, find_breaks
from nodes.core.ledger import compare_accounts, paid_in_account
from nodes.core.messages import Outcome
from nodes.core.reconciliation import Finding, Reconciliation
from nodes.core.resolution import Resolution

_PAYMENTS_AT_ONCE = 500_000
"""How many payments are kept in memory: of more than these, the streams are read again for each part."""


class Money(NamedTuple):
    """One currency's sums over all banks, in minor units; ``on_the_way`` is debited and not yet credited."""

    paid_in: int
    customers: int
    on_the_way: int

    @property
    def is_conserved(self) -> bool:
        """Whether none was made or lost."""
        return self.customers + self.on_the_way == self.paid_in


class Report(NamedTuple):
    """What an audit found; nothing in ``findings`` means that all agrees."""

    findings: list[Finding]
    money: dict[str, Money]
    decisions: int
    entries: int
    in_doubt: int
    resolutions: Sequence[Resolution]
    """What operators settled by hand: no fault, and never to be overlooked."""


def audit(gateway: GatewayBooks, banks: Sequence[BankBooks], told: Iterable[Told] = ()) -> Report:
    """Compare all records of one moment with themselves and with each other."""
    resolved = {each.transaction for each in gateway.resolutions}
    findings = [
        Finding(
            "atomicity",
            "gateway",
            f"{found.said}; on record is: {found.recorded}",
            (found.payment_id, found.payer),
        )
        for found in gateway.contradictions
        if found[:3] not in resolved
    ]
    decisions = _Stream(decision_record(decision) for decision in gateway.decisions())
    findings += _check_chain("gateway", gateway.chain, decisions)
    entries = 0
    for bank in banks:
        stream = _Stream(bank.entries())
        findings += _check_chain(bank.name, bank.chain, stream)
        findings += _check_accounts(bank)
        entries += stream.count
    findings += _check_heads({"gateway": gateway.chain, **{bank.name: bank.chain for bank in banks}})
    told_by_key = {each.key: each for each in told}
    on_the_way: dict[str, int] = {}
    parts = 1 + decisions.count // _PAYMENTS_AT_ONCE
    for part in range(parts):
        reconciliation = Reconciliation(gateway, lambda key, part=part: key[0][-1] % parts == part)  # type: ignore[misc]
        for bank in banks:
            reconciliation.look_at(bank)
        reconciliation.look_at_clients(told_by_key)
        findings += reconciliation.findings
        for currency, amount_minor in reconciliation.on_the_way.items():
            on_the_way[currency] = on_the_way.get(currency, 0) + amount_minor
    money = _add_up(banks, on_the_way)
    findings += _check_money(money)
    in_doubt = sum(len(bank.holds) for bank in banks)
    return Report(findings, money, decisions.count, entries, in_doubt, gateway.resolutions)


# -- each node against itself, and against what others heard of it ---------------


class _Stream:
    """Records in order, read once, as the links of a chain ask for them; ``count`` says how many there were."""

    def __init__(self, records: Iterator[tuple[int, Record]]) -> None:
        self.count = 0
        self.last_sequence = 0
        self._records = records
        self._next = next(records, None)

    def read(self, after: int, until: int) -> list[Record]:
        """Return the records with sequences in (after, until]."""
        found: list[Record] = []
        while self._next is not None and self._next[0] <= until:
            if self._next[0] > after:
                found.append(self._next[1])
            self.last_sequence = self._next[0]
            self.count += 1
            self._next = next(self._records, None)
        return found


def _check_chain(node: str, chain: Chain, stream: _Stream) -> Iterator[Finding]:
    heard: dict[int, list[Heard]] = {}
    for number, told in sorted(chain.heard):
        heard.setdefault(number, []).append(told)
    start = begin_chain(node)
    for said in find_breaks(start, chain.links(), stream.read, lambda number: heard.get(number, ())):
        yield Finding("chain", node, said)
    chained_until = stream.last_sequence
    rest = len(stream.read(chained_until, 2**63 - 1))
    if rest:
        yield Finding("chain", node, f"{rest} records after {chained_until} were never chained")


def _check_accounts(bank: BankBooks) -> Iterator[Finding]:
    folded: dict[str, int] = {}
    for sequence, entry in bank.entries():
        if entry.outcome == Outcome.COMMITTED:
            folded[entry.debit_account] = folded.get(entry.debit_account, 0) - entry.amount_minor
            folded[entry.credit_account] = folded.get(entry.credit_account, 0) + entry.amount_minor
        is_opening = entry.debit_account == paid_in_account(entry.currency) and entry.credit_account == entry.payer
        if entry.payment_id is None and not is_opening:
            yield Finding(
                "double entry", bank.name, f"entry {sequence} belongs to no payment and opens no account"
            )
    for said in compare_accounts(bank.accounts, bank.holds, folded):
        yield Finding("double entry", bank.name, said)
    for account in bank.accounts:
        if account.is_customer and account.available < 0:
            yield Finding("double entry", bank.name, f"account {account.name} is overdrawn: {account.available}")


def _check_heads(chains: Mapping[str, Chain]) -> Iterator[Finding]:
    """Compare what nodes heard of each other's chains with those chains; the oldest difference of each is told."""
    for node, chain in chains.items():
        heard = {
            listener: sorted(told for _, told in other.heard if told.node == node)
            for listener, other in chains.items()
        }
        wanted = {told.number for all_told in heard.values() for told in all_told}
        links = {link.number: link for link in (begin_chain(node), *chain.links()) if link.number in wanted}
        for listener, all_told in heard.items():
            differences = (explain_head(told, links.get(told.number), listener) for told in all_told)
            said = next(filter(None, differences), "")
            if said:
                yield Finding("heads", node, said)


# -- money ----------------------------------------------------------------------


def _add_up(banks: Sequence[BankBooks], on_the_way: Mapping[str, int]) -> dict[str, Money]:
    paid_in: dict[str, int] = {}
    customers: dict[str, int] = {}
    for bank in banks:
        for account in bank.accounts:
            currency = account.currency
            if account.is_customer:
                customers[currency] = customers.get(currency, 0) + account.posted
            elif account.name == paid_in_account(currency):
                paid_in[currency] = paid_in.get(currency, 0) - account.posted
    return {
        currency: Money(paid_in.get(currency, 0), customers.get(currency, 0), on_the_way.get(currency, 0))
        for currency in sorted({*paid_in, *customers, *on_the_way})
    }


def _check_money(money: Mapping[str, Money]) -> Iterator[Finding]:
    for currency, sums in money.items():
        if not sums.is_conserved:
            gap = sums.customers + sums.on_the_way - sums.paid_in
            said = (
                f"customers own {sums.customers} and {sums.on_the_way} is on its way, {sums.paid_in} was paid in:"
                f" {abs(gap)} was {'made' if gap > 0 else 'lost'}"
            )
            yield Finding("money", currency, said)
