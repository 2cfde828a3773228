"""Who is cut off although their certificate has not expired: a file that is read again when it changes.

    {"revoked": [{"identity": "spiffe://payments.local/bank/HDFC", "before": 1764030000}]}

Every certificate of that identity that is valid from before that moment (whole seconds
since 1970) is worth nothing, whichever it is: nobody needs to know the serials of all that
were ever issued, which a list as of RFC 5280 would have to name, and which gRPC for Python
could not be given. A successor is valid from that moment or later.

A caller's certificate is looked at on each call (`nodes.runtime.access`). Of who is called
gRPC shows only that a name matched, so a successor has one more name, which says since when
(`successor_name`), and whoever dials the identity demands it: who has a revoked key and
answers in its holder's place fails the handshake.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nodes.core.json_text import demand_text, read_json
from nodes.core.names import Identity, parse_identity

Revoked = Mapping[Identity, int]
"""From when on certificates are valid that are not revoked, in whole seconds since 1970."""

NOBODY: Revoked = MappingProxyType({})
_SECONDS_MAX = 2**40


class RevocationsUnusable(Exception):
    """The file of revocations cannot be used; the message says which, where in it, why and what to do."""


def load_revocations(path: Path) -> Revoked:
    """Read the file; raises `RevocationsUnusable`, also if it is not there: nothing is un-revoked by its loss."""
    try:
        return MappingProxyType(_read_rows(read_json(path.read_text(encoding="utf-8"))["revoked"]))
    except FileNotFoundError as error:
        raise RevocationsUnusable(f"there is no file {path}: `cluster up` makes an empty one") from error
    except OSError as error:
        raise RevocationsUnusable(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RevocationsUnusable(f"{path} is no list of revocations: {error!r}; mend it by hand") from error


def successor_name(identity: Identity, since: int) -> str:
    """Return the DNS name of certificates of ``identity`` that are valid from ``since`` or later."""
    return f"r{since}.{identity.tls_name}"


def demanded_name(identity: Identity, revoked: Revoked) -> str:
    """Return the DNS name that whoever dials ``identity`` demands."""
    since = revoked.get(identity)
    return identity.tls_name if since is None else successor_name(identity, since)


def _read_rows(rows: Any) -> dict[Identity, int]:
    if not isinstance(rows, list):
        raise TypeError("'revoked' must be a list")
    revoked: dict[Identity, int] = {}
    for identity, since in map(_read_row, rows):
        # Of two rows that somebody has put together, the lesser takes nothing back.
        revoked[identity] = max(since, revoked.get(identity, 0))
    return revoked


def _read_row(row: Any) -> tuple[Identity, int]:
    since = row["before"]
    if type(since) is not int or not 0 < since < _SECONDS_MAX:
        raise ValueError(f"'before' must be whole seconds since 1970, not {since!r}")
    return parse_identity(demand_text(row["identity"])), since
