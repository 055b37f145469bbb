"""Verdicts by operation, in layers that growing states share. How they come about is membership_judging.py's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from medsync_protocol.ids import OpId
from medsync_protocol.kinds import Verdict

MAX_LAYERS: Final = 48  # looked through for one verdict; more are merged into one


class Verdicts(Mapping[OpId, Verdict]):
    """An immutable mapping: `own` over `below`."""

    __slots__ = ("_below", "_depth", "_own", "_size")

    def __init__(self, own: Mapping[OpId, Verdict] | None = None, below: Verdicts | None = None) -> None:
        self._own: dict[OpId, Verdict] = dict(own or {})
        if below is not None and below._depth >= MAX_LAYERS:
            merged = dict(below.items())
            merged.update(self._own)
            self._own, below = merged, None
        self._below = below
        self._depth: int = 1 if below is None else below._depth + 1
        self._size: int = len(self._own) + (0 if below is None else below._size)

    def __getitem__(self, op_id: OpId) -> Verdict:
        layer: Verdicts | None = self
        while layer is not None:
            found = layer._own.get(op_id)
            if found is not None:
                return found
            layer = layer._below
        raise KeyError(op_id)

    def __iter__(self) -> Iterator[OpId]:
        for layer in self._layers():
            yield from layer._own

    def __len__(self) -> int:
        return self._size

    def _layers(self) -> Iterator[Verdicts]:
        layer: Verdicts | None = self
        while layer is not None:
            yield layer
            layer = layer._below

    def since(self, before: Verdicts | None) -> Iterator[tuple[OpId, Verdict]]:
        """Those that may be others than in `before`, which is a state of fewer operations."""
        shared = set() if before is None else {id(layer) for layer in before._layers()}
        for layer in self._layers():
            if id(layer) in shared:
                return
            yield from layer._own.items()
