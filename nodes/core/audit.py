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

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import NamedTuple

from nodes.core.books import BankBooks, Chain, GatewayBooks, Page, Pages, Row, Told, read_entry
from nodes.core.chain import Heard, begin_chain, explain_head
from nodes.core.chain_check import ChainCheck
from nodes.core.ledger import compare_accounts, paid_in_account
from nodes.core.matching import Matching, find_repeated_decisions
from nodes.core.messages import Outcome, PaymentKey
from nodes.core.reconciliation import Finding, Reconciliation
from nodes.core.recovery import Recovery
from nodes.core.resolution import Resolution

_IDS_AT_ONCE = 1_000_000
"""How many payment ids are kept in memory to find those that were decided twice."""
_SUSPECTS_AT_ONCE = 500_000
"""How many payments are reasoned about at once: of more than these, the streams are read again for each part."""
_DECIDED_AT, _POSTED_AT = 13, 10
"""Which columns say when."""


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
    recoveries: Sequence[Recovery] = ()
    """When the gateway's records were made anew from the banks' books: the same."""


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
    decided = ChainCheck("gateway", gateway.chain)
    journals = {bank.name: _Journal(bank) for bank in banks}
    matching = Matching(journals)
    for _, node, page in _side_by_side(gateway, banks):
        if node is None:
            findings += (Finding("chain", "gateway", said) for said in decided.take(page))
            matching.take_decisions(page)
        else:
            findings += journals[node].take(page)
            matching.take_entries(node, page)
    findings += (Finding("chain", "gateway", said) for said in decided.end())
    for journal in journals.values():
        findings += journal.end()
    given_up = gateway.recoveries[-1].given_up() if gateway.recoveries else {}
    findings += _check_heads({"gateway": gateway.chain, **{bank.name: bank.chain for bank in banks}}, given_up)
    suspects = matching.suspects()
    suspects |= find_repeated_decisions(gateway.decisions, 1 + decided.count // _IDS_AT_ONCE)
    found, on_the_way = _look_closer(suspects, gateway, banks, {each.key: each for each in told})
    findings += found
    money = _add_up(banks, on_the_way)
    findings += _check_money(money)
    in_doubt = sum(len(bank.holds) for bank in banks)
    entries = sum(journal.count for journal in journals.values())
    return Report(findings, money, decided.count, entries, in_doubt, gateway.resolutions, gateway.recoveries)


def _look_closer(
    suspects: set[PaymentKey], gateway: GatewayBooks, banks: Sequence[BankBooks], told: Mapping[PaymentKey, Told]
) -> tuple[list[Finding], dict[str, int]]:
    """Reason about suspects, and about what is held or told; return also what is on its way."""
    suspects.update(hold.key for bank in banks for hold in bank.holds)
    suspects.update(told)
    findings: list[Finding] = []
    on_the_way: dict[str, int] = {}
    left = iter(suspects)
    while keys := set(islice(left, _SUSPECTS_AT_ONCE)):
        reconciliation = Reconciliation(gateway, keys)
        for bank in banks:
            reconciliation.look_at(bank)
        reconciliation.look_at_clients(told)
        findings += reconciliation.findings
        for currency, amount_minor in reconciliation.on_the_way.items():
            on_the_way[currency] = on_the_way.get(currency, 0) + amount_minor
    return findings, on_the_way


def _side_by_side(
    gateway: GatewayBooks, banks: Sequence[BankBooks]
) -> Iterator[tuple[tuple[int, int], str | None, Page]]:
    """Yield (when, the bank or None for the gateway, a page) of all, in the order of their times.

    So what belongs together meets soon. The times decide how much is kept in memory, and nothing else.
    """
    streams = [_in_time(0, None, gateway.decisions, _DECIDED_AT)]
    streams += [_in_time(number, bank.name, bank.entries, _POSTED_AT) for number, bank in enumerate(banks, 1)]
    return merge(*streams)


def _in_time(
    number: int, node: str | None, pages: Pages, at: int
) -> Iterator[tuple[tuple[int, int], str | None, Page]]:
    return (((page[at][0], number), node, page) for page in pages())


# -- each node against itself, and against what others heard of it ---------------


def check_journal(bank: BankBooks) -> Iterator[Finding]:
    """Compare a bank's books with themselves alone."""
    journal = _Journal(bank)
    for page in bank.entries():
        yield from journal.take(page)
    yield from journal.end()


class _Journal:
    """A bank's journal, while its pages go by: its chain, and what it folds to."""

    def __init__(self, bank: BankBooks) -> None:
        self._bank = bank
        self._chain = ChainCheck(bank.name, bank.chain, skips=1)
        self._folded: dict[str, int] = defaultdict(int)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return self._chain.count

    def take(self, page: Page) -> Iterator[Finding]:
        """Check a page."""
        yield from (Finding("chain", self._bank.name, said) for said in self._chain.take(page))
        _, payment_ids, _, _, outcomes, _, debits, credits_, amounts_minor, *_ = page
        folded = self._folded
        moved = zip(outcomes, debits, credits_, amounts_minor, strict=True)
        for outcome, debit_account, credit_account, amount_minor in moved:
            if outcome == Outcome.COMMITTED:
                folded[debit_account] -= amount_minor
                folded[credit_account] += amount_minor
        if None in payment_ids:
            for row in zip(*page, strict=True):
                if row[1] is None and not _is_opening(row):
                    said = f"entry {row[0]} belongs to no payment and opens no account"
                    yield Finding("double entry", self._bank.name, said)

    def end(self) -> Iterator[Finding]:
        """Compare what it folds to with the accounts."""
        name, accounts, holds, *_ = self._bank
        yield from (Finding("chain", name, said) for said in self._chain.end())
        for said in compare_accounts(accounts, holds, self._folded):
            yield Finding("double entry", name, said)
        for account in accounts:
            if account.is_customer and account.available < 0:
                yield Finding("double entry", name, f"account {account.name} is overdrawn: {account.available}")


def _is_opening(row: Row) -> bool:
    entry = read_entry(row)
    return entry.debit_account == paid_in_account(entry.currency) and entry.credit_account == entry.payer


def _check_heads(chains: Mapping[str, Chain], given_up: Mapping[str, Heard]) -> Iterator[Finding]:
    """Compare what nodes heard of each other's chains with those chains; the oldest difference of each is told.

    What banks had heard of the gateway's up to what was ``given_up`` at a recovery is left out.
    """
    for node, chain in chains.items():
        heard = {
            listener: sorted(told for _, told in other.heard if told.node == node)
            for listener, other in chains.items()
        }
        if node == "gateway":
            for listener, last in given_up.items():
                heard[listener] = [told for told in heard.get(listener, ()) if told.number > last.number]
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
