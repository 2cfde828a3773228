"""A bank gone bad, with its own certificate and key: what it says ends nobody, and is believed of itself alone."""

import asyncio
import json
from contextlib import asynccontextmanager

import grpc
import pytest
from interbank.v1 import bank_pb2, bank_pb2_grpc, payment_pb2, registry_pb2, registry_pb2_grpc

from nodes.core.names import PeerKind
from nodes.runtime.tls import dial, load_tls
from tests.running_nodes import RunningNodes, free_ports, wait_until
from tests.security.site import CODE, Site

pytestmark = pytest.mark.cluster
BANK = "AXIS"


@pytest.fixture
def site(tmp_path):
    """Run a cluster for one test, since what a bad bank leaves is there to stay."""
    nodes = RunningNodes(tmp_path)
    try:
        nodes.start("gateway", "HDFC", "ICICI")
        site = Site(nodes)
        yield site
        site.close()
    finally:
        nodes.stop()


class BadBank(bank_pb2_grpc.BankServiceServicer):
    """Answers each message with ``answer(request)``, any number of times, and other calls with what it is told."""

    def __init__(self, answer=lambda request: [bank_pb2.TransactResponse(done_number=request.number)]):
        self.answer = answer
        self.balances = bank_pb2.GetBalancesResponse()
        self.totals = bank_pb2.GetTotalsResponse(bank=BANK)
        self.heard = []

    async def CompareHeads(self, request, context):
        return bank_pb2.CompareHeadsResponse()

    async def GetBalances(self, request, context):
        return self.balances

    async def GetTotals(self, request, context):
        return self.totals

    async def Transact(self, request_iterator, context):
        yield bank_pb2.TransactResponse()
        async for request in request_iterator:
            self.heard.append(request)
            for response in self.answer(request):
                yield response


@asynccontextmanager
async def serving(site, bank):
    """Serve as a bank of this cluster, and register."""
    files = site.leaf(PeerKind.BANK, BANK)
    tls = load_tls(files, kind=PeerKind.BANK, name=BANK)
    server = grpc.aio.server()
    bank_pb2_grpc.add_BankServiceServicer_to_server(bank, server)
    [port] = free_ports(1)
    credentials = grpc.ssl_server_credentials([(tls.key_pem, tls.certificate_pem)], tls.ca_pem, True)
    server.add_secure_port(f"localhost:{port}", credentials)
    await server.start()
    try:
        async with dial(site.nodes.addresses["gateway"], tls, site.peer("gateway")) as channel:
            request = registry_pb2.RegisterBankRequest(name=BANK, address=f"localhost:{port}")
            await registry_pb2_grpc.RegistryServiceStub(channel).RegisterBank(request, timeout=10)
        await asyncio.to_thread(wait_until, lambda: event(site, "bank_connected", BANK), "the gateway's line")
        yield
    finally:
        await server.stop(0)


def event(site, name, bank):
    lines = map(json.loads, (site.nodes.folder / "gateway.log").read_text().splitlines())
    return [line for line in lines if line["event"] == name and line.get("bank") == bank]


def is_alive(site):
    assert site.nodes.processes["gateway"].poll() is None, site.nodes.stderr("gateway")
    with site.nodes.client("alice") as alice:
        assert alice.pay("bob@HDFC", 1).outcome == payment_pb2.OUTCOME_COMMITTED
    return True


def cut(number, currency="INR", bank=BANK):
    head = bank_pb2.ChainHead(number=1, last_sequence=1, hash=bytes(32))
    totals = [bank_pb2.CutTotals(currency=currency, paid_in_minor=5)]
    return bank_pb2.BankCut(number=number, bank=bank, head=head, totals=totals)


@pytest.mark.parametrize("wrong", [{"currency": "ZZZ"}, {"bank": "HDFC"}])
async def test_a_cut_that_cannot_be_its_own_ends_the_line_and_nothing_else(site, wrong):
    def answer(request):
        response = bank_pb2.TransactResponse(done_number=request.number)
        if request.cut:
            response.cut.CopyFrom(cut(request.cut, **wrong))
        return [response]

    bank = BadBank(answer)
    async with serving(site, bank):
        await asyncio.to_thread(wait_until, lambda: any(each.cut for each in bank.heard), "a cut")
        await asyncio.to_thread(wait_until, lambda: event(site, "bank_away", BANK), "the end of the line")
        assert await asyncio.to_thread(is_alive, site)


async def test_a_bank_that_answers_without_end_is_broken_with(site):
    def answer(request):
        return [bank_pb2.TransactResponse()] * 1000

    async with serving(site, BadBank(answer)):
        await asyncio.to_thread(wait_until, lambda: event(site, "bank_away", BANK), "the end of the line")
        assert "not asked" in event(site, "bank_away", BANK)[0]["details"]
        assert await asyncio.to_thread(is_alive, site)


async def test_a_bank_that_moves_without_end_is_refused_and_leaves_few_lines(site):
    async with serving(site, BadBank()):
        codes = []
        for number in range(200):
            request = registry_pb2.RegisterBankRequest(name=BANK, address=f"localhost:{1 + number % 2}")
            files = site.leaf(PeerKind.BANK, BANK)
            end = await asyncio.to_thread(site.call, "RegistryService/RegisterBank", request, files=files)
            codes.append(end.code)
        assert codes[-1] is CODE.RESOURCE_EXHAUSTED
        assert set(codes) == {CODE.OK, CODE.RESOURCE_EXHAUSTED}
        assert await asyncio.to_thread(is_alive, site)
    audited = map(json.loads, (site.nodes.folder / "audit.log").read_text().splitlines())
    assert len([line for line in audited if line["did"] == "register" and f"/{BANK}" in line["certificate"]]) < 100


async def test_a_bank_shows_no_balance_of_another_bank_or_user_and_no_sums_of_another(site):
    bank = BadBank()
    false = payment_pb2.Balance(account="alice@HDFC", posted_minor=1, available_minor=1, currency="INR")
    bank.balances.balances.append(false)
    bank.totals.bank = "HDFC"
    async with serving(site, bank):
        asked = await asyncio.to_thread(site.call, "PaymentService/GetBalance", metadata=site.as_user())
        shown = payment_pb2.GetBalanceResponse.FromString(asked.responses[0])
        assert sorted(each.account for each in shown.balances) == ["alice@HDFC", "alice@ICICI"]
        assert false not in shown.balances
        assert list(shown.unavailable_banks) == [BANK]
        totals = await asyncio.to_thread(site.nodes.totals)
        assert sorted(each.bank for each in totals.banks) == ["HDFC", "ICICI"]
        assert list(totals.unavailable_banks) == [BANK]
        request = payment_pb2.GetBalanceRequest(bank=BANK)
        one = await asyncio.to_thread(site.call, "PaymentService/GetBalance", request, metadata=site.as_user())
        assert one.code is CODE.UNAVAILABLE
