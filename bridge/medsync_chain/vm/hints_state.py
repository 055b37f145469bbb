"""Hints that remember something from one to the next: dictionaries, their squashing, and comparisons of felts.

What they remember lives in `HintState`, one per run. Semantics as in `hints.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medsync_chain.vm.errors import VmError
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.hints import HintKind
from medsync_chain.vm.memory import SEGMENT_BITS

if TYPE_CHECKING:
    from medsync_chain.vm.machine import Machine

__all__ = ["STATEFUL_HINTS", "HintState"]

MAX_SQUASHED = 1 << 20  # accesses of one dictionary; the bound StarkWare's own runner sets
_RANGE_CHECK_BOUND = 1 << 128
_ACCESS_CELLS = 3
_THIRD = 3_544_607_988_759_775_765_608_368_578_435_044_694  # ⌈P/3⌉ over 2^128, as the compiler writes it
_HALF = 5_316_911_983_139_663_648_412_552_867_652_567_041


@dataclass(slots=True)
class HintState:
    """Dictionaries by their segment, in the order they were made; the squash and the comparison under way."""

    dictionaries: dict[int, dict[int, int]] = field(default_factory=dict)
    squash_keys: list[int] = field(default_factory=list)  # descending
    squash_accesses: dict[int, list[int]] = field(default_factory=dict)  # key → its accesses, descending
    squash_key: int = 0
    squash_index: int = 0
    excluded_arc: int = 0


def _dictionary(machine: Machine, pointer: int) -> dict[int, int]:
    known = machine.hint_state.dictionaries.get(pointer >> SEGMENT_BITS)
    if known is None:
        raise VmError("a dictionary hint on what is no dictionary")
    return known


def _alloc_dictionary(machine: Machine, arena: int) -> tuple[()]:
    memory = machine.memory
    segment = machine.new_segment()
    machine.hint_state.dictionaries[segment >> SEGMENT_BITS] = {}
    memory.write(memory.read(arena - 3) + 3 * memory.read(arena - 2), segment)
    return ()


def _arena_index(machine: Machine, dictionary_end: int) -> tuple[int]:
    segment = dictionary_end >> SEGMENT_BITS
    _dictionary(machine, dictionary_end)
    return (list(machine.hint_state.dictionaries).index(segment),)


def _entry_init(machine: Machine, pointer: int, key: int) -> tuple[()]:
    machine.memory.write(pointer + 1, _dictionary(machine, pointer).setdefault(key, 0))
    return ()


def _entry_update(machine: Machine, pointer: int, value: int) -> tuple[()]:
    _dictionary(machine, pointer)[machine.memory.read(pointer - 3)] = value
    return ()


def _init_squash(machine: Machine, accesses: int, span: int, count: int) -> tuple[int, int]:
    if span % _ACCESS_CELLS or not 0 < count <= MAX_SQUASHED:
        raise VmError("a dictionary cannot be squashed: odd size or too many accesses")
    indices: dict[int, list[int]] = {}
    for index in range(count):
        indices.setdefault(machine.memory.read(accesses + _ACCESS_CELLS * index), []).append(index)
    state = machine.hint_state
    state.squash_keys = sorted(indices, reverse=True)
    state.squash_accesses = {key: found[::-1] for key, found in indices.items()}
    has_big_keys = int(state.squash_keys[0] >= _RANGE_CHECK_BOUND)
    state.squash_key = state.squash_keys.pop()
    return has_big_keys, state.squash_key


def _current_accesses(machine: Machine) -> list[int]:
    return machine.hint_state.squash_accesses[machine.hint_state.squash_key]


def _current_access_index(machine: Machine, range_check: int) -> tuple[()]:
    machine.hint_state.squash_index = _current_accesses(machine).pop()
    machine.memory.write(range_check, machine.hint_state.squash_index)
    return ()


def _access_delta(machine: Machine) -> tuple[int]:
    state = machine.hint_state
    previous, state.squash_index = state.squash_index, _current_accesses(machine).pop()
    return (state.squash_index - previous - 1,)


def _next_key(machine: Machine) -> tuple[int]:
    state = machine.hint_state
    if not state.squash_keys:
        raise VmError("a dictionary's squash asks for more keys than it has")
    state.squash_key = state.squash_keys.pop()
    return (state.squash_key,)


def _small_arcs(machine: Machine, range_check: int, a: int, b: int) -> tuple[()]:
    if a > b:
        raise VmError("a comparison's hint was given its operands in the wrong order")
    arcs: Sequence[tuple[int, int]] = sorted([(a, 0), (b - a, 1), (FIELD_PRIME - 1 - b, 2)])
    machine.hint_state.excluded_arc = arcs[2][1]
    for offset, (length, divisor) in enumerate(((arcs[0][0], _THIRD), (arcs[1][0], _HALF))):
        machine.memory.write(range_check + 2 * offset, length % divisor)
        machine.memory.write(range_check + 2 * offset + 1, length // divisor)
    return ()


STATEFUL_HINTS: dict[str, HintKind] = {
    "AllocFelt252Dict": HintKind(inputs=("segment_arena_ptr",), run=_alloc_dictionary),
    "GetSegmentArenaIndex": HintKind(inputs=("dict_end_ptr",), outputs=("dict_index",), run=_arena_index),
    "Felt252DictEntryInit": HintKind(inputs=("dict_ptr", "key"), run=_entry_init),
    "Felt252DictEntryUpdate": HintKind(inputs=("dict_ptr", "value"), run=_entry_update),
    "InitSquashData": HintKind(
        inputs=("dict_accesses", "ptr_diff", "n_accesses"),
        outputs=("big_keys", "first_key"),
        run=_init_squash,
    ),
    "GetCurrentAccessIndex": HintKind(inputs=("range_check_ptr",), run=_current_access_index),
    "ShouldSkipSquashLoop": HintKind(
        outputs=("should_skip_loop",), run=lambda machine: (int(not _current_accesses(machine)),)
    ),
    "GetCurrentAccessDelta": HintKind(outputs=("index_delta_minus1",), run=_access_delta),
    "ShouldContinueSquashLoop": HintKind(
        outputs=("should_continue",), run=lambda machine: (int(bool(_current_accesses(machine))),)
    ),
    "GetNextDictKey": HintKind(outputs=("next_key",), run=_next_key),
    "AssertLeFindSmallArcs": HintKind(inputs=("range_check_ptr", "a", "b"), run=_small_arcs),
    "AssertLeIsFirstArcExcluded": HintKind(
        outputs=("skip_exclude_a_flag",), run=lambda machine: (int(machine.hint_state.excluded_arc != 0),)
    ),
    "AssertLeIsSecondArcExcluded": HintKind(
        outputs=("skip_exclude_b_minus_a",), run=lambda machine: (int(machine.hint_state.excluded_arc != 1),)
    ),
}
