"""starknet_getEvents: filters, pages, continuation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medsync_chain.blocks import Included
from medsync_chain.chain import Chain
from medsync_chain.block_documents import event_document
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import Event
from medsync_chain.felts import to_hex
from medsync_chain.rpc.dispatch import Method, Methods, Params
from medsync_chain.rpc.places import block_of, felt, is_pending

__all__ = ["event_methods"]

MAX_CHUNK = 10_000  # events of one answer
MAX_KEYS = 1_000  # felts in a filter
_TOKEN_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """`keys[i]` are the values that an event's i-th key may have, any for an empty set."""

    addresses: frozenset[int]
    keys: Sequence[frozenset[int]]

    def matches(self, event: Event) -> bool:
        """True when the event is wanted."""
        if self.addresses and event.address not in self.addresses:
            return False
        return all(
            not wanted or (at < len(event.keys) and event.keys[at] in wanted)
            for at, wanted in enumerate(self.keys)
        )


_Place = tuple[int, int, int]  # block, transaction, event


class Events:
    """Searches blocks in order."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def get(self, params: Params) -> Any:
        """One page."""
        request = params["filter"]
        if not isinstance(request, Mapping):
            raise Unacceptable.malformed("filter must be an object")
        size = request.get("chunk_size")
        if not isinstance(size, int) or size < 1:
            raise Unacceptable.malformed("chunk_size must be a positive number")
        if size > MAX_CHUNK:
            raise Unacceptable(Code.PAGE_SIZE_TOO_BIG, f"at most {MAX_CHUNK}")
        wanted = _filter(request)
        first, last = self._bound(request.get("from_block"), 0), self._bound(request.get("to_block"), None)
        start = max((first, 0, 0), _parse_token(request.get("continuation_token")))
        page: list[Any] = []
        for place, document in self._found(wanted, start, last):
            if len(page) == size:
                return {"events": page, "continuation_token": "-".join(map(str, place))}
            page.append(document)
        return {"events": page}

    def _bound(self, block_id: Any, default: int | None) -> int:
        pending = self._chain.pending.info.number
        if block_id is None:
            return pending - 1 if default is None else default
        if is_pending(block_id):
            return pending
        if isinstance(block_id, dict) and isinstance(block_id.get("block_number"), int):
            number: int = block_id["block_number"]
            return min(max(number, 0), pending)  # a range may reach beyond the newest block
        return block_of(self._chain, block_id).number

    def _found(self, wanted: Filter, start: _Place, last: int) -> Iterator[tuple[_Place, Any]]:
        for number in self._numbers(wanted, start[0], last):
            included, place = self._block(number)
            for index, one in enumerate(included):
                for at, event in enumerate(one.receipt.events):
                    if (number, index, at) >= start and wanted.matches(event):
                        yield (
                            (number, index, at),
                            {
                                **event_document(event),
                                **place,
                                "transaction_hash": to_hex(one.transaction.hash),
                                "transaction_index": index,
                                "event_index": at,
                            },
                        )

    def _numbers(self, wanted: Filter, first: int, last: int) -> Iterator[int]:
        yield from self._chain.history.blocks_with_events(wanted.addresses, first, last)
        if last == self._chain.pending.info.number:
            yield last

    def _block(self, number: int) -> tuple[Sequence[Included], dict[str, Any]]:
        history = self._chain.history
        if number < len(history):
            block = history.block(number)
            return block.included, {"block_hash": to_hex(block.header.hash), "block_number": number}
        return self._chain.pending.included(), {"block_number": number}


def _filter(request: Mapping[str, Any]) -> Filter:
    address, keys = request.get("address"), request.get("keys") or []
    addresses = address if isinstance(address, list) else [] if address is None else [address]
    if not isinstance(keys, list) or not all(isinstance(alternatives, list) for alternatives in keys):
        raise Unacceptable.malformed("keys must be a list of lists")
    if sum(map(len, keys)) + len(addresses) > MAX_KEYS:
        raise Unacceptable(Code.TOO_MANY_KEYS_IN_FILTER)
    return Filter(
        addresses=frozenset(felt(item, "address") for item in addresses),
        keys=[frozenset(felt(key, "keys") for key in alternatives) for alternatives in keys],
    )


def _parse_token(token: Any) -> _Place:
    if token is None:
        return 0, 0, 0
    parts = token.split("-") if isinstance(token, str) else []
    if len(parts) != _TOKEN_PARTS or not all(
        part.isascii() and part.isdigit() and len(part) < 16 for part in parts
    ):
        raise Unacceptable(Code.INVALID_CONTINUATION_TOKEN)
    block, transaction, event = map(int, parts)
    return block, transaction, event


def event_methods(chain: Chain) -> Methods:
    """By name."""
    return {"starknet_getEvents": Method(Events(chain).get, ("filter",))}
