"""How `chaos ls` shows the faults that are active."""

from orchestrator.commands.chaos_links import describe_faults


def test_faults_stand_in_columns_however_long_they_are():
    faults = [
        {"id": "f1", "text": "cut HDFC->gateway", "left_s": 18.14, "owner": "chaos cut, process 1"},
        {"id": "f12", "text": "delay gateway->* by 200 ms and up to 50 ms more", "left_s": 9.0, "owner": "me"},
    ]
    assert describe_faults(faults) == [
        "f1   cut HDFC->gateway                                18.1 s left  chaos cut, process 1",
        "f12  delay gateway->* by 200 ms and up to 50 ms more  9.0 s left   me",
    ]
    assert describe_faults([]) == []
