"""The account that pays: signs in 3 ms without leaving Python; crypto-cpp-py takes 170 ms and blocks the loop.

STARKNET §7. Where the secret lies is `keys.py`'s; what is signed, `tasks.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from starknet_py.constants import QUERY_VERSION_BASE
from starknet_py.net.client_models import Call, SierraContractClass
from starknet_py.net.models.transaction import AccountTransaction, DeclareV3, InvokeV3

from medsync_bridge.client import broadcast_form
from medsync_bridge.fees import NOTHING, Offer
from medsync_protocol import stark

_VERSION: Final = 3


class Draft(Protocol):
    """What a transaction is to do."""

    def transaction(self, account: int, nonce: int, offer: Offer) -> AccountTransaction:
        """It, unsigned."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """Calls, all or none of which take place. The account's class is Cairo 1's, as every SNIP-6 account's."""

    calls: tuple[Call, ...]

    def transaction(self, account: int, nonce: int, offer: Offer) -> AccountTransaction:
        """An unsigned INVOKE."""
        return InvokeV3(
            calldata=_encode(self.calls), sender_address=account, version=_VERSION, signature=[], nonce=nonce,
            resource_bounds=offer.bounds, tip=offer.tip,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A class for everyone to deploy."""

    sierra: SierraContractClass
    compiled_class_hash: int

    def transaction(self, account: int, nonce: int, offer: Offer) -> AccountTransaction:
        """An unsigned DECLARE."""
        return DeclareV3(
            contract_class=self.sierra, compiled_class_hash=self.compiled_class_hash, sender_address=account,
            version=_VERSION, signature=[], nonce=nonce, resource_bounds=offer.bounds, tip=offer.tip,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account contract on one chain, with the key it knows."""

    address: int
    chain_id: int
    secret: int = field(repr=False)

    def sign(self, draft: Draft, nonce: int, offer: Offer) -> tuple[int, dict[str, Any]]:
        """(hash, the JSON that a node takes)."""
        unsigned = draft.transaction(self.address, nonce, offer)
        digest = unsigned.calculate_hash(self.chain_id)
        return digest, broadcast_form(replace(unsigned, signature=self.signature(digest)))

    def simulated(self, draft: Draft, nonce: int) -> AccountTransaction:
        """The transaction signed for an estimate: nobody can send it."""
        unsigned = draft.transaction(self.address, nonce, NOTHING)
        query = replace(unsigned, version=_VERSION + QUERY_VERSION_BASE)
        return replace(query, signature=self.signature(query.calculate_hash(self.chain_id)))

    def signature(self, message: int) -> list[int]:
        """[r, s] over a hash."""
        r, s = stark.sign(message, self.secret)
        return [r, s]


def _encode(calls: Iterable[Call]) -> list[int]:
    """As `__execute__` of a Cairo 1 account takes them (SNIP-6)."""
    listed = list(calls)
    felts = [len(listed)]
    for call in listed:
        felts += [call.to_addr, call.selector, len(call.calldata), *call.calldata]
    return felts
