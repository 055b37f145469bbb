"""A compiled class: its bytecode, hints and entry points, parsed and checked once. Running it is `machine.py`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from medsync_chain.vm.errors import InvalidClass
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.memory import BUILTINS

__all__ = ["CasmClass", "EntryPoint", "EntryPointType", "Hint"]

MAX_BYTECODE = 81_920  # felts; Starknet's own limit
_FELT_LIMIT = FIELD_PRIME

Hint = tuple[str, Mapping[str, Any]]  # name and its operands


class EntryPointType(StrEnum):
    """As compiled classes name them."""

    EXTERNAL = "EXTERNAL"
    L1_HANDLER = "L1_HANDLER"
    CONSTRUCTOR = "CONSTRUCTOR"


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint:
    """Where a function starts and which builtin pointers it takes, in order."""

    selector: int
    offset: int
    builtins: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CasmClass:
    """What a Sierra compiler made. `blocks` caches translated code and is shared by all runs."""

    bytecode: tuple[int, ...]
    hints: Mapping[int, tuple[Hint, ...]]
    entry_points: Mapping[EntryPointType, tuple[EntryPoint, ...]]
    segment_lengths: Any  # nested lists of ints, or None: how the class hash divides the bytecode
    blocks: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> CasmClass:
        """From the JSON document a Sierra compiler writes. Raises InvalidClass."""
        try:
            return cls(
                bytecode=_bytecode(document),
                hints={int(pc): tuple(_hint(entry) for entry in hints) for pc, hints in document["hints"]},
                entry_points={kind: _entry_points(document, kind) for kind in EntryPointType},
                segment_lengths=document.get("bytecode_segment_lengths"),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidClass(f"not a compiled class: {error!r}") from error

    def entry_point(self, kind: EntryPointType, selector: int) -> EntryPoint | None:
        """The function with this selector, or None."""
        return next((entry for entry in self.entry_points[kind] if entry.selector == selector), None)


def _bytecode(document: Mapping[str, Any]) -> tuple[int, ...]:
    if int(document["prime"], 16) != FIELD_PRIME:
        raise InvalidClass("the class is compiled for another field")
    words = tuple(int(word, 16) for word in document["bytecode"])
    if not 0 < len(words) <= MAX_BYTECODE:
        raise InvalidClass(f"{len(words)} felts of bytecode; at most {MAX_BYTECODE}")
    if any(not 0 <= word < _FELT_LIMIT for word in words):
        raise InvalidClass("bytecode beyond the field")
    return words


def _hint(entry: str | Mapping[str, Any]) -> Hint:
    if isinstance(entry, str):
        return entry, {}
    ((name, operands),) = entry.items()
    return name, operands


def _entry_points(document: Mapping[str, Any], kind: EntryPointType) -> tuple[EntryPoint, ...]:
    return tuple(_entry_point(entry) for entry in document["entry_points_by_type"][kind.value])


def _entry_point(entry: Mapping[str, Any]) -> EntryPoint:
    builtins: Sequence[str] = entry["builtins"]
    for name in builtins:
        if name not in BUILTINS and name != "segment_arena":
            raise InvalidClass(f"the class needs the builtin {name}, which this machine lacks")
    return EntryPoint(
        selector=int(entry["selector"], 16), offset=int(entry["offset"]), builtins=tuple(builtins)
    )
