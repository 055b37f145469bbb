"""The consent map against a naive one: root of the set alone, presence and absence, storage (STARKNET §2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol.consent_map import (
    ABSENT, ConsentMap, ConsentProof, Status, check, commitment, directive_key, pack_value, unpack_value,
)  # fmt: skip
from medsync_protocol.errors import Invalid, Malformed
from medsync_protocol.ids import Instant, OpId
from medsync_protocol.poseidon import FIELD_PRIME, Felt, felt_bytes, pair, tagged_hash
from medsync_protocol.refusal import AnchorRefusal
from tests.protocol.strategies import felts

# Few high bits and few low ones: paths that share long prefixes, which random keys never do.
keys = st.builds(
    lambda low, middle, high: Felt(1 + (low | middle << 100 | high << 200)),
    st.integers(0, 15), st.sampled_from([0, 1, 2**27 - 1]), st.integers(0, 3),
)  # fmt: skip
any_keys = st.one_of(keys, felts.filter(bool).map(Felt))
values = st.integers(1, 2**136 - 1).map(Felt)


@st.composite
def maps(draw: st.DrawFn) -> dict[Felt, Felt]:
    """Items of which no two share a whole path."""
    items = draw(st.dictionaries(any_keys, values, max_size=12))
    by_path = {key & (2**128 - 1): (key, value) for key, value in items.items()}
    return dict(by_path.values())


def naive_root(items: dict[Felt, Felt], depth: int = 0) -> int:
    """By the definition: 0 for none, the leaf for one, else a node over both halves."""
    if not items:
        return 0
    if len(items) == 1:
        key, value = next(iter(items.items()))
        return tagged_hash("MEDSYNC_CONSENT_1", [key, value])
    halves = [{k: v for k, v in items.items() if k >> depth & 1 == side} for side in (0, 1)]
    return pair(naive_root(halves[0], depth + 1), naive_root(halves[1], depth + 1))


@settings(max_examples=60)
@given(maps())
def test_the_root_is_the_naive_one(items: dict[Felt, Felt]) -> None:
    assert ConsentMap().put_many(items).root == naive_root(items)


@settings(max_examples=60)
@given(maps(), st.data())
def test_the_root_is_of_the_set_alone_whatever_its_history(items: dict[Felt, Felt], data: st.DataObject) -> None:
    expected = ConsentMap().put_many(items)
    order = data.draw(st.permutations(sorted(items)))
    one_by_one = ConsentMap()
    for key in order:
        one_by_one = one_by_one.put_many({key: Felt(7)}).put_many({key: items[key]})
    passing = {k: v for k, v in data.draw(maps()).items() if all((k ^ key) & (2**128 - 1) for key in items)}
    with_others = ConsentMap().put_many(passing).put_many(items).put_many(dict.fromkeys(passing, ABSENT))
    assert one_by_one.root == with_others.root == expected.root
    assert dict(one_by_one.items()) == dict(with_others.items()) == items


@settings(max_examples=60)
@given(maps(), any_keys)
def test_presence_and_absence_are_proven(items: dict[Felt, Felt], other: Felt) -> None:
    made = ConsentMap().put_many(items)
    for key in (*items, other):
        assert check(made.root, key, made.prove(key)) == made.get(key) == items.get(key, ABSENT)


@settings(max_examples=80)
@given(maps().filter(bool), st.data())
def test_a_changed_proof_is_refused_or_proves_the_same(items: dict[Felt, Felt], data: st.DataObject) -> None:
    made = ConsentMap().put_many(items)
    key = data.draw(st.sampled_from(sorted(items)))
    proof = made.prove(key)
    siblings = list(proof.siblings)
    terminal: Any = proof.terminal
    change = data.draw(st.sampled_from(["value", "no terminal", "sibling", "shorter", "longer", "key"]))
    if change == "value":
        terminal = (key, Felt(terminal[1] + 1))
    elif change == "no terminal":
        terminal = None
    elif change == "key":
        terminal = (Felt((terminal[0] + 2**130) % FIELD_PRIME), terminal[1])
    elif change == "longer":
        siblings.insert(data.draw(st.integers(0, len(siblings))), data.draw(felts.map(Felt)))
    elif siblings:
        at = data.draw(st.integers(0, len(siblings) - 1))
        if change == "shorter":
            del siblings[at]
        else:
            siblings[at] = Felt((siblings[at] + 1) % FIELD_PRIME)
    forged = ConsentProof(siblings=tuple(siblings), terminal=terminal)
    if forged == proof:
        return
    with pytest.raises(AnchorRefusal):
        check(made.root, key, forged)


def test_a_leaf_elsewhere_proves_no_absence_here() -> None:
    items = {Felt(0b01): Felt(1), Felt(0b11): Felt(2), Felt(0b10): Felt(3)}
    made = ConsentMap().put_many(items)
    with pytest.raises(AnchorRefusal):
        check(made.root, 0b11, made.prove(Felt(0b01)))
    with pytest.raises(AnchorRefusal):
        check(made.root, 0b00, ConsentProof(siblings=(), terminal=None))


@given(st.integers(-1, 2**300), st.lists(st.integers(-1, 2**300), max_size=130), st.none() | st.tuples(st.integers(-1, 2**300), st.integers(-1, 2**300)))
def test_arbitrary_proofs_are_invalid(key: int, siblings: list[int], terminal: Any) -> None:
    with pytest.raises(Invalid):
        check(5, key, ConsentProof(siblings=tuple(map(Felt, siblings)), terminal=terminal))


@settings(max_examples=60)
@given(maps(), maps())
def test_stored_nodes_follow_the_changes_and_restore_the_map(first: dict[Felt, Felt], then: dict[Felt, Felt]) -> None:
    clash = {k & (2**128 - 1) for k in first}
    then = {k: v for k, v in then.items() if k in first or k & (2**128 - 1) not in clash}
    gone = {key: ABSENT for key in list(first)[::2] if key not in then}
    store: dict[bytes, bytes] = {}
    before = ConsentMap()
    for change in (first, {**then, **gone}, {}):
        after = before.put_many(change)
        added, dropped = after.changes_since(before)
        assert dropped <= store.keys()
        for name in dropped:
            del store[name]
        store |= added
        before = after
        restored = ConsentMap.restore(after.root, store)
        assert restored.root == after.root and dict(restored.items()) == dict(after.items())
    for name in store:
        with pytest.raises(Malformed):
            ConsentMap.restore(before.root, {other: node for other, node in store.items() if other != name})


def test_an_empty_map_restores_from_nothing() -> None:
    assert ConsentMap.restore(ABSENT, {}).root == ABSENT == ConsentMap().root


def test_two_keys_on_one_path_are_refused_for_all_alike() -> None:
    twin = Felt(5 + 2**130)
    for made in ({Felt(5): Felt(1), twin: Felt(2)}, {twin: Felt(2), Felt(5): Felt(1)}):
        with pytest.raises(Malformed):
            ConsentMap().put_many(made)
    with pytest.raises(Malformed):
        ConsentMap().put_many({Felt(5): Felt(1)}).put_many({twin: Felt(2)})


@given(st.sampled_from(Status), st.integers(0, 2**64 - 1), st.none() | st.integers(0, 2**64 - 2))
def test_a_value_unpacks_to_what_was_packed(status: Status, valid_from: int, until: int | None) -> None:
    packed = pack_value(status, Instant(valid_from), None if until is None else Instant(until))
    assert unpack_value(packed) == (status, valid_from, until)


@pytest.mark.parametrize("value", [-1, 0, 6, 255, 1 << 136, FIELD_PRIME])
def test_what_packs_to_nothing_unpacks_to_nothing(value: int) -> None:
    with pytest.raises(Malformed):
        unpack_value(value)


def test_a_commitment_hides_behind_its_salt_and_names_one_entry() -> None:
    made = {commitment(salt, OpId(op), index) for salt in (b"s" * 32, b"t" * 32) for op in (b"o" * 32, b"p" * 32) for index in (0, 1)}
    assert len(made) == len({directive_key(each) for each in made}) == 8
    for salt, op in ((b"s" * 31, b"o" * 32), (b"s" * 32, b"o" * 33)):
        with pytest.raises(Malformed):
            commitment(salt, OpId(op), 0)


def test_a_value_is_stored_by_the_hash_of_its_node() -> None:
    made = ConsentMap().put_many({Felt(5): Felt(6)})
    assert list(made.changes_since(ConsentMap())[0]) == [felt_bytes(made.root)]
