"""What operators ask and do about transactions that banks hold in doubt."""

import time
from collections.abc import Iterable

import grpc
from interbank.v1 import bank_pb2
from interbank.v1 import operator_pb2 as pb

from nodes.core.ledger import find_other_bank
from nodes.core.messages import TransactionKey
from nodes.core.names import is_user_name
from nodes.core.resolution import WHY_MAX, Resolution, State, is_reason
from nodes.core.soundness import Unsound, demand_sound_keys
from nodes.gateway.conversions import read_keys
from nodes.gateway.loop import GatewayLoop
from nodes.gateway.store import GatewayStore
from nodes.runtime.refusal import RequestRefused


class InDoubt:
    """Judges and resolves, with the records of the gateway and of every bank that a transaction touches."""

    def __init__(self, loop: GatewayLoop, store: GatewayStore) -> None:
        self._loop = loop
        self._store = store

    def judge(self, asked: Iterable[bank_pb2.TransactionKey]) -> list[str]:
        """Say what the gateway answers for each transaction, and on what ground."""
        keys = _read_sound_keys(asked)
        recorded = self._store.find_decisions([key[:2] for key in keys])
        return [self._loop.coordinator.judge(key, recorded.get(key[:2])).said for key in keys]

    async def resolve(self, request: pb.ResolveInDoubtRequest) -> None:
        """Settle a transaction by hand, durably; raises `RequestRefused` with what speaks against it."""
        [key] = _read_sound_keys([request.transaction])
        if not is_user_name(request.who):
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, "who: must be a name")
        if not is_reason(request.why):
            said = f"why: must be a line of 1 to {WHY_MAX} characters"
            raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, said)
        try:
            banks = await self._gather_states(request.bank, key)
        except (ConnectionError, grpc.aio.AioRpcError) as error:
            said = f"a bank that it touches cannot be asked, and its record may tell: {error}"
            raise RequestRefused(grpc.StatusCode.UNAVAILABLE, said, (), 1.0) from error
        resolution = Resolution(*key, request.commit, request.who, request.why, time.time_ns() // 1000)
        objection = await self._loop.resolve(resolution, banks)
        if objection:
            raise RequestRefused(grpc.StatusCode.FAILED_PRECONDITION, objection)

    async def _gather_states(self, bank: str, key: TransactionKey) -> dict[str, State | None]:
        """Return what each bank that a held transaction touches has on record of this very try."""
        links = self._loop.links
        if bank not in links:
            raise RequestRefused(grpc.StatusCode.NOT_FOUND, f"there is no bank {bank[:40]!r}")
        holds = (await links[bank].in_doubt()).holds
        held = next((hold for hold in holds if read_keys([hold.key]) == [key]), None)
        if held is None:
            raise RequestRefused(grpc.StatusCode.NOT_FOUND, f"{bank} does not hold this transaction in doubt")
        states: dict[str, State | None] = {bank: State.PREPARED}
        for account in (held.debit_account, held.credit_account):
            if other := find_other_bank(account):
                states[other] = await self._find_state(other, key)
        return states

    async def _find_state(self, bank: str, key: TransactionKey) -> State | None:
        if bank not in self._loop.links:
            raise ConnectionError(f"{bank} has never registered")
        known = (await self._loop.links[bank].transactions(key[0])).transactions
        return next((State(each.state) for each in known if read_keys([each.key]) == [key]), None)


def _read_sound_keys(asked: Iterable[bank_pb2.TransactionKey]) -> list[TransactionKey]:
    keys = read_keys(asked)
    try:
        demand_sound_keys(keys)
    except Unsound as error:
        raise RequestRefused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
    return keys
