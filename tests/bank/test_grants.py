"""What a bank takes a login for: what the gateway signed for a customer, and nothing else."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from nodes.bank.grants import Grants
from nodes.core.authority import Grant
from nodes.core.soundness import Unsound
from nodes.core.users import Role
from nodes.gateway.tokens import TokenIssuer
from nodes.runtime.token_keys import RetiredKey, TokenKeys, write_public_key

NOW = 1_800_000_000
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def give(key=KEY, cluster="payments.test", role=Role.CUSTOMER):
    return TokenIssuer(key, cluster).issue("alice", role, token_id="id", thumbprint="t", now=NOW)[0]


def knowing(*keys):
    grants = Grants("payments.test")
    grants.use_keys([write_public_key(key.public_key()) for key in keys])
    return grants


def test_a_login_is_good_from_when_it_was_given_until_it_ends_and_a_little_for_clocks_that_differ():
    assert knowing(KEY).find(give()) == Grant("alice", (NOW - 5) * 1_000_000, (NOW + 3605) * 1_000_000)


@pytest.mark.parametrize(
    "login",
    [
        "",
        "x.y.z",
        give()[:-3] + "AAA",
        give(OTHER),
        give(cluster="other.test"),
        give(role=Role.AUDITOR),
        give(role=Role.OPERATOR),
    ],
    ids=[
        "none",
        "no token",
        "another signature",
        "another key",
        "another cluster",
        "an auditor's",
        "an operator's",
    ],
)
def test_nothing_else_is_worth_anything_however_often_it_is_shown(login):
    grants = knowing(KEY)
    assert [grants.find(login), grants.find(login)] == [None, None]


def test_before_any_key_is_known_nothing_is_worth_anything():
    assert Grants("payments.test").find(give()) is None


def test_keys_roll_and_what_a_forgotten_one_signed_is_forgotten_too():
    grants = knowing(KEY)
    assert grants.find(give()) is not None
    grants.use_keys([write_public_key(key.public_key()) for key in (KEY, OTHER)])
    assert None not in (grants.find(give()), grants.find(give(OTHER)))
    grants.use_keys([write_public_key(OTHER.public_key())])
    assert grants.find(give()) is None


def test_a_key_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"."):
        Grants("payments.test").use_keys(["x"])


def test_a_gateway_names_the_keys_of_all_logins_that_hold():
    issuer = TokenIssuer(KEY, "payments.test")
    far_off, past = 2**35, 5
    issuer.use_keys(TokenKeys(OTHER, (RetiredKey(KEY.public_key(), far_off),)))
    assert set(issuer.public_keys()) == {write_public_key(key.public_key()) for key in (KEY, OTHER)}
    issuer.use_keys(TokenKeys(OTHER, (RetiredKey(KEY.public_key(), past),)))
    assert issuer.public_keys() == [write_public_key(OTHER.public_key())]


def of_no_known_curve():
    """Return a key whose curve has another name, as the fuzzer found it."""
    der = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    curve = bytes.fromhex("2a8648ce3d030107")
    assert curve in der
    changed = b64encode(der.replace(curve, bytes.fromhex("2a8648ce0a030007"))).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{changed}\n-----END PUBLIC KEY-----\n"


def of_another_curve():
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("pem", ["", "x", of_no_known_curve(), of_another_curve()])
def test_a_key_of_another_kind_is_none_and_said_to_be(pem):
    with pytest.raises(Unsound, match="token_keys"):
        Grants("payments.test").use_keys([pem])
