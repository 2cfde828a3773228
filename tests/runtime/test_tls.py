"""A certificate that cannot be used is named, with what to do, before anything is begun."""

import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from nodes.core.names import PeerKind
from nodes.runtime.tls import CertificateUnusable, dial, load_tls
from tests.authority import Authority


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


@pytest.fixture
def files(authority):
    return authority.leaf(authority.identity(PeerKind.BANK, "HDFC"))


def load(files):
    return load_tls(files, kind=PeerKind.BANK, name="HDFC")


def test_a_good_certificate_says_who_holds_it(files, authority):
    assert load(files).identity == authority.identity(PeerKind.BANK, "HDFC")


@pytest.mark.parametrize("missing", ["ca", "certificate", "key"])
def test_a_missing_file_is_named_with_who_needs_it(files, missing):
    path = getattr(files, missing)
    path.unlink()
    with pytest.raises(CertificateUnusable, match=rf"there is no file .*{path.name}: a bank HDFC cannot start"):
        load(files)


@pytest.mark.parametrize("broken", ["ca", "certificate", "key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_not_what_it_should_be_is_named(files, broken, content):
    path = getattr(files, broken)
    path.write_bytes(content)
    with pytest.raises(CertificateUnusable, match=path.name):
        load(files)


def test_a_key_that_others_can_read_is_refused(files):
    files.key.chmod(0o640)
    with pytest.raises(CertificateUnusable, match=r"can be read by others: chmod 600"):
        load(files)


def test_a_key_of_another_certificate_is_refused(files, authority):
    other = authority.leaf(authority.identity(PeerKind.BANK, "SBI"))
    files.key.write_bytes(other.key.read_bytes())
    with pytest.raises(CertificateUnusable, match="is not the key of"):
        load(files)


def test_a_certificate_of_another_authority_is_refused(files, tmp_path):
    other = Authority(tmp_path / "other")
    files.ca.write_bytes(other.ca.read_bytes())
    with pytest.raises(CertificateUnusable, match="is not signed by"):
        load(files)


@pytest.mark.parametrize(("days", "said"), [((-9, -2), "expired at"), ((2, 9), "is not valid before")])
def test_a_certificate_out_of_its_time_is_refused_with_the_date(authority, days, said):
    files = authority.leaf(authority.identity(PeerKind.BANK, "HDFC"), days=days)
    with pytest.raises(CertificateUnusable, match=said):
        load(files)


@pytest.mark.parametrize(("kind", "name"), [(PeerKind.BANK, "SBI"), (PeerKind.CLIENT, "shell")])
def test_anothers_certificate_is_refused(authority, kind, name):
    with pytest.raises(
        CertificateUnusable, match=rf"is the certificate of {kind.name.lower()}/{name}, not of bank HDFC"
    ):
        load(authority.leaf(authority.identity(kind, name)))


@pytest.mark.parametrize(
    "uris", [[], ["spiffe://payments.test/bank/HDFC", "spiffe://payments.test/gateway"], ["x:y"]]
)
def test_a_certificate_without_exactly_one_identity_is_refused(authority, uris):
    files = authority.leaf(authority.identity(PeerKind.BANK, "HDFC"), uris=uris)
    with pytest.raises(CertificateUnusable, match="does not have exactly one SPIFFE URI"):
        load(files)


@pytest.mark.parametrize(
    ("usage", "kind", "name"),
    [
        (ExtendedKeyUsageOID.CLIENT_AUTH, PeerKind.BANK, "HDFC"),
        (ExtendedKeyUsageOID.SERVER_AUTH, PeerKind.BANK, "HDFC"),
        (ExtendedKeyUsageOID.SERVER_AUTH, PeerKind.CLIENT, "shell"),
    ],
)
def test_a_certificate_for_another_use_is_refused(authority, usage, kind, name):
    files = authority.leaf(authority.identity(kind, name), usages=[usage])
    with pytest.raises(CertificateUnusable, match="may not be used to"):
        load_tls(files, kind=kind, name=name)


def test_a_client_needs_no_certificate_to_serve(authority):
    files = authority.leaf(authority.identity(PeerKind.CLIENT, "shell"), usages=[ExtendedKeyUsageOID.CLIENT_AUTH])
    load_tls(files, kind=PeerKind.CLIENT)


def test_of_two_keys_in_a_file_the_one_that_fits_is_taken(files, authority):
    own = files.key.read_bytes()
    other = authority.leaf(authority.identity(PeerKind.BANK, "SBI")).key.read_bytes()
    for both in (own + other, other + own):
        files.key.write_bytes(both)
        assert load(files).key_pem == own


def test_of_two_authorities_in_a_file_both_are_trusted_and_either_may_have_signed(files, authority, tmp_path):
    other = Authority(tmp_path / "other")
    own = authority.ca.read_bytes()
    for both in (own + other.ca.read_bytes(), other.ca.read_bytes() + own):
        authority.ca.write_bytes(both)
        assert set(load(files).authorities) == {authority.serial, other.serial}
        assert load(files).ca_pem.count(b"BEGIN CERTIFICATE") == 2


def test_while_a_pair_is_replaced_a_reader_always_finds_one_that_fits(files, authority):
    identity = authority.identity(PeerKind.BANK, "HDFC")
    ends = Event()
    serials = set()

    def read():
        while not ends.is_set():
            serials.add(load(files).serial)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for _ in range(50):
            authority.replace_leaf(identity, files)
        ends.set()
    assert not [reader.result() for reader in readers if reader.result()]
    assert len(serials) > 5


async def test_no_address_leads_to_a_file_or_anywhere_but_a_host(tmp_path, monkeypatch):
    """What a bank registers as its address is dialled: it must not choose how."""
    monkeypatch.chdir(tmp_path)
    authority = Authority(tmp_path / "certs")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("1")
        listening.listen()
        listening.setblocking(False)
        tls, gateway = authority.tls(PeerKind.CLIENT, "shell"), authority.identity(PeerKind.GATEWAY)
        async with dial("unix:1", tls, gateway) as line:
            with pytest.raises(grpc.aio.AioRpcError):
                await line.unary_unary("/x/y")(b"", timeout=3)
        with pytest.raises(BlockingIOError):
            listening.accept()
