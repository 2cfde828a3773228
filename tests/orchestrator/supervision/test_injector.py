"""Who injects a fault owns it: it ends with its time, by a word, or with its owner, and outlives nobody."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from orchestrator.lifecycle.planning import command_proxy
from orchestrator.links.addresses import make_links
from orchestrator.supervision.control import Refused, ask, follow
from orchestrator.supervision.injector import Injector
from tests.orchestrator.cluster_of_fakes import DEADLINE_S, Cluster, wait_until

LINKS = make_links({"gateway": "localhost:5000", "HDFC": "localhost:6001"})
CUT = {"kind": "cut", "source": "HDFC", "target": "gateway", "left_s": 60.0, "owner": "a test"}


class Told(list[str]):
    """The events that were reported, as texts."""

    def report(self, node: str, event: str, text: str) -> None:
        self.append(f"{node} {event} {text}")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def injector(told: Told) -> Injector:
    return Injector(LINKS, (), output=Path(), report=told.report)


async def test_a_fault_lasts_as_long_as_its_owner_listens(injector, told):
    async with aclosing(injector.inject(CUT)) as faults:
        assert str(await anext(faults)) == "cut HDFC->gateway"
        assert [fault["text"] for fault in injector.describe()] == ["cut HDFC->gateway"]
    assert injector.describe() == []
    assert told == [
        "HDFC fault f1 cut HDFC->gateway, for at most 60 s",
        "HDFC healed f1 cut HDFC->gateway: its owner has gone",
    ]


async def test_an_owner_is_told_when_somebody_else_heals_the_fault(injector, told):
    async with aclosing(injector.inject(CUT)) as faults:
        fault = await anext(faults)
        assert injector.heal(fault.id) == [fault]
        assert await anext(faults, None) is None
    assert told[1:] == ["HDFC healed f1 cut HDFC->gateway: healed"]


async def test_a_fault_ends_in_time_while_its_owner_goes_on_listening(injector, told):
    expiring = asyncio.create_task(injector.expire())
    async with aclosing(injector.inject({**CUT, "left_s": 0.05})) as faults:
        async with asyncio.timeout(DEADLINE_S):
            assert len([fault async for fault in faults]) == 1
    expiring.cancel()
    assert told[1:] == ["HDFC healed f1 cut HDFC->gateway: its time is over"]


async def test_an_injector_that_runs_ends_faults_in_time_by_itself(told, tmp_path):
    proxy = sys.executable, "-c", "import sys; sys.stdin.read()"
    injector = Injector(LINKS, proxy, output=tmp_path / "proxy", report=told.report)
    running = asyncio.create_task(injector.run())
    async with aclosing(injector.inject({**CUT, "left_s": 0.05})) as faults:
        async with asyncio.timeout(DEADLINE_S):
            async for _ in faults:
                pass
    assert "HDFC healed f1 cut HDFC->gateway: its time is over" in told
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "SBI"}, "there is no link HDFC->SBI; there are client->gateway, gateway->HDFC, HDFC->gateway"),
        ({"source": "*", "target": "SBI"}, "there is no link"),
        ({"left_s": 0}, "not a fault that can be"),
        ({"kind": "burn"}, "burn"),
    ],
)
async def test_a_fault_that_cannot_be_is_refused(injector, told, fields, message):
    with pytest.raises(ValueError, match=message):
        await anext(injector.inject({**CUT, **fields}))
    assert (injector.describe(), told) == ([], [])


async def test_a_cluster_without_links_has_no_faults(told):
    injector = Injector((), (), output=Path(), report=told.report)
    with pytest.raises(ValueError, match=r"write `profile: test` into cluster\.yaml"):
        await anext(injector.inject(CUT))
    # And no proxy: there is nothing to run.
    await asyncio.wait_for(injector.run(), DEADLINE_S)


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, {"gateway": [], "HDFC": []})
    links = make_links({launch.name: launch.address for launch in cluster.launches})
    output = str(tmp_path / "logs" / "proxy.stderr")
    cluster.plan = replace(cluster.plan, links=links, proxy=command_proxy(links), proxy_output=output)
    try:
        cluster.up()
        wait_until(lambda: is_listening(cluster), "the proxy listens")
        yield cluster
    finally:
        cluster.close()


def is_listening(cluster: Cluster) -> bool:
    return all(passes(cluster, link.name) for link in cluster.plan.links)


def passes(cluster: Cluster, name: str) -> bool:
    """Tell whether a node answers through a link."""
    host, _, port = next(link.address for link in cluster.plan.links if link.name == name).rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.3) as connection:
            connection.sendall(b"?\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def find_proxy(cluster: Cluster) -> psutil.Process:
    children = psutil.Process(cluster.supervisors[0].pid).children()
    return next(child for child in children if "orchestrator.links.proxy" in child.cmdline())


@pytest.mark.cluster
def test_a_fault_goes_with_the_process_that_asked_for_it_even_by_kill_9(cluster):
    ask_and_wait = (
        "import sys; from pathlib import Path; from orchestrator.supervision.control import follow\n"
        f"for answer in follow(Path(sys.argv[1]), {{'do': 'inject', **{CUT!r}}}): print(answer, flush=True)"
    )
    owner = subprocess.Popen([sys.executable, "-c", ask_and_wait, cluster.socket], stdout=subprocess.PIPE)
    assert owner.stdout.readline()
    assert not passes(cluster, "HDFC->gateway")
    assert not passes(cluster, "gateway->HDFC"), "what HDFC answers is cut, too"
    assert passes(cluster, "client->gateway")
    assert [fault["id"] for fault in cluster.nodes()["HDFC"]["faults"]] == ["f1"]
    owner.kill()
    owner.wait(DEADLINE_S)
    owner.stdout.close()
    wait_until(lambda: not cluster.nodes()["HDFC"]["faults"], "healed", within_s=2)
    wait_until(lambda: is_listening(cluster), "all links pass")


@pytest.mark.cluster
def test_faults_outlive_the_proxy_and_the_node_and_nothing_outlives_the_supervisor(cluster):
    answers = follow(cluster.socket, {"do": "inject", **CUT})
    next(answers)
    proxy = find_proxy(cluster)
    proxy.kill()
    wait_until(lambda: passes(cluster, "client->gateway"), "another proxy listens")
    assert not passes(cluster, "HDFC->gateway")
    starts = cluster.nodes()["HDFC"]["starts"]
    ask(cluster.socket, {"do": "kill", "node": "HDFC"})
    cluster.wait(lambda nodes: nodes["HDFC"]["is_ready"] and nodes["HDFC"]["starts"] > starts, "HDFC is back")
    assert not passes(cluster, "gateway->HDFC")
    proxy = find_proxy(cluster)
    os.kill(cluster.supervisors[0].pid, signal.SIGKILL)
    proxy.wait(DEADLINE_S)
    answers.close()


@pytest.mark.cluster
def test_heal_ends_all_faults_and_says_which(cluster):
    held = [follow(cluster.socket, {"do": "inject", **CUT, "kind": kind}) for kind in ("cut", "partition")]
    for answers in held:
        next(answers)
    assert ask(cluster.socket, {"do": "heal", "id": "f9"}) == {"healed": []}
    healed = ask(cluster.socket, {"do": "heal", "id": "*"})
    assert healed == {"healed": ["cut HDFC->gateway", "partition HDFC->gateway"]}
    for answers in held:
        assert {answer["fault"]["owner"] for answer in answers} <= {"a test"}, "and its owner's answers end"
    with pytest.raises(Refused, match="there is no link HDFC->SBI"):
        ask(cluster.socket, {"do": "inject", **CUT, "target": "SBI"})
