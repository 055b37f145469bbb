"""Which settled checkpoint holds an operation first, and what lay below each: for what must be judged as of then, for good."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from medsync_protocol.certificate import Accepted
from medsync_protocol.chains import Vector
from medsync_protocol.ids import ChainId


class SettledCuts:
    """Of one context: `history` begins with the opening, as `Acceptance.history`; `settled` is the newest k that counts."""

    def __init__(self, history: Sequence[Accepted], settled: int) -> None:
        self._history, self._settled = history, settled

    @property
    def time(self) -> int:
        """Of the newest, in seconds: no clock of this machine is asked."""
        return self._history[self._settled].statement.not_before

    @property
    def newest(self) -> Vector:
        """What the newest holds."""
        return self.at(self._settled)

    def at(self, k: int) -> Vector:
        """Chain → next seq of what checkpoint k holds."""
        return self._history[k].cut.vector

    def first(self, chain: ChainId, seq: int) -> int | None:
        """The first settled checkpoint that holds the operation; None for none. Cuts only grow."""
        k = bisect_left(range(self._settled + 1), True, key=lambda k: self.at(k).get(chain, 0) > seq)
        return k if k <= self._settled else None
