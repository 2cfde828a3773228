"""Every crash point, one a line, in the order of a payment and of a process's life, so that a gap is seen.

A point stands between two steps that leave a trace, on disk or at somebody else: a
crash there must lose no money and tell nobody what is not so. Its name is who crashes,
at what, and how far that has come. ``provoked_by`` says what it takes to come there,
which `orchestrator.matrix.provocations` does.

A test holds this list against the source: every ``reach("...")`` is here, and only those.
"""

from enum import StrEnum
from typing import NamedTuple


class Provocation(StrEnum):
    """What brings a process to a point."""

    LOAD = "payments run, some of which are declined"
    STREAM = "many payments are sent on one stream"
    RESTART = "the node is killed and starts again"
    STOP = "the node is restarted in order"
    BANK_KILLED = "the bank is killed, so its line breaks and is opened again"
    GATEWAY_KILLED = "the gateway is killed, so its lines break and are opened again"
    BANK_FROZEN = "another bank is frozen for longer than a payment may take"
    LOGIN = "a user logs in and out"
    CONTRADICTION = "a bank asks about a transaction that no gateway can have begun"
    MOVE = "a bank registers at another address"
    RESOLUTION = "an operator settles by hand what a bank holds of an epoch that has not begun"
    LATE = "an abort comes before its prepare, which comes after it, both more than once, and a commit of nothing"
    ROTATION = "the certificates of all nodes are made anew"
    FIRST_START = "a cluster starts for the first time"
    SHELL = "a shell pays"
    SHELL_BEHIND = "a shell pays while another sends from the same outbox"
    SHELL_TOKEN = "a shell's login ends while a payment waits"
    SHELL_EXPIRED = "a payment has waited in the outbox for more than a day"
    SHELL_OVERDUE = "a payment was sent a day ago, and its answer never came"
    SHELL_CANCEL = "a queued payment is cancelled"
    UP = "a cluster that was down is started"
    DOWN = "the cluster is taken down"
    WIPE = "the cluster is taken down and wiped"


class Store(StrEnum):
    """What of a store's work a point stands at, which says what errors can strike there."""

    NONE = "nothing"
    WRITING = "before the commit"
    COMMITTED = "after the commit"


class Point(NamedTuple):
    """One crash point."""

    name: str
    description: str
    provoked_by: Provocation = Provocation.LOAD
    store: Store = Store.NONE

    @property
    def process(self) -> str:
        """Who crashes: gateway, bank, node (either of the two), store (any of them), client, supervisor, up or down."""
        return self.name.partition(".")[0]

    @property
    def actions(self) -> tuple[str, ...]:
        """What can be done there."""
        errors = {Store.NONE: (), Store.WRITING: ("full", "io-error"), Store.COMMITTED: ("commit-then-error",)}
        return ("kill", "raise", "sleep", *(["kill-twice"] if self.is_of_start else []), *errors[self.store])

    @property
    def is_of_start(self) -> bool:
        """Whether a node comes here each time it starts, so that it can crash here twice in a row."""
        return self.name.startswith(("gateway.start.", "bank.start."))


_P = Provocation

POINTS = (
    # -- the gateway: its life ------------------------------------------------------
    Point("gateway.start.untied", "its flags are read; nothing ties it to its supervisor yet", _P.RESTART),
    Point("gateway.start.epoch-unraised", "its books are open, the epoch is still that of the last run", _P.RESTART),
    Point("gateway.start.epoch-durable", "the epoch is raised on disk, nothing is served", _P.RESTART),
    Point("gateway.start.file-caught-up", "transactions.json has what it lacked, nothing is served", _P.RESTART),
    Point("gateway.start.listening", "it listens, and has met no bank", _P.RESTART),
    Point("gateway.start.banks-met", "it has met the banks, and does not say that it is ready", _P.RESTART),
    Point("gateway.stop.told", "it was told to stop, payments are under way", _P.STOP),
    Point("gateway.stop.calls-ended", "its callers are gone, its lines to the banks are open", _P.STOP),
    Point("gateway.stop.lines-closed", "its lines are closed, its books are open", _P.STOP),
    Point("gateway.stop.books-closed", "its books are closed, its process is there", _P.STOP),
    # -- the gateway: logins --------------------------------------------------------
    Point("gateway.login.unanswered", "a token is made, its user does not have it", _P.LOGIN),
    Point("gateway.logout.unsaved", "a login is to end, nothing of that is on disk", _P.LOGIN, Store.WRITING),
    Point("gateway.logout.durable-unanswered", "a login has ended on disk, its user is not told", _P.LOGIN),
    # -- the gateway: a payment -----------------------------------------------------
    Point("gateway.pay.admitted", "who asks and what is settled, the payment is not begun"),
    Point("gateway.pay-many.read", "a message of many payments is read, none is begun", _P.STREAM),
    Point("gateway.audit-log.unwritten", "payments were asked for, the audit log does not say so"),
    Point("gateway.turn.gathered", "a turn has gathered all that came, and has looked at nothing"),
    Point("gateway.prepare.none-sent", "payments are begun, no bank has heard of them"),
    Point("gateway.prepare.sent-to-one", "one bank has been sent its prepares, others not"),
    Point("gateway.vote.received", "one bank's votes are in, and not counted"),
    Point("gateway.decision.unwritten", "all votes are yes, the decision is not written", store=Store.WRITING),
    Point("gateway.decline.unwritten", "a vote is no, the decision is not written", store=Store.WRITING),
    Point("gateway.decision.uncommitted", "the decision is written, not committed", store=Store.WRITING),
    Point("gateway.decision.committed", "a turn of commits is on disk, its store does not know", store=Store.COMMITTED),
    Point("gateway.decline.committed", "a turn with declines is on disk, nobody is told", store=Store.COMMITTED),
    Point("gateway.decision.durable-none-told", "the decision is on disk, nobody is told"),
    Point("gateway.decision.banks-untold", "callers are told, the banks' messages are not handed over"),
    Point("gateway.decision.sent-to-one", "one bank has been sent the decision, others not"),
    Point("gateway.decision.confirmed", "one bank has said that it posted, that is not noted"),
    Point("gateway.turn.callers-told", "callers are told, transactions.json lacks the payments"),
    Point("gateway.turn.lines-written", "transactions.json has the payments, the turn is not over"),
    Point("gateway.pay.unanswered", "the outcome is known, its response is not made"),
    Point("gateway.pay-many.unanswered", "outcomes are known, their message is not sent", _P.STREAM),
    Point("gateway.timeout.rang", "a deadline has come, nothing is decided", _P.BANK_FROZEN),
    # -- the gateway: banks ---------------------------------------------------------
    Point("gateway.register.unsaved", "a bank's new address is to be saved", _P.MOVE, Store.WRITING),
    Point("gateway.register.undialled", "a bank's address is on disk, the bank is not dialled", _P.BANK_KILLED),
    Point("gateway.line.opened", "a bank has said what it holds in doubt, the gateway has not heard", _P.BANK_KILLED),
    Point("gateway.line.renewed", "a new line is open, the old one carries what was said before", _P.ROTATION),
    Point("gateway.line.lost", "a bank's line is gone, payments there are not refused yet", _P.BANK_KILLED),
    Point("gateway.inquiry.received", "a bank has asked about what it holds in doubt", _P.BANK_FROZEN),
    Point("gateway.inquiry.unanswered", "what a bank asked about is looked up, it is not told", _P.BANK_FROZEN),
    Point(
        "gateway.contradiction.uncommitted",
        "records that cannot both be true are written, not committed",
        _P.CONTRADICTION,
        Store.WRITING,
    ),
    Point("gateway.resolution.uncommitted", "an operator's word is written, not committed", _P.RESOLUTION, Store.WRITING),
    Point("gateway.resolution.committed", "an operator's word is on disk, nobody is told", _P.RESOLUTION, Store.COMMITTED),
    # -- a bank: its life -----------------------------------------------------------
    Point("bank.start.untied", "its flags are read; nothing ties it to its supervisor yet", _P.RESTART),
    Point("bank.start.accounts-unopened", "its books are open, new accounts are not", _P.RESTART),
    Point("bank.accounts.uncommitted", "accounts are opened, not committed", _P.RESTART, Store.WRITING),
    Point("bank.accounts.committed", "accounts are opened on disk, the bank serves nobody", _P.RESTART, Store.COMMITTED),
    Point("bank.start.listening", "it listens, and has not registered", _P.RESTART),
    Point("bank.stop.told", "it was told to stop, payments are under way", _P.STOP),
    Point("bank.stop.calls-ended", "the gateway's line is closed, its books are open", _P.STOP),
    Point("bank.stop.books-closed", "its books are closed, its process is there", _P.STOP),
    # -- a bank: a payment ----------------------------------------------------------
    Point("bank.prepare.received", "prepares have come, nothing is looked at"),
    Point("bank.decision.received", "decisions have come, nothing is looked at"),
    Point("bank.turn.gathered", "a turn has gathered all that came, and has looked at nothing"),
    Point("bank.turn.unwritten", "a turn is worked out, nothing of it is written", store=Store.WRITING),
    Point("bank.hold.uncommitted", "money is held for a payment, not committed", store=Store.WRITING),
    Point("bank.entry.uncommitted", "a payment is posted, not committed", store=Store.WRITING),
    Point("bank.turn.committed", "a turn is on disk, its store does not know", store=Store.COMMITTED),
    Point("bank.vote.durable-unsent", "votes are on disk, the gateway has not heard them"),
    Point("bank.vote.sent", "votes are on their way, perhaps for ever"),
    Point("bank.entry.durable-unconfirmed", "payments are posted on disk, the gateway does not know"),
    Point("bank.entry.confirmed", "the gateway is told that payments are posted, perhaps"),
    Point("bank.decision.nothing-held", "a decision has come about what is not held", _P.LATE),
    Point("bank.message.repeated", "a message has come about what the journal has", _P.LATE),
    Point("bank.contradiction.unreported", "a message cannot be true, nobody is told", _P.LATE),
    # -- a bank: the gateway --------------------------------------------------------
    Point("bank.line.opened", "the gateway has dialled, it has not heard what is in doubt", _P.RESTART),
    Point("bank.line.lost", "the gateway's line is gone, the bank has not begun to ask", _P.GATEWAY_KILLED),
    Point("bank.register.unsent", "it is to register", _P.GATEWAY_KILLED),
    Point("bank.register.answered", "it is registered, and has not noted that", _P.RESTART),
    Point("bank.inquiry.unsent", "it is to ask about what it holds in doubt", _P.BANK_FROZEN),
    Point("bank.inquiry.answered", "it has heard what became of that, nothing is posted", _P.BANK_FROZEN),
    # -- any store: inside a commit ---------------------------------------------------
    Point("store.commit.unsynced", "a commit is in the log, the log is not synced", store=Store.WRITING),
    Point("store.commit.synced", "a commit is on disk, SQLite has not returned", store=Store.COMMITTED),
    Point("store.checkpoint.half-written", "some pages of the log are copied into the books", _P.STOP),
    Point("store.checkpoint.unsynced", "all pages of the log are copied into the books, which are not synced", _P.STOP),
    Point("store.checkpoint.synced", "the books have all that the log has, the log has not begun anew", _P.STOP),
    # -- the gateway or a bank ------------------------------------------------------
    Point("node.certificate.untaken", "a new certificate is read and found good, nobody serves with it", _P.ROTATION),
    Point("node.schema.uncommitted", "its tables are made, not committed", _P.FIRST_START, Store.WRITING),
    # -- a client -------------------------------------------------------------------
    Point("client.payment.unsaved", "a payment has its id, nothing is saved", _P.SHELL),
    Point("client.outbox.unsaved", "the outbox is open, the payment is not in it", _P.SHELL, Store.WRITING),
    Point("client.outbox.saved", "the payment is in the outbox, its caller does not know", _P.SHELL, Store.COMMITTED),
    Point("client.payment.saved-untold", "the payment is saved, the user is not told", _P.SHELL),
    Point("client.delivery.behind-another", "another shell sends, this one waits for its turn", _P.SHELL_BEHIND),
    Point("client.delivery.alone", "no other shell may send, nothing is looked at", _P.SHELL),
    Point("client.delivery.unmarked", "a payment is to be sent, and is still marked as never sent", _P.SHELL),
    Point("client.outbox.unchanged", "the outbox is open to note a payment's state", _P.SHELL, Store.WRITING),
    Point("client.outbox.changed", "a payment's new state is saved, its caller does not know", _P.SHELL, Store.COMMITTED),
    Point("client.delivery.marked-unsent", "a payment is marked as sent, and was not", _P.SHELL),
    Point("client.pay.sent-unanswered", "a payment is sent, its answer is not here, perhaps never will be", _P.SHELL),
    Point("client.delivery.answered-unsettled", "the outcome is known here, the outbox does not have it", _P.SHELL),
    Point("client.delivery.settled-untold", "the outbox has the outcome, the user is not told", _P.SHELL),
    Point("client.login.renewed", "a login that was over is renewed, payments wait", _P.SHELL_TOKEN),
    Point("client.delivery.expired", "a payment has waited for too long, that is not noted", _P.SHELL_EXPIRED),
    Point("client.delivery.overdue", "a payment that was sent is too old to be sent first, and is not asked for", _P.SHELL_OVERDUE),
    Point("client.outbox.cancelled", "a payment is cancelled, the user is not told", _P.SHELL_CANCEL, Store.COMMITTED),
    # -- the supervisor -------------------------------------------------------------
    Point("supervisor.start.lock-taken", "it owns the folder, and has read nothing", _P.UP),
    Point("supervisor.start.unheard", "it owns the folder, and nobody can reach it", _P.UP),
    Point("supervisor.start.listening", "it takes orders, and has started no node", _P.UP),
    Point("supervisor.journal.unwritten", "something has happened to a node, its log does not say so", _P.RESTART),
    Point("supervisor.spawn.unspawned", "a node is to be started", _P.RESTART),
    Point("supervisor.spawn.unwatched", "a node has been started, nobody would notice its end", _P.RESTART),
    Point("supervisor.spawn.started", "a node has been started, and that is written down", _P.RESTART),
    Point("supervisor.prober.unordered", "the prober has been started, and asks nobody", _P.UP),
    Point("supervisor.reap.unreaped", "a node has ended, its process is not reaped", _P.RESTART),
    Point("supervisor.reap.untold", "a node's process is reaped, nothing is decided about it", _P.RESTART),
    Point("supervisor.backoff.waiting", "a node is to be started again in a while", _P.RESTART),
    Point("supervisor.stop.term-sent", "a node was asked to end, and may not", _P.STOP),
    Point("supervisor.down.told", "it was told to go down, all nodes are up", _P.DOWN),
    Point("supervisor.down.half-down", "the gateway is down, the banks are up", _P.DOWN),
    Point("supervisor.down.nodes-down", "all nodes are down, it still takes orders", _P.DOWN),
    Point("supervisor.down.unlistening", "its socket is gone, the folder is still its own", _P.DOWN),
    # -- the commands ---------------------------------------------------------------
    Point("up.start.unprepared", "no other `up` may start the cluster, nothing is made", _P.UP),
    Point("up.file.unsynced", "a file is written beside its place, not synced", _P.FIRST_START),
    Point("up.file.unplaced", "a file is whole beside its place", _P.FIRST_START),
    Point("up.file.placed", "a file is in its place, its folder is not synced", _P.FIRST_START),
    Point("up.certificates.authority-half-made", "the authority has a key and no certificate", _P.FIRST_START),
    Point("up.certificates.leaf-half-made", "a node has a key and no certificate", _P.FIRST_START),
    Point("up.start.prepared", "all that nodes need is made, no supervisor is started", _P.UP),
    Point("up.supervisor.unplanned", "a supervisor is started, and has not been told what to keep", _P.UP),
    Point("up.supervisor.planned", "a supervisor has its plan, and does not answer yet", _P.UP),
    Point("down.stopped", "all is stopped, the user is not told", _P.DOWN),
    Point("down.half-wiped", "the certificates are removed, books and logs are not", _P.WIPE),
)  # fmt: skip
