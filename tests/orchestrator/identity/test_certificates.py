"""Certificates: made once, judged by what lies in the files, made anew when they no longer serve."""

from datetime import timedelta

import pytest
from cryptography import x509

from nodes.core.names import PeerKind
from nodes.runtime.tls import TlsFiles, load_tls
from orchestrator.identity import authority, certificates, pem
from orchestrator.identity.certificates import ensure_certificates, list_certificates
from orchestrator.layout.config import load
from orchestrator.layout.files import write_whole
from orchestrator.layout.folder import ClusterFolder

CONFIG = "name: payments.test\nbanks:\n  HDFC: {address: bank.example:1001}\n  SBI: {address: 10.0.0.5:1002}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cluster.yaml").write_text(CONFIG)
    return ClusterFolder(tmp_path)


def ensure(folder):
    return [f"{change}" for change in ensure_certificates(load(folder.config), folder)]


def hdfc(folder):
    files = TlsFiles(folder.ca_certificate, folder.bank_certificate("HDFC"), folder.bank_key("HDFC"))
    return load_tls(files, kind=PeerKind.BANK, name="HDFC")


def test_all_are_made_once_and_then_left_alone(folder):
    assert len(ensure(folder)) == 7
    assert ensure(folder) == []
    assert hdfc(folder).identity.uri == "spiffe://payments.test/bank/HDFC"
    assert [row.fault for row in list_certificates(folder, load(folder.config))] == [""] * 6


def test_keys_and_folders_are_closed_to_others(folder):
    ensure(folder)
    for path in (folder.certs, *folder.certs.rglob("*")):
        if path.is_dir() or path.suffix == ".key":
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_leaf_has_exactly_one_uri_and_the_names_it_is_called_by(folder):
    ensure(folder)
    for bank, host in (("HDFC", x509.DNSName("bank.example")), ("SBI", None)):
        certificate = x509.load_pem_x509_certificate(folder.bank_certificate(bank).read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        assert uris == [f"spiffe://payments.test/bank/{bank}"]
        assert f"{bank.lower()}.bank.payments.test" in names.get_values_for_type(x509.DNSName)
        assert host is None or host in names
    assert "10.0.0.5" in map(str, names.get_values_for_type(x509.IPAddress))


def test_the_key_of_an_authority_that_takes_over_is_closed_to_others_too(folder):
    ensure(folder)
    folder.next_authority.write_bytes(folder.ca_key.read_bytes() + folder.ca_certificate.read_bytes())
    folder.next_authority.chmod(0o644)
    assert "ca/next.pem: could be read by others; closed" in ensure(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: f.bank_key("HDFC").unlink(), "bank/HDFC.crt: its key was missing"),
        (lambda f: f.bank_certificate("HDFC").write_text(""), "bank/HDFC.crt: HDFC.crt could not be read"),
        (lambda f: f.bank_key("HDFC").write_bytes(f.bank_key("SBI").read_bytes()), "bank/HDFC.crt: did not fit"),
        (lambda f: f.token_key.unlink(), "gateway/token.key: was missing"),
        (lambda f: f.token_key.write_text("x"), "gateway/token.key: does not hold a P-256 key"),
        (lambda f: f.bank_key("HDFC").chmod(0o644), "bank/HDFC.key: could be read by others; closed"),
    ],
)
def test_what_is_damaged_is_mended_alone_and_said(folder, damage, said):
    ensure(folder)
    before = folder.bank_certificate("SBI").read_bytes()
    damage(folder)
    [change] = ensure(folder)
    assert said in change
    assert hdfc(folder)
    assert folder.bank_certificate("SBI").read_bytes() == before


@pytest.mark.parametrize("lost", ["ca_key", "ca_certificate"])
def test_without_its_authority_everything_is_made_anew(folder, lost):
    ensure(folder)
    getattr(folder, lost).unlink()
    changes = ensure(folder)
    assert changes[0].endswith("missing; all certificates are made anew")
    assert len(changes) == 6
    assert hdfc(folder)


def test_a_certificate_about_to_expire_is_renewed_and_an_expired_one_is_named(folder, monkeypatch):
    monkeypatch.setattr(certificates, "LEAF_LIFE", timedelta(days=5))
    ensure(folder)
    assert any(change.startswith("bank/HDFC.crt: expires at ") for change in ensure(folder))
    monkeypatch.setattr(certificates, "LEAF_LIFE", timedelta(minutes=-1))
    ensure(folder)
    faults = {row.name: row.fault for row in list_certificates(folder, load(folder.config))}
    assert faults["HDFC"].startswith("expired at ")
    monkeypatch.undo()
    ensure(folder)
    assert hdfc(folder)


def test_another_address_or_name_means_another_certificate(folder):
    ensure(folder)
    folder.config.write_text(CONFIG.replace("bank.example", "other.example"))
    assert ensure(folder) == ["bank/HDFC.crt: was made for another name or address"]
    folder.config.write_text(CONFIG.replace("payments.test", "shop.test"))
    assert len(ensure(folder)) == 6


@pytest.mark.parametrize("number", range(1, 14))
def test_a_crash_at_any_write_is_mended(folder, monkeypatch, number):
    writes = []

    def crash_in_time(path, content, **mode):
        writes.append(path)
        if len(writes) == number:
            raise KeyboardInterrupt
        write_whole(path, content, **mode)

    with monkeypatch.context() as patch:
        for module in (authority, certificates, pem):
            patch.setattr(module, "write_whole", crash_in_time)
        with pytest.raises(KeyboardInterrupt):
            ensure(folder)
    ensure(folder)
    assert hdfc(folder)
    assert ensure(folder) == []


@pytest.mark.parametrize(
    ("taken_away", "said"),
    [
        (x509.SubjectAlternativeName, "was made for another name or address"),
        (x509.ExtendedKeyUsage, "was made for another use"),
        (x509.BasicConstraints, "was made for another use"),
    ],
)
def test_a_certificate_that_lacks_a_part_is_made_anew(folder, monkeypatch, taken_away, said):
    """As one that somebody signed by hand with the cluster's own authority."""
    ensure(folder)
    add = x509.CertificateBuilder.add_extension

    def leave_out(builder, extension, critical):
        return builder if isinstance(extension, taken_away) else add(builder, extension, critical)

    folder.bank_key("HDFC").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(x509.CertificateBuilder, "add_extension", leave_out)
        ensure(folder)
    assert ensure(folder) == [f"bank/HDFC.crt: {said}"]
    assert hdfc(folder)


def test_a_leaf_in_the_place_of_the_authority_is_none(folder):
    ensure(folder)
    folder.ca_certificate.write_bytes(folder.bank_certificate("HDFC").read_bytes())
    folder.ca_key.write_bytes(folder.bank_key("HDFC").read_bytes())
    assert ensure(folder)[0].startswith("ca/ca.crt: is no authority")
    assert hdfc(folder)


def test_an_expired_authority_is_listed_and_made_anew(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(authority, "AUTHORITY_LIFE", timedelta(minutes=-1))
        ensure(folder)
    assert list_certificates(folder, load(folder.config))[0].fault.startswith("expired at ")
    assert len(ensure(folder)) == 6
    assert hdfc(folder)


def test_only_nodes_may_serve(folder):
    ensure(folder)
    for path, count in ((folder.bank_certificate("HDFC"), 2), (folder.operator_certificate, 1)):
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert len(uses) == count
        assert x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH in uses
