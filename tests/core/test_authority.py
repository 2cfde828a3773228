"""A debit is rightful if its payer asked for exactly it, with a login that held when it was taken."""

import pytest

from nodes.core.authority import Grant, fingerprint, is_rightful

FIELDS = (bytes(range(16)), "alice", "ICICI", "bob", "HDFC", 100, "INR")
SAID = fingerprint(FIELDS)
GRANT = Grant("alice", 1_000, 2_000)


def change(position, value):
    return (*FIELDS[:position], value, *FIELDS[position + 1 :])


@pytest.mark.parametrize(
    ("grant", "taken_at_us", "said", "is_right"),
    [
        (GRANT, 1_500, SAID, True),
        (GRANT, 1_000, SAID, True),
        (GRANT, 2_000, SAID, True),
        (GRANT, 999, SAID, False),
        (GRANT, 2_001, SAID, False),
        (GRANT, 1_500, SAID + 1, False),
        (GRANT, 1_500, 0, False),
        (GRANT._replace(user="bob"), 1_500, SAID, False),
        (None, 1_500, SAID, False),
    ],
    ids=[
        "as ordered", "at the first moment", "at the last", "before the login", "after it", "another fingerprint",
        "no fingerprint", "the login of another", "no login",
    ],
)  # fmt: skip
def test_what_is_rightful(grant, taken_at_us, said, is_right):
    assert is_rightful(FIELDS, said, taken_at_us, grant) is is_right


@pytest.mark.parametrize(
    "other",
    [
        change(0, bytes(16)),
        change(1, "alic"),
        change(2, "SBI"),
        change(3, "bo"),
        change(4, "SBI"),
        change(5, 101),
        change(6, "JPY"),
        (FIELDS[0], "alice", "ICICI", "bobHDFC", "", 100, "INR"),
    ],
)
def test_other_fields_have_another_fingerprint(other):
    assert fingerprint(other) != SAID
