"""Tokens that nobody gave: any header and claims, signed by whatever key a forger has."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec


def read_token(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims."""
    header, claims, _ = (urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims)


def encode_part(part: Any) -> str:
    """Write one part of a token; bytes as they are, anything else as JSON."""
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(text).decode().rstrip("=")


def sign_token(header: Any, claims: Any, key: ec.EllipticCurvePrivateKey) -> str:
    """Sign any header and claims with ES256, whatever the header says."""
    signed = f"{encode_part(header)}.{encode_part(claims)}"
    signature = jwt.get_algorithm_by_name("ES256").sign(signed.encode(), key)
    return f"{signed}.{encode_part(signature)}"
