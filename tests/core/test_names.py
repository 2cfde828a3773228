import pytest

from nodes.core.names import (
    Identity,
    PeerKind,
    is_address,
    is_bank_name,
    is_cluster_name,
    is_user_name,
    parse_identity,
    split_account,
)

CLUSTER = "payments.local"
IDENTITIES = [
    (Identity(CLUSTER, PeerKind.GATEWAY), "gateway", "gateway.payments.local"),
    (Identity(CLUSTER, PeerKind.BANK, "HDFC"), "bank/HDFC", "hdfc.bank.payments.local"),
    (Identity(CLUSTER, PeerKind.CLIENT, "shell"), "client/shell", "shell.client.payments.local"),
    (Identity(CLUSTER, PeerKind.OPERATOR), "operator", "operator.payments.local"),
]


@pytest.mark.parametrize(("identity", "path", "tls_name"), IDENTITIES)
def test_an_identity_reads_back_from_its_uri(identity, path, tls_name):
    assert identity.uri == f"spiffe://payments.local/{path}"
    assert identity.tls_name == tls_name
    assert parse_identity(identity.uri) == identity


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://payments.local/gateway",
        "spiffe://payments.local",
        "spiffe://payments.local/",
        "spiffe://payments.local/gateway/",
        "spiffe://payments.local/gateway/x",
        "spiffe://payments.local/bank",
        "spiffe://payments.local/bank/",
        "spiffe://payments.local/bank/hdfc",
        "spiffe://payments.local/bank/HDFC/x",
        "spiffe://payments.local/bank/../gateway",
        "spiffe://payments.local/bank/%2e%2e",
        "spiffe://payments.local/bank/HDFC\n",
        "spiffe://PAYMENTS.local/gateway",
        "spiffe:///gateway",
        "spiffe://payments.local/admin",
    ],
)
def test_other_uris_are_no_identity(uri):
    with pytest.raises(ValueError, match="not an identity"):
        parse_identity(uri)


@pytest.mark.parametrize("text", ["../x", "a/b", ".", "", "A", "A" * 17, "hdfc", "HDFÇ", "1AB", "HD FC", "HDFC\n"])
def test_bank_names_are_allowed_by_list(text):
    assert not is_bank_name(text)
    assert is_bank_name("HDFC")


@pytest.mark.parametrize(
    "text", ["", "Alice", "a" * 33, "al ice", "álice", "alice\x00", "-a", "alice@HDFC", "'; --"]
)
def test_user_names_are_allowed_by_list(text):
    assert not is_user_name(text)
    assert is_user_name("alice")


@pytest.mark.parametrize("text", ["alice", "alice@", "@HDFC", "alice@hdfc", "alice@HDFC@ICICI", "Alice@HDFC", ""])
def test_what_is_not_user_at_bank_is_no_account(text):
    assert split_account(text) is None
    assert split_account("alice@HDFC") == ("alice", "HDFC")


@pytest.mark.parametrize("text", ["", "-a", "a..b", "a_b", "a" * 101, "A.b"])
def test_cluster_names_are_dns_names_in_lower_case(text):
    assert not is_cluster_name(text)
    assert is_cluster_name("payments.local")


@pytest.mark.parametrize(
    "text", ["", "localhost", "localhost:", ":1", "localhost:0", "localhost:65536", "a b:1", "x:1\n", "dns:///x:1"]
)
def test_addresses_are_host_and_port(text):
    assert not is_address(text)
    for good in ("localhost:50052", "127.0.0.1:1", "[::1]:65535", "bank-1.example:443"):
        assert is_address(good)
