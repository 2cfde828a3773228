"""Names and identities: what may be called what, and how a certificate says who it is.

Names end up in paths, logs and certificates, so they are allowed by list, never
cleaned up. An account is one user at one bank, written ``bob@HDFC``; a user has at
most one account in a bank, so the pair is the account.

A certificate carries exactly one URI, ``spiffe://<cluster>/<path>`` (SPIFFE
X.509-SVID, section 2); the path alone says what the holder is:

    ==================  ========  =======================
    path                kind      name for TLS (DNS)
    ==================  ========  =======================
    ``gateway``         GATEWAY   ``gateway.<cluster>``
    ``bank/HDFC``       BANK      ``hdfc.bank.<cluster>``
    ``client/shell``    CLIENT    ``shell.client.<cluster>``
    ``operator``        OPERATOR  ``operator.<cluster>``
    ==================  ========  =======================

gRPC for Python shows a client no more of a server's certificate than that its DNS
name matched, so every certificate carries its identity a second time, as that DNS
name, and whoever dials demands it: a bank that answers at another's address fails
the handshake.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

_BANK_NAME = re.compile(r"[A-Z][A-Z0-9]{1,15}")
_USER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_ACCOUNT_MAX = 32 + 1 + 16
_CLIENT_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_CLUSTER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_CLUSTER_NAME_MAX = 100
_ADDRESS = re.compile(
    r"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})"
)
_PORT_MAX = 65535

BANK_NAME_RULE = "2 to 16 of A-Z and 0-9, a letter first"
USER_NAME_RULE = "1 to 32 of a-z, 0-9, _ and -, a letter first"
CLUSTER_NAME_RULE = "a DNS name in lower case of at most 100 characters, such as payments.local"


def is_bank_name(text: str) -> bool:
    """Tell whether ``text`` may name a bank (`BANK_NAME_RULE`)."""
    return _BANK_NAME.fullmatch(text) is not None


def is_user_name(text: str) -> bool:
    """Tell whether ``text`` may name a user (`USER_NAME_RULE`)."""
    return _USER_NAME.fullmatch(text) is not None


def is_cluster_name(text: str) -> bool:
    """Tell whether ``text`` may name a cluster (`CLUSTER_NAME_RULE`)."""
    return len(text) <= _CLUSTER_NAME_MAX and _CLUSTER_NAME.fullmatch(text) is not None


def split_account(text: str) -> tuple[str, str] | None:
    """Return (user, bank) of an account written ``user@BANK``, or None if it is not one."""
    # Accounts come again and again; what is too long to be one is not kept.
    return _split_account(text) if len(text) <= _ACCOUNT_MAX else None


@lru_cache(maxsize=65_536)
def _split_account(text: str) -> tuple[str, str] | None:
    user, _, bank = text.partition("@")
    if is_user_name(user) and is_bank_name(bank):
        return user, bank
    return None


def is_address(text: str) -> bool:
    """Tell whether ``text`` is host:port (``localhost:50052``, ``[::1]:50052``) with a port of 1 to 65535."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and 1 <= int(match["port"]) <= _PORT_MAX


class PeerKind(Enum):
    """What a certificate stands for; the values are those of interbank.v1.PeerKind."""

    CLIENT = 1
    OPERATOR = 2
    BANK = 3
    GATEWAY = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for. ``name`` is empty for the kinds that exist once, gateway and operator."""

    cluster: str
    kind: PeerKind
    name: str = ""

    @property
    def path(self) -> str:
        """The path of the SPIFFE URI, without the leading slash."""
        kind = self.kind.name.lower()
        return f"{kind}/{self.name}" if self.name else kind

    @property
    def uri(self) -> str:
        """The one URI of the certificate."""
        return f"spiffe://{self.cluster}/{self.path}"

    @property
    def tls_name(self) -> str:
        """The DNS name that whoever dials this identity demands."""
        return ".".join([*reversed(self.path.lower().split("/")), self.cluster])


def parse_identity(uri: str) -> Identity:
    """Return the identity that a SPIFFE URI states; ValueError if it is none of ours."""
    scheme, _, rest = uri.partition("://")
    cluster, _, path = rest.partition("/")
    kind, _, name = path.partition("/")
    named = {"bank": (PeerKind.BANK, _BANK_NAME), "client": (PeerKind.CLIENT, _CLIENT_NAME)}
    single = {"gateway": PeerKind.GATEWAY, "operator": PeerKind.OPERATOR}
    if scheme == "spiffe" and is_cluster_name(cluster):
        if path in single:
            return Identity(cluster, single[path])
        if kind in named and named[kind][1].fullmatch(name):
            return Identity(cluster, named[kind][0], name)
    raise ValueError(f"not an identity of this kind of cluster: {uri[:200]!r}")
