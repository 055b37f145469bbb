"""The parts a directive is made of: effects, actors, periods and rules, with their encoding and their limits.

Who may sign what is `authority.py`'s; whether a rule meets a request is `decision.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

from medsync_protocol.codec import want_array, want_bytes, want_int, want_str
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import Instant, MemberId
from medsync_protocol.purposes import is_known

MAX_RULES: Final = 64  # a decision looks at every rule: bounds its time
MAX_EXCEPTIONS: Final = 32  # HL7's longest example has 11
MAX_LIST: Final = 64  # actors, codes and labels of one rule
MAX_CODE: Final = 128  # "system|code" of HL7 fits
ACTIONS: Final = frozenset({"collect", "access", "use", "disclose", "correct"})
"""HL7's consent actions; a directive or request names no others."""


class Effect(IntEnum):
    """What a rule or a base decision says."""

    DENY = 0
    PERMIT = 1

    @property
    def opposite(self) -> Effect:
        """What an exception to it says."""
        return Effect(1 - self)


class ActorKind(IntEnum):
    """How an actor is named."""

    ORGANISATION = 0  # path: member (32 bytes), then unit, then user; an empty unit says "none"
    GROUP = 1  # one identifier; membership is attested to the decider


@dataclass(frozen=True, slots=True, order=True)
class Actor:
    """A recipient: a path from an organisation down to a person, or a group."""

    kind: ActorKind
    path: tuple[bytes, ...]

    def covers(self, other: Actor) -> bool:
        """True when `other` is this actor or belongs to it by its path."""
        return self.kind == other.kind and other.path[: len(self.path)] == self.path

    def fields(self) -> list[Any]:
        """For encoding: [kind, path…]."""
        return [self.kind, *self.path]


def member_actor(member: MemberId, unit: bytes = b"", user: bytes = b"") -> Actor:
    """A member, one of its units or one of its users."""
    path: tuple[bytes, ...] = (member, unit, user) if user else (member, unit) if unit else (member,)
    return Actor(ActorKind.ORGANISATION, path)


def group_actor(identifier: bytes) -> Actor:
    """A group named by up to 64 bytes."""
    return Actor(ActorKind.GROUP, (identifier,))


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) in milliseconds UTC; None is open."""

    start: Instant | None
    end: Instant | None

    def __contains__(self, instant: int) -> bool:
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)

    def contains(self, other: Period) -> bool:
        """True when all of `other` lies inside."""
        return (self.start is None or (other.start is not None and self.start <= other.start)) and (
            self.end is None or (other.end is not None and other.end <= self.end)
        )

    def overlaps(self, other: Period) -> bool:
        """True when they share an instant."""
        return _before(self.start, other.end) and _before(other.start, self.end)


def _before(start: int | None, end: int | None) -> bool:
    return start is None or end is None or start < end


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule or exception. None means any; lists ascend without repeats and are never empty.

    `during`: when the rule holds (the directive's own period bounds it further); `data_period`: of the data.
    `obligations` bind whoever releases under a permit. `exceptions` have the opposite effect, one level deep.
    """

    effect: Effect
    actors: tuple[Actor, ...] | None = None
    purposes: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    data_period: Period | None = None
    actions: tuple[str, ...] | None = None
    during: Period | None = None
    obligations: tuple[str, ...] | None = None
    exceptions: tuple[Rule, ...] | None = None

    def fields(self) -> list[Any]:
        """For encoding, in wire order."""
        return [
            self.effect,
            None if self.actors is None else [actor.fields() for actor in self.actors],
            self.purposes, self.types, self.labels, period_fields(self.data_period), self.actions,
            period_fields(self.during), self.obligations,
            None if self.exceptions is None else [inner.fields() for inner in self.exceptions],
        ]  # fmt: skip


def period_fields(period: Period | None) -> list[int | None] | None:
    """For encoding: [start, end] or None."""
    return None if period is None else [period.start, period.end]


# -- rules of form --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a document: a code for programs, a sentence and an advice for people."""

    code: str
    message: str
    advice: str


_LISTS: Final = ("actors", "purposes", "types", "labels", "actions", "obligations", "exceptions")


def problems(rule: Rule, where: str, depth: int = 0) -> Iterator[Problem]:
    """Everything wrong with a rule, `where` naming it for the reader."""
    yield from _list_problems(rule, where)
    for code in rule.purposes or ():
        if not is_known(code):
            yield Problem(
                "unknown_purpose",
                f"{where}: {code!r} is no purpose of use",
                "use a code of HL7's PurposeOfUse",
            )
    for action in rule.actions or ():
        if action not in ACTIONS:
            yield Problem(
                "unknown_action", f"{where}: {action!r} is no action", f"use one of {sorted(ACTIONS)}"
            )
    for name, period in (("data period", rule.data_period), ("period", rule.during)):
        if period is not None and not _before(period.start, period.end):
            yield Problem(
                "until_before_from", f"{where}: the {name} ends before it begins", "swap or drop an end"
            )
    if rule.obligations and rule.effect is Effect.DENY:
        yield Problem("obligation_on_deny", f"{where}: a denial carries obligations", "put them on a permit")
    if rule.exceptions and depth:
        yield Problem("too_deep", f"{where}: an exception has exceptions", "write it as a rule of its own")
    for index, inner in enumerate(rule.exceptions or ()):
        if inner.effect is rule.effect:
            yield Problem("same_effect", f"{where}: exception {index} says the same as its rule", "drop it")
        yield from problems(inner, f"{where}, exception {index}", depth + 1)


def _list_problems(rule: Rule, where: str) -> Iterator[Problem]:
    for name in _LISTS:
        items: Sequence[Any] | None = getattr(rule, name)
        if items is None:
            continue
        if not items:
            yield Problem("empty_list", f"{where}: the list of {name} is empty", "leave it out to mean any")
        if len(items) > (MAX_EXCEPTIONS if name == "exceptions" else MAX_LIST):
            yield Problem("too_many", f"{where}: too many {name}", "split the directive")
        if name != "exceptions" and any(a >= b for a, b in pairwise(items)):
            yield Problem("not_ascending", f"{where}: {name} must ascend without repeats", "sort them")


# -- decoding -------------------------------------------------------------------------------------------------


def decode_rule(value: Any, depth: int = 0) -> Rule:
    """The rule in a decoded value; forms are checked by `problems`. Raises Malformed."""
    fields = want_array(value, 10)
    effect, actors, purposes, types, labels, data_period, actions, during, obligations, exceptions = fields
    if depth > 1:
        raise Malformed("an exception has exceptions")
    return Rule(
        effect=Effect(want_int(effect, 0, 1)),
        actors=None if actors is None else tuple(map(decode_actor, want_array(actors, at_most=MAX_LIST))),
        purposes=decode_codes(purposes),
        types=decode_codes(types),
        labels=decode_codes(labels),
        data_period=decode_period(data_period),
        actions=decode_codes(actions),
        during=decode_period(during),
        obligations=decode_codes(obligations),
        exceptions=None
        if exceptions is None
        else tuple(decode_rule(e, depth + 1) for e in want_array(exceptions, at_most=MAX_EXCEPTIONS)),
    )


def decode_actor(value: Any) -> Actor:
    """An actor from [kind, path…]. Raises Malformed."""
    fields = want_array(value, at_most=4)
    if len(fields) < 2:
        raise Malformed("an actor has a kind and a path")
    kind = ActorKind(want_int(fields[0], 0, 1))
    path = tuple(want_bytes(part, at_most=64) for part in fields[1:])
    if kind is ActorKind.ORGANISATION and (len(path[0]) != 32 or (len(path) > 1 and not path[-1])):
        raise Malformed("an organisation's path begins with a member and ends in something")
    if kind is ActorKind.GROUP and (len(path) != 1 or not path[0]):
        raise Malformed("a group has one identifier")
    return Actor(kind, path)


def decode_codes(value: Any) -> tuple[str, ...] | None:
    """A list of codes, or None for any. Raises Malformed."""
    if value is None:
        return None
    return tuple(want_str(code, MAX_CODE) for code in want_array(value, at_most=MAX_LIST))


def decode_period(value: Any) -> Period | None:
    """[start, end] with None for open ends, or None. Raises Malformed."""
    if value is None:
        return None
    start, end = want_array(value, 2)
    return Period(_instant(start), _instant(end))


def _instant(value: Any) -> Instant | None:
    return None if value is None else Instant(want_int(value))
