"""The deliberate bugs, one a line: in ``owner.function`` the text ``right`` becomes ``wrong``.

A line whose text is gone is told by the tests, by name: move it to where the rule has
gone, with the same wrongness. The bugs of other systems among them, by their trackers:
Seata#152 and #3220 (no tombstone), #4073 (an abort of what is not known is not recorded),
#3387 (off by one), #2848 (restores what was there before); dtm#453 (a repeat gets a bare yes),
dtm#559 (two transactions for what is one), dtm-php#17 (the transaction stays open), dtm-php#20 (one name
for all); Atomikos#239 (the deadline and the votes both decide), #153 (a deadline ends a promise);
narayana-spring-boot#159 (the abort after a no is an error); MySQL#12161 (a promise ends with its
connection); FoundationDB's record layer (an unknown commit is added again).
"""

from typing import Any, NamedTuple

from nodes.bank import store as bank_store
from nodes.bank import turn as bank_turn
from nodes.bank.store import BankStore
from nodes.client import Delivery, Outbox, delivery
from nodes.core import coordinator, participant
from nodes.core.coordinator import Coordinator
from nodes.core.ledger import Ledger
from nodes.core.participant import Participant
from nodes.gateway import turn as gateway_turn
from nodes.gateway.markers import Markers
from nodes.gateway.store import GatewayStore
from nodes.runtime.chain_table import ChainTable


class Mutant(NamedTuple):
    """One bug; ``function`` is a name in ``owner``, a class or a module."""

    name: str
    owner: Any
    function: str
    right: str
    wrong: str


# fmt: off
MUTANTS = [
    # -- the gateway decides
    Mutant("decides twice", Coordinator, "_decide", "del self.open[key]", "self.open.get(key)"),
    Mutant("commits on the first yes", Coordinator, "count_vote", "if not opened.missing_votes:", "if True:"),
    Mutant("waits for the payer's vote only", coordinator._Open, "__init__", "_PAYER_VOTE | _PAYEE_VOTE", "_PAYER_VOTE"),
    Mutant("takes a no for a yes", Coordinator, "count_vote", "if kind is VoteKind.YES:", "if kind is not VoteKind.COMMITTED:"),
    Mutant("counts votes of an older epoch", Coordinator, "count_vote", "or epoch != self.epoch", ""),
    Mutant("commits when the deadline comes", Coordinator, "expire", "Outcome.DECLINED", "Outcome.COMMITTED"),
    Mutant("tells banks to commit what it declined", Coordinator, "_decide", "self.epoch, outcome is Outcome.COMMITTED)", "self.epoch, True)"),
    Mutant("tells banks to abort what it committed", Coordinator, "_decide", "self.epoch, outcome is Outcome.COMMITTED)", "self.epoch, False)"),
    Mutant("does not raise its epoch", GatewayStore, "begin_epoch", "number + 1", "max(number, 1)"),
    Mutant("speaks before it has written", gateway_turn, "take_turn", "if effects.decisions or contradictions:", "if len(effects.decisions) > 1:"),
    # -- the gateway repeats itself
    Mutant("forgets what it decided", gateway_turn, "take_turn", "recorded = store.find_decisions(_keys(events))", "recorded = {}"),
    Mutant("forgets what it decided in this turn", Coordinator, "begin", "recorded or self._effects.decisions.get(key)", "recorded"),
    Mutant("does not replay declines", Coordinator, "begin", "if recorded is not None:", "if recorded is not None and recorded.is_committed:"),
    Mutant("ignores the fingerprint of what is decided", Coordinator, "begin", "_compare(recorded.payment, payment) or Decided", "Decided"),
    Mutant("ignores the fingerprint of what is under way", Coordinator, "begin", "differs = _compare(under_way.payment, payment)", "differs = None"),
    Mutant("takes the newest id on record for a new one", GatewayStore, "find_decisions", "key[0] <= self._newest_id", "key[0] < self._newest_id"),
    Mutant("mixes up two users' ids", GatewayStore, "find_decisions", "if key in wanted:", "for key in [k for k in wanted if k[0] == row[2]]:"),
    # -- the gateway is asked
    Mutant("presumes commit", Coordinator, "answer_inquiry", "commit=False", "commit=True"),
    Mutant("answers for another epoch", Coordinator, "answer_inquiry", "and decision.epoch == epoch", ""),
    Mutant("aborts what is under way when asked", Coordinator, "answer_inquiry", "elif epoch < self.epoch or key not in self.open:", "else:"),
    Mutant("is asked in the turn of the decision", Coordinator, "answer_inquiry", "or self._effects.decisions.get(key)", ""),
    Mutant("answers inquiries without looking", gateway_turn, "_keys", "keys += [(payment_id, payer) for payment_id, payer, _ in transactions]", "pass"),
    Mutant("hears a bank connect and says nothing", Coordinator, "answer_inquiry", "answers.append(Decide(payment_id, payer, epoch, decision.is_committed))", "pass"),
    # -- a bank votes
    Mutant("votes before the hold is on disk", bank_turn, "_take_part", "if any(changes):", "if changes.entries:"),
    Mutant("votes yes after an abort", Participant, "prepare", "if entry.epoch >= prepare.epoch:", "if entry.epoch > prepare.epoch:"),
    Mutant("prepares again what it recorded", Participant, "prepare", "if entry is not None:", "if False:"),
    Mutant("lets an older epoch take over a hold", Participant, "prepare", "if hold.epoch > prepare.epoch:", "if False:"),
    Mutant("keeps the old epoch's hold beside the new", Participant, "prepare", "self.ledger.release(hold)", "pass"),
    Mutant("answers a newer epoch for the older hold", Participant, "prepare", "if hold.epoch == prepare.epoch:", "if True:"),
    Mutant("does not look at the authority", Participant, "_vote_first", "if not prepare.is_rightful:", "if False:"),
    Mutant("does not look for funds", participant, "_refuse", "< floor", "< floor - 10**6"),
    Mutant("does not count what is held", participant, "_refuse", "debit.posted - debit.held", "debit.posted"),
    Mutant("does not look into its journal", bank_turn, "_look_up", "recorded = store.find_entries(asked)", "recorded = {}"),
    Mutant("takes the newest id in its journal for a new one", BankStore, "find_entries", "key[0] <= self._newest_id", "key[0] < self._newest_id"),
    Mutant("looks at the oldest entry", BankStore, "find_entries", "found[key].epoch < row[3]", "found[key].epoch > row[3]"),
    # -- a bank carries out
    Mutant("leaves no tombstone", Participant, "decide", "self._record_abort(decide)", "pass"),
    Mutant("leaves no tombstone of what it held", Participant, "_decide_held", "self._record_abort(decide)", "pass"),
    Mutant("keeps the hold of what was aborted", Participant, "_decide_held", "self.ledger.release(hold)", "pass"),
    Mutant("releases what was committed", Participant, "_decide_held", "self.ledger.post(hold)", "self.ledger.release(hold)"),
    Mutant("lets an older abort release a newer hold", Participant, "_decide_held", "elif decide.epoch >= hold.epoch:", "else:"),
    Mutant("carries out a commit of another epoch", Coordinator, "answer_inquiry", "Decide(payment_id, payer, epoch, decision.is_committed)", "Decide(payment_id, payer, decision.epoch - 1, decision.is_committed)"),
    Mutant("records an abort for what it posts", Participant, "_decide_held", "Outcome.COMMITTED", "Outcome.DECLINED"),
    # -- a bank's books
    Mutant("debits and does not credit", Ledger, "post", "credit.posted += hold.amount_minor", "pass"),
    Mutant("promises and does not hold", Ledger, "promise", "debit.held += hold.amount_minor", "pass"),
    Mutant("forgets to lower what is incoming", Ledger, "release", "credit.incoming -= hold.amount_minor", "pass"),
    Mutant("leaves released holds on disk", BankStore, "write", "if changes.released:", "if False:"),
    Mutant("forgets its holds when it starts", BankStore, "holds", "ORDER BY at_us", "WHERE false"),
    Mutant("names the wrong clearing account", Participant, "_hold", "clearing_account(payer_bank, currency)", "clearing_account('SBI', currency)"),
    Mutant("lets a user's hold replace another's", Participant, "decide", "key = decide.payment_id, decide.payer", "key = next((k for k in self.ledger.holds if k[0] == decide.payment_id), (decide.payment_id, decide.payer))"),
    # -- the gateway, once more
    Mutant("declines twice, by the deadline", Coordinator, "expire", "if self.open.get(key) is opened:", "if True:"),
    Mutant("never looks at its deadlines", Coordinator, "expire", "while deadlines and", "while False and"),
    Mutant("commits what a bank refused", Coordinator, "count_vote", "self._decide(opened, Outcome.DECLINED,", "self._decide(opened, Outcome.COMMITTED,"),
    Mutant("compares the amounts only", coordinator, "_compare", "if known == asked:", "if known.amount_minor == asked.amount_minor:"),
    Mutant("compares the banks only", coordinator, "_compare", "if known == asked:", "if known.banks == asked.banks:"),
    Mutant("replays every outcome as a success", Coordinator, "begin", "Decided(recorded, replayed=True)", "Decided(recorded._replace(outcome=Outcome.COMMITTED), replayed=True)"),
    Mutant("names every transaction the same", coordinator, "_prepare", "Prepare(payment_id,", "Prepare(bytes(16),"),
    Mutant("raises its epoch in memory only", GatewayStore, "begin_epoch", "UPDATE epoch SET number = number + 1 RETURNING number", "SELECT number + 1 FROM epoch"),
    Mutant("numbers decisions from the start again", GatewayStore, "last_sequence", "coalesce(max(sequence), 0)", "0 * coalesce(max(sequence), 0)"),
    Mutant("writes a decision and its count apart", GatewayStore, "write", "self.chain.append(rows, now_us)", "self.chain.append(rows, now_us); self._execute('COMMIT'); self._execute('BEGIN IMMEDIATE')"),
    Mutant("leaves a decision out of the chain", GatewayStore, "write", "self.chain.append(rows, now_us)", "pass"),
    Mutant("leaves its transaction open", GatewayStore, "write", 'self._execute("COMMIT")', "pass"),
    # -- a bank, once more
    Mutant("gives a promise up after a while", bank_turn, "take_turn", "said: list[Said] = []", "said = []; [participant.ledger.release(h) for h in list(participant.ledger.holds.values()) if now_us - h.at_us > 2_000_000]"),
    Mutant("commits a promise by itself after a while", bank_turn, "take_turn", "said: list[Said] = []", "said = []; participant.start_turn({}, now_us); [participant.decide(Decide(*h[:3], commit=True)) for h in list(participant.ledger.holds.values()) if now_us - h.at_us > 2_000_000]"),
    Mutant("loses its promises with the stream", bank_turn, "_answer", "participant.in_doubt()", "participant.ledger.holds.clear() or []"),
    Mutant("says that nothing is in doubt", Participant, "in_doubt", "self.ledger.holds.values()", "()"),
    Mutant("answers a repeat with a bare yes", Participant, "prepare", "VoteKind.NO if entry.reason else VoteKind.ABORTED", "VoteKind.YES"),
    Mutant("records an abort again", Participant, "_decide_again", "if decide.epoch > entry.epoch:", "if decide.epoch >= entry.epoch:"),
    Mutant("does not record a newer abort", Participant, "_decide_again", "if decide.epoch > entry.epoch:", "if False:"),
    Mutant("takes the abort of what it refused for a contradiction", Participant, "_decide_again", "    if decide.commit:", "    if True:"),
    Mutant("aborts what it has committed", Participant, "_decide_again", "if entry.outcome is Outcome.COMMITTED:", "if False:"),
    Mutant("posts in memory only", bank_turn, "_take_part", "if any(changes):", "if changes.holds:"),
    Mutant("writes entries and accounts apart", BankStore, "write", "    if changes.accounts:", "    self._execute('COMMIT'); self._execute('BEGIN IMMEDIATE')\n    if changes.accounts:"),
    Mutant("writes a newer hold and the older's end apart", BankStore, "write", "    if changes.holds:\n        self._add", "    self._execute('COMMIT'); self._execute('BEGIN IMMEDIATE')\n    if changes.holds:\n        self._add"),
    Mutant("adds to the account what was added already", BankStore, "write", "SET posted = excluded.posted", "SET posted = posted + excluded.posted"),
    Mutant("leaves an entry out of the chain", BankStore, "_add_entries", "self.chain.append(entries, now_us)", "pass"),
    Mutant("puts another head on record than it has heard", ChainTable, "hear", "Heard(node, head.number, head.hash)", "Heard(node, head.number + 1, head.hash)"),
    Mutant("is off by one", Ledger, "post", "debit.posted -= hold.amount_minor", "debit.posted -= hold.amount_minor - 1"),
    Mutant("restores what was held before", Ledger, "release", "debit.held -= hold.amount_minor", "debit.held = 0"),
    # -- a cut
    Mutant("answers a marker before what came before it", bank_turn, "_split_at_cuts", "yield events[start:end]", "yield [event._replace(prepares=[], decides=[])]; yield [*events[start:end - 1], event._replace(cut=0)]"),
    Mutant("lets what came after a marker go before it", bank_turn, "take_turn", "in _split_at_cuts(events):", "in reversed(list(_split_at_cuts(events))):"),
    Mutant("leaves out of a cut what is held", bank_turn, "_take_cut", "holds if accounts else []", "[]"),
    Mutant("names an older link of its chain at a cut", bank_turn, "_take_cut", "store.chain.head,", "store.chain.head_at(store.chain.head.number - 1) or store.chain.head,"),
    Mutant("answers an inquiry past a marker", Markers, "answer_inquiry", "if self._ended is None:", "if True:"),
    Mutant("takes the answer to an older marker for that to the newest", Markers, "take_answer", "or cut.number != self.number", ""),
    Mutant("takes a cut without all banks", Markers, "take_answer", "if all(", "if any("),
    Mutant("sends its markers again with each turn", Markers, "mark", "if self._ended is None or self._answers:", "if self._ended is None:"),
    Mutant("names the gateway's head of an earlier cut", Markers, "mark", "self.head = self._chain.head", "pass"),
    # -- what only shows beside other payments, other epochs, other callers
    Mutant("answers a decline to its first caller only", Coordinator, "_decide", "for caller in opened.callers:", "for caller in opened.callers if outcome is Outcome.COMMITTED else opened.callers[:1]:"),
    Mutant("keeps the room of a bank that refused", Coordinator, "_decide", "self._open_at[bank] -= 1", "self._open_at[bank] -= bank != refused_by"),
    Mutant("asks a bank for what it has no part in", Coordinator, "connect", "if opened.awaits(bank)", "if opened.missing_votes"),
    Mutant("does not ask again when a bank is back", Coordinator, "connect", "if opened.awaits(bank)", "if False"),
    Mutant("takes a bank that is away for unknown", Coordinator, "disconnect", "self.connected[bank] = False", "self.connected.pop(bank, None)"),
    Mutant("asks without the payer's authority", coordinator, "_prepare", "opened.authority", "None"),
    Mutant("declines by a no of an older epoch", Coordinator, "count_vote", "or epoch != self.epoch", "or (epoch != self.epoch and kind is VoteKind.YES)"),
    Mutant("ignores another memo", coordinator, "_compare", "if known == asked:", "if known[:-1] == asked[:-1]:"),
    Mutant("ignores another payee", coordinator, "_compare", "if known == asked:", "if known == asked._replace(payee=known.payee):"),
    Mutant("ignores another currency", coordinator, "_compare", "if known == asked:", "if known == asked._replace(currency=known.currency):"),
    Mutant("counts a decline by its deadline twice", Coordinator, "_decide", "self.last_sequence += 1", "self.last_sequence += 1 + (reason is Reason.BANK_UNAVAILABLE)"),
    Mutant("counts the first vote of a message only", gateway_turn, "take_turn", "for vote in votes:", "for vote in votes[:1]:"),
    Mutant("looks at its deadlines when nothing else comes", gateway_turn, "take_turn", "coordinator.expire()", "events or coordinator.expire()"),
    Mutant("does not look up what a bank that connects has in doubt", gateway_turn, "_keys", "case Inquiry(_, transactions) | Connected(_, transactions):", "case Inquiry(_, transactions):"),
    Mutant("takes the newest decided id of a turn for the newest", GatewayStore, "write", "max(self._newest_id, *(", "max(b'', *("),
    Mutant("takes the id decided last for the newest", GatewayStore, "__init__", "max(payment_id) FROM decision", "payment_id FROM decision ORDER BY sequence DESC LIMIT 1"),
    Mutant("refuses who spends the last there is", participant, "_refuse", "< floor", "<= floor"),
    Mutant("lets no bank owe another", participant, "_refuse", "-BALANCE_MAX", "0"),
    Mutant("refuses for ever what it refused in an older epoch", Participant, "prepare", "if entry.epoch >= prepare.epoch:", "if entry.epoch >= prepare.epoch or entry.reason:"),
    Mutant("calls aborted what it has committed since", Participant, "prepare", "if entry.outcome is Outcome.COMMITTED:", "if entry.outcome is Outcome.COMMITTED and entry.epoch <= prepare.epoch:"),
    Mutant("forgets within a turn what it has recorded", Participant, "_record", "self._recorded[entry.payment_id, entry.payer] = entry", "pass"),
    Mutant("records an abort that is older than its hold", Participant, "_decide_held", "elif decide.epoch >= hold.epoch:\n        self.ledger.release(hold)", "else:\n        if decide.epoch >= hold.epoch: self.ledger.release(hold)"),
    Mutant("credits a payee of its own as another bank's", Participant, "_hold", "payee if payee_bank == self.bank", "payee if payer_bank != self.bank"),
    Mutant("releases again with each turn what it released", Ledger, "take_changes", "self._changed, self._held, self._released, self._entries = {}, {}, [], []", "self._changed, self._held, self._entries = {}, {}, []"),
    Mutant("forgets accounts in the middle of a turn", Ledger, "account", "account = self._accounts.get(name) or self._changed.get(name)", "self._accounts = self._accounts if len(self._accounts) <= self._CACHED_ACCOUNTS_MAX else {}; account = self._accounts.get(name)"),
    Mutant("lowers what is incoming in memory only", Ledger, "release", "self._changed[credit.name] = credit", "pass"),
    Mutant("looks up a turn's first prepares only", bank_turn, "_look_up", "asked += [prepare[:2] for prepare in event.prepares]", "asked += [prepare[:2] for prepare in event.prepares if not asked]"),
    Mutant("looks up no decisions on what it does not hold", bank_turn, "_look_up", "asked += late", "pass"),
    Mutant("numbers holds by their count when it starts", BankStore, "__init__", "max(self._hold_numbers.values(), default=0)", "len(self._hold_numbers)"),
    Mutant("numbers holds by their count as they go", BankStore, "_add_holds", "self._last_hold_number += len(holds)", "self._last_hold_number = len(self._hold_numbers)"),
    Mutant("leaves the last of a run of holds", bank_store, "_find_runs", "yield numbers[first], number", "yield numbers[first], max(numbers[first], number - 1)"),
    Mutant("keeps the number of a hold that is gone", BankStore, "_remove_holds", "known.pop(key)", "known[key]"),
    Mutant("takes the newest id of a turn in its journal for the newest", BankStore, "write", "max(self._newest_id, *(", "max(b'', *("),
    Mutant("takes the newest committed id for the newest", BankStore, "__init__", "max(payment_id) FROM journal", "max(payment_id) FROM journal WHERE outcome = 2"),
    # -- a client
    Mutant("takes an unknown outcome for a decline", delivery, "judge", "Verdict(None, str(answer))", "Verdict(State.DECLINED, str(answer))"),
    Mutant("gives up what it does not know", delivery, "judge", "Verdict(None, str(answer))", "Verdict(State.REFUSED, str(answer))"),
    Mutant("takes every outcome for a success", delivery, "judge", 'PaymentResult(outcome="committed")', "PaymentResult(outcome=\"committed\" | \"declined\")"),
    Mutant("sends before it has marked", Delivery, "_try", "self._outbox.mark_sent(item)", "Earlier(item.state, None)"),
    Mutant("sends what was cancelled meanwhile", Delivery, "_try", "if earlier.state.is_final:", "if False:"),
    Mutant("does not look back when it is refused", Delivery, "_try", "if state is State.REFUSED and earlier.state is State.UNKNOWN:", "if False:"),
    Mutant("takes a refusal for the end of what may yet arrive", Delivery, "_look_back", "self._outbox.may_yet_arrive(earlier)", "False"),
    Mutant("forgets that it has sent before", Outbox, "mark_sent", "self._clock()", "None"),
    Mutant("takes another payment for its own", Delivery, "_look_back", "if not _is_what_was_asked(view, item.request):", "if False:"),
    Mutant("goes on while one is unknown", Delivery, "deliver_all", "break", "continue"),
    Mutant("sends what has expired", Delivery, "_deliver", "if self._outbox.is_expired(item):", "if False:"),
    Mutant("lets expire what was sent", Outbox, "is_expired", "item.state is State.NEVER_SENT and", ""),
    Mutant("cancels what was sent", Outbox, "cancel", "AND state = ?", "AND state <= 1 + ?"),
    Mutant("gives up what a bank that is away did not take", delivery, "judge", "NotFound() | IdUsed():", "NotFound() | IdUsed() | GatewayAway():"),
    Mutant("lets an answered try prolong the one without", Outbox, "unmark_sent", "earlier.sent_at", "self._clock()"),
    Mutant("takes what it may not look at for refused", Delivery, "_look_back", "if not isinstance(error, NotAllowed)", "if True"),
    Mutant("takes a look back that fails for a refusal", Delivery, "_look_back", "return judge(error) if not isinstance(error, NotAllowed) else Verdict(None, str(error))", "return Verdict(State.REFUSED, str(error))"),
    Mutant("takes what it finds under way for declined", Delivery, "_look_back", "view.payment_id, view.outcome,", "view.payment_id, view.outcome if view.outcome != 'pending' else 'declined',"),
    Mutant("sends again under another id", Delivery, "_try", "self._client.pay(item.request)", "self._client.pay(item.request if earlier.state is State.NEVER_SENT else PaymentRequest(item.request.payment_id[:-1] + 'f', *[getattr(item.request, f.name) for f in fields(PaymentRequest)[1:]]))"),
    Mutant("takes a payment with another memo for its own", delivery, "_is_what_was_asked", "fields(PaymentRequest)", "fields(PaymentRequest)[:-1]"),
    Mutant("changes what has ended", Outbox, "_set", "AND state <= 2", ""),
]
# fmt: on
