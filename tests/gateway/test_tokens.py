import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from nodes.gateway import tokens
from nodes.gateway.tokens import TokenIssuer
from nodes.runtime.access import Login
from nodes.runtime.refusal import RequestRefused
from nodes.runtime.token_keys import (
    RetiredKey,
    TokenKeys,
    TokenKeyUnusable,
    find_retired,
    load_token_key,
    load_token_keys,
    write_retired,
)
from tests.forged_tokens import encode_part as encode
from tests.forged_tokens import read_token as read
from tests.forged_tokens import sign_token

NOW = 1_800_000_000.0
SHELL, OTHER = "thumbprint-of-shell", "thumbprint-of-another"
KEY = ec.generate_private_key(ec.SECP256R1())
INVALID = "the token is not valid: log in again"


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer(KEY, "payments.local")


def give(issuer: TokenIssuer, user: str = "alice", now: float = NOW) -> str:
    return issuer.issue(user, 1, token_id="id-1", thumbprint=SHELL, now=now)[0]


def refusal(issuer: TokenIssuer, token: str, *, thumbprint: str = SHELL, now: float = NOW) -> str:
    with pytest.raises(RequestRefused) as caught:
        issuer.verify(token, thumbprint, now)
    assert caught.value.code == grpc.StatusCode.UNAUTHENTICATED
    return caught.value.message


def forge(header: Any, claims: Any, key: ec.EllipticCurvePrivateKey = KEY) -> str:
    """Sign any header and claims with ES256, with our own key unless another is named."""
    return sign_token(header, claims, key)


# -- the right token ----------------------------------------------------------


def test_a_token_given_is_a_login_again(issuer: TokenIssuer) -> None:
    token, expires_at = issuer.issue("alice", 1, token_id="id-1", thumbprint=SHELL, now=NOW + 0.7)
    assert expires_at == NOW + 3600
    assert issuer.verify(token, SHELL, NOW + 1) == Login("alice", 1, "id-1", expires_at)


def test_a_token_says_all_that_it_is_checked_for(issuer: TokenIssuer) -> None:
    header, claims = read(give(issuer))
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": header["kid"]}
    assert claims == {
        "iss": "spiffe://payments.local/gateway",
        "aud": "payments.local",
        "sub": "alice",
        "role": 1,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
        "jti": "id-1",
        "cnf": {"x5t#S256": SHELL},
    }


def test_the_key_id_is_the_rfc_7638_thumbprint_of_the_public_key(issuer: TokenIssuer) -> None:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
    required = {name: public[name] for name in ("crv", "kty", "x", "y")}
    expected = encode(hashlib.sha256(json.dumps(required, separators=(",", ":")).encode()).digest())
    assert read(give(issuer))[0]["kid"] == expected


def test_what_a_test_forges_with_the_right_key_and_claims_passes(issuer: TokenIssuer) -> None:
    token = forge(*read(give(issuer)))
    assert issuer.verify(token, SHELL, NOW).user == "alice"


def test_a_token_survives_a_restart_with_the_same_key(issuer: TokenIssuer) -> None:
    assert TokenIssuer(KEY, "payments.local").verify(give(issuer), SHELL, NOW).user == "alice"


# -- time and certificate, on first sight and when remembered -----------------


@pytest.mark.parametrize("is_remembered", [False, True])
def test_an_expired_token_is_refused(issuer: TokenIssuer, is_remembered: bool) -> None:
    token = give(issuer)
    if is_remembered:
        issuer.verify(token, SHELL, NOW + 3599)
    assert refusal(issuer, token, now=NOW + 3600) == "the token has expired: log in again"


@pytest.mark.parametrize("is_remembered", [False, True])
def test_a_token_over_another_certificate_is_refused(issuer: TokenIssuer, is_remembered: bool) -> None:
    token = give(issuer)
    if is_remembered:
        issuer.verify(token, SHELL, NOW)
    assert "given to another certificate" in refusal(issuer, token, thumbprint=OTHER)
    assert issuer.verify(token, SHELL, NOW).user == "alice"


def test_a_clock_set_back_a_little_is_forgiven_and_no_more(issuer: TokenIssuer) -> None:
    assert issuer.verify(give(issuer), SHELL, NOW - 5).user == "alice"
    assert refusal(issuer, give(issuer, "bob"), now=NOW - 6) == INVALID


def test_the_signature_is_checked_once_while_the_token_is_remembered(
    issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = give(issuer)
    issuer.verify(token, SHELL, NOW)
    monkeypatch.delattr(jwt, "decode")
    assert issuer.verify(token, SHELL, NOW).user == "alice"


def test_no_more_tokens_are_remembered_than_bounded(issuer: TokenIssuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED_MAX", 2)
    for user in ("alice", "bob", "charlie"):
        issuer.verify(give(issuer, user), SHELL, NOW)
    assert [login.user for login, _ in issuer._remembered.values()] == ["bob", "charlie"]


def test_a_refused_token_is_not_remembered(issuer: TokenIssuer) -> None:
    refusal(issuer, give(issuer), now=NOW + 3600)
    refusal(issuer, give(issuer), thumbprint=OTHER)
    assert not issuer._remembered


# -- attacks on the signature and the header (A20) ----------------------------


def test_alg_none_is_refused(issuer: TokenIssuer) -> None:
    header, claims = read(give(issuer))
    for alg in ("none", "None", "NONE", ""):
        assert refusal(issuer, f"{encode(header | {'alg': alg})}.{encode(claims)}.") == INVALID


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, "kid"])
def test_hs256_keyed_with_what_is_public_is_refused(issuer: TokenIssuer, form: Any) -> None:
    header, claims = read(give(issuer))
    secret = header["kid"].encode() if form == "kid" else KEY.public_key().public_bytes(Encoding.PEM, form)
    signed = f"{encode(header | {'alg': 'HS256'})}.{encode(claims)}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    assert refusal(issuer, f"{signed}.{encode(signature)}") == INVALID


def test_another_key_is_refused_under_our_key_id_and_its_own(issuer: TokenIssuer) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert refusal(issuer, forge(*read(give(issuer)), other)) == INVALID
    assert refusal(issuer, give(TokenIssuer(other, "payments.local"))) == INVALID


def test_a_token_cut_anywhere_is_refused(issuer: TokenIssuer) -> None:
    token = give(issuer)
    for length in range(len(token)):
        assert refusal(issuer, token[:length]) == INVALID


def test_a_token_changed_anywhere_is_refused(issuer: TokenIssuer) -> None:
    token = give(issuer)
    for at, character in enumerate(token):
        changed = "A" if character != "A" else "B"
        assert refusal(issuer, token[:at] + changed + token[at + 1 :]) == INVALID


@pytest.mark.parametrize("token", ["", ".", "..", "...", "é.é.é", "\ud800", "a b c", "x" * 100_000, "[" * 2000])
def test_what_is_no_token_is_refused(issuer: TokenIssuer, token: str) -> None:
    assert refusal(issuer, token) == INVALID


def test_random_texts_of_three_parts_are_refused(issuer: TokenIssuer) -> None:
    for _ in range(200):
        parts = (encode(secrets.token_bytes(size)) for size in (30, 100, 64))
        assert refusal(issuer, ".".join(parts)) == INVALID


@pytest.mark.parametrize(
    "deep", [b"[" * 1200, b'{"a":' * 300, b"9" * 1400, b"\xff\xfe", b"null", b'"x"', b"[]", b"7"]
)
def test_a_header_or_claims_that_are_no_object_are_refused(issuer: TokenIssuer, deep: bytes) -> None:
    header, claims = read(give(issuer))
    assert refusal(issuer, forge(deep, claims)) == INVALID
    assert refusal(issuer, forge(header, deep)) == INVALID


@pytest.mark.parametrize(
    "change",
    [
        {"kid": "another"},
        {"kid": ""},
        {"kid": None},
        {"kid": 7},
        {"kid": ["x"]},
        {"kid": "../../certs/gateway/token.key"},
        {"kid": "' OR 1=1 --"},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/certificate"},
        {"x5c": ["MIIB"]},
        {"jwk": json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "exp"},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"typ": "JWT"},
        {"typ": "AT+JWT"},
        {"typ": "application/at+jwt"},
        {"typ": None},
        {"alg": "ES384"},
        {"alg": "es256"},
        {"alg": ["ES256"]},
        {"alg": None},
    ],
)
def test_any_other_header_is_refused_though_rightly_signed(issuer: TokenIssuer, change: dict[str, Any]) -> None:
    header, claims = read(give(issuer))
    assert refusal(issuer, forge(header | change, claims)) == INVALID


@pytest.mark.parametrize("name", ["alg", "typ", "kid"])
def test_a_header_that_lacks_a_field_is_refused(issuer: TokenIssuer, name: str) -> None:
    header, claims = read(give(issuer))
    del header[name]
    assert refusal(issuer, forge(header, claims)) == INVALID


# -- claims, rightly signed (A20) ---------------------------------------------


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti", "cnf"])
def test_each_claim_is_required(issuer: TokenIssuer, name: str) -> None:
    header, claims = read(give(issuer))
    del claims[name]
    assert refusal(issuer, forge(header, claims)) == INVALID
    assert refusal(issuer, forge(header, claims | {name: None})) == INVALID


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "spiffe://other.local/gateway"},
        {"iss": "spiffe://payments.local/bank/HDFC"},
        {"iss": ["spiffe://payments.local/gateway"]},
        {"iss": 7},
        {"aud": "HDFC"},
        {"aud": "spiffe://payments.local/bank/HDFC"},
        {"aud": ["payments.local"]},
        {"aud": ["payments.local", "other.local"]},
        {"aud": {}},
        {"sub": ""},
        {"sub": "Alice"},
        {"sub": "alice@HDFC"},
        {"sub": 7},
        {"sub": ["alice"]},
        {"role": 0},
        {"role": 4},
        {"role": "1"},
        {"role": True},
        {"role": 1.0},
        {"role": [1]},
        {"jti": ""},
        {"jti": 7},
        {"iat": str(int(NOW))},
        {"iat": NOW + 0.5},
        {"iat": True},
        {"iat": NOW + 6},
        {"iat": int(NOW) + 6},
        {"nbf": str(int(NOW))},
        {"nbf": int(NOW) + 6},
        {"nbf": float("nan")},
        {"exp": str(int(NOW) + 60)},
        {"exp": int(NOW) + 3601},
        {"exp": 10**30},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": int(NOW)},
        {"exp": int(NOW) - 1},
        {"iat": int(NOW) - 7200, "nbf": int(NOW) - 7200},
        {"cnf": SHELL},
        {"cnf": {}},
        {"cnf": {"x5t#S256": None}},
        {"cnf": {"x5t#S256": [SHELL]}},
        {"cnf": {"x5t": SHELL}},
        {"cnf": {"x5t#S256": SHELL, "jwk": {}}},
    ],
)
def test_a_wrong_claim_is_refused_though_rightly_signed(issuer: TokenIssuer, change: dict[str, Any]) -> None:
    header, claims = read(give(issuer))
    claims = {name: int(value) if isinstance(value, float) else value for name, value in claims.items()}
    assert refusal(issuer, forge(header, claims | change)) == INVALID


def test_a_token_of_another_cluster_with_the_same_key_is_refused(issuer: TokenIssuer) -> None:
    assert refusal(issuer, give(TokenIssuer(KEY, "other.local"))) == INVALID


# -- the key ------------------------------------------------------------------


def save(path: Path, key: PrivateKeyTypes, mode: int = 0o600, password: bytes | None = None) -> Path:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(mode)
    return path


def unusable(path: Path) -> str:
    with pytest.raises(TokenKeyUnusable) as caught:
        load_token_key(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_key_kept_well_is_read(tmp_path: Path) -> None:
    assert load_token_key(save(tmp_path / "token.key", KEY)).private_numbers() == KEY.private_numbers()


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "is missing: `cluster up` makes it" in unusable(tmp_path / "token.key")


def test_a_folder_in_place_of_the_key_is_named(tmp_path: Path) -> None:
    assert "cannot read the token key" in unusable(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    assert "can be read by others: chmod 600" in unusable(save(tmp_path / "token.key", KEY, mode))


@pytest.mark.parametrize(
    "text", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"\xff" * 9]
)
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "token.key"
    path.write_bytes(text)
    path.chmod(0o600)
    assert "holds no unencrypted private key in PEM: delete it and let `cluster up`" in unusable(path)


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    assert "holds no unencrypted private key" in unusable(save(tmp_path / "token.key", KEY, password=b"secret"))


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)], ids=["P-384", "RSA"]
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: PrivateKeyTypes) -> None:
    assert "is not on the curve P-256" in unusable(save(tmp_path / "token.key", key))


# -- keys that roll ------------------------------------------------------------

NEXT_KEY = ec.generate_private_key(ec.SECP256R1())
ROLLED = TokenKeys(NEXT_KEY, (RetiredKey(KEY.public_key(), int(NOW) + 60),))


def test_after_a_roll_the_new_key_signs_and_what_the_old_one_signed_is_good(issuer: TokenIssuer) -> None:
    old = give(issuer)
    before = issuer.key_id
    issuer.use_keys(ROLLED)
    new = give(issuer)
    assert read(old)[0]["kid"] == before != read(new)[0]["kid"] == issuer.key_id
    for token in (old, new):
        assert issuer.verify(token, SHELL, NOW).user == "alice"


@pytest.mark.parametrize("is_known", [False, True], ids=["not yet seen", "seen before"])
def test_a_key_past_its_time_is_refused_whatever_the_token_says(issuer: TokenIssuer, is_known: bool) -> None:
    old = give(issuer)
    issuer.use_keys(ROLLED)
    if is_known:
        issuer.verify(old, SHELL, NOW)
    issuer.use_keys(TokenKeys(NEXT_KEY, (RetiredKey(KEY.public_key(), int(NOW)),)))
    assert refusal(issuer, old) == INVALID
    issuer.use_keys(TokenKeys(NEXT_KEY, ()))
    assert refusal(issuer, old) == INVALID


def test_a_retired_key_cannot_take_the_place_of_the_one_that_signs(issuer: TokenIssuer) -> None:
    issuer.use_keys(TokenKeys(KEY, (RetiredKey(KEY.public_key(), 5),)))
    assert issuer.verify(give(issuer), SHELL, NOW).user == "alice"


def test_retired_keys_are_read_from_beside_the_key(tmp_path: Path) -> None:
    path = save(tmp_path / "token.key", NEXT_KEY)
    assert load_token_keys(path).retired == ()
    find_retired(path).write_bytes(write_retired(ROLLED.retired))
    keys = load_token_keys(path)
    assert keys.signs.private_numbers() == NEXT_KEY.private_numbers()
    assert keys.retired == ROLLED.retired


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"retired": [{"until": 5}]}',
        '{"retired": [{"public_key": "x", "until": 5}]}',
        '{"retired": [{"public_key": 5, "until": 5}]}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_list_of_retired_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = save(tmp_path / "token.key", NEXT_KEY)
    find_retired(path).write_text(text)
    with pytest.raises(TokenKeyUnusable, match="is no list of retired token keys"):
        load_token_keys(path)
