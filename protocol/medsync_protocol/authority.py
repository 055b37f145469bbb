"""Who may write what: one table for code, docs and tests (PROTOCOL §1, §3.5), and what of a directive it leaves.

Signatures were verified before (`directive.py`); matching rules to requests comes after (`decision.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from medsync_protocol.directive import Directive, Revocation
from medsync_protocol.ids import ChainId, DirectiveId, Instant, MemberId, OpId
from medsync_protocol.kinds import Verdict
from medsync_protocol.rule import ActorKind, Effect, Rule
from medsync_protocol.subject import Standing

MAX_CARRY_MS: Final = 30 * 24 * 3_600_000
"""A grant first carried later than this after signing is refused (PROTOCOL §7)."""
MAX_EARLY_MS: Final = 24 * 3_600_000
"""…and so is one signed further in its carrier's future than clocks can differ."""


class Source(Enum):
    """In what quality a document reached the record."""

    PATIENT = "a patient key of the record"
    DELEGATE = "a delegate key of the record"
    FORMER = "a key that the record no longer names"
    CUSTODIAN = "a custodian that signed and carried it itself"
    MEMBER = "any other member that signed and carried it itself"
    CARRIED = "a key outside the record, carried by a member"
    CONTESTED = "a member whose operation is void"
    NOBODY = "no member at all"


class Act(Enum):
    """What a document may do."""

    GRANT = "permit something"
    DENY = "deny something"
    TAKE_BACK = "take back what another directive permits"
    LIFT_OWN = "lift a denial that the same key signed"
    LIFT_SIGNED = "lift a denial signed by a patient key"
    LIFT_ATTESTED = "lift a denial that a member attested, or that is contested"


_EVERY_MEMBER = frozenset(set(Source) - {Source.NOBODY})

WHO_MAY: Final[Mapping[Act, frozenset[Source]]] = {
    Act.GRANT: frozenset({Source.PATIENT, Source.DELEGATE, Source.CUSTODIAN}),
    Act.DENY: _EVERY_MEMBER,
    Act.TAKE_BACK: _EVERY_MEMBER,
    Act.LIFT_OWN: frozenset({Source.PATIENT, Source.DELEGATE, Source.CUSTODIAN, Source.MEMBER}),
    Act.LIFT_SIGNED: frozenset({Source.PATIENT}),
    Act.LIFT_ATTESTED: frozenset({Source.PATIENT, Source.CUSTODIAN}),
}
"""The table. A grant by a custodian counts only if that custodian is not its only recipient.
And it never counts for that custodian's own requests: `decision.py`.

A key that was dropped from the record lifts nothing, its own denials neither: it may be in a thief's hands.
"""

AUTHOR_WAS_MEMBER: Final = frozenset(
    {Verdict.VOID_AFTER_CUT_OFF, Verdict.VOID_CONCURRENT_REMOVAL, Verdict.VOID_KEY, Verdict.VOID_FORK}
)
"""Void, yet by someone who was a member: what such an operation denies stays in force as contested (§3.5)."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """An operation's entry that holds a document."""

    op_id: OpId
    index: int
    author: MemberId
    chain: ChainId
    seq: int
    hlc: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class HeldDirective:
    """A directive with everything that carries it."""

    id: DirectiveId
    directive: Directive
    carriers: tuple[Carrier, ...]


@dataclass(frozen=True, slots=True)
class HeldRevocation:
    """A revocation with everything that carries it."""

    id: bytes
    revocation: Revocation
    carriers: tuple[Carrier, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What took a directive's permits back: `document` is the revocation's id or the later directive's; times in ms UTC.

    `recorded`: when it first came on record, by its carrier's clock.
    """

    why: Literal["revoked", "superseded"]
    document: bytes
    signed_at: Instant
    recorded: Instant

    @property
    def order(self) -> tuple[bool, int, bytes]:
        """Of several the one that is told: a revocation before a later directive, then the earliest."""
        return self.why != "revoked", self.recorded, self.document


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A directive as far as it counts. `reason` says why its permits don't, for people; `ended` by what they ended."""

    id: DirectiveId
    directive: Directive
    permits: bool
    denies: bool
    contested: bool
    reason: str
    ended: Ended | None = None


def source_of(standing: Standing, signer: bytes, carriers: Iterable[Carrier]) -> Source:
    """In what quality a document by `signer` stands. A record's keys count whoever carries them (§3.5)."""
    if signer in standing.patient_keys:
        return Source.PATIENT
    if signer in standing.delegate_keys:
        return Source.DELEGATE
    held = list(carriers)
    effective = [one for one in held if one.verdict.effective]
    if any(one.author == signer for one in effective):
        return Source.CUSTODIAN if signer in standing.custodians else Source.MEMBER
    if signer in standing.former_keys:
        return Source.FORMER
    if effective:
        return Source.CARRIED
    return Source.CONTESTED if any(one.verdict in AUTHOR_WAS_MEMBER for one in held) else Source.NOBODY


def counted(
    standing: Standing, directives: Sequence[HeldDirective], revocations: Sequence[HeldRevocation]
) -> tuple[Counted, ...]:
    """What of a subject's directives counts, ascending by id. Expiry is the decision's business."""
    sources = {one.id: source_of(standing, one.directive.signer, one.carriers) for one in directives}
    grants = {one.id: _grant_refused(one, sources[one.id]) for one in directives}
    taken: dict[DirectiveId, Ended] = {}
    lifted: set[DirectiveId] = set()
    by_id = {one.id: one for one in directives}
    for held in revocations:
        source = source_of(standing, held.revocation.signer, held.carriers)
        by = Ended(
            why="revoked", document=held.id, signed_at=held.revocation.signed_at, recorded=_recorded(held.carriers)
        )
        for target in _targets(held.revocation, directives):
            if target in by_id:
                _strike(source, held.revocation.signer, by_id[target], sources[target], by, taken, lifted)
    for one in directives:
        if not one.directive.supersedes:
            continue
        may_lift = not (one.directive.permits and grants[one.id])
        by = Ended(
            why="superseded", document=one.id, signed_at=one.directive.signed_at, recorded=_recorded(one.carriers)
        )
        for target in one.directive.supersedes:
            if target in by_id and target != one.id:
                gone = lifted if may_lift else set()
                _strike(sources[one.id], one.directive.signer, by_id[target], sources[target], by, taken, gone)
    found = (_count(one, sources[one.id], grants[one.id], taken, lifted) for one in directives)
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.id))


def _targets(revocation: Revocation, directives: Iterable[HeldDirective]) -> set[DirectiveId]:
    named = set(revocation.targets)
    if revocation.series:
        named |= {
            one.id
            for one in directives
            if one.directive.signer == revocation.series and one.directive.number <= revocation.all_before
        }
    return named


def _recorded(carriers: Iterable[Carrier]) -> Instant:
    return Instant(min(one.hlc >> 16 for one in carriers))


def _strike(
    source: Source, signer: bytes, target: HeldDirective, stands_as: Source, by: Ended,
    taken: dict[DirectiveId, Ended], lifted: set[DirectiveId],
) -> None:  # fmt: skip
    """Take back what the target permits, and lift what it denies where the signer may."""
    if source in WHO_MAY[Act.TAKE_BACK]:
        if target.id not in taken or by.order < taken[target.id].order:
            taken[target.id] = by
        if _may_lift(source, signer, target, stands_as):
            lifted.add(target.id)


def _may_lift(source: Source, signer: bytes, target: HeldDirective, by: Source) -> bool:
    if signer == target.directive.signer and source in WHO_MAY[Act.LIFT_OWN]:
        return True
    signed = by in (Source.PATIENT, Source.DELEGATE, Source.FORMER)
    return source in WHO_MAY[Act.LIFT_SIGNED if signed else Act.LIFT_ATTESTED]


def _grant_refused(held: HeldDirective, source: Source) -> str:
    """Why a directive's permits don't count; empty when they do."""
    directive = held.directive
    if source not in WHO_MAY[Act.GRANT]:
        return f"signed by {source.value}: no grant"
    if source is Source.CUSTODIAN and only_recipient(directive) == directive.signer:
        return "attested by its only recipient"
    counting = [one for one in held.carriers if one.verdict.effective] or held.carriers
    late = ((one.hlc >> 16) - directive.signed_at for one in counting)
    if not any(-MAX_EARLY_MS <= after <= MAX_CARRY_MS for after in late):
        return "first carried more than 30 days after it was signed"
    return ""


def only_recipient(directive: Directive) -> bytes | None:
    """The one member that all permits name; None when others may receive too."""
    if directive.base is Effect.PERMIT:
        return None
    members: set[bytes] = set()
    for rule in directive.rules:
        for permit in (rule,) if rule.effect is Effect.PERMIT else rule.exceptions or ():
            named = [found for one in {rule, permit} if (found := _recipients(one)) is not None]
            if not named:
                return None
            members |= frozenset.intersection(*named)
    return members.pop() if len(members) == 1 else None


def _recipients(rule: Rule) -> frozenset[bytes] | None:
    """The members a rule names; None when others, or groups, may be meant."""
    if rule.actors is None or any(actor.kind is not ActorKind.ORGANISATION for actor in rule.actors):
        return None
    return frozenset(actor.path[0] for actor in rule.actors)


def _count(
    held: HeldDirective, source: Source, refused: str, taken: Mapping[DirectiveId, Ended], lifted: set[DirectiveId]
) -> Counted | None:  # fmt: skip
    ended = taken.get(held.id)
    reason = ended.why if ended is not None else refused if held.directive.permits else ""
    denies = held.directive.denies and source in WHO_MAY[Act.DENY] and held.id not in lifted
    permits = held.directive.permits and not reason
    if not permits and not denies and not reason:
        return None
    return Counted(
        id=held.id, directive=held.directive, permits=permits, denies=denies,
        contested=source is Source.CONTESTED, reason=reason, ended=ended,
    )  # fmt: skip
