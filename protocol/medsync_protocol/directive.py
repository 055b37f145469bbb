"""Directives and revocations: the documents a patient or custodian signs (PROTOCOL §7).

Which of them count is `authority.py`'s to say, what they answer `decision.py`'s. A document binds network,
context and subject; its salt makes its hash say nothing of its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final, TypeVar

from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int, want_str
from medsync_protocol.crypto import blake2b, sign, signing_public, verify
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import ContextId, DirectiveId, Instant, NetworkId, SubjectRef
from medsync_protocol.rule import MAX_RULES, Effect, Problem, Rule, decode_rule, problems

DIRECTIVE_VERSION: Final = 1
MAX_DOCUMENT: Final = 16 * 1024  # a directive with every rule in use stays below
MAX_NAMED: Final = 64  # directives that one document supersedes or revokes
MAX_EVIDENCE: Final = 256
SALT_BYTES: Final = 16
NO_SERIES: Final = b""

_DOMAIN_DIRECTIVE: Final = b"medsync/directive/1"
_DOMAIN_REVOCATION: Final = b"medsync/revocation/1"


class Basis(IntEnum):
    """Whose signature a directive bears."""

    PATIENT_SIGNED = 1
    ATTESTED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """A consent document. `number` counts the directives of `signer`; times are ms UTC, `until` exclusive."""

    network: NetworkId
    context: ContextId
    subject: SubjectRef
    signer: bytes
    number: int
    base: Effect | None
    rules: tuple[Rule, ...]
    valid_from: Instant
    until: Instant | None
    supersedes: tuple[DirectiveId, ...] = ()
    evidence: str | None = None
    basis: Basis
    signed_at: Instant
    salt: bytes

    @property
    def permits(self) -> bool:
        """True when any part of it could permit."""
        return self.base is Effect.PERMIT or any(
            rule.effect is Effect.PERMIT or rule.exceptions for rule in self.rules
        )

    @property
    def denies(self) -> bool:
        """True when any part of it could deny."""
        return self.base is Effect.DENY or any(
            rule.effect is Effect.DENY or rule.exceptions for rule in self.rules
        )

    def in_force(self, now: int) -> bool:
        """True in [valid_from, until)."""
        return self.valid_from <= now and (self.until is None or now < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Takes back directives by id, or all of `series`' key numbered ≤ `all_before`, seen or not."""

    network: NetworkId
    context: ContextId
    subject: SubjectRef
    signer: bytes
    targets: tuple[DirectiveId, ...] = ()
    series: bytes = NO_SERIES
    all_before: int = 0
    signed_at: Instant
    salt: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A document's canonical bytes with its signature (64); `payload` is what an entry carries."""

    document: bytes
    signature: bytes

    @property
    def payload(self) -> bytes:
        """The entry's payload."""
        return pack([self.document, self.signature])


_Document = TypeVar("_Document", Directive, Revocation)


# -- encoding -------------------------------------------------------------------------------------------------


def encode_directive(d: Directive) -> bytes:
    """Canonical bytes; BLAKE2b-256 of them is the directive's id."""
    return pack([
        DIRECTIVE_VERSION, d.network, d.context, d.subject, d.signer, d.number, d.base,
        [rule.fields() for rule in d.rules], d.valid_from, d.until, d.supersedes, d.evidence, d.basis,
        d.signed_at, d.salt,
    ])  # fmt: skip


def decode_directive(document: bytes) -> Directive:
    """The directive whose canonical bytes are `document`, checked for form. Raises Malformed."""
    directive = parse_directive(document)
    for problem in directive_problems(directive):
        raise Malformed(problem.message)
    return directive


def parse_directive(document: bytes) -> Directive:
    """As `decode_directive`, its form left to `validate`, which can say what to do about it. Raises Malformed."""
    if len(document) > MAX_DOCUMENT:
        raise Malformed(f"a directive of {len(document)} bytes exceeds {MAX_DOCUMENT}")
    fields = want_array(unpack(document), 15)
    version, network, context, subject, signer, number, base, rules = fields[:8]
    valid_from, until, supersedes, evidence, basis, signed_at, salt = fields[8:]
    want_int(version, DIRECTIVE_VERSION, DIRECTIVE_VERSION)
    return Directive(
        network=NetworkId(want_bytes(network, 32)),
        context=ContextId(want_bytes(context, 32)),
        subject=SubjectRef(want_bytes(subject, 16)),
        signer=want_bytes(signer, 32),
        number=want_int(number),
        base=None if base is None else Effect(want_int(base, 0, 1)),
        rules=tuple(map(decode_rule, want_array(rules, at_most=MAX_RULES))),
        valid_from=Instant(want_int(valid_from)),
        until=None if until is None else Instant(want_int(until)),
        supersedes=_ids(supersedes),
        evidence=None if evidence is None else want_str(evidence, MAX_EVIDENCE),
        basis=Basis(want_int(basis, 1, 2)),
        signed_at=Instant(want_int(signed_at)),
        salt=want_bytes(salt, SALT_BYTES),
    )


def encode_revocation(r: Revocation) -> bytes:
    """Canonical bytes of a revocation."""
    return pack([
        DIRECTIVE_VERSION, r.network, r.context, r.subject, r.signer, r.targets, r.series, r.all_before,
        r.signed_at, r.salt,
    ])  # fmt: skip


def decode_revocation(document: bytes) -> Revocation:
    """The revocation whose canonical bytes are `document`, checked for form. Raises Malformed."""
    revocation = parse_revocation(document)
    for problem in revocation_problems(revocation):
        raise Malformed(problem.message)
    return revocation


def parse_revocation(document: bytes) -> Revocation:
    """As `decode_revocation`, its form left to `validate`. Raises Malformed."""
    fields = want_array(unpack(document), 10)
    version, network, context, subject, signer, targets, series, all_before, signed_at, salt = fields
    want_int(version, DIRECTIVE_VERSION, DIRECTIVE_VERSION)
    return Revocation(
        network=NetworkId(want_bytes(network, 32)),
        context=ContextId(want_bytes(context, 32)),
        subject=SubjectRef(want_bytes(subject, 16)),
        signer=want_bytes(signer, 32),
        targets=_ids(targets),
        series=want_bytes(series, at_most=32),
        all_before=want_int(all_before),
        signed_at=Instant(want_int(signed_at)),
        salt=want_bytes(salt, SALT_BYTES),
    )


def _ids(value: Any) -> tuple[DirectiveId, ...]:
    return tuple(DirectiveId(want_bytes(one, 32)) for one in want_array(value, at_most=MAX_NAMED))


def directive_id(document: bytes) -> DirectiveId:
    """BLAKE2b-256 of the salted document."""
    return DirectiveId(blake2b(document))


def revocation_id(document: bytes) -> bytes:
    """32 bytes that name a revocation."""
    return blake2b(document)


# -- form -----------------------------------------------------------------------------------------------------


def directive_problems(d: Directive) -> Iterator[Problem]:
    """Everything wrong with a directive's form."""
    if d.base is None and not d.rules:
        yield Problem(
            "empty_list", "the directive says nothing: no base decision and no rule", "give one of them"
        )
    if len(d.rules) > MAX_RULES:
        yield Problem("too_many", f"more than {MAX_RULES} rules", "split the directive")
    if d.until is not None and d.until <= d.valid_from:
        yield Problem("until_before_from", "`until` is not after `from`", "give a later `until`, or none")
    if d.number < 1:
        yield Problem("number", "directives of a key are numbered from 1", "use the signer's next number")
    if any(a >= b for a, b in pairwise(d.supersedes)):
        yield Problem("not_ascending", "superseded ids must ascend without repeats", "sort them")
    for index, rule in enumerate(d.rules):
        yield from problems(rule, f"rule {index}")


def revocation_problems(r: Revocation) -> Iterator[Problem]:
    """Everything wrong with a revocation's form."""
    if not r.targets and not r.all_before:
        yield Problem("empty_list", "the revocation names nothing", "name directives, or a key and a number")
    if bool(r.all_before) != bool(r.series) or (r.series and len(r.series) != 32):
        yield Problem("series", "`all_before` needs the key whose directives it counts", "name the key")
    if any(a >= b for a, b in pairwise(r.targets)):
        yield Problem("not_ascending", "revoked ids must ascend without repeats", "sort them")


def validate(document: Directive | Revocation) -> None:
    """Raises Refused for the first thing wrong with a document that is about to be signed."""
    found = directive_problems(document) if isinstance(document, Directive) else revocation_problems(document)
    for problem in found:
        raise Refused(problem.message, code=problem.code, advice=problem.advice)


# -- signing --------------------------------------------------------------------------------------------------


def sign_directive(directive: Directive, seed: bytes) -> Signed:
    """Sign by the 32-byte `seed` of `directive.signer`. Raises Refused for a form or another key."""
    return _sign(directive, seed, encode_directive, _DOMAIN_DIRECTIVE)


def sign_revocation(revocation: Revocation, seed: bytes) -> Signed:
    """Sign by the 32-byte `seed` of `revocation.signer`. Raises Refused for a form or another key."""
    return _sign(revocation, seed, encode_revocation, _DOMAIN_REVOCATION)


def _sign(document: _Document, seed: bytes, encode: Callable[[_Document], bytes], domain: bytes) -> Signed:
    validate(document)
    if signing_public(seed) != document.signer:
        raise Refused(
            "the key is not the one the document names", code="wrong_key", advice="sign by its `signer`"
        )
    encoded = encode(document)
    if len(encoded) > MAX_DOCUMENT:
        raise Refused("the document is too large", code="too_many", advice="split it")
    return Signed(encoded, sign(seed, domain, encoded))


def open_directive(payload: bytes, network: NetworkId, context: ContextId) -> tuple[Directive, Signed]:
    """The directive in an entry's payload, its signature verified, bound to this context. Raises Invalid."""
    signed = decode_signed(payload)
    directive = decode_directive(signed.document)
    _check(directive, signed, network, context)
    return directive, signed


def open_revocation(payload: bytes, network: NetworkId, context: ContextId) -> tuple[Revocation, Signed]:
    """The revocation in an entry's payload, its signature verified, bound to this context. Raises Invalid."""
    signed = decode_signed(payload)
    revocation = decode_revocation(signed.document)
    _check(revocation, signed, network, context)
    return revocation, signed


def check_signed(document: Directive | Revocation, signed: Signed) -> None:
    """Raises BadSignature unless `signed` is by the key that the document in it names."""
    domain = _DOMAIN_DIRECTIVE if isinstance(document, Directive) else _DOMAIN_REVOCATION
    verify(document.signer, domain, signed.document, signed.signature)


def _check(document: Directive | Revocation, signed: Signed, network: NetworkId, context: ContextId) -> None:
    if (document.network, document.context) != (network, context):
        raise Malformed("the document was signed for another network or context")
    check_signed(document, signed)


def decode_signed(payload: bytes) -> Signed:
    """Document and signature of an entry's payload, unchecked. Raises Malformed."""
    document, signature = want_array(unpack(payload), 2)
    return Signed(want_bytes(document, at_most=MAX_DOCUMENT), want_bytes(signature, 64))


# -- labels ---------------------------------------------------------------------------------------------------


def series_tag(subject_key: bytes, signer: bytes) -> bytes:
    """16 bytes that tell the directives of one key apart without naming it: a MAC under the subject key."""
    return blake2b(b"medsync/series/1", signer, size=16, key=subject_key)


def directive_label(signed: Signed, subject_key: bytes) -> tuple[Any, ...]:
    """The public part of a directive's entry: (id, from, until or 0, series, number, superseded ids)."""
    d = decode_directive(signed.document)
    return (
        directive_id(signed.document), d.valid_from, d.until or 0, series_tag(subject_key, d.signer), d.number,
        d.supersedes,
    )  # fmt: skip


def revocation_label(signed: Signed, subject_key: bytes) -> tuple[Any, ...]:
    """The public part of a revocation's entry: (target ids, series or b"", all_before)."""
    r = decode_revocation(signed.document)
    return r.targets, series_tag(subject_key, r.series) if r.series else NO_SERIES, r.all_before
