"""The few questions the bridge asks a Starknet node, answered at the block `latest` unless said otherwise.

`pre_confirmed` is never asked: RECEIVED, CANDIDATE and PRE_CONFIRMED are not accepted (STARKNET §8).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from marshmallow import ValidationError
from starknet_py.constants import STRK_FEE_CONTRACT_ADDRESS
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.net.client_models import (
    Call,
    EstimatedFee,
    SierraContractClass,
    TransactionExecutionStatus,
    TransactionStatus,
)
from starknet_py.net.models.transaction import AccountTransaction

from medsync_bridge.client import TrioClient
from medsync_bridge.errors import AccountUnusable, NotOpened, RpcError
from medsync_bridge.reasons import decode_reason
from medsync_protocol import calldata
from medsync_protocol.anchor_abi import EVENTS

T = TypeVar("T")

LATEST: Final = "latest"
STRK_TOKEN: Final = int(STRK_FEE_CONTRACT_ADDRESS, 16)
_CONTRACT_NOT_FOUND = 20
_NO_ENTRY_POINT = 21
_CLASS_NOT_FOUND = 28
_HASH_NOT_FOUND = 29
_CONTRACT_ERROR = 40
_EXECUTION_ERROR = 41
_VALID: Final = int.from_bytes(b"VALID")  # SNIP-6's answer to a good signature
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
    """Questions to one node. All raise ChainUnreachable, and RpcError for errors that they name no other for."""

    def __init__(self, client: TrioClient) -> None:
        self.client = client

    async def chain_id(self) -> int:
        """The chain this node serves."""
        return int(await _answer(self.client.get_chain_id()), 16)

    async def specification(self) -> str:
        """The version of Starknet's JSON-RPC specification that the node speaks."""
        return str(await _answer(self.client.spec_version()))

    async def latest(self) -> tuple[int, int, str]:
        """(number, time in seconds, Starknet version) of the newest accepted block."""
        block = await _answer(self.client.get_block_with_tx_hashes(block_number=LATEST))
        return block.block_number, block.timestamp, block.starknet_version

    async def nonce(self, account: int) -> int:
        """The account's next nonce. Raises AccountUnusable when there is no such account."""
        try:
            return int(await _answer(self.client.get_contract_nonce(account, block_number=LATEST)))
        except RpcError as error:
            if error.rpc_code != _CONTRACT_NOT_FOUND:
                raise
            raise AccountUnusable(
                f"there is no account {account:#x} on this chain",
                advice="deploy and fund the account, or give --account another address",
            ) from error

    async def accepts(self, account: int, message: int, signature: Sequence[int]) -> bool:
        """Whether the account takes this signature over the message (SNIP-6)."""
        try:
            answer = await self.call(account, "is_valid_signature", [message, len(signature), *signature])
        except CallReverted:
            return False  # OpenZeppelin's accounts answer 0, others panic
        return answer == [_VALID]

    async def balance(self, token: int, account: int) -> int:
        """What the account holds of an ERC-20 token, in its smallest unit."""
        low, high = await self.call(token, "balance_of", [account])
        return (high << 128) + low

    async def call(self, contract: int, function: str, arguments: Sequence[int]) -> list[int]:
        """A view function's answer. Raises CallReverted."""
        call = Call(to_addr=contract, selector=get_selector_from_name(function), calldata=list(arguments))
        try:
            return list(await _answer(self.client.call_contract(call, block_number=LATEST)))
        except RpcError as error:
            raise _reverted(error) from error

    async def class_hash_at(self, contract: int) -> int | None:
        """The class of a contract; None when nothing is deployed there."""
        try:
            return int(await _answer(self.client.get_class_hash_at(contract, block_number=LATEST)))
        except RpcError as error:
            if error.rpc_code == _CONTRACT_NOT_FOUND:
                return None
            raise

    async def is_declared(self, class_hash: int) -> bool:
        """Whether contracts of this class can be deployed."""
        try:
            await _answer(self.client.get_class_by_hash(class_hash, block_number=LATEST))
        except RpcError as error:
            if error.rpc_code == _CLASS_NOT_FOUND:
                return False
            raise
        return True

    async def sierra_version(self, class_hash: int) -> str | None:
        """The Sierra version of a declared class, as the node hands it out; None when it is not declared."""
        try:
            found = await _answer(self.client.get_class_by_hash(class_hash, block_number=LATEST))
        except RpcError as error:
            if error.rpc_code == _CLASS_NOT_FOUND:
                return None
            raise
        return (
            version_of(found.sierra_program)
            if isinstance(found, SierraContractClass)
            else "none, it is Cairo 0"
        )

    async def checkpoint(self, contract: int, context: int, k: int) -> int:
        """The digest accepted at k; 0 when there is none."""
        return (await self.call(contract, "checkpoint", calldata.checkpoint(context, k)))[0]

    async def head(self, contract: int, context: int) -> tuple[int, int]:
        """(k, digest) of the last accepted statement, (0, 0) for a context that isn't open."""
        k, digest = await self.call(contract, "head", calldata.head(context))
        return k, digest

    async def opened_in(self, contract: int, context: int) -> int:
        """The number of the block in which the context was opened. Raises NotOpened."""
        page = await _answer(
            self.client.get_events(
                address=contract, keys=[[hex(EVENTS["ContextOpened"])], [hex(context)]],
                from_block_number=0, to_block_number=LATEST, chunk_size=1, follow_continuation_token=True,
            )
        )  # fmt: skip
        for event in page.events:
            if event.block_number is not None:
                return int(event.block_number)
        raise NotOpened

    async def estimate(self, transaction: AccountTransaction) -> EstimatedFee:
        """What the transaction takes, signed for simulation. Raises CallReverted."""
        try:
            estimate = await _answer(self.client.estimate_fee(transaction, block_number=LATEST))
        except RpcError as error:
            raise _reverted(error) from error
        assert not isinstance(estimate, list), "one transaction, one estimate"
        return estimate

    async def send(self, raw: dict[str, Any]) -> None:
        """Hand a signed transaction over. An RpcError's code says what became of it (`sending.py`)."""
        await _answer(self.client.send_raw(raw))

    async def fee_paid(self, transaction: int) -> int:
        """What an accepted transaction cost, in fri."""
        receipt = await _answer(self.client.get_transaction_receipt(transaction))
        return int(receipt.actual_fee.amount)

    async def standing(self, transaction: int) -> Standing | None:
        """Where a transaction stands; None for error 29, which is never proof of absence."""
        try:
            status = await _answer(self.client.get_transaction_status(transaction))
        except RpcError as error:
            if error.rpc_code == _HASH_NOT_FOUND:
                return None
            raise
        reverted = status.execution_status is TransactionExecutionStatus.REVERTED
        return Standing(
            accepted=status.finality_status in _FINAL,
            reason=decode_reason(status.failure_reason or "") if reverted else None,
        )


def version_of(sierra_program: Sequence[int]) -> str:
    """The version that a Sierra program's first three felts spell."""
    return ".".join(str(part) for part in sierra_program[:3])


async def _answer(asked: Awaitable[T]) -> T:
    """The answer; what starknet-py can't read becomes an RpcError, too."""
    try:
        return await asked
    except (ValidationError, KeyError, ValueError) as error:
        raise RpcError(0, f"an answer that is not as specified ({type(error).__name__})") from error


def _reverted(error: RpcError) -> Exception:
    """CallReverted where a contract refused; else the error as it is."""
    if error.rpc_code in (_CONTRACT_ERROR, _EXECUTION_ERROR):
        return CallReverted(decode_reason(error.data))
    if error.rpc_code == _CONTRACT_NOT_FOUND:
        return CallReverted("NO_CONTRACT")
    if error.rpc_code == _NO_ENTRY_POINT:
        return CallReverted("NO_SUCH_FUNCTION")
    return error
