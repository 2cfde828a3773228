"""Every change of state, and every denial, can be laid at somebody's door (I14)."""

import json

import pytest
from interbank.v1 import payment_pb2

from nodes.core.names import PeerKind
from tests.running_nodes import wait_until
from tests.security.site import CODE, write_transact

pytestmark = pytest.mark.cluster


def read(site, name):
    return [json.loads(line) for line in (site.nodes.folder / name).read_text().splitlines()]


def test_each_decision_has_a_line_of_its_payer_under_the_certificate_that_called(site):
    with site.nodes.client("alice") as alice, site.nodes.client("bob") as bob:
        alice.pay("bob@HDFC", 5)
        alice.pay("bob@HDFC", 10**9)
        many = [bob.request("charlie@SBI", 1, payer="bob@HDFC") for _ in range(50)]
        requests = iter([payment_pb2.PayManyRequest(payments=many)])
        list(bob.stub.PayMany(requests, timeout=20, metadata=bob.metadata))
    decided = {line["payment_id"]: line for line in read(site, "transactions.json")}
    asked = {line["payment_id"]: line for line in read(site, "audit.log") if line["did"] == "pay"}
    assert len(decided) == 52
    assert decided.keys() == asked.keys()
    for payment_id, line in asked.items():
        assert f"{line['user']}@" == decided[payment_id]["payer"].partition("@")[0] + "@"
        assert line["payer"] == decided[payment_id]["payer"]
        assert line["certificate"] == "payments.test/client/shell"
        assert line["thumbprint"]


def test_denials_name_certificate_user_and_payment(site):
    with site.nodes.client("alice") as alice:
        theft = alice.request("alice@ICICI", 5, payer="bob@HDFC")
        end = site.call("PaymentService/Pay", theft, metadata=site.as_user())
        assert end.code is CODE.PERMISSION_DENIED
        among = alice.request("alice@ICICI", 6, payer="bob@HDFC")
        requests = iter([payment_pb2.PayManyRequest(payments=[among])])
        list(alice.stub.PayMany(requests, timeout=20, metadata=alice.metadata))
    guesser = site.leaf(PeerKind.CLIENT, "guesser")
    site.call("PaymentService/Login", payment_pb2.LoginRequest(user="bob", password="guess"), files=guesser)
    site.call("PaymentService/Pay", files=site.leaf(PeerKind.BANK, "HDFC"))
    wait_until(lambda: len(denials(site)) >= 4, "four denials")
    thefts = [line for line in denials(site) if line["details"] == "alice may not pay from bob@HDFC"]
    assert {line["payment_id"] for line in thefts} == {theft.payment_id, among.payment_id}
    by_certificate = {line["certificate"]: line for line in denials(site)}
    assert by_certificate["payments.test/client/guesser"]["user"] == "bob"
    assert by_certificate["payments.test/bank/HDFC"]["code"] == "PERMISSION_DENIED"


def denials(site, name="audit.log"):
    return [line for line in read(site, name) if line["did"] == "denied"]


def test_a_bank_keeps_what_it_denied_and_to_whom(site):
    before = {bank: len(denials(site, f"{bank}.audit.log")) for bank in ("HDFC", "SBI")}
    mallory = site.leaf(PeerKind.CLIENT, "mallory")
    site.call("BankService/GetTotals", node="SBI", files=mallory)
    site.call("BankService/GetBalances", node="SBI", files=site.leaf(PeerKind.BANK, "HDFC"))
    site.stream("BankService/Transact", [write_transact()], node="SBI", files=mallory)
    wait_until(lambda: len(denials(site, "SBI.audit.log")) >= before["SBI"] + 3, "three denials")
    found = [
        (line["rpc"], line["certificate"], line["code"])
        for line in denials(site, "SBI.audit.log")[before["SBI"] :]
    ]
    assert found == [
        ("GetTotals", "payments.test/client/mallory", "PERMISSION_DENIED"),
        ("GetBalances", "payments.test/bank/HDFC", "PERMISSION_DENIED"),
        ("Transact", "payments.test/client/mallory", "PERMISSION_DENIED"),
    ]
    assert len(denials(site, "HDFC.audit.log")) == before["HDFC"]


def test_logins_logouts_and_banks_addresses_have_lines(site):
    token = site.token("charlie", site.shell)
    site.call("PaymentService/Logout", metadata=[("authorization", f"Bearer {token}")])
    found = read(site, "audit.log")
    for did, who in (("login", "charlie"), ("logout", "charlie")):
        assert [line for line in found if line["did"] == did and line["user"] == who]
    registered = {line["certificate"]: line["address"] for line in found if line["did"] == "register"}
    addresses = {f"payments.test/bank/{bank}": site.nodes.addresses[bank] for bank in ("HDFC", "ICICI", "SBI")}
    assert registered == addresses
