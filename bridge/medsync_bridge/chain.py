"""The few questions the bridge asks a Starknet node, answered at the block `latest` unless said otherwise.

`pre_confirmed` is never asked: RECEIVED, CANDIDATE and PRE_CONFIRMED are not accepted (STARKNET §8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.client_errors import ClientError
from starknet_py.net.client_models import (
    Call,
    EstimatedFee,
    TransactionExecutionStatus,
    TransactionStatus,
)
from starknet_py.net.models.transaction import AccountTransaction

from medsync_bridge.client import TrioClient, code_of
from medsync_bridge.errors import AccountUnusable, SendRefused
from medsync_bridge.reasons import decode_reason
from medsync_protocol import calldata

LATEST: Final = "latest"
_CONTRACT_NOT_FOUND = 20
_CLASS_NOT_FOUND = 28
_HASH_NOT_FOUND = 29
_CONTRACT_ERROR = 40
_EXECUTION_ERROR = 41
_FINAL = frozenset({TransactionStatus.ACCEPTED_ON_L2, TransactionStatus.ACCEPTED_ON_L1})


class CallReverted(Exception):
    """A call or a simulated transaction failed; `reason` is the contract's word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a node says of one transaction. `accepted`: in a block; `reason` when it reverted there."""

    accepted: bool
    reason: str | None = None


class Chain:
    """Questions to one node. All raise ChainUnreachable, and ClientError for errors not named here."""

    def __init__(self, client: TrioClient) -> None:
        self.client = client

    async def chain_id(self) -> int:
        """The chain this node serves."""
        return int(await self.client.get_chain_id(), 16)

    async def nonce(self, account: int) -> int:
        """The account's next nonce. Raises AccountUnusable when there is no such account."""
        try:
            return int(await self.client.get_contract_nonce(account, block_number=LATEST))
        except ClientError as error:
            if code_of(error) != _CONTRACT_NOT_FOUND:
                raise
            raise AccountUnusable(
                f"there is no account {account:#x} on this chain",
                advice="deploy and fund the account, or give --account another address",
            ) from error

    async def call(self, contract: int, function: str, arguments: Sequence[int]) -> list[int]:
        """A view function's answer. Raises CallReverted."""
        call = Call(to_addr=contract, selector=get_selector_from_name(function), calldata=list(arguments))
        try:
            answer: list[int] = await self.client.call_contract(call, block_number=LATEST)
        except ClientError as error:
            raise _reverted(error) from error
        return answer

    async def class_hash_at(self, contract: int) -> int | None:
        """The class of a contract; None when nothing is deployed there."""
        try:
            found = await self.client.get_class_hash_at(contract, block_number=LATEST)
        except ClientError as error:
            if code_of(error) == _CONTRACT_NOT_FOUND:
                return None
            raise
        return int(found)

    async def is_declared(self, class_hash: int) -> bool:
        """Whether contracts of this class can be deployed."""
        try:
            await self.client.get_class_by_hash(class_hash, block_number=LATEST)
        except ClientError as error:
            if code_of(error) == _CLASS_NOT_FOUND:
                return False
            raise
        return True

    async def checkpoint(self, contract: int, context: int, k: int) -> int:
        """The digest accepted at k; 0 when there is none."""
        return (await self.call(contract, "checkpoint", calldata.checkpoint(context, k)))[0]

    async def head(self, contract: int, context: int) -> tuple[int, int]:
        """(k, digest) of the last accepted statement, (0, 0) for a context that isn't open."""
        k, digest = await self.call(contract, "head", calldata.head(context))
        return k, digest

    async def estimate(self, transaction: AccountTransaction) -> EstimatedFee:
        """What the transaction takes, signed for simulation. Raises CallReverted."""
        try:
            estimate = await self.client.estimate_fee(transaction, block_number=LATEST)
        except ClientError as error:
            raise _reverted(error) from error
        assert not isinstance(estimate, list), "one transaction, one estimate"
        return estimate

    async def standing(self, transaction: int) -> Standing | None:
        """Where a transaction stands; None for error 29, which is never proof of absence."""
        try:
            status = await self.client.get_transaction_status(transaction)
        except ClientError as error:
            if code_of(error) == _HASH_NOT_FOUND:
                return None
            raise
        reverted = status.execution_status is TransactionExecutionStatus.REVERTED
        return Standing(
            accepted=status.finality_status in _FINAL,
            reason=decode_reason(status.failure_reason or "") if reverted else None,
        )


def _reverted(error: ClientError) -> Exception:
    """CallReverted where a contract refused; else what says that the node can't take such a request."""
    code = code_of(error)
    if code in (_CONTRACT_ERROR, _EXECUTION_ERROR):
        return CallReverted(decode_reason(error.data))
    if code == _CONTRACT_NOT_FOUND:
        return CallReverted("NO_CONTRACT")
    return SendRefused(code, error.message)
