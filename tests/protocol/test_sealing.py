"""Epoch and subject keys: who can open what, before and after a rotation (PROTOCOL §§2, 4; K1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.application import Draft
from medsync_protocol.crypto import blake2b, sealing_public
from medsync_protocol.errors import Invalid, Malformed, Refused
from medsync_protocol.ids import KeyId, MemberId, SubjectRef
from medsync_protocol.kinds import Audience, EntryKind
from medsync_protocol.operation import decode_label
from medsync_protocol.sealing import (
    KeyRing, gossip_keys, key_id_of, make_rotation, recipients_of, split_tags, wrap_key,
)  # fmt: skip
from tests.protocol.strategies import damaged

PLACE, NONCE = b"place" * 6, b"n" * 24
SUBJECT, SUBJECT_KEY = SubjectRef(b"a pseudonym, 16."), b"s" * 32
NAMES = ("ann", "bea", "lab")
SECRETS = {name: blake2b(b"sealing", name.encode()) for name in NAMES}
MEMBERS = {name: MemberId(blake2b(b"member", name.encode())) for name in NAMES}
SEALING_KEYS = {MEMBERS[name]: sealing_public(SECRETS[name]) for name in NAMES}


class Entropy:
    """Numbers every draw."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, label: str, size: int) -> bytes:
        self.drawn += 1
        return blake2b(label.encode(), self.drawn.to_bytes(4, "big"), size=size)


ENTROPY = Entropy()


def seal(ring: KeyRing, key_id: KeyId, *drafts: Draft) -> list[tuple[bytes, bytes]]:
    """As an author of the ring would."""
    return ring.seal_entries(drafts, key_id=key_id, nonce=NONCE, place=PLACE, sealing_keys=SEALING_KEYS)


def opened(ring: KeyRing, key_id: KeyId, ciphertext: bytes, index: int = 0) -> tuple[SubjectRef | None, bytes | None] | None:
    """As a reader of the ring would."""
    return ring.open_entry(ciphertext, index, key_id=key_id, nonce=NONCE, place=PLACE)


def ring_of(name: str, *keys: bytes) -> KeyRing:
    """A member's ring that holds these epoch keys and the subject's."""
    ring = KeyRing(SECRETS[name])
    for key in keys:
        ring.take(key)
    ring.set_subjects({SUBJECT: SUBJECT_KEY})
    return ring


NOTE = Draft(kind=EntryKind.NOTE, payload=b"about nobody")
ABOUT = Draft(kind=EntryKind.DIRECTIVE, payload=b"about the patient", subject=SUBJECT)


def test_a_removed_member_opens_nothing_written_after_the_rotation_old_subjects_included() -> None:
    old, new = b"1" * 32, b"2" * 32
    lab, ann = ring_of("lab", old), ring_of("ann", old)
    rotation = make_rotation(
        epoch=2, key=new, recipients=recipients_of(SEALING_KEYS, [MEMBERS["lab"]]), previous=old, entropy=ENTROPY
    )
    assert lab.learn(rotation, MEMBERS["lab"]) == ([], False)
    assert ann.learn(rotation, MEMBERS["ann"]) == ([key_id_of(new)], False)
    assert MEMBERS["lab"] not in dict(rotation.wraps)
    for draft in (NOTE, ABOUT):
        _, ciphertext = seal(ann, key_id_of(new), draft)[0]
        assert opened(lab, key_id_of(new), ciphertext) is None
        assert opened(ann, key_id_of(new), ciphertext) == (draft.subject, draft.payload)
        for wrap in dict(rotation.wraps).values():
            assert lab.learn_box(key_id_of(new), wrap) == ([], True)
        _, before = seal(ann, key_id_of(old), draft)[0]
        assert opened(lab, key_id_of(old), before) == (draft.subject, draft.payload), "what it could read, it still can"


def test_history_chains_backwards_to_a_newcomer_in_whatever_order_it_learns() -> None:
    keys = [bytes([n]) * 32 for n in range(1, 6)]
    rotations = [
        make_rotation(epoch=n + 1, key=key, recipients=SEALING_KEYS, previous=keys[n - 1] if n else None, entropy=ENTROPY)
        for n, key in enumerate(keys)
    ]
    for order in (rotations, rotations[::-1]):
        newcomer = KeyRing(b"z" * 32)
        gained: set[KeyId] = set()
        for rotation in order:
            gained |= set(newcomer.learn(rotation, MemberId(b"Z" * 32))[0])
        assert not gained, "no box is for it"
        gained |= set(newcomer.take(keys[-1]))
        assert gained == {key_id_of(key) for key in keys} == set(newcomer.epochs())


def test_a_box_that_does_not_hold_the_named_key_is_reported() -> None:
    ring = ring_of("ann")
    wrong = wrap_key(b"w" * 32, SEALING_KEYS[MEMBERS["ann"]], ENTROPY)
    assert ring.learn_box(KeyId(b"k" * 32), wrong) == ([], True)
    assert ring.learn_box(KeyId(b"k" * 32), b"no box") == ([], True)
    assert KeyId(b"k" * 32) not in ring
    right = wrap_key(b"w" * 32, SEALING_KEYS[MEMBERS["ann"]], ENTROPY)
    assert ring.learn_box(key_id_of(b"w" * 32), right) == ([key_id_of(b"w" * 32)], False)


def test_a_lying_history_gives_no_key() -> None:
    new = b"2" * 32
    rotation = make_rotation(epoch=2, key=new, recipients=SEALING_KEYS, previous=b"1" * 32, entropy=ENTROPY)
    assert rotation.previous is not None
    ring = ring_of("ann")
    ring.learn(type(rotation)(epoch=2, key_id=rotation.key_id, wraps=(), previous=(KeyId(b"l" * 32), rotation.previous[1])), MEMBERS["ann"])
    assert ring.take(new) == [key_id_of(new)]


def test_reading_about_a_subject_needs_both_keys() -> None:
    author = ring_of("ann", b"1" * 32)
    key_id = key_id_of(b"1" * 32)
    _, ciphertext = seal(author, key_id, ABOUT)[0]
    without_subject, without_epoch = KeyRing(SECRETS["bea"]), ring_of("bea")
    without_subject.take(b"1" * 32)
    assert opened(without_subject, key_id, ciphertext) == (SUBJECT, None)
    assert opened(without_epoch, key_id, ciphertext) is None
    without_subject.set_subjects({SUBJECT: SUBJECT_KEY})
    assert opened(without_subject, key_id, ciphertext) == (SUBJECT, ABOUT.payload)
    without_subject.set_subjects({})
    assert opened(without_subject, key_id, ciphertext) == (SUBJECT, None), "a destroyed key leaves no derived one behind"
    assert SUBJECT not in ciphertext


def test_an_unknown_subject_cannot_be_written_about() -> None:
    ring = KeyRing(SECRETS["ann"])
    ring.take(b"1" * 32)
    with pytest.raises(Refused, match="no such subject"):
        seal(ring, key_id_of(b"1" * 32), ABOUT)


def test_only_a_party_finds_itself_and_tags_of_two_entries_do_not_link() -> None:
    author = ring_of("ann", b"1" * 32)
    for_bea = Draft(
        kind=EntryKind.ACCESS, payload=b"x", audience=Audience.PARTIES, parties=(MEMBERS["bea"], MEMBERS["bea"])
    )
    sealed = seal(author, key_id_of(b"1" * 32), for_bea, for_bea)
    tags = [list(split_tags(decode_label(label).tags)) for label, _ in sealed]
    assert [len(each) for each in tags] == [1, 1] and tags[0] != tags[1]
    author_key = SEALING_KEYS[MEMBERS["ann"]]
    for index, each in enumerate(tags):
        at = index.to_bytes(4, "big")
        assert each == list(ring_of("bea").tags([author_key], NONCE, at))
        assert set(each).isdisjoint(ring_of("lab").tags([author_key], NONCE, at))


def test_an_entry_opens_at_its_place_and_index_only() -> None:
    ring, key_id = ring_of("ann", b"1" * 32), key_id_of(b"1" * 32)
    _, ciphertext = seal(ring, key_id, ABOUT)[0]
    with pytest.raises(Malformed):
        ring.open_entry(ciphertext, 0, key_id=key_id, nonce=NONCE, place=b"elsewhere")
    other = opened(ring, key_id, ciphertext, index=1)
    assert other is not None and other[0] != SUBJECT and other[1] is None, "elsewhere the mask gives another pseudonym"
    _, plain = seal(ring, key_id, NOTE)[0]
    with pytest.raises(Malformed):
        opened(ring, key_id, plain, index=1)


@given(st.data(), st.sampled_from([NOTE, ABOUT]))
def test_damaged_ciphertexts_are_invalid_or_closed(data: st.DataObject, draft: Draft) -> None:
    ring, key_id = ring_of("ann", b"1" * 32), key_id_of(b"1" * 32)
    _, ciphertext = seal(ring, key_id, draft)[0]
    damage = data.draw(damaged(ciphertext).filter(lambda bytes_: bytes_ != ciphertext))
    try:
        answer = opened(ring, key_id, damage)
    except Invalid:
        return
    assert answer is None or answer[1] is None


def test_gossip_keys_say_nothing_of_the_epoch_key_and_differ_by_epoch() -> None:
    made = {part for key in (b"1" * 32, b"2" * 32) for part in (*gossip_keys(key), key, key_id_of(key))}
    assert len(made) == 8
