"""The chains a replica holds: per operation a slot with what verdicts and sync need; bodies are the journal's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from medsync_protocol.ids import ChainId, KeyId, OpId, Seen
from medsync_protocol.kinds import Verdict
from medsync_protocol.operation import NO_OP, Header

Vector = dict[ChainId, int]
"""Chain → how many of its operations are held (the next seq)."""


@dataclass(slots=True)
class Slot:
    """One held operation. `verdict` follows the set of operations until it is final."""

    op_id: OpId
    plane: int
    heads: tuple[OpId, ...]
    key_id: KeyId
    hlc: int
    seen: Seen
    verdict: Verdict = Verdict.EFFECTIVE
    final: bool = False


class Chains:
    """Slots by chain and seq, and the interned heads, key ids and checkpoints they share."""

    def __init__(self) -> None:
        self._slots: dict[ChainId, list[Slot]] = {}
        self._heads: dict[tuple[OpId, ...], tuple[OpId, ...]] = {}
        self._keys: dict[KeyId, KeyId] = {}
        self._seen: dict[Seen, Seen] = {}
        self._final: Vector = {}

    def next_seq(self, chain: ChainId) -> int:
        """How many operations of the chain are held."""
        return len(self._slots.get(chain, ()))

    def head(self, chain: ChainId) -> OpId:
        """Id of the chain's last held operation, NO_OP for none."""
        slots = self._slots.get(chain)
        return slots[-1].op_id if slots else NO_OP

    def slot(self, chain: ChainId, seq: int) -> Slot:
        """Raises KeyError or IndexError for what is not held."""
        return self._slots[chain][seq]

    def append(self, op_id: OpId, header: Header) -> Slot:
        """Hold the next operation of its chain."""
        slots = self._slots.setdefault(header.chain, [])
        assert header.seq == len(slots), "callers append in order"
        heads = self._heads.setdefault(header.membership_heads, header.membership_heads)
        key_id = self._keys.setdefault(header.key_id, header.key_id)
        seen = self._seen.setdefault(header.seen, header.seen)
        slot = Slot(op_id, header.plane, heads, key_id, header.hlc, seen)
        slots.append(slot)
        return slot

    def cut_back(self, chain: ChainId, first: int) -> None:
        """Hold the operations from `first` on no more."""
        del self._slots[chain][first:]

    def vector(self) -> Vector:
        """What is held, exactly."""
        return {chain: len(slots) for chain, slots in self._slots.items()}

    def above(self, vector: Vector) -> Iterator[tuple[ChainId, int, Slot]]:
        """Every held operation not below `vector`, by chain, then seq."""
        for chain in sorted(self._slots):
            slots = self._slots[chain]
            for seq in range(vector.get(chain, 0), len(slots)):
                yield chain, seq, slots[seq]

    def final_count(self, chain: ChainId) -> int:
        """How many of the chain's operations have final verdicts."""
        return self._final.get(chain, 0)

    def open_slots(self) -> Iterator[tuple[ChainId, int, Slot]]:
        """Every held operation above the settled part of its chain, by chain, then seq."""
        return self.above(self._final)

    def mark_final(self, chain: ChainId, seq: int) -> None:
        """The operation's verdict is final; those before it on its chain are too."""
        self._slots[chain][seq].final = True
        self._final[chain] = max(self._final.get(chain, 0), seq + 1)

    def mark_open(self, chain: ChainId, seq: int) -> None:
        """The verdict is no longer final; those after it on its chain are not either."""
        self._slots[chain][seq].final = False
        self._final[chain] = min(self._final.get(chain, 0), seq)

    def between(self, low: Vector, high: Vector) -> Iterator[tuple[ChainId, int, Slot]]:
        """Every held operation at or above `low` and below `high`, by chain, then seq: a checkpoint's order."""
        for chain in sorted(high):
            slots = self._slots.get(chain, [])
            for seq in range(low.get(chain, 0), min(high[chain], len(slots))):
                yield chain, seq, slots[seq]

    def covers(self, vector: Vector) -> bool:
        """True when everything below `vector` is held."""
        return all(self.next_seq(chain) >= upto for chain, upto in vector.items())

    def differing(self, heads: Iterable[tuple[ChainId, int, OpId]]) -> Iterator[tuple[ChainId, int]]:
        """Of (chain, count, id of the last): places where another operation is held here."""
        for chain, count, op_id in heads:
            if 0 < count <= self.next_seq(chain) and self._slots[chain][count - 1].op_id != op_id:
                yield chain, count - 1

    def chains(self) -> list[ChainId]:
        """Chains held, ascending."""
        return sorted(self._slots)
