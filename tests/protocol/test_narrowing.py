"""Asking for less never gets less: where a request is permitted, every narrower one is (permits contain, denials overlap)."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from medsync_protocol.access import Answer, Request
from medsync_protocol.authority import Counted
from medsync_protocol.decision import ConsentSettings, DecisionView, decide
from medsync_protocol.directive import decode_directive
from medsync_protocol.heartbeat import Pulse
from medsync_protocol.ids import DirectiveId, Instant
from medsync_protocol.purposes import ANCESTORS
from medsync_protocol.rule import Actor, Effect, Period, Rule, member_actor

from tests.consent_world import ANN, CITY, LAB, MERCY, NOW, directive, permit, request

CASES = 6000
TYPES = ("Condition", "MedicationRequest", "Observation")
LABELS = ("N", "PSY", "R")
PURPOSES = ("HRESCH", "CLINTRCH", "TREAT", "ETREAT", "PurposeOfUse", "HMARKT")
UNITS: tuple[tuple[bytes, bytes], ...] = ((b"", b""), (b"unit", b""), (b"unit", b"eve"), (b"other", b""))
ACTORS: tuple[Actor, ...] = (*(member_actor(LAB, *unit) for unit in UNITS), member_actor(CITY))
PLAIN = decode_directive(directive(permit()).document)


def some(draw: random.Random, items: tuple[Any, ...]) -> tuple[Any, ...] | None:
    return None if draw.random() < 0.6 else tuple(sorted(draw.sample(items, draw.randint(1, len(items)))))


def period(draw: random.Random) -> Period | None:
    start = draw.randint(0, 5)
    return None if draw.random() < 0.7 else Period(Instant(start), Instant(start + draw.randint(1, 5)))


def rule(draw: random.Random, effect: Effect, *, deep: bool = True) -> Rule:
    inner = tuple(
        rule(draw, effect.opposite, deep=False) for _ in range(draw.choice((0, 0, 1, 2)) if deep else 0)
    )
    return Rule(
        effect=effect, actors=some(draw, ACTORS), purposes=some(draw, PURPOSES), types=some(draw, TYPES),
        labels=some(draw, LABELS), data_period=period(draw), actions=some(draw, ("access", "disclose")),
        exceptions=inner or None,
    )  # fmt: skip


def view(draw: random.Random) -> DecisionView:
    counted = []
    for number in range(1, draw.randint(2, 4)):
        rules = tuple(
            rule(draw, draw.choice((Effect.PERMIT, Effect.PERMIT, Effect.DENY)))
            for _ in range(draw.randint(1, 3))
        )
        base = draw.choice((None, Effect.PERMIT, Effect.DENY))
        document = replace(PLAIN, base=base, rules=rules, number=number)
        counted.append(
            Counted(id=DirectiveId(bytes([number]) * 32), directive=document, permits=True, denies=True, contested=False, reason="")
        )  # fmt: skip
    return DecisionView(
        subject=ANN, linked=(), known=True, erased=False, directives=tuple(counted), home_sets=((MERCY,),),
        pulses=(Pulse(MERCY, NOW, bytes(16)),), clock_offset=0, settings=ConsentSettings(),
    )  # fmt: skip


def pair(draw: random.Random) -> tuple[Request, Request]:
    """A request and a narrower one. Unlabelled data may carry any label, so only the like is narrower than it."""
    purpose, unit = draw.choice(PURPOSES), draw.choice(UNITS)
    types, labels, span = some(draw, TYPES), some(draw, LABELS), period(draw)
    wide = request(
        purposes=(purpose,), types=types, labels=labels, data_period=span, unit=unit[0], user=unit[1]
    )
    below = draw.choice([one for one in UNITS if all(not mine or mine == theirs for mine, theirs in zip(unit, one, strict=True))])  # fmt: skip
    narrow = request(
        purposes=(draw.choice([code for code in PURPOSES if purpose in ANCESTORS[code]]),), unit=below[0], user=below[1],
        types=_fewer(draw, types or draw.choice((None, TYPES))), labels=_fewer(draw, labels), data_period=_shorter(draw, span),
    )  # fmt: skip
    return wide, narrow


def _fewer(draw: random.Random, items: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(draw.sample(items, draw.randint(1, len(items))))


def _shorter(draw: random.Random, span: Period | None) -> Period | None:
    if span is None:
        return period(draw)
    assert span.start is not None and span.end is not None
    start = draw.randint(span.start, span.end - 1)
    return Period(Instant(start), Instant(draw.randint(start + 1, span.end)))


def test_a_narrower_request_is_permitted_where_the_wider_is() -> None:
    draw = random.Random(7)
    seen: Counter[Answer] = Counter()
    for case in range(CASES):
        inputs, (wide, narrow) = view(draw), pair(draw)
        answer = decide(inputs, wide, NOW).answer
        seen[answer] += 1
        if answer is Answer.PERMIT:
            assert decide(inputs, narrow, NOW).answer is Answer.PERMIT, f"case {case}"
    assert min(seen[Answer.PERMIT], seen[Answer.DENY], seen[Answer.NO_CONSENT]) > 100
