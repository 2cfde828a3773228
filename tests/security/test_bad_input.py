"""What no program of ours would send, RPC by RPC, one line each: refused by name, and nothing changes."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.message import Message
from interbank.v1 import bank_pb2, operator_pb2, payment_pb2, registry_pb2

from nodes.core.messages import Decide, Prepare
from nodes.core.names import PeerKind
from tests.security.site import CODE, End, Site, write_transact

pytestmark = pytest.mark.cluster

Attack = Callable[[Site], End]
OUT_OF_INT64 = 2**63
BAD, GONE, FULL = CODE.INVALID_ARGUMENT, CODE.NOT_FOUND, CODE.RESOURCE_EXHAUSTED


def login(user: str = "alice", password: str = "x") -> Attack:
    request = payment_pb2.LoginRequest(user=user, password=password)
    return lambda site: site.call("PaymentService/Login", request, files=site.leaf(PeerKind.CLIENT, "login"))


def pay(**fields: Any) -> Attack:
    """Pay as alice, rightly but for the fields named."""
    return lambda site: site.call("PaymentService/Pay", payment(**fields), metadata=site.as_user())


def payment(**fields: Any) -> payment_pb2.PayRequest:
    right: dict[str, Any] = {
        "payment_id": str(uuid4()),
        "payer_account": "alice@ICICI",
        "payee_account": "bob@HDFC",
        "amount_minor": 100,
        "currency": "INR",
    }
    return payment_pb2.PayRequest(**right | fields)


def ask(rpc: str, request: Message, *, user: str = "alice") -> Attack:
    return lambda site: site.call(f"PaymentService/{rpc}", request, metadata=site.as_user(user))


def as_operator(rpc: str, request: Message, *, node: str = "gateway") -> Attack:
    return lambda site: site.call(rpc, request, node=node, files=site.operator)


def as_bank(rpc: str, request: Message, bank: str = "HDFC") -> Attack:
    return lambda site: site.call(f"RegistryService/{rpc}", request, files=site.leaf(PeerKind.BANK, bank))


def register(name: str = "HDFC", address: str = "localhost:1") -> Attack:
    return as_bank("RegisterBank", registry_pb2.RegisterBankRequest(name=name, address=address))


def inquire(count: int = 1, **fields: Any) -> Attack:
    key = bank_pb2.TransactionKey(**{"payment_id": bytes(range(16)), "payer": "alice", "epoch": 1} | fields)
    return as_bank("GetDecisions", registry_pb2.GetDecisionsRequest(transactions=[key] * count))


def prepare(**fields: Any) -> Attack:
    """Prepare at ICICI with the gateway's certificate, rightly but for the fields named."""
    right = Prepare(uuid4().bytes, "alice", 1, "ICICI", "bob", "HDFC", 100, "INR")
    return transact(write_transact([right._replace(**fields)]))


def decide(**fields: Any) -> Attack:
    return transact(write_transact(decides=[Decide(uuid4().bytes, "alice", 1, commit=False)._replace(**fields)]))


def torn() -> Attack:
    request = write_transact(decides=[Decide(uuid4().bytes, "alice", 1, commit=False)])
    request.decides.epochs.append(1)
    return transact(request)


def transact(request: bank_pb2.TransactRequest) -> Attack:
    return lambda site: site.stream(
        "BankService/Transact", [request], node="ICICI", files=site.leaf(PeerKind.GATEWAY)
    )


def noise_to_bank(site: Site) -> End:
    return site.stream("BankService/Transact", [b"\xff\xff"], node="ICICI", files=site.leaf(PeerKind.GATEWAY))


def pay_many(*requests: Message | bytes) -> Attack:
    return lambda site: site.stream("PaymentService/PayMany", requests, metadata=site.as_user())


def too_many_items(site: Site) -> End:
    items = [payment(payment_id="not looked at")] * 5000
    return pay_many(payment_pb2.PayManyRequest(payments=items))(site)


def raw(content: bytes, **options: Any) -> Attack:
    return lambda site: site.call("PaymentService/Pay", content, metadata=site.as_user(), **options)


def metadata(*more: tuple[str, str]) -> Attack:
    return lambda site: site.call("PaymentService/Pay", payment(), metadata=[*site.as_user(), *more])


LOGINS: list[tuple[str, Attack, Any]] = [
    ("no user", login(user=""), BAD),
    ("a user of 1 MiB", login(user="a" * 1024 * 1024), FULL),
    ("a user of 60 KiB", login(user="a" * 60_000), BAD),
    ("NUL in the user", login(user="alice\0"), BAD),
    ("a look-alike of alice", login(user="\u0430lice"), BAD),
    ("upper case", login(user="Alice"), BAD),
    ("SQL as the user", login(user="alice' OR 1=1 --"), BAD),
    ("a path as the user", login(user="../alice"), BAD),
    ("no password", login(password=""), BAD),
    ("a password of 1024", login(password="x" * 1024), BAD),
    ("NUL in the password", login(password="alice123\0"), BAD),
    ("SQL as the password", login(password="' OR 1=1 --"), CODE.UNAUTHENTICATED),
    ("a wrong password", login(), CODE.UNAUTHENTICATED),
    ("a user who is not there", login(user="mallory"), CODE.UNAUTHENTICATED),
]

PAYMENTS: list[tuple[str, Attack, Any]] = [
    ("no id", pay(payment_id=""), BAD),
    ("an id that is no UUID", pay(payment_id="1"), BAD),
    ("the nil UUID", pay(payment_id=str(UUID(int=0))), BAD),
    ("an id in upper case", pay(payment_id=str(uuid4()).upper()), BAD),
    ("an id in braces", pay(payment_id="{" + str(uuid4()) + "}"), BAD),
    ("an id without hyphens", pay(payment_id=uuid4().hex), BAD),
    ("an id of 10 KiB", pay(payment_id="a" * 10_240), BAD),
    ("an id of other digits", pay(payment_id="\u0660" + str(uuid4())[1:]), BAD),
    ("amount 0", pay(amount_minor=0), BAD),
    ("amount -1", pay(amount_minor=-1), BAD),
    ("the least amount", pay(amount_minor=-(2**63)), BAD),
    ("an unknown currency", pay(currency="XXQ"), BAD),
    ("a currency in lower case", pay(currency="inr"), BAD),
    ("no currency", pay(currency=""), BAD),
    ("to oneself", pay(payee_account="alice@ICICI"), BAD),
    ("no payee", pay(payee_account=""), BAD),
    ("a payee without a bank", pay(payee_account="bob"), BAD),
    ("the bank's own account", pay(payee_account="@paid-in/INR@HDFC"), BAD),
    ("an unknown bank", pay(payee_account="bob@NOWHERE"), GONE),
    ("from an unknown bank", pay(payer_account="alice@NOWHERE"), GONE),
    ("a path as the bank", pay(payee_account="bob@../HDFC"), BAD),
    ("a line end in the memo", pay(memo="a\nb"), BAD),
    ("ANSI in the memo", pay(memo="\x1b[31mred"), BAD),
    ("NUL in the memo", pay(memo="a\0b"), BAD),
    ("text turned round in the memo", pay(memo="\u202egnp.exe"), BAD),
    ("a memo of 141", pay(memo="x" * 141), BAD),
    ("a memo of 60 KiB", pay(memo="x" * 60_000), BAD),
]

LOOKS: list[tuple[str, Attack, Any]] = [
    (
        "a payment that is not there",
        ask("GetPayment", payment_pb2.GetPaymentRequest(payment_id=str(uuid4()))),
        GONE,
    ),
    ("no id", ask("GetPayment", payment_pb2.GetPaymentRequest()), BAD),
    ("SQL as the id", ask("GetPayment", payment_pb2.GetPaymentRequest(payment_id="' OR 1=1 --")), BAD),
    ("another's", ask("GetPayment", payment_pb2.GetPaymentRequest(user="bob")), CODE.PERMISSION_DENIED),
    ("another's list", ask("ListPayments", payment_pb2.ListPaymentsRequest(user="bob")), CODE.PERMISSION_DENIED),
    ("another's balance", ask("GetBalance", payment_pb2.GetBalanceRequest(user="bob")), CODE.PERMISSION_DENIED),
    ("page size -1", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_size=-1)), CODE.OK),
    ("page size 0", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_size=0)), CODE.OK),
    ("page size 10^9", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_size=10**9)), CODE.OK),
    ("a page of SQL", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_token="1; DROP TABLE x")), BAD),
    ("a page below 0", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_token="-1")), BAD),
    ("a page beyond int64", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_token="9" * 30)), BAD),
    ("a page of other digits", ask("ListPayments", payment_pb2.ListPaymentsRequest(page_token="\u0661")), BAD),
    ("an unknown bank", ask("GetBalance", payment_pb2.GetBalanceRequest(bank="NOWHERE")), GONE),
    ("an auditor who names nobody", ask("GetBalance", payment_pb2.GetBalanceRequest(), user="eve"), BAD),
    ("an auditor who names SQL", ask("GetBalance", payment_pb2.GetBalanceRequest(user="' OR '"), user="eve"), BAD),
]

BANKS: list[tuple[str, Attack, Any]] = [
    ("Prepare for other banks", prepare(payer_bank="SBI", payee_bank="HDFC"), BAD),
    ("Prepare without an id", prepare(payment_id=b""), BAD),
    ("Prepare with an id of 15 bytes", prepare(payment_id=bytes(15)), BAD),
    ("Prepare without a payer", prepare(payer=""), BAD),
    ("Prepare without a payee", prepare(payee=""), BAD),
    ("Prepare for the bank's own account", prepare(payer="@paid-in/INR"), BAD),
    ("Prepare to the bank's own account", prepare(payee="@paid-in/INR", payee_bank="ICICI"), BAD),
    ("Prepare with a path as the other bank", prepare(payee_bank="../x"), BAD),
    ("Prepare without the other bank", prepare(payee_bank=""), BAD),
    ("Prepare of amount 0", prepare(amount_minor=0), BAD),
    ("Prepare of amount -1", prepare(amount_minor=-1), BAD),
    ("Prepare without a currency", prepare(currency=""), BAD),
    ("Prepare from an account to itself", prepare(payee="alice", payee_bank="ICICI"), BAD),
    ("Prepare of epoch 0", prepare(epoch=0), BAD),
    ("Prepare of an epoch beyond int64", prepare(epoch=OUT_OF_INT64), BAD),
    ("Decide without an id", decide(payment_id=b""), BAD),
    ("Decide with an id of 17 bytes", decide(payment_id=bytes(17)), BAD),
    ("Decide without a payer", decide(payer=""), BAD),
    ("Decide of an epoch beyond int64", decide(epoch=OUT_OF_INT64), BAD),
    ("columns that are not equally long", torn(), BAD),
    ("a stream of noise", noise_to_bank, CODE.INTERNAL),
]

REGISTRY: list[tuple[str, Attack, Any]] = [
    ("a path as the name", register(name="../x"), CODE.PERMISSION_DENIED),
    ("a slash in the name", register(name="a/b"), CODE.PERMISSION_DENIED),
    ("a dot as the name", register(name="."), CODE.PERMISSION_DENIED),
    ("no name", register(name=""), CODE.PERMISSION_DENIED),
    ("a name of 33", register(name="A" * 33), CODE.PERMISSION_DENIED),
    ("a name in lower case", register(name="hdfc"), CODE.PERMISSION_DENIED),
    ("a look-alike of HDFC", register(name="\u041dDFC"), CODE.PERMISSION_DENIED),
    ("another's name", register(name="SBI"), CODE.PERMISSION_DENIED),
    ("no address", register(address=""), BAD),
    ("an address without a port", register(address="localhost"), BAD),
    ("port 0", register(address="localhost:0"), BAD),
    ("port -1", register(address="localhost:-1"), BAD),
    ("port 65536", register(address="localhost:65536"), BAD),
    ("a URL as the address", register(address="unix:///tmp/x"), BAD),
    ("an address with a line end", register(address="localhost:1\n"), BAD),
    ("an inquiry with an id of 3 bytes", inquire(payment_id=b"abc"), BAD),
    ("an inquiry without a payer", inquire(payer=""), BAD),
    ("an inquiry beyond int64", inquire(epoch=OUT_OF_INT64), BAD),
    ("an inquiry of too many", inquire(count=1500), BAD),
]

OPERATORS: list[tuple[str, Attack, Any]] = [
    ("no id", as_operator("OperatorService/ShowPayment", operator_pb2.ShowPaymentRequest()), BAD),
    (
        "an id that is not there",
        as_operator("OperatorService/ShowPayment", operator_pb2.ShowPaymentRequest(payment_id=str(uuid4()))),
        GONE,
    ),
    (
        "an id of 3 bytes at a bank",
        as_operator("BankService/GetTransactions", bank_pb2.GetTransactionsRequest(payment_id=b"abc"), node="SBI"),
        BAD,
    ),
]

ANY: list[tuple[str, Attack, Any]] = [
    ("70 KiB in a unary call", raw(b"\x32" + b"\xf0\xa2\x04" + b"x" * 70_000), FULL),
    ("20 MiB in a unary call", raw(b"x" * 20_000_000), FULL),
    ("5 MiB in a stream", pay_many(b"x" * 5_000_000), FULL),
    ("5000 payments in a message", too_many_items, FULL),
    ("60 KB of metadata", metadata(("x-big", "x" * 60_000)), FULL),
    ("a thousand entries of metadata", metadata(*[(f"x-{n}", "y" * 30) for n in range(1000)]), FULL),
    ("no such method", lambda site: site.call("PaymentService/Mint", metadata=site.as_user()), CODE.UNIMPLEMENTED),
    ("no such service", lambda site: site.call("MintService/Mint"), CODE.UNIMPLEMENTED),
    ("bytes that are no message", raw(b"\xff\xff\xff"), CODE.INTERNAL),
    ("text that is not UTF-8", raw(b"\x0a\x02\xff\xfe"), CODE.INTERNAL),
    ("a deadline that is over", raw(payment().SerializeToString(), timeout_s=-1), CODE.DEADLINE_EXCEEDED),
]

ROWS = {
    "Login": LOGINS,
    "Pay": PAYMENTS,
    "look": LOOKS,
    "Transact": BANKS,
    "registry": REGISTRY,
    "operator": OPERATORS,
    "any": ANY,
}


@pytest.mark.parametrize(
    ("attack", "code"),
    [pytest.param(attack, code, id=f"{rpc}: {what}") for rpc, rows in ROWS.items() for what, attack, code in rows],
)
def test_bad_input_is_refused_and_changes_nothing(site, attack, code):
    before = site.books()
    assert attack(site).code is code
    assert site.books() == before


@pytest.mark.parametrize(
    ("amount_minor", "reasons"),
    [
        (10**12, {payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS}),
        # The payee's bank may be the first to say no.
        (
            2**63 - 1,
            {
                payment_pb2.DECLINE_REASON_INSUFFICIENT_FUNDS,
                payment_pb2.DECLINE_REASON_BALANCE_LIMIT_EXCEEDED,
            },
        ),
    ],
)
def test_more_than_there_is_is_a_recorded_decline(site, amount_minor, reasons):
    end = pay(amount_minor=amount_minor)(site)
    answer = payment_pb2.PayResponse.FromString(end.responses[0])
    assert answer.outcome == payment_pb2.OUTCOME_DECLINED
    assert answer.reason in reasons


def test_fields_of_a_later_release_are_ignored_and_those_known_decide_about_sameness(site):
    request = payment(amount_minor=5)
    later = request.SerializeToString() + b"\xfa\x7f\x03new"
    first = site.call("PaymentService/Pay", later, metadata=site.as_user())
    again = site.call("PaymentService/Pay", request, metadata=site.as_user())
    assert payment_pb2.PayResponse.FromString(first.responses[0]).outcome == payment_pb2.OUTCOME_COMMITTED
    assert payment_pb2.PayResponse.FromString(again.responses[0]).replayed
    request.amount_minor = 6
    assert site.call("PaymentService/Pay", request, metadata=site.as_user()).code is CODE.FAILED_PRECONDITION


def test_a_page_is_never_longer_than_500(site):
    items = [payment(amount_minor=1) for _ in range(510)]
    site.stream("PaymentService/PayMany", [payment_pb2.PayManyRequest(payments=items)], metadata=site.as_user())
    end = ask("ListPayments", payment_pb2.ListPaymentsRequest(page_size=10**9))(site)
    assert len(payment_pb2.ListPaymentsResponse.FromString(end.responses[0]).payments) == 500


def test_a_bank_hears_nothing_of_payments_that_it_has_no_part_in(site):
    request = payment()
    assert site.call("PaymentService/Pay", request, metadata=site.as_user()).code is CODE.OK
    payment_id = bytes.fromhex(request.payment_id.replace("-", ""))
    epoch = site.books()[1].epoch
    ask_as = {bank: inquire_of(payment_id, epoch, bank) for bank in ("ICICI", "SBI")}
    told = registry_pb2.GetDecisionsResponse.FromString(ask_as["ICICI"](site).responses[0])
    assert list(told.decisions.commits) == [True]
    assert ask_as["SBI"](site).code is CODE.PERMISSION_DENIED


def inquire_of(payment_id: bytes, epoch: int, bank: str) -> Attack:
    key = bank_pb2.TransactionKey(payment_id=payment_id, payer="alice", epoch=epoch)
    return as_bank("GetDecisions", registry_pb2.GetDecisionsRequest(transactions=[key]), bank)


def test_a_commit_of_what_a_bank_never_promised_is_an_alarm_and_changes_nothing(site):
    before = site.books()
    end = decide(commit=True)(site)
    [found] = [
        found
        for response in map(bank_pb2.TransactResponse.FromString, end.responses)
        for found in response.contradictions
    ]
    assert (found.said, found.recorded) == ("commit", "nothing")
    assert site.books() == before


def test_every_node_is_alive_after_all_of_this(site):
    for name, process in site.nodes.processes.items():
        assert process.poll() is None, f"{name}: {site.nodes.stderr(name)}"
        assert "Traceback" not in site.nodes.stderr(name)
