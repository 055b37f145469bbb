"""Overlays, versions of the state per block, and the tries over it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_chain.hashes import poseidon_pair
from medsync_chain.ledger import Ledger
from medsync_chain.patricia import Trie
from medsync_chain.state import State, StateDiff
from medsync_chain.tries import StateTries
from medsync_chain.vm.field import FIELD_PRIME

HEIGHT = 5
CHANGES = st.lists(st.tuples(st.integers(0, 2**HEIGHT - 1), st.integers(0, 3)), max_size=40)


def test_what_is_undone_was_never_there() -> None:
    state = State(Ledger().at())
    state.set_storage(1, 2, 3)
    mark = state.mark()
    state.set_storage(1, 2, 4)
    state.set_storage(1, 9, 9)
    state.set_nonce(1, 7)
    state.set_class(5, 6)
    state.declare(6, 7)
    state.undo(mark)
    assert (state.storage(1, 2), state.storage(1, 9), state.nonce(1), state.class_at(5)) == (3, 0, 0, 0)
    assert state.diff() == StateDiff(storage={1: {2: 3}})


def test_a_change_back_is_no_change() -> None:
    ledger = Ledger()
    ledger.apply(0, StateDiff(storage={1: {2: 3}}, deployed={1: 8}, nonces={1: 1}))
    state = State(ledger.at())
    state.set_storage(1, 2, 5)
    state.set_storage(1, 2, 3)
    state.set_class(1, 9)
    state.set_class(2, 9)
    assert state.diff() == StateDiff(deployed={2: 9}, replaced={1: 9})


def test_every_block_keeps_its_state_and_the_newest_can_be_taken_back() -> None:
    ledger = Ledger()
    first = StateDiff(storage={1: {2: 3}}, deployed={1: 8})
    third = StateDiff(storage={1: {2: 5}}, replaced={1: 9}, nonces={1: 4})
    ledger.apply(1, first)
    ledger.apply(3, third)
    assert [ledger.at(block).storage(1, 2) for block in (0, 1, 2, 3, None)] == [0, 3, 3, 5, 5]
    assert [ledger.at(block).class_at(1) for block in (0, 1, 3)] == [0, 8, 9]
    assert ledger.at().storage_updated(1, 2) == 3
    ledger.take_back(3, third)
    assert (ledger.at().storage(1, 2), ledger.at().class_at(1), ledger.at().nonce(1)) == (3, 8, 0)


def naive_root(values: dict[int, int], height: int) -> int:
    """The documentation's definition, word for word: (length, path, bottom) of every node, from the leaves up."""

    def node(prefix: int, level: int) -> tuple[int, int, int]:
        if level == 0:
            return 0, 0, values.get(prefix, 0)
        left, right = node(prefix << 1, level - 1), node(prefix << 1 | 1, level - 1)
        if left[2] == 0 and right[2] == 0:
            return 0, 0, 0
        if right[2] == 0:
            return left[0] + 1, left[1], left[2]
        if left[2] == 0:
            return right[0] + 1, right[1] + (1 << right[0]), right[2]
        return 0, 0, poseidon_pair(hashed(left), hashed(right))

    def hashed(found: tuple[int, int, int]) -> int:
        length, path, bottom = found
        return bottom if length == 0 else (poseidon_pair(bottom, path) + length) % FIELD_PRIME

    return hashed(node(0, height))


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_a_trie_is_what_the_documentation_defines_whatever_came_and_went(
    changes: list[tuple[int, int]],
) -> None:
    trie = Trie(HEIGHT, poseidon_pair)
    values: dict[int, int] = {}
    for key, value in changes:
        trie = trie.updated([(key, value)])
        values[key] = value
    assert trie.root == naive_root(values, HEIGHT)
    assert trie.root == Trie(HEIGHT, poseidon_pair).updated(values.items()).root
    assert all(trie.get(key) == values.get(key, 0) for key in range(2**HEIGHT))


@settings(max_examples=30, deadline=None)
@given(CHANGES, st.integers(0, 2**HEIGHT - 1))
def test_a_path_through_a_trie_proves_what_is_at_its_end(changes: list[tuple[int, int]], key: int) -> None:
    trie = Trie(HEIGHT, poseidon_pair).updated(changes)
    path = trie.path(key)
    assert len(path) <= HEIGHT
    if path:
        assert trie.hash_of(path[0]) == trie.root


def test_versions_of_a_trie_do_not_disturb_each_other() -> None:
    old = Trie(HEIGHT, poseidon_pair).updated([(1, 1), (9, 2)])
    root = old.root
    new = old.updated([(1, 0), (30, 3)])
    assert (old.root, old.get(1), new.get(1), new.get(30)) == (root, 1, 0, 3)


def test_a_comb_of_two_hundred_levels_is_no_trouble() -> None:
    keys = [1 << bit for bit in range(250)]
    trie = Trie(251, poseidon_pair).updated((key, 1) for key in keys)
    assert trie.root == Trie(251, poseidon_pair).updated((key, 1) for key in reversed(keys)).root


def test_the_root_covers_cells_classes_and_nonces() -> None:
    diffs = [
        StateDiff(deployed={1: 8}),
        StateDiff(deployed={1: 8}, nonces={1: 1}),
        StateDiff(deployed={1: 8}, storage={1: {5: 1}}),
        StateDiff(deployed={1: 8}, declared={8: 9}),
    ]
    roots = set()
    for diff in diffs:
        ledger = Ledger()
        ledger.apply(0, diff)
        roots.add(StateTries().updated(diff, ledger.at()).root)
    assert len(roots) == len(diffs)
    assert StateTries().root == 0


def test_only_the_newest_block_can_be_taken_back() -> None:
    ledger = Ledger()
    diff = StateDiff(nonces={1: 1})
    ledger.apply(1, diff)
    ledger.apply(2, StateDiff(nonces={1: 2}))
    with pytest.raises(AssertionError):
        ledger.take_back(1, diff)
