"""Why an answer is what it is: every directive that was looked at, what each of its rules lacked, and what would be needed.

The answer itself is `decision.py`'s; a test holds the dimensions here against its matching.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from medsync_protocol import duo
from medsync_protocol.access import Answer, Request
from medsync_protocol.authority import Counted, Ended
from medsync_protocol.decision import Decision, DecisionView, Reason, RuleId, judge
from medsync_protocol.heartbeat import is_fresh
from medsync_protocol.purposes import contains, overlaps
from medsync_protocol.rule import Effect, Period, Rule

DIMENSIONS: Final = ("during", "actions", "purposes", "actors", "types", "labels", "data_period")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule, exception or base decision that was looked at.

    `missing`: the dimensions in which it does not meet the request, for a permit that it does not contain it, for a denial
    that it does not touch it. `unheard`: why it does not count though it meets; "" where it does. `ended`: by what its
    directive's permits were taken back, where that is why.
    """

    rule: RuleId
    effect: Effect
    missing: tuple[str, ...]
    unheard: str
    decides: bool
    ended: Ended | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A decision with what was looked at, by directive and rule; `needed` in sentences, empty for a PERMIT.

    `fresh`: whether enough of the homes had been heard recently enough; None where the view holds no heartbeats to tell by.
    """

    decision: Decision
    findings: tuple[Finding, ...]
    needed: tuple[str, ...]
    fresh: bool | None = None


def explain(view: DecisionView, request: Request, now: int, decision: Decision | None = None, *, heard: bool = True) -> Explanation:
    """Explain the answer on a view at `now`; `decision`: the one that was given, else what the directives say.

    `heard`: the view holds all heartbeats that were heard then; else that enough were is known at most, never the contrary.
    """
    given = judge(view, request, now) if decision is None else decision
    deciding = frozenset(given.rules)
    findings = tuple(found for counted in view.directives for found in _of(counted, request, now, deciding))
    fresh = fresh_for(view, request, now)
    return Explanation(
        decision=given, findings=findings, needed=tuple(_needed(given, findings, request)), fresh=fresh or (False if heard else None)
    )


def fresh_for(view: DecisionView, request: Request, now: int) -> bool:
    """Whether a view's heartbeats are enough, and recent enough at `now`, for what a request is for."""
    settings = view.settings
    age = settings.age_for(request.purposes)
    return is_fresh(view.home_sets, view.pulses, now=now, max_age=age, skew=settings.skew)


def _of(counted: Counted, request: Request, now: int, deciding: frozenset[RuleId]) -> Iterator[Finding]:
    base = counted.directive.base
    if base is not None:
        yield _finding(counted, Rule(effect=base), None, None, request, now, deciding)
    for index, rule in enumerate(counted.directive.rules):
        yield _finding(counted, rule, index, None, request, now, deciding)
        for number, exception in enumerate(rule.exceptions or ()):
            yield _finding(counted, exception, index, number, request, now, deciding)


def _finding(
    counted: Counted, rule: Rule, index: int | None, exception: int | None, request: Request, now: int,
    deciding: frozenset[RuleId],
) -> Finding:  # fmt: skip
    named = (counted.id, index, exception)
    return Finding(
        rule=named, effect=rule.effect, missing=missing(rule, request, now),
        unheard=_unheard(counted, rule.effect, request, now), decides=named in deciding,
        ended=counted.ended if rule.effect is Effect.PERMIT and not counted.permits else None,
    )  # fmt: skip


def _unheard(counted: Counted, effect: Effect, request: Request, now: int) -> str:
    directive = counted.directive
    if now < directive.valid_from:
        return "not in force yet"
    if not directive.in_force(now):
        return "no longer in force"
    if effect is Effect.PERMIT and not counted.permits:
        return _told(counted) or "its permits do not count"
    if effect is Effect.DENY and not counted.denies:
        return counted.reason or "its denials do not count"
    if effect is Effect.PERMIT and directive.signer == request.requester:
        return "a permit never counts for the member that attested it"
    return ""


def _told(counted: Counted) -> str:
    ended = counted.ended
    if ended is None:
        return counted.reason
    at = datetime.fromtimestamp(ended.signed_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    by = "revocation" if ended.why == "revoked" else "consent"
    return f"{ended.why} on {at} by {by} {ended.document.hex()}"


def missing(rule: Rule, request: Request, now: int) -> tuple[str, ...]:
    """The dimensions in which a rule does not meet a request; a permit every purpose, a denial any."""
    met = _contained(rule, request) if rule.effect is Effect.PERMIT else _touched(rule, request)
    met["during"] = rule.during is None or now in rule.during
    met["actions"] = rule.actions is None or request.action in rule.actions
    return tuple(name for name in DIMENSIONS if not met[name])


def _contained(rule: Rule, request: Request) -> dict[str, bool]:
    return {
        "purposes": rule.purposes is None
        or all(any(contains(code, purpose) for code in rule.purposes) for purpose in request.purposes),
        "actors": rule.actors is None or any(mine.covers(theirs) for mine in rule.actors for theirs in request.actors),
        "types": rule.types is None or (request.types is not None and set(request.types) <= set(rule.types)),
        "labels": rule.labels is None or (request.labels is not None and set(request.labels) <= set(rule.labels)),
        "data_period": rule.data_period is None or _inside(request.data_period, rule.data_period),
    }


def _inside(asked: Period | None, given: Period) -> bool:
    return asked is not None and given.contains(asked)


def _touched(rule: Rule, request: Request) -> dict[str, bool]:
    return {
        "purposes": rule.purposes is None
        or any(overlaps(code, purpose) for code in rule.purposes for purpose in request.purposes),
        "actors": rule.actors is None
        or any(mine.covers(theirs) or theirs.covers(mine) for mine in rule.actors for theirs in request.actors),
        "types": rule.types is None or request.types is None or not set(rule.types).isdisjoint(request.types),
        "labels": rule.labels is None or request.labels is None or not set(rule.labels).isdisjoint(request.labels),
        "data_period": rule.data_period is None or request.data_period is None or rule.data_period.overlaps(request.data_period),
    }


def _needed(decision: Decision, findings: tuple[Finding, ...], request: Request) -> Iterator[str]:
    if decision.answer is Answer.PERMIT:
        return
    if decision.answer is Answer.ERASED:
        yield "nothing helps: the subject was erased"
        return
    if decision.reason is Reason.UNKNOWN_SUBJECT:
        yield "the subject's record, by enrolment or synchronisation"
        return
    if decision.reason is Reason.STALE:
        yield "a recent heartbeat of more than half of the subject's homes, and everything that they cover"
    if decision.reason is Reason.ABSTAINS:
        conditions = (f"{one} {duo.in_words(one)}" for one in decision.obligations if duo.abstains(one))
        yield f"a person's word that the use meets {'; '.join(conditions)}, as a consent without that mark"
    if decision.reason is Reason.CLOCK:
        yield "this node's clock set right"
    if decision.answer is Answer.DENY:
        denying = sorted({one.rule[0].hex() for one in findings if one.decides})
        yield f"the denial taken back by whoever may, or excepted in a new version: {', '.join(denying)}"
        return
    if decision.answer is not Answer.NO_CONSENT:
        return
    near = [one for one in findings if one.effect is Effect.PERMIT and not one.unheard and one.missing]
    for one in sorted(near, key=lambda found: (len(found.missing), found.rule[0])):
        yield f"consent {one.rule[0].hex()} to cover the request's {', '.join(one.missing)}"
    heard = [one for one in findings if one.effect is Effect.PERMIT and one.unheard and not one.missing]
    for one in sorted(heard, key=lambda found: found.rule[0]):
        yield f"consent {one.rule[0].hex()} to count: {one.unheard}"
    if not near and not heard:
        yield f"a consent that permits {request.action} for {', '.join(request.purposes)} to the requester"
