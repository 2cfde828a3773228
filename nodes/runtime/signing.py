"""Who has signed a certificate. Not in `nodes.runtime.tls`, which loads gRPC: commands are to begin at once."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature


def has_signed(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    """Tell whether it was this authority that signed the certificate."""
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
