"""The one place that decides: which directives and rules meet a request, and how they combine (PROTOCOL §7).

Pure: the answer is a function of view, request and `now`. What may stand in a view is `authority.py`'s; making
one from a replica is `consent.py`'s; proving the answer is `receipt.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Final

from medsync_protocol import duo
from medsync_protocol.access import Answer, Request
from medsync_protocol.authority import Counted
from medsync_protocol.codec import pack
from medsync_protocol.crypto import blake2b
from medsync_protocol.heartbeat import Pulse, is_fresh
from medsync_protocol.ids import DirectiveId, MemberId, SubjectRef
from medsync_protocol.purposes import ANCESTORS, EMERGENCY, ROOT, TREATMENT, contains, overlaps
from medsync_protocol.rule import Effect, Rule

EVALUATOR_VERSION: Final = 1
OVERRIDING: Final = "BTG"  # HL7: may override a consent; ETREAT is for those who are provisioned for emergencies
_MINUTE: Final = 60_000


class Reason(Enum):
    """Why an answer is not simply what a directive says."""

    NONE = ""
    UNKNOWN_SUBJECT = "no effective record of this subject is held"
    STALE = "too few of the subject's homes have been heard recently enough"
    CLOCK = "this node's clock is off the homes' by more than the allowed skew"
    IMPLICIT = "no directive applies: the context's implicit rule answers"
    ERASED = "the subject was erased"
    ABSTAINS = "a consent permits it under a condition that a person has to judge"


class ImplicitRule(IntEnum):
    """What holds where no directive applies: the four of IHE PCF (volume 1, Implicit option)."""

    DENY = 0
    PERMIT_TREATMENT = 1
    PERMIT = 2
    DENY_BUT_BREAK_GLASS = 3  # break-glass is a call of its own: here this denies, see `against_breaking`


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSettings:
    """A context's settings for decisions: `max_age` in ms by purpose class, else `other_age`; `skew` in ms."""

    max_age: tuple[tuple[str, int], ...] = (
        ("HOPERAT", 60 * _MINUTE), ("HPAYMT", 60 * _MINUTE), ("HRESCH", 5 * _MINUTE), ("TREAT", 15 * _MINUTE),
    )  # fmt: skip
    other_age: int = 5 * _MINUTE
    skew: int = 2 * _MINUTE
    implicit: ImplicitRule = ImplicitRule.DENY

    def age_for(self, purposes: Iterable[str]) -> int:
        """The least D of all classes that the purposes touch; a purpose above several classes touches all."""
        ages = []
        for purpose in purposes:
            touched = [age for code, age in self.max_age if overlaps(code, purpose)]
            in_a_class = any(contains(code, purpose) for code, _ in self.max_age)
            ages += touched if in_a_class else [*touched, self.other_age]
        return min(ages)

    @property
    def heartbeat_interval(self) -> int:
        """D_min/3 in ms: how often a home emits a heartbeat."""
        return min([self.other_age, *(age for _, age in self.max_age)]) // 3

    @property
    def version(self) -> bytes:
        """16 bytes that name these settings in a receipt."""
        return blake2b(pack([self.max_age, self.other_age, self.skew, self.implicit]), size=16)


def settings_of(pairs: Mapping[str, int | str]) -> ConsentSettings:
    """From a genesis' settings: `fresh.CODE` and `fresh.other` in ms, `skew` in ms, `implicit` 0…3."""
    default = ConsentSettings()
    ages = dict(default.max_age)
    for name, value in pairs.items():
        code = name.removeprefix("fresh.")
        if code != name and code in ANCESTORS and code != ROOT and isinstance(value, int) and value > 0:
            ages[code] = value
    other, skew, implicit = pairs.get("fresh.other"), pairs.get("skew"), pairs.get("implicit")
    return ConsentSettings(
        max_age=tuple(sorted(ages.items())),
        other_age=other if isinstance(other, int) and other > 0 else default.other_age,
        skew=skew if isinstance(skew, int) and skew > 0 else default.skew,
        implicit=ImplicitRule(implicit) if implicit in (0, 1, 2, 3) else default.implicit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """Everything a decision may look at. `directives` ascend by id; linked pseudonyms' are among them."""

    subject: SubjectRef
    linked: tuple[SubjectRef, ...]
    known: bool
    erased: bool
    directives: tuple[Counted, ...]
    home_sets: tuple[tuple[MemberId, ...], ...]
    pulses: tuple[Pulse, ...]
    clock_offset: int | None
    settings: ConsentSettings

    @property
    def digest(self) -> bytes:
        """32 bytes over all of it: equal exactly when the inputs are."""
        return blake2b(pack([
            self.subject, self.linked, self.known, self.erased,
            [[one.id, one.permits, one.denies] for one in self.directives],
            self.home_sets, [[one.home, one.time, one.id] for one in self.pulses],
            self.clock_offset, self.settings.version,
        ]))  # fmt: skip


RuleId = tuple[DirectiveId, int | None, int | None]
"""(directive, rule or None for the base decision, exception or None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An answer with what made it. `rules` and `obligations` ascend; `reason` is for people, and stands in receipts."""

    answer: Answer
    reason: Reason
    obligations: tuple[str, ...] = ()
    rules: tuple[RuleId, ...] = ()

    @property
    def directives(self) -> tuple[DirectiveId, ...]:
        """The directives that made the answer, ascending."""
        return tuple(sorted({rule[0] for rule in self.rules}))

    def fields(self) -> list[Any]:
        """For encoding: [answer, reason, obligations, rules]."""
        return [self.answer, self.reason.name, self.obligations, self.rules]


def decide(view: DecisionView, request: Request, now: int) -> Decision:
    """Answer a request at `now` (ms UTC). A denial that is held binds at once; any other answer needs freshness."""
    decision = judge(view, request, now)
    if decision.answer in (Answer.DENY, Answer.ERASED, Answer.INDETERMINATE):
        return decision
    settings = view.settings
    if view.clock_offset is not None and abs(view.clock_offset) > settings.skew:
        return Decision(answer=Answer.INDETERMINATE, reason=Reason.CLOCK)
    age = settings.age_for(request.purposes)
    if not is_fresh(view.home_sets, view.pulses, now=now, max_age=age, skew=settings.skew):
        return Decision(answer=Answer.INDETERMINATE, reason=Reason.STALE)
    return decision


def judge(view: DecisionView, request: Request, now: int) -> Decision:
    """What the directives say, whether or not the view is fresh. Nothing is released on this: see `decide`."""
    if view.erased:
        return Decision(answer=Answer.ERASED, reason=Reason.ERASED)
    if not view.known:
        return Decision(answer=Answer.INDETERMINATE, reason=Reason.UNKNOWN_SUBJECT)
    return _combine(view, request, now)


class Against(Enum):
    """Why glass may not be broken, though whoever asks may break it."""

    UNKNOWN = "no record of this subject is held that could be decided on"
    REFUSED_BY_NAME = "a consent refuses emergency access by name"
    DENIED = "a consent denies it, and only a purpose of BTG, in a context that allows it, goes before that"
    IMPLICIT = "no consent applies, and the context's implicit rule is to deny, without break-glass"


def against_breaking(
    view: DecisionView, request: Request, now: int, vouching: frozenset[bytes]
) -> Against | None:
    """What stands against breaking glass for a request with emergency purposes; None: it may be broken (PROTOCOL §7).

    Freshness and clocks are not asked. `vouching`: the keys whose refusal by name holds, those of the patient's side and
    the custodians': no other member can keep an emergency out. Of several purposes the strictest answer counts.
    """
    if view.erased or not view.home_sets:  # a known record has homes; too many links to it don't keep an emergency out
        return Against.UNKNOWN
    found = [_against(view, request, purpose, now, vouching) for purpose in request.purposes]
    return next((one for one in Against if one in found), None)


def _against(
    view: DecisionView, request: Request, purpose: str, now: int, vouching: frozenset[bytes]
) -> Against | None:
    signed = [one for one in view.directives if one.directive.in_force(now) and one.directive.signer in vouching]
    if any(_refuses_by_name(one, request, purpose, now) for one in signed):
        return Against.REFUSED_BY_NAME
    allowed = view.settings.implicit is not ImplicitRule.DENY
    answer = _for_purpose(view, request, purpose, now).answer
    if answer is Answer.DENY and not (allowed and purpose == OVERRIDING):
        return Against.DENIED
    return Against.IMPLICIT if answer is Answer.NO_CONSENT and not allowed else None


def _refuses_by_name(counted: Counted, request: Request, purpose: str, now: int) -> bool:
    found = (one for one in _within(counted, request, purpose, now) if one.effect is Effect.DENY and one.explicit)
    return any(not EMERGENCY.isdisjoint(_rule_of(counted, one.rule).purposes or ()) for one in found)


def _rule_of(counted: Counted, named: RuleId) -> Rule:
    _, index, exception = named
    assert index is not None, "an explicit answer has its rule"
    rule = counted.directive.rules[index]
    return rule if exception is None else (rule.exceptions or ())[exception]


def _combine(view: DecisionView, request: Request, now: int) -> Decision:
    """Every purpose apart: one denial denies, and all must be permitted."""
    answers = [_for_purpose(view, request, purpose, now) for purpose in request.purposes]
    for answer in (Answer.DENY, Answer.NO_CONSENT, Answer.PERMIT):
        given = [one for one in answers if one.answer is answer]
        if given:
            break
    implicit = any(one.reason is Reason.IMPLICIT for one in given)
    obligations = tuple(sorted({text for one in given for text in one.obligations}))
    abstains = answer is Answer.PERMIT and any(map(duo.abstains, obligations))
    return Decision(
        answer=Answer.INDETERMINATE if abstains else answer,
        reason=Reason.ABSTAINS if abstains else Reason.IMPLICIT if implicit else Reason.NONE,
        obligations=obligations,
        rules=tuple(sorted({rule for one in given for rule in one.rules}, key=_rule_order)),
    )


def _rule_order(rule: RuleId) -> tuple[bytes, int, int]:
    named, index, exception = rule
    return named, -1 if index is None else index, -1 if exception is None else exception


def _for_purpose(view: DecisionView, request: Request, purpose: str, now: int) -> Decision:
    """Across directives: any explicit deny, else any explicit permit, else bases with deny first, else implicit."""
    found: dict[tuple[bool, Effect], list[_Found]] = {}
    for counted in view.directives:
        if counted.directive.in_force(now):
            for one in _within(counted, request, purpose, now):
                found.setdefault((one.explicit, one.effect), []).append(one)
    for explicit in (True, False):
        for effect, answer in ((Effect.DENY, Answer.DENY), (Effect.PERMIT, Answer.PERMIT)):
            deciding = found.get((explicit, effect))
            if deciding:
                return Decision(
                    answer=answer, reason=Reason.NONE,
                    obligations=tuple(text for one in deciding for text in one.obligations),
                    rules=tuple(one.rule for one in deciding),
                )  # fmt: skip
    return Decision(answer=_implicit(view.settings.implicit, purpose), reason=Reason.IMPLICIT)


def _implicit(rule: ImplicitRule, purpose: str) -> Answer:
    permits = rule is ImplicitRule.PERMIT or (
        rule is ImplicitRule.PERMIT_TREATMENT and contains(TREATMENT, purpose)
    )
    return Answer.PERMIT if permits else Answer.NO_CONSENT


@dataclass(frozen=True, slots=True)
class _Found:
    """What one directive says by one of its rules, or by its base decision."""

    explicit: bool
    effect: Effect
    rule: RuleId
    obligations: tuple[str, ...] = ()


def _within(counted: Counted, request: Request, purpose: str, now: int) -> list[_Found]:
    """Inside a directive: each rule speaks by its exception where one matches; then deny goes before permit.

    An exception narrows its own rule only: it never opens what another rule of the directive denies.
    """
    found = [
        one
        for index, rule in enumerate(counted.directive.rules)
        for one in _of_rule(counted, index, rule, request, purpose, now)
    ]
    if found:
        return [one for one in found if one.effect is Effect.DENY] or found
    base = counted.directive.base
    if base is None or not _counts(counted, base, request):
        return []
    return [_Found(False, base, (counted.id, None, None))]


def _counts(counted: Counted, effect: Effect, request: Request) -> bool:
    """A permit never counts for the member that attested it (decisions/0012-no-grant-to-oneself.md)."""
    if effect is Effect.DENY:
        return counted.denies
    return counted.permits and counted.directive.signer != request.requester


def _of_rule(
    counted: Counted, index: int, rule: Rule, request: Request, purpose: str, now: int
) -> list[_Found]:
    """What a rule says of a request: nothing, itself, or the exceptions that match.

    The scope of an exception is the part of its rule that it names. So a denying exception speaks where that
    part overlaps; a permitting one frees what it contains, and permits it where the rule contains it too.
    """
    if not _overlaps(rule, request, purpose, now):
        return []
    excepted = [
        _Found(True, one.effect, (counted.id, index, number), one.obligations or ())
        for number, one in enumerate(rule.exceptions or ())
        if _matches(one, request, purpose, now) and _counts(counted, one.effect, request)
    ]
    inside = _contains(rule, request, purpose, now)
    if excepted:
        return excepted if inside or rule.effect is Effect.PERMIT else []
    if not _counts(counted, rule.effect, request) or (rule.effect is Effect.PERMIT and not inside):
        return []
    return [_Found(True, rule.effect, (counted.id, index, None), rule.obligations or ())]


def _matches(rule: Rule, request: Request, purpose: str, now: int) -> bool:
    """Permit needs containment, deny needs overlap, in every dimension; None means any."""
    return (_contains if rule.effect is Effect.PERMIT else _overlaps)(rule, request, purpose, now)


def _applies(rule: Rule, request: Request, now: int) -> bool:
    return (rule.during is None or now in rule.during) and (
        rule.actions is None or request.action in rule.actions
    )


def _contains(rule: Rule, request: Request, purpose: str, now: int) -> bool:
    return (
        _applies(rule, request, now)
        and (rule.purposes is None or any(contains(code, purpose) for code in rule.purposes))
        and (
            rule.actors is None
            or any(mine.covers(theirs) for mine in rule.actors for theirs in request.actors)
        )
        and (rule.types is None or (request.types is not None and set(request.types) <= set(rule.types)))
        and (rule.labels is None or (request.labels is not None and set(request.labels) <= set(rule.labels)))
        and (
            rule.data_period is None
            or (request.data_period is not None and rule.data_period.contains(request.data_period))
        )
    )


def _overlaps(rule: Rule, request: Request, purpose: str, now: int) -> bool:
    """What is unlabelled, untyped or undated in the request may be anything: it overlaps."""
    return (
        _applies(rule, request, now)
        and (rule.purposes is None or any(overlaps(code, purpose) for code in rule.purposes))
        and (
            rule.actors is None
            or any(
                mine.covers(theirs) or theirs.covers(mine)
                for mine in rule.actors
                for theirs in request.actors
            )
        )
        and (rule.types is None or request.types is None or not set(rule.types).isdisjoint(request.types))
        and (rule.labels is None or request.labels is None or not set(rule.labels).isdisjoint(request.labels))
        and (
            rule.data_period is None
            or request.data_period is None
            or rule.data_period.overlaps(request.data_period)
        )
    )
