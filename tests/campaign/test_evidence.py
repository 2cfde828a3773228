"""What a campaign hands to its judge: all that anybody was told, all outboxes, all that was not broken."""

from types import SimpleNamespace

from nodes.client import Outbox, PaymentRequest
from orchestrator.campaign.campaign import Campaign
from orchestrator.campaign.history import COMMITTED, Attempt, Request
from orchestrator.campaign.nemesis import Deed
from orchestrator.campaign.schedule import Schedule, Step
from orchestrator.campaign.stage import Stage
from orchestrator.layout.folder import ClusterFolder

STEPS = Step(1.0, "kill", "HDFC"), Step(2.0, "pause", "SBI", 1.0), Step(3.0, "kill-all")


def test_nothing_of_it_is_left_out(tmp_path):
    folder = ClusterFolder(tmp_path)
    stage = Stage(SimpleNamespace(folder=folder), ("HDFC", "SBI"), tmp_path / "history", couriers=["offline-0"])
    campaign = Campaign(Schedule(1, 5.0, ("HDFC", "SBI"), STEPS), stage, lambda _: None)
    lines = [
        Attempt("alice-0", Request("alice", f"p{number}", "alice@HDFC", "bob@SBI", 1), 0.0, 1.0, COMMITTED)
        for number in range(3000)
    ]
    for line in lines:
        campaign._recorder.write(line)
    folder.state.mkdir(exist_ok=True)
    outbox = Outbox(campaign._couriers.outbox_path("offline-0"))
    saved = [
        outbox.save("offline-0", PaymentRequest(f"p{number}", "a@HDFC", "b@SBI", 1, "INR")) for number in range(60)
    ]
    deeds = [Deed(STEPS[0], 1.0, 1.0), Deed(STEPS[1], 2.0, 2.0, "no supervisor")]
    campaign._recorder.close()
    evidence = campaign._collect_evidence(deeds)
    assert evidence.lines == lines
    assert evidence.items == saved
    assert set(evidence.banks) == {"HDFC", "SBI"}
    assert evidence.faults == 3
    assert evidence.undone == ["pause SBI for 1.0 s: no supervisor", "kill-all: was never begun"]
