"""The mountain range against a naive one: roots, growth, paths, storage, and proofs that lie (STARKNET §2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol.errors import Invalid, Malformed
from medsync_protocol.log import (
    EMPTY_LOG_ROOT, MAX_LOG_SIZE, Log, extend, log_root, operation_leaf, verify_append, verify_entry,
)  # fmt: skip
from medsync_protocol.poseidon import FIELD_PRIME, pair
from medsync_protocol.refusal import AnchorRefusal, Reason
from tests.protocol.strategies import felts

LARGEST = 40


def naive_tree(leaves: list[int]) -> int:
    """Root of a perfect tree."""
    while len(leaves) > 1:
        leaves = [pair(a, b) for a, b in zip(leaves[::2], leaves[1::2], strict=True)]
    return leaves[0]


def naive_peaks(leaves: list[int]) -> list[int]:
    """Perfect trees over the binary digits of the count, largest first."""
    peaks, at = [], 0
    for height in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> height & 1:
            peaks.append(naive_tree(leaves[at : at + (1 << height)]))
            at += 1 << height
    return peaks


LEAVES = [int(operation_leaf(bytes([n]) * 32, n % 3)) for n in range(LARGEST)]
FULL = Log()
FULL.append(LEAVES)


@pytest.mark.parametrize("size", range(LARGEST + 1))
def test_peaks_root_and_paths_are_the_naive_ones(size: int) -> None:
    grown = Log()
    grown.append(LEAVES[:size])
    assert grown.peaks() == FULL.peaks(size) == naive_peaks(LEAVES[:size])
    assert grown.root() == FULL.root(size) == log_root(size, naive_peaks(LEAVES[:size]))
    for index in range(size):
        verify_entry(grown.root(), size, index, LEAVES[index], grown.peaks(), FULL.path(index, size))


def test_every_size_extends_to_every_larger_one() -> None:
    for old in range(LARGEST):
        for new in range(old + 1, LARGEST + 1):
            verify_append(old, FULL.root(old), FULL.peaks(old), new, FULL.root(new), FULL.append_proof(old, new))


@settings(max_examples=40)
@given(st.lists(felts, max_size=20), st.lists(felts, min_size=1, max_size=20), st.lists(felts, min_size=1, max_size=20))
def test_a_log_that_was_rewritten_has_no_append_proof(before: list[int], other: list[int], more: list[int]) -> None:
    mine, theirs = Log(), Log()
    mine.append([*before, *other])
    theirs.append([*before, *other[:-1], (other[-1] + 1) % FIELD_PRIME, *more])
    with pytest.raises(AnchorRefusal) as refused:
        verify_append(
            mine.size, mine.root(), mine.peaks(), theirs.size, theirs.root(), theirs.append_proof(mine.size)
        )
    assert refused.value.reason is Reason.BAD_APPEND_PROOF


@settings(max_examples=150)
@given(st.data())
def test_a_changed_proof_never_holds(data: st.DataObject) -> None:
    old = data.draw(st.integers(1, LARGEST - 1))
    new = data.draw(st.integers(old + 1, LARGEST))
    peaks, nodes = FULL.peaks(old), list(FULL.append_proof(old, new))
    where = data.draw(st.sampled_from([peaks, nodes]))
    change = data.draw(st.sampled_from(["value", "gone", "more"]))
    at = data.draw(st.integers(0, len(where) - 1))
    if change == "value":
        where[at] = (where[at] + 1) % FIELD_PRIME  # type: ignore[call-overload]
    elif change == "gone":
        del where[at]
    else:
        where.insert(at, data.draw(felts))
    with pytest.raises(AnchorRefusal):
        verify_append(old, FULL.root(old), peaks, new, FULL.root(new), nodes)


@settings(max_examples=100)
@given(st.integers(0, 2**33), st.lists(st.integers(-1, 2**300), max_size=9), st.integers(0, 2**33), st.lists(st.integers(-1, 2**300), max_size=9))
def test_arbitrary_numbers_are_invalid_or_extend(old: int, peaks: list[int], new: int, nodes: list[int]) -> None:
    try:
        extended = extend(old, peaks, new, nodes)
    except Invalid:
        return
    assert len(extended) <= len(peaks) + len(nodes) + 1


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [(3, 3, Reason.LOG_NOT_LARGER), (3, 2, Reason.LOG_NOT_LARGER), (3, MAX_LOG_SIZE + 1, Reason.LOG_TOO_LARGE)],
)
def test_a_log_grows_and_has_an_end(old: int, new: int, reason: Reason) -> None:
    with pytest.raises(AnchorRefusal) as refused:
        extend(old, FULL.peaks(old), new, [])
    assert refused.value.reason is reason


def test_an_entry_stands_at_its_index_only() -> None:
    size = 21
    peaks, root = FULL.peaks(size), FULL.root(size)
    for index in range(size):
        path = FULL.path(index, size)
        for other in range(size):
            if other != index:
                with pytest.raises(AnchorRefusal):
                    verify_entry(root, size, other, LEAVES[index], peaks, path)
        with pytest.raises(AnchorRefusal):
            verify_entry(root, size, index, LEAVES[index] + 1, peaks, path)
        with pytest.raises(AnchorRefusal):
            verify_entry(root, size + 1, index, LEAVES[index], peaks, path)
    with pytest.raises(AnchorRefusal):
        verify_entry(root, size, size, LEAVES[0], peaks, [])
    with pytest.raises(Malformed):
        verify_entry(root, size, 0, FIELD_PRIME, peaks, FULL.path(0, size))


def test_stored_nodes_restore_the_log_and_torn_ones_do_not() -> None:
    stored, grown = b"", Log()
    for leaf in LEAVES:
        stored += grown.append([leaf])
        restored = Log(stored)
        assert (restored.size, restored.root()) == (grown.size, grown.root())
    assert stored == FULL.nodes
    complete = {len(Log(FULL.nodes[: 32 * count]).nodes) for count in range(len(stored) // 32 + 1) if _is_log(32 * count)}
    assert len(complete) == LARGEST + 1
    for torn in (1, 31, 33, len(stored) - 1):
        with pytest.raises(Malformed):
            Log(stored[:torn])


def _is_log(size: int) -> bool:
    try:
        Log(FULL.nodes[:size])
    except Malformed:
        return False
    return True


def test_a_candidate_that_was_not_accepted_leaves_no_trace() -> None:
    grown = Log()
    grown.append(LEAVES[:11])
    before = grown.nodes
    grown.append(LEAVES[11:30])
    grown.truncate(11)
    assert (grown.nodes, grown.root()) == (before, FULL.root(11))
    for size in (-1, 12):
        with pytest.raises(Malformed):
            grown.truncate(size)


def test_the_empty_log_has_a_root_that_no_leaf_gives() -> None:
    assert Log().root() == EMPTY_LOG_ROOT
    assert EMPTY_LOG_ROOT not in {FULL.root(size) for size in range(1, LARGEST + 1)}


def test_a_leaf_says_which_operation_and_which_verdict() -> None:
    assert len({operation_leaf(op, verdict) for op in (b"a" * 32, b"b" * 32) for verdict in (0, 1, 2)}) == 6
