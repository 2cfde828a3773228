"""What a message between gateway and bank must be like before any rule looks at it.

The rules may assume names that are names, ids of 16 bytes and amounts above zero. Whoever
sends anything else has gone bad, or mad: the whole message is refused, nothing of it is
carried out. Checked by the column rather than by the item, since every payment passes here.
"""

from collections.abc import Iterable, Sequence

from nodes.core.messages import Decide, Prepare, TransactionKey
from nodes.core.money import AMOUNT_MAX, EXPONENTS
from nodes.core.names import BANK_NAME_RULE, USER_NAME_RULE, is_bank_name, is_user_name

EPOCH_MAX = 2**63 - 1
"""The largest that a database keeps."""

_ID_BYTES = 16
_REMEMBERED_MAX = 100_000


class Unsound(ValueError):
    """The message cannot be taken; the text says which column is wrong and what is wanted."""


_sound_users: set[str] = set()


def demand_sound_prepares(bank: str, prepares: Sequence[Prepare]) -> None:
    """Raise `Unsound` unless each prepare is well-formed and ``bank`` has a part in it."""
    if not prepares:
        return
    ids, payers, epochs, payer_banks, payees, payee_banks, amounts_minor, currencies, *_ = zip(
        *prepares, strict=True
    )
    _demand_keys(ids, payers, epochs)
    _demand_users("payee", payees)
    _demand_banks(bank, set(zip(payer_banks, payee_banks, strict=True)))
    if min(amounts_minor) <= 0 or max(amounts_minor) > AMOUNT_MAX:
        raise Unsound("amount_minor: must be more than 0")
    if not EXPONENTS.keys() >= set(currencies):
        raise Unsound("currency: must be an ISO 4217 code in upper case")
    if any(p.payer == p.payee and p.payer_bank == p.payee_bank for p in prepares):
        raise Unsound("payee: must not be the payer's account")


def demand_sound_decides(decides: Sequence[Decide]) -> None:
    """Raise `Unsound` unless each decision names a transaction."""
    demand_sound_keys([decide[:3] for decide in decides])


def demand_sound_keys(keys: Sequence[TransactionKey]) -> None:
    """Raise `Unsound` unless each key can be that of a transaction."""
    if keys:
        _demand_keys(*zip(*keys, strict=True))


def _demand_keys(ids: Iterable[bytes], payers: Iterable[str], epochs: Iterable[int]) -> None:
    if set(map(len, ids)) != {_ID_BYTES}:
        raise Unsound(f"payment_id: must have {_ID_BYTES} bytes")
    _demand_users("payer", payers)
    different = set(epochs)
    if min(different) < 1 or max(different) > EPOCH_MAX:
        raise Unsound(f"epoch: must be 1 to {EPOCH_MAX}")


def _demand_users(field: str, names: Iterable[str]) -> None:
    new = set(names) - _sound_users
    for name in new:
        if not is_user_name(name):
            raise Unsound(f"{field}: must be {USER_NAME_RULE}")
    if len(_sound_users) > _REMEMBERED_MAX:
        _sound_users.clear()
    _sound_users.update(new)


def _demand_banks(bank: str, pairs: Iterable[tuple[str, str]]) -> None:
    for pair in pairs:
        if bank not in pair:
            raise Unsound(f"payer_bank, payee_bank: neither is {bank}")
        if not all(map(is_bank_name, pair)):
            raise Unsound(f"payer_bank, payee_bank: must each be {BANK_NAME_RULE}")
