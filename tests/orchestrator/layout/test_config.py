"""cluster.yaml: every mistake at once, each with its line and key."""

from pathlib import Path

import pytest

from orchestrator.layout.config import ConfigMistaken, ProfileForbids, demand_test_profile, load

ROOT = Path(__file__).parent.parent.parent.parent
GOOD = "banks:\n  HDFC: {address: localhost:1001}\n"


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "cluster.yaml"
        path.write_text(text)
        return load(path)

    return read


def mistakes(read, text):
    with pytest.raises(ConfigMistaken) as caught:
        read(text)
    return str(caught.value).splitlines()


def test_the_one_that_comes_with_the_project_is_good():
    config = load(ROOT / "cluster.yaml")
    assert config.gateway.address == "localhost:50052"
    assert {name: bank.address for name, bank in config.banks.items()} == {
        "HDFC": "localhost:60051",
        "ICICI": "localhost:60052",
        "SBI": "localhost:60053",
    }
    assert config.users == ROOT / "users.json"


def test_its_commented_defaults_are_the_defaults(read):
    """Every key is in the file; those commented out say what holds without them."""
    text = (ROOT / "cluster.yaml").read_text()
    lines = [line.removeprefix("# ") if _is_a_commented_key(line) else line for line in text.splitlines()]
    uncommented = "\n".join(lines).replace("  # payment_timeout", "  payment_timeout")
    assert read(uncommented) == read(text)
    keys = "currency payment_timeout profile users restart give_up_after liveness hung_after"
    for key in keys.split():
        assert f"\n{key}:" in uncommented or f" {key}:" in uncommented


def _is_a_commented_key(line: str) -> bool:
    return line.startswith("# ") and line[2:].lstrip().partition(":")[0].replace("_", "").isalpha() and ":" in line


def test_times_are_read_in_their_units(read):
    config = read(GOOD + "restart: {backoff: 50ms, max_backoff: 1m, give_up_after: 3 starts in 2s}\n")
    assert (config.restart.backoff_s, config.restart.max_backoff_s) == (0.05, 60.0)
    assert (config.restart.give_up_starts, config.restart.give_up_window_s) == (3, 2.0)


def test_a_cluster_is_no_test_cluster_unless_its_file_says_so(read, monkeypatch):
    for name in ("PROFILE", "CLUSTER_PROFILE", "CHAOS", "CLUSTER_CHAOS", "CRASH_POINTS"):
        monkeypatch.setenv(name, "test")
    config = read(GOOD)
    assert (config.profile, config.is_test) == ("standard", False)
    with pytest.raises(ProfileForbids, match="crash points are for test clusters alone, and here/clust"):
        demand_test_profile(config, Path("here/cluster.yaml"), "crash points")


def test_a_test_cluster_is_one_by_its_profile(read):
    config = read(GOOD + "profile: test\n")
    assert config.is_test
    demand_test_profile(config, Path("cluster.yaml"), "crash points")


def test_a_bank_may_be_called_no(read):
    assert list(read("banks: {NO: {address: localhost:1}}").banks) == ["NO"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("banks: {}", "cluster.yaml:1: banks: needs at least one bank"),
        ("", "cluster.yaml:1: banks: is missing"),
        ("a: [", "cluster.yaml:1: is not YAML: expected the node content"),
        ("a: \x01", "cluster.yaml: is not YAML: unacceptable character #x0001"),
        ("[" * 100_000, "cluster.yaml: is nested too deeply"),
        (GOOD + "restart: &x {}\nliveness: *x", "cluster.yaml:4: liveness: is an alias"),
        (GOOD + "? [a]\n: b", "cluster.yaml:3: a key must be a plain text"),
        (GOOD + "name: NO", "cluster.yaml:3: name: 'NO' cannot name a cluster"),
        (GOOD + "users:", "cluster.yaml:3: users: must be the path of a file"),
        (GOOD + "profile: debug", "cluster.yaml:3: profile: 'debug' is no profile; there are standard and test"),
        (GOOD + "profile: {}", "cluster.yaml:3: profile: {} is no profile"),
        (GOOD + "profile: yes", "cluster.yaml:3: profile: 'yes' is no profile"),
        (GOOD + "bancs: 5", "cluster.yaml:3: bancs: there is no such key; is it banks?"),
        (GOOD + "gateway: {adress: localhost:1}", "gateway.adress: there is no such key; is it address?"),
        (GOOD + "colour: 5", "cluster.yaml:3: colour: there is no such key; see the commented cluster.yaml"),
        (GOOD + "banks: {}", "cluster.yaml:3: banks: is there twice"),
        (GOOD + "name: Payments", "cluster.yaml:3: name: 'Payments' cannot name a cluster"),
        (GOOD + "currency: EURO", "cluster.yaml:3: currency: 'EURO' is not a known ISO 4217 code"),
        (GOOD + "gateway: 5", "cluster.yaml:3: gateway: must be a block of keys, not '5'"),
        (GOOD + "gateway: {address: localhost}", "gateway.address: 'localhost' is not host:port"),
        (GOOD + "gateway: {address: localhost:0}", "gateway.address: 'localhost:0' is not host:port"),
        (
            GOOD + "gateway: {address: localhost:65536}",
            "gateway.address: 'localhost:65536' is not host:port: the port must be 1",
        ),
        (GOOD + "gateway: {address: localhost:1001}", "banks.HDFC.address: port 1001 is that of gateway.address"),
        (GOOD + "gateway: {payment_timeout: 12:30}", "gateway.payment_timeout: '12:30' is not a duration"),
        (GOOD + "gateway: {payment_timeout: 0s}", "gateway.payment_timeout: must be more than 0"),
        (GOOD + "gateway: {payment_timeout: 2h}", "must be more than 0 and at most 1h"),
        (GOOD + "restart: {give_up_after: often}", "restart.give_up_after: 'often' is not of the form"),
        (GOOD + "restart: {backoff: 9s}", "restart.max_backoff: must not be less than backoff"),
        (GOOD + "liveness: {hung_after: 600ms}", "liveness.hung_after: must be at least twice the interval"),
        ("profile: test\nbanks: {HDFC: {address: [a]}}", "banks.HDFC.address: must be a plain text"),
        (GOOD + "profile: test\ngateway: {address: {a: b}}", "gateway.address: must be a plain text"),
        (GOOD + 'users: "a\\0b"', r"users: 'a\x00b' is not the path of a file"),
        (GOOD + 'users: "\\ud800"', r"users: '\ud800' is not the path of a file"),
        ("banks: {hdfc: {address: localhost:1}}", "banks.hdfc: 'hdfc' cannot name a bank"),
        ("banks: {../X: {address: localhost:1}}", "'../X' cannot name a bank"),
        ("banks: [HDFC]", "banks: must be a block of keys"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(read, text, said):
    [line] = mistakes(read, text)
    assert said in line


def test_equal_keys_and_clashes_are_said_along_with_all_else(read):
    text = GOOD + "gateway: {address: localhost:1001}\nname: X\nname: Y\nrestart: {backoff: 1, backoff: 2s}\n"
    keys = [line.split(": ")[1] for line in mistakes(read, text)]
    assert keys == ["banks.HDFC.address", "name", "name", "restart.backoff", "restart.backoff"]


def test_all_mistakes_are_said_at_once_in_the_order_of_the_lines(read):
    text = "name: X\nbanks:\n  hdfc: {address: localhost:1}\n  SBI: {adress: localhost:2}\ncurrency: X\n"
    keys = [line.split(": ")[1] for line in mistakes(read, text)]
    assert keys == ["name", "banks.hdfc", "banks.SBI.address", "banks.SBI.adress", "currency"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigMistaken, match=r"nowhere\.yaml: cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")
