"""The links of a test cluster: one address each, known from cluster.yaml alone; none in a real one."""

from orchestrator.layout.config import load
from orchestrator.links.addresses import make_links

YAML = """
gateway: {address: localhost:5000}
banks:
  HDFC: {address: localhost:6001}
  SBI: {address: localhost:6002}
"""


def test_every_line_between_two_nodes_has_an_address_of_its_own():
    links = make_links({"gateway": "localhost:5000", "HDFC": "localhost:6001", "SBI": "localhost:6002"})
    assert {link.name: (link.address, link.target) for link in links} == {
        "client->gateway": ("127.77.0.1:5000", "localhost:5000"),
        "gateway->HDFC": ("127.77.0.2:6001", "localhost:6001"),
        "gateway->SBI": ("127.77.0.2:6002", "localhost:6002"),
        "HDFC->gateway": ("127.77.1.1:5000", "localhost:5000"),
        "SBI->gateway": ("127.77.1.2:5000", "localhost:5000"),
    }


def test_a_thousand_banks_have_a_thousand_links():
    banks = {f"B{n}": f"localhost:{7000 + n}" for n in range(1000)}
    links = make_links({"gateway": "localhost:5000", **banks})
    assert len({link.address for link in links}) == len(links) == 2001


def test_only_a_test_cluster_has_links(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(YAML)
    config = load(path)
    assert (config.links, config.address_for("HDFC", "gateway")) == ((), "localhost:5000")
    path.write_text(YAML + "profile: test\n")
    config = load(path)
    assert len(config.links) == 5
    assert config.address_for("HDFC", "gateway") == "127.77.1.1:5000"
    # Whoever has no link of their own, such as the operator, is not held up by faults.
    assert config.address_for("operator", "HDFC") == "localhost:6001"
