"""Epoch keys, subject keys, and the sealing of entries under both (PROTOCOL §§2, 4).

Reading an entry needs the epoch key and, for one about a subject, the subject's key. Ciphertext layout:
0x00 ‖ AEAD, or 0x01 ‖ masked pseudonym (16) ‖ AEAD. The pseudonym is masked under the epoch key, so that only
members can tell whose key to try.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from medsync_protocol.actions import Rotation
from medsync_protocol.application import Draft, Label
from medsync_protocol.crypto import (
    Entropy,
    aead_open,
    aead_seal,
    blake2b,
    box_to,
    derive,
    open_box,
    seal,
    shared_key,
    unseal,
)  # fmt: skip
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import KeyId, MemberId, SubjectRef
from medsync_protocol.kinds import Audience
from medsync_protocol.operation import encode_label

_PLAIN, _SUBJECT = b"\x00", b"\x01"
TAG_BYTES: Final = 4  # a chance of 2⁻³² of a useless pull
MAX_CACHED_KEYS: Final = 65_536  # derived entry keys held: one per (epoch, subject) in use


def key_id_of(key: bytes) -> KeyId:
    """BLAKE2b-256 of an epoch key."""
    return KeyId(blake2b(key))


def make_rotation(
    *, epoch: int, key: bytes, recipients: Mapping[MemberId, bytes], previous: bytes | None, entropy: Entropy
) -> Rotation:
    """Box `key` to each recipient's sealing key; seal the previous key under it, so that history chains backwards."""
    wraps = tuple((member, wrap_key(key, recipients[member], entropy)) for member in sorted(recipients))
    before = None
    if previous is not None:
        before = (key_id_of(previous), seal(derive(key, "history"), previous, nonce=entropy("nonce", 24)))
    return Rotation(epoch=epoch, key_id=key_id_of(key), wraps=wraps, previous=before)


def wrap_key(key: bytes, sealing_key: bytes, entropy: Entropy) -> bytes:
    """One recipient's box."""
    return box_to(sealing_key, key, ephemeral=entropy("ephemeral", 32), nonce=entropy("nonce", 24))


class KeyRing:
    """The epoch and subject keys that one replica holds, and the keys derived from them."""

    def __init__(self, sealing_secret: bytes, *former: bytes) -> None:
        self._secret = sealing_secret
        self._former = former
        self._epochs: dict[KeyId, bytes] = {}
        self._previous: dict[KeyId, tuple[KeyId, bytes]] = {}
        self._subjects: dict[SubjectRef, bytes] = {}
        self._entry_keys: dict[tuple[KeyId, SubjectRef | None], bytes] = {}
        self._masks: dict[KeyId, bytes] = {}
        self._pairs: dict[tuple[bytes, bytes], bytes] = {}

    def __contains__(self, key_id: KeyId) -> bool:
        return key_id in self._epochs

    def epochs(self) -> Mapping[KeyId, bytes]:
        """Epoch keys held, by id."""
        return self._epochs

    def take(self, key: bytes) -> list[KeyId]:
        """Add an epoch key; returns it and every earlier one that the history chain now gives."""
        key_id = key_id_of(key)
        if key_id in self._epochs:
            return []
        self._epochs[key_id] = key
        gained = [key_id]
        before = self._previous.get(key_id)
        if before is not None and before[0] not in self._epochs:
            try:
                earlier = unseal(derive(key, "history"), before[1])
            except Malformed:
                return gained
            if key_id_of(earlier) == before[0]:
                gained += self.take(earlier)
        return gained

    def learn(self, rotation: Rotation, me: MemberId) -> tuple[list[KeyId], bool]:
        """Take what a rotation gives us: the keys gained, and whether our box was bad (PROTOCOL §4)."""
        if rotation.previous is not None:
            self._previous[rotation.key_id] = rotation.previous
        box = next((boxed for member, boxed in rotation.wraps if member == me), None)
        if box is None:
            held = self._epochs.get(rotation.key_id)
            return (self._history(rotation.key_id) if held else []), False
        return self.learn_box(rotation.key_id, box)

    def _history(self, key_id: KeyId) -> list[KeyId]:
        key = self._epochs.pop(key_id)
        return [gained for gained in self.take(key) if gained != key_id]

    def learn_box(self, key_id: KeyId, box: bytes) -> tuple[list[KeyId], bool]:
        """Open a box that should hold the key of that id; (keys gained, the box was bad)."""
        if key_id in self._epochs:
            return [], False
        for secret in (self._secret, *self._former):
            try:
                key = open_box(secret, box)
            except Malformed:
                continue
            if key_id_of(key) == key_id:
                return self.take(key), False
        return [], True

    def key(self, key_id: KeyId) -> bytes | None:
        """An epoch key, or None."""
        return self._epochs.get(key_id)

    def set_subjects(self, keys: Mapping[SubjectRef, bytes]) -> None:
        """The subject keys the application knows now."""
        for subject in [s for s in self._subjects if keys.get(s) != self._subjects[s]]:
            del self._subjects[subject]
            self._entry_keys.clear()
        self._subjects.update(keys)

    def _entry_key(self, key_id: KeyId, subject: SubjectRef | None) -> bytes | None:
        place = (key_id, subject)
        key = self._entry_keys.get(place)
        if key is None:
            epoch_key = self._epochs.get(key_id)
            subject_key = b"" if subject is None else self._subjects.get(subject)
            if epoch_key is None or subject_key is None:
                return None
            if len(self._entry_keys) >= MAX_CACHED_KEYS:
                self._entry_keys.clear()
            key = self._entry_keys[place] = derive(epoch_key, "entry", subject_key)
        return key

    def _mask_key(self, key_id: KeyId) -> bytes:
        mask = self._masks.get(key_id)
        if mask is None:
            mask = self._masks[key_id] = derive(self._epochs[key_id], "locator")
        return mask

    def seal_entries(
        self, drafts: Sequence[Draft], *, key_id: KeyId, nonce: bytes, place: bytes, sealing_keys: Mapping[MemberId, bytes]
    ) -> list[tuple[bytes, bytes]]:  # fmt: skip
        """(label, ciphertext) per draft. `place` binds them to their header. Raises Refused for an unknown subject."""
        mask = self._mask_key(key_id)
        made = []
        for index, draft in enumerate(drafts):
            named = draft.kept_by or draft.subject
            key = self._entry_key(key_id, named)
            if key is None:
                raise Refused(
                    "no such subject here", code="unknown_subject", advice="enrol or link the subject first"
                )
            at = index.to_bytes(4, "big")
            sealed = aead_seal(key, nonce[:20] + at, draft.payload, place + at)
            if named is None:
                ciphertext = _PLAIN + sealed
            else:
                ciphertext = _SUBJECT + _masked(mask, nonce, at, named) + sealed
            made.append((self._label(draft, nonce, at, sealing_keys), ciphertext))
        return made

    def _label(self, draft: Draft, nonce: bytes, at: bytes, sealing_keys: Mapping[MemberId, bytes]) -> bytes:
        tags = b""
        if draft.audience is Audience.PARTIES:
            tags = b"".join(
                sorted(
                    self._tag(self._secret, sealing_keys[p], nonce, at) for p in set(draft.parties) if p in sealing_keys
                )
            )
        return encode_label(Label(kind=draft.kind, audience=draft.audience, public=draft.public, tags=tags))

    def tags(self, sealing_keys: Iterable[bytes], nonce: bytes, at: bytes) -> Iterator[bytes]:
        """What tells us that the entry at `at` is for us: one per key its author has or had, and per key of ours."""
        return (
            self._tag(secret, theirs, nonce, at) for theirs in sealing_keys for secret in (self._secret, *self._former)
        )

    def _tag(self, secret: bytes, sealing_key: bytes, nonce: bytes, at: bytes) -> bytes:
        """What tells the holder of `sealing_key`, and nobody else, that the entry at `at` is for it."""
        pair = self._pairs.get((secret, sealing_key))
        if pair is None:
            pair = self._pairs[secret, sealing_key] = derive(shared_key(secret, sealing_key), "party")
        return hashlib.blake2b(nonce + at, digest_size=TAG_BYTES, key=pair).digest()

    def open_entry(
        self, ciphertext: bytes, index: int, *, key_id: KeyId, nonce: bytes, place: bytes
    ) -> tuple[SubjectRef | None, bytes | None] | None:
        """(subject, payload); payload None when the subject's key is missing, None alone when the epoch's is.

        Raises Malformed when the right keys don't open it.
        """
        if key_id not in self._epochs or not ciphertext:
            return None
        at = index.to_bytes(4, "big")
        if ciphertext[:1] == _PLAIN:
            subject, sealed = None, ciphertext[1:]
        elif ciphertext[:1] != _SUBJECT or len(ciphertext) < 17:
            raise Malformed("a ciphertext of unknown layout")
        else:
            subject = SubjectRef(_masked(self._mask_key(key_id), nonce, at, ciphertext[1:17]))
            sealed = ciphertext[17:]
        key = self._entry_key(key_id, subject)
        if key is None:
            return subject, None
        return subject, aead_open(key, nonce[:20] + at, sealed, place + at)


def _masked(mask_key: bytes, nonce: bytes, at: bytes, pseudonym: bytes) -> bytes:
    mask = hashlib.blake2b(nonce + at, digest_size=16, key=mask_key).digest()
    return (int.from_bytes(mask, "big") ^ int.from_bytes(pseudonym.ljust(16, b"\0"), "big")).to_bytes(
        16, "big"
    )


def split_tags(tags: bytes) -> Iterator[bytes]:
    """The 4-byte tags of a label."""
    return (tags[at : at + TAG_BYTES] for at in range(0, len(tags), TAG_BYTES))


def gossip_keys(epoch_key: bytes) -> tuple[bytes, bytes]:
    """(key that seals gossip frames, topic) of an epoch (PROTOCOL §4)."""
    return derive(epoch_key, "gossip"), derive(epoch_key, "topic")


def recipients_of(keys: Mapping[MemberId, bytes], without: Iterable[MemberId] = ()) -> dict[MemberId, bytes]:
    """Sealing keys of those who get the next epoch key."""
    left_out = set(without)
    return {member: key for member, key in keys.items() if member not in left_out}
