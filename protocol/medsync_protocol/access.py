"""Access requests, and the entries of the access log: both halves of a disclosure, refusals, break-glass (§7).

A hot path: thousands of entries a second are encoded, and decoded when somebody asks for them. What answers a
request is `decision.py`; what proves the answer is `receipt.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import ContextId, Instant, MemberId, NetworkId, SubjectRef
from medsync_protocol.purposes import is_known
from medsync_protocol.rule import (
    ACTIONS,
    MAX_CODE,
    MAX_LIST,
    Actor,
    ActorKind,
    Period,
    decode_actor,
    decode_codes,
    decode_period,
    member_actor,
    period_fields,
)

ACCESS_VERSION: Final = 1
MAX_ACTORS: Final = 16  # a chain of actors and its groups
NO_RECEIPT: Final = b""


class Half(IntEnum):
    """Which part of an access an entry tells of."""

    REQUESTED = 1  # the requester's
    DISCLOSED = 2  # the custodian's
    REFUSED = 3  # the custodian's
    BREAK_GLASS = 4  # the requester's, without a decision
    LOG_READ = 5  # somebody read this subject's log


class Answer(IntEnum):
    """What a decision says. Only PERMIT releases."""

    PERMIT = 1
    DENY = 2
    NO_CONSENT = 3
    INDETERMINATE = 4
    ERASED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Who wants what of whom, and what for. `types`, `labels`, `data_period`: None is "any", "unlabelled", "any".

    `actors`: the requester's path down to unit or person first, then groups that were attested to the custodian.
    `salt` (16) keeps the request's hash from being guessed.
    """

    network: NetworkId
    context: ContextId
    subject: SubjectRef
    requester: MemberId
    actors: tuple[Actor, ...]
    purposes: tuple[str, ...]
    action: str
    types: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    data_period: Period | None = None
    time: Instant
    salt: bytes


def make_request(
    network: NetworkId, context: ContextId, subject: SubjectRef, requester: MemberId, *, purposes: tuple[str, ...],
    action: str, time: Instant, salt: bytes, unit: bytes = b"", user: bytes = b"", groups: tuple[Actor, ...] = (),
    types: tuple[str, ...] | None = None, labels: tuple[str, ...] | None = None, data_period: Period | None = None,
) -> Request:  # fmt: skip
    """A request in canonical form. Raises Refused with what to give instead."""
    request = Request(
        network=network, context=context, subject=subject, requester=requester,
        actors=(member_actor(requester, unit, user), *sorted(groups)), purposes=tuple(sorted(set(purposes))),
        action=action, types=_sorted(types), labels=_sorted(labels), data_period=data_period, time=time, salt=salt,
    )  # fmt: skip
    problem = _problem(request)
    if problem:
        raise Refused(problem[1], code=problem[0], advice="see `medsync access request --help`")
    return request


def _sorted(codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if codes is None else tuple(sorted(set(codes)))


def _problem(r: Request) -> tuple[str, str] | None:
    if not r.purposes or any(codes is not None and not codes for codes in (r.types, r.labels)):
        return "empty_list", "a list is empty: leave types or labels out to mean any, and name a purpose"
    for code in r.purposes:
        if not is_known(code):
            return "unknown_purpose", f"{code!r} is no purpose of use"
    if r.action not in ACTIONS:
        return "unknown_action", f"{r.action!r} is no action; use one of {sorted(ACTIONS)}"
    if not r.actors or r.actors[0].path[0] != r.requester:
        return "actors", "the first actor is the requester, or one of its units or users"
    if any(actor.kind is not ActorKind.GROUP for actor in r.actors[1:]):
        return "actors", "after the requester only groups follow: nobody asks in another member's name"
    return None


def encode_request(r: Request) -> bytes:
    """Canonical bytes of a request."""
    return pack([
        ACCESS_VERSION, r.network, r.context, r.subject, r.requester, [actor.fields() for actor in r.actors],
        r.purposes, r.action, r.types, r.labels, period_fields(r.data_period), r.time, r.salt,
    ])  # fmt: skip


def decode_request(data: bytes) -> Request:
    """The request whose canonical bytes are `data`, checked for form. Raises Malformed."""
    fields = want_array(unpack(data), 13)
    version, network, context, subject, requester, actors, purposes, action = fields[:8]
    types, labels, data_period, time, salt = fields[8:]
    want_int(version, ACCESS_VERSION, ACCESS_VERSION)
    request = Request(
        network=NetworkId(want_bytes(network, 32)),
        context=ContextId(want_bytes(context, 32)),
        subject=SubjectRef(want_bytes(subject, 16)),
        requester=MemberId(want_bytes(requester, 32)),
        actors=tuple(map(decode_actor, want_array(actors, at_most=MAX_ACTORS))),
        purposes=decode_codes(purposes) or (),
        action=want_str(action, MAX_CODE),
        types=decode_codes(types),
        labels=decode_codes(labels),
        data_period=decode_period(data_period),
        time=Instant(want_int(time)),
        salt=want_bytes(salt, 16),
    )
    problem = _problem(request)
    if problem:
        raise Malformed(problem[1])
    return request


def request_hash(encoded: bytes) -> bytes:
    """32 bytes that stand for a request in its receipt."""
    return blake2b(b"medsync/request/1", encoded)


def match_id(hashed: bytes) -> bytes:
    """16 bytes that both halves of one access carry."""
    return hashed[:16]


# -- the log --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """One half of an access, about 300 bytes with its receipt. `match` (16) pairs the halves."""

    half: Half
    subject: SubjectRef
    requester: MemberId
    actors: tuple[Actor, ...]
    custodian: MemberId
    purposes: tuple[str, ...]
    action: str
    types: tuple[str, ...] | None
    outcome: Answer
    receipt: bytes = NO_RECEIPT
    time: Instant
    match: bytes


def encode_access(e: AccessEntry) -> bytes:
    """Canonical bytes: the payload of an ACCESS entry."""
    return pack((
        ACCESS_VERSION, e.half, e.subject, e.requester, [(actor.kind, *actor.path) for actor in e.actors],
        e.custodian, e.purposes, e.action, e.types, e.outcome, e.receipt, e.time, e.match,
    ))  # fmt: skip


def decode_access(payload: bytes) -> AccessEntry:
    """The entry whose canonical bytes are `payload`. Raises Malformed."""
    fields = want_array(unpack(payload), 13)
    version, half, subject, requester, actors, custodian, purposes, action = fields[:8]
    types, outcome, receipt, time, match = fields[8:]
    want_int(version, ACCESS_VERSION, ACCESS_VERSION)
    return AccessEntry(
        half=_HALVES[want_int(half, 1, len(Half))],
        subject=SubjectRef(want_bytes(subject, 16)),
        requester=MemberId(want_bytes(requester, 32)),
        actors=tuple(map(decode_actor, want_array(actors, at_most=MAX_ACTORS))),
        custodian=MemberId(want_bytes(custodian, 32)),
        purposes=_purposes(purposes),
        action=want_str(action, MAX_CODE),
        types=decode_codes(types),
        outcome=_ANSWERS[want_int(outcome, 1, len(Answer))],
        receipt=want_bytes(receipt, at_most=32),
        time=Instant(want_int(time)),
        match=want_bytes(match, 16),
    )


_HALVES: Final = {int(half): half for half in Half}
_ANSWERS: Final = {int(answer): answer for answer in Answer}


def _purposes(value: Any) -> tuple[str, ...]:
    codes = want_array(value, at_most=MAX_LIST)
    if not codes:
        raise Malformed("an access names its purposes")
    return tuple(want_str(code, MAX_CODE) for code in codes)


def access_parties(payload: bytes) -> tuple[MemberId, MemberId]:
    """(requester, custodian) of an entry, without decoding the rest. Raises Malformed."""
    fields = want_array(unpack(payload), 13)
    return MemberId(want_bytes(fields[3], 32)), MemberId(want_bytes(fields[5], 32))


def half_of(request: Request, half: Half, custodian: MemberId, outcome: Answer, *, receipt: bytes, time: Instant) -> AccessEntry:  # fmt: skip
    """The log entry for one half of a request."""
    return AccessEntry(
        half=half, subject=request.subject, requester=request.requester, actors=request.actors,
        custodian=custodian, purposes=request.purposes, action=request.action, types=request.types,
        outcome=outcome, receipt=receipt, time=time, match=match_id(request_hash(encode_request(request))),
    )  # fmt: skip
