"""How a checker objects."""


class Violation(AssertionError):
    """An invariant does not hold."""


def demand(holds: object, claim: str, evidence: object) -> None:
    """Raise `Violation` unless something holds."""
    if not holds:
        raise Violation(f"{claim}: {evidence}")
