"""From what a consent says on the wire to the document that is signed, and back (PROTOCOL §7).

Used where the key is: in a patient's program, the command line, or the custodian's node. Draws no randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from medsync_client.consents import DirectiveText, EffectName, RevocationText, WireActor, WirePeriod, WireRule
from medsync_protocol import duo
from medsync_protocol.directive import (
    NO_SERIES,
    Basis,
    Directive,
    Revocation,
    Signed,
    sign_directive,
    sign_revocation,
)
from medsync_protocol.errors import Refused
from medsync_protocol.ids import ContextId, DirectiveId, Instant, MemberId, NetworkId, SubjectRef
from medsync_protocol.rule import Actor, ActorKind, Effect, Period, Rule, group_actor, member_actor

FindMember = Callable[[str], MemberId]
"""Name or id of a member → its id. Raises Refused for one that is unknown or ambiguous."""

EFFECTS: dict[EffectName, Effect] = {"permit": Effect.PERMIT, "deny": Effect.DENY}
EFFECT_NAMES: dict[Effect, EffectName] = {effect: name for name, effect in EFFECTS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Where a document will stand, who signs it (32-byte Ed25519 `seed`), when, and its 16 random bytes."""

    network: NetworkId
    context: ContextId
    subject: SubjectRef
    signer: bytes
    seed: bytes
    basis: Basis
    now: Instant
    salt: bytes


def signed_directive(text: DirectiveText, place: Signing, number: int, find: FindMember) -> Signed:
    """The directive that a text says, numbered and signed. Raises Refused for its form."""
    directive = Directive(
        network=place.network, context=place.context, subject=place.subject, signer=place.signer, number=number,
        base=None if text.base is None else EFFECTS[text.base],
        rules=tuple(rule_of(rule, find) for rule in text.rules),
        valid_from=Instant(place.now if text.valid_from is None else text.valid_from),
        until=None if text.until is None else Instant(text.until),
        supersedes=_ids(text.supersedes), evidence=text.evidence, basis=place.basis, signed_at=place.now,
        salt=place.salt,
    )  # fmt: skip
    return sign_directive(directive, place.seed)


def signed_revocation(text: RevocationText, place: Signing) -> Signed:
    """The revocation that a text says, signed. Raises Refused for its form."""
    revocation = Revocation(
        network=place.network, context=place.context, subject=place.subject, signer=place.signer,
        targets=_ids(text.targets), series=NO_SERIES if text.series is None else bytes.fromhex(text.series),
        all_before=text.all_before, signed_at=place.now, salt=place.salt,
    )  # fmt: skip
    return sign_revocation(revocation, place.seed)


def _ids(named: Iterable[str]) -> tuple[DirectiveId, ...]:
    return tuple(sorted({DirectiveId(bytes.fromhex(one)) for one in named}))


def rule_of(rule: WireRule, find: FindMember) -> Rule:
    """A rule in canonical order. An empty list stays one: the document's check refuses it.

    Raises Refused for marks of DUO that can't be computed, or that stand beside what they are in place of.
    """
    actors = None if rule.actors is None else tuple(sorted({actor_of(one, find) for one in rule.actors}))
    if rule.duo is not None:
        return replace(
            _marked(rule, rule.duo, actors), types=_sorted(rule.types), labels=_sorted(rule.labels),
            data_period=period_of(rule.data_period), actions=_sorted(rule.actions), during=period_of(rule.during),
        )  # fmt: skip
    return Rule(
        effect=EFFECTS[rule.effect],
        actors=actors,
        purposes=_sorted(rule.purposes),
        types=_sorted(rule.types),
        labels=_sorted(rule.labels),
        data_period=period_of(rule.data_period),
        actions=_sorted(rule.actions),
        during=period_of(rule.during),
        obligations=_sorted(rule.obligations),
        exceptions=None if rule.exceptions is None else tuple(rule_of(one, find) for one in rule.exceptions),
    )


def _marked(rule: WireRule, marks: tuple[str, ...], actors: tuple[Actor, ...] | None) -> Rule:
    if rule.effect != "permit" or (rule.purposes, rule.obligations, rule.exceptions) != (None, None, None):
        raise Refused(
            "codes of DUO make a permit of their own, with its purposes, obligations and exceptions", code="duo",
            advice="leave those out, or leave the codes out; further rules may stand beside it",
        )  # fmt: skip
    return duo.permit(marks, actors)


def _sorted(codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if codes is None else tuple(sorted(set(codes)))


def actor_of(actor: WireActor, find: FindMember) -> Actor:
    """A member with its unit and user, or a group. Raises Refused when it is neither or both."""
    if (actor.member is None) == (actor.group is None):
        raise Refused("an actor is a member or a group", code="actor", advice="name one of the two")
    if actor.group is not None:
        return group_actor(actor.group.encode())
    assert actor.member is not None
    return member_actor(find(actor.member), (actor.unit or "").encode(), (actor.user or "").encode())


def period_of(period: WirePeriod | None) -> Period | None:
    """A period; an end left out is open."""
    if period is None:
        return None
    start, end = period.start, period.end
    return Period(None if start is None else Instant(start), None if end is None else Instant(end))


# -- back -----------------------------------------------------------------------------------------------------


def rule_view(rule: Rule) -> WireRule:
    """A rule as the wire says it, members by id."""
    return WireRule(
        effect=EFFECT_NAMES[rule.effect],
        actors=None if rule.actors is None else tuple(map(actor_view, rule.actors)),
        purposes=rule.purposes,
        types=rule.types,
        labels=rule.labels,
        data_period=_period_view(rule.data_period),
        actions=rule.actions,
        during=_period_view(rule.during),
        obligations=rule.obligations,
        exceptions=None if rule.exceptions is None else tuple(map(rule_view, rule.exceptions)),
    )


def actor_view(actor: Actor) -> WireActor:
    """An actor as the wire says it."""
    if actor.kind is ActorKind.GROUP:
        return WireActor(group=actor.path[0].decode(errors="replace"))
    member, unit, user = (*actor.path, b"", b"")[:3]
    return WireActor(
        member=member.hex(),
        unit=unit.decode(errors="replace") or None,
        user=user.decode(errors="replace") or None,
    )


def _period_view(period: Period | None) -> WirePeriod | None:
    return None if period is None else WirePeriod(start=period.start, end=period.end)
