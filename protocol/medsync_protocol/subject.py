"""Subjects: a patient's record in a context, links between pseudonyms, and the card a patient carries.

Record numbers and names stay outside: only pseudonyms here (PROTOCOL §1). What a key in a record may sign is
`authority.py`'s. A pseudonym is the hash of its enrolment, so nobody can enrol over another's
(decisions/0002-pseudonym.md).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b, sign, verify
from medsync_protocol.errors import BadSignature, Malformed, Refused
from medsync_protocol.ids import ContextId, MemberId, NetworkId, SubjectRef
from medsync_protocol.rule import Problem

SUBJECT_VERSION: Final = 1
MAX_HOMES: Final = 3  # PROTOCOL §1: freshness asks a majority of them at every decision
MAX_CUSTODIANS: Final = 16
MAX_KEYS: Final = 16  # patient or delegate keys
CARD_PREFIX: Final = "medsync-card:"
NO_RECORD: Final = b""

_DOMAIN_PSEUDONYM: Final = b"medsync/subject/1"
_DOMAIN_LINK: Final = b"medsync/link/1"
_CARD_VERSION, _CARD_CHECK = 1, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRecord:
    """One revision of a subject's record: the whole of it, naming the revision it replaces.

    `salt` (16), `founder` and `subject_key` (32) never change: the pseudonym is their hash.
    """

    salt: bytes
    founder: MemberId
    subject_key: bytes
    revision: int = 0
    previous: bytes = NO_RECORD
    custodians: tuple[MemberId, ...]
    homes: tuple[MemberId, ...]
    patient_keys: tuple[bytes, ...] = ()
    delegate_keys: tuple[bytes, ...] = ()

    def pseudonym(self, network: NetworkId, context: ContextId) -> SubjectRef:
        """16 bytes: the hash of what this subject began with, in this context."""
        sealed = blake2b(self.subject_key)
        return SubjectRef(
            blake2b(_DOMAIN_PSEUDONYM, network, context, self.salt, self.founder, sealed, size=16)
        )


def encode_record(r: SubjectRecord) -> bytes:
    """Canonical bytes: the payload of a SUBJECT entry, which is sealed under the epoch key alone."""
    return pack([
        SUBJECT_VERSION, r.salt, r.founder, r.subject_key, r.revision, r.previous, r.custodians, r.homes,
        r.patient_keys, r.delegate_keys,
    ])  # fmt: skip


def decode_record(payload: bytes) -> SubjectRecord:
    """The record whose canonical bytes are `payload`. Raises Malformed."""
    fields = want_array(unpack(payload), 10)
    version, salt, founder, subject_key, revision, previous, custodians, homes, patient, delegate = fields
    want_int(version, SUBJECT_VERSION, SUBJECT_VERSION)
    record = SubjectRecord(
        salt=want_bytes(salt, 16),
        founder=MemberId(want_bytes(founder, 32)),
        subject_key=want_bytes(subject_key, 32),
        revision=want_int(revision, 0, 2**32),
        previous=want_bytes(previous, at_most=32),
        custodians=_members(custodians, MAX_CUSTODIANS),
        homes=_members(homes, MAX_HOMES),
        patient_keys=_keys(patient),
        delegate_keys=_keys(delegate),
    )
    for problem in record_problems(record):
        raise Malformed(problem.message)
    return record


def _keys(value: Any) -> tuple[bytes, ...]:
    return tuple(want_bytes(key, 32) for key in want_array(value, at_most=MAX_KEYS))


def _members(value: Any, at_most: int) -> tuple[MemberId, ...]:
    return tuple(MemberId(want_bytes(key, 32)) for key in want_array(value, at_most=at_most))


def record_problems(r: SubjectRecord) -> Iterator[Problem]:
    """Everything wrong with a record's form."""
    if not 1 <= len(r.homes) <= MAX_HOMES:
        yield Problem(
            "homes", f"a subject has one to {MAX_HOMES} homes", "name members that hold its consents"
        )
    if not r.custodians:
        yield Problem("empty_list", "a subject has no custodian", "name at least the enrolling member")
    if (r.revision == 0) != (r.previous == NO_RECORD) or len(r.previous) not in (0, 32):
        yield Problem(
            "previous", "revision 0, and it alone, replaces nothing", "name the revision it replaces"
        )
    if r.revision == 0 and r.founder not in r.custodians:
        yield Problem("founder", "the enrolling member is not among the custodians", "add it")
    for keys in (r.custodians, r.homes, r.patient_keys, r.delegate_keys):
        if any(a >= b for a, b in pairwise(keys)):
            yield Problem("not_ascending", "members and keys must ascend without repeats", "sort them")
    if set(r.patient_keys) & set(r.delegate_keys):
        yield Problem("two_roles", "a key is both the patient's and a delegate's", "use one key each")


def validate_record(record: SubjectRecord) -> None:
    """Raises Refused for the first thing wrong with a record that is about to be written."""
    for problem in record_problems(record):
        raise Refused(problem.message, code=problem.code, advice=problem.advice)


def record_id(payload: bytes) -> bytes:
    """32 bytes that name one revision."""
    return blake2b(payload)


# -- what a set of revisions says -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A subject as its effective revisions have it.

    Where revisions were written concurrently, `custodians` and keys are those that all of them name, and every
    one's homes must answer. `home_sets` also holds the homes that a revision not yet final replaces: a change
    takes force at a final checkpoint, until then majorities of both sets are asked (PROTOCOL §7). `former_keys`
    are those that some revision named and that now don't stand.
    """

    subject: SubjectRef
    heads: tuple[bytes, ...]
    custodians: frozenset[MemberId]
    patient_keys: frozenset[bytes]
    delegate_keys: frozenset[bytes]
    former_keys: frozenset[bytes]
    home_sets: tuple[tuple[MemberId, ...], ...]
    revision: int

    @property
    def homes(self) -> frozenset[MemberId]:
        """Every member that is a home in any of the sets."""
        return frozenset(member for homes in self.home_sets for member in homes)


@dataclass(frozen=True, slots=True)
class Revision:
    """A record as it was written: by whom, whether that counts, and whether a final checkpoint covers it."""

    id: bytes
    record: SubjectRecord
    author: MemberId
    effective: bool
    final: bool


def standing(subject: SubjectRef, revisions: Iterable[Revision]) -> Standing | None:
    """The subject as a set of revisions has it; None without an effective enrolment by its founder.

    A later revision counts when its author is a custodian in the one it replaces.
    """
    valid = _valid(list(revisions))
    if not valid:
        return None
    replaced = {one.record.previous for one in valid.values()}
    heads = sorted(key for key in valid if key not in replaced)
    records = [valid[key].record for key in heads]
    patient_keys = frozenset.intersection(*(frozenset(r.patient_keys) for r in records))
    delegate_keys = frozenset.intersection(*(frozenset(r.delegate_keys) for r in records))
    ever = {key for one in valid.values() for key in (*one.record.patient_keys, *one.record.delegate_keys)}
    return Standing(
        subject=subject,
        heads=tuple(heads),
        custodians=frozenset.intersection(*(frozenset(r.custodians) for r in records)),
        patient_keys=patient_keys,
        delegate_keys=delegate_keys,
        former_keys=frozenset(ever - patient_keys - delegate_keys),
        home_sets=tuple(sorted({homes for key in heads for homes in _home_sets(valid, key)})),
        revision=max(r.revision for r in records),
    )


def ever(revisions: Iterable[Revision]) -> tuple[frozenset[bytes], frozenset[MemberId]]:
    """(patients' and delegates' keys, custodians) of every revision that counts, whatever replaced it since."""
    valid = [one.record for one in _valid(list(revisions)).values()]
    keys = frozenset(key for record in valid for key in (*record.patient_keys, *record.delegate_keys))
    return keys, frozenset(member for record in valid for member in record.custodians)


def _valid(revisions: list[Revision]) -> dict[bytes, Revision]:
    """Enrolments by their founders, and what custodians made of them, by id."""
    waiting = [one for one in revisions if one.effective]
    valid: dict[bytes, Revision] = {}
    for one in sorted(waiting, key=lambda one: (one.record.revision, one.id)):
        before = valid.get(one.record.previous)
        if one.record.previous == NO_RECORD:
            counts = one.author == one.record.founder
        else:
            counts = (
                before is not None
                and one.record.revision == before.record.revision + 1
                and one.author in before.record.custodians
            )
        if counts:
            held = valid.get(one.id)
            valid[one.id] = one if held is None or one.final else held
    return valid


def _home_sets(valid: dict[bytes, Revision], key: bytes) -> Iterator[tuple[MemberId, ...]]:
    """The homes of a revision and, until it is final, of those it replaces."""
    while True:
        yield valid[key].record.homes
        if valid[key].final or valid[key].record.previous == NO_RECORD:
            return
        key = valid[key].record.previous


# -- links ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Two pseudonyms, first < second, said to be one patient's; `signer` is a patient key, or empty."""

    network: NetworkId
    context: ContextId
    first: SubjectRef
    second: SubjectRef
    signer: bytes = b""
    signature: bytes = b""


def _link_text(link: Link) -> bytes:
    return pack([SUBJECT_VERSION, link.network, link.context, link.first, link.second, link.signer])


def make_link(
    network: NetworkId, context: ContextId, subjects: tuple[SubjectRef, SubjectRef], *, signer: bytes = b"", seed: bytes = b""
) -> Link:  # fmt: skip
    """A link, signed by a patient key when one is given; else it rests on the author of its operation.

    Raises Refused when both pseudonyms are one.
    """
    first, second = sorted(subjects)
    if first == second:
        raise Refused("both pseudonyms are the same", code="same_subject", advice="name two")
    bare = Link(network=network, context=context, first=first, second=second, signer=signer)
    signature = sign(seed, _DOMAIN_LINK, _link_text(bare)) if signer else b""
    return Link(
        network=network, context=context, first=first, second=second, signer=signer, signature=signature
    )


def encode_link(link: Link) -> bytes:
    """Canonical bytes: the payload of a SUBJECT_LINK entry, sealed under the first subject's key."""
    return pack([
        SUBJECT_VERSION, link.network, link.context, link.first, link.second, link.signer, link.signature,
    ])  # fmt: skip


def open_link(payload: bytes, network: NetworkId, context: ContextId) -> Link:
    """The link in an entry's payload, bound to this context, its signature verified. Raises Invalid."""
    version, named, inside, first, second, signer, signature = want_array(unpack(payload), 7)
    want_int(version, SUBJECT_VERSION, SUBJECT_VERSION)
    link = Link(
        network=NetworkId(want_bytes(named, 32)),
        context=ContextId(want_bytes(inside, 32)),
        first=SubjectRef(want_bytes(first, 16)),
        second=SubjectRef(want_bytes(second, 16)),
        signer=want_bytes(signer, at_most=32),
        signature=want_bytes(signature, at_most=64),
    )
    if (link.network, link.context) != (network, context):
        raise Malformed("the link was made for another network or context")
    if link.first >= link.second:
        raise Malformed("a link names two pseudonyms in ascending order")
    if link.signer:
        verify(link.signer, _DOMAIN_LINK, _link_text(link), link.signature)
    elif link.signature:
        raise BadSignature("a signature without the key it is by")
    return link


# -- cards ----------------------------------------------------------------------------------------------------


def card_text(context: ContextId, subject: SubjectRef) -> str:
    """What a patient carries to a second institution: context and pseudonym, with a check against typing errors.

    It opens nothing by itself: the subject key comes from the record, to members alone.
    """
    body = bytes([_CARD_VERSION]) + context + subject
    return CARD_PREFIX + base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def read_card(text: str) -> tuple[ContextId, SubjectRef]:
    """Context and pseudonym of a card. Raises Refused with what to do about it."""
    if not text.startswith(CARD_PREFIX):
        raise Refused("this is no MedSync card", code="bad_card", advice=f"a card begins with {CARD_PREFIX}")
    encoded = text[len(CARD_PREFIX) :].strip()
    try:
        data = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError) as error:
        raise Refused(
            "the card holds characters that don't belong", code="bad_card", advice="scan again"
        ) from error
    body, check = data[:-_CARD_CHECK], data[-_CARD_CHECK:]
    if len(body) != 49 or check != _check(body):
        raise Refused("the card is mistyped or cut short", code="bad_card", advice="scan or type it again")
    if body[0] != _CARD_VERSION:
        raise Refused("the card is of a newer kind", code="card_version", advice="update this node")
    return ContextId(body[1:33]), SubjectRef(body[33:])


def _check(body: bytes) -> bytes:
    return blake2b(b"medsync/card/1", body, size=_CARD_CHECK)
