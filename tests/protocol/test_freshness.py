"""A view permits only when a majority of the subject's homes was heard recently enough (PROTOCOL §7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medsync_protocol.access import Answer
from medsync_protocol.decision import Decision, Reason
from medsync_protocol.drafts import subject_draft
from medsync_protocol.errors import BadSignature, Invalid, Malformed
from medsync_protocol.heartbeat import HeartbeatBook, encode_heartbeat, open_heartbeat
from medsync_protocol.ids import ContextId, DeviceId, Instant
from tests.consent_world import (
    CONTEXT,
    DEVICES,
    NETWORK,
    NOW,
    RECORD,
    World,
    chain_of,
    deny,
    directive,
    key,
    member,
    named,
    permit,
    request,
    revocation,
)

MINUTE = 60_000
RESEARCH_AGE, SKEW = 5 * MINUTE, 2 * MINUTE


def _world(*names: str, at: int = NOW) -> World:
    world = World()
    world.add(subject_draft(RECORD), "mercy")
    world.direct(directive(permit()))
    world.hear(*names, at=at)
    return world


def _said(decision: Decision) -> tuple[Answer, Reason]:
    return decision.answer, decision.reason


@pytest.mark.parametrize(
    ("names", "fresh"),
    [((), False), (("mercy",), False), (("mercy", "coast"), True), (("lab", "mercy"), False)],
)
def test_a_majority_of_the_homes_must_be_heard(names: tuple[str, ...], fresh: bool) -> None:
    said = _said(_world(*names).ask())
    assert said == ((Answer.PERMIT, Reason.NONE) if fresh else (Answer.INDETERMINATE, Reason.STALE))


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(0, True), (RESEARCH_AGE, True), (RESEARCH_AGE + 1, False), (-SKEW, True), (-SKEW - 1, False)],
)
def test_a_heartbeat_counts_for_d_and_a_skew_ahead(age: int, fresh: bool) -> None:
    decision = _world("mercy", "city", at=NOW - age).ask()
    assert (decision.answer is Answer.PERMIT) is fresh


def test_older_heartbeats_do_for_treatment() -> None:
    world = _world("mercy", "city", at=NOW - 14 * MINUTE)
    assert world.ask(request(purposes=("TREAT",))).answer is Answer.PERMIT
    assert world.ask().reason is Reason.STALE


def test_a_heartbeat_over_what_is_not_held_yet_does_not_count() -> None:
    world = _world("mercy")
    world.hear("city", vector={**world.held, chain_of("city"): 1})
    assert world.ask().reason is Reason.STALE
    world.direct(directive(permit(), number=2), "city")
    assert world.ask().answer is Answer.PERMIT


def test_an_older_heartbeat_that_is_covered_does_while_the_newest_is_not() -> None:
    world = _world("mercy", "city", at=NOW - MINUTE)
    world.hear("city", vector={**world.held, chain_of("city"): 1})
    assert world.ask().answer is Answer.PERMIT


def test_a_held_denial_answers_without_freshness() -> None:
    world = _world()
    world.direct(directive(deny(), number=2))
    assert world.ask().answer is Answer.DENY


def test_a_clock_off_the_homes_median_answers_nothing() -> None:
    world = _world()
    world.clock = NOW + 3 * MINUTE
    world.hear("mercy", "city", "coast", at=NOW)
    assert world.ask(now=NOW).answer is Answer.PERMIT
    behind = World()
    behind.add(subject_draft(RECORD), "mercy")
    for name in ("mercy", "city", "coast"):
        behind.book.take(behind.heartbeat(name, at=NOW), Instant(NOW - 3 * MINUTE))
    assert behind.ask(now=NOW - 3 * MINUTE).reason is Reason.CLOCK


def test_a_heartbeat_that_waited_for_a_link_tells_nothing_of_a_clock() -> None:
    """After a stop the first one of a home is as old as the home's interval, or as the stop; the next ones tell."""
    book, world = HeartbeatBook(), World()
    book.take(world.heartbeat("mercy", at=NOW - 3 * MINUTE), NOW)
    book.take(world.heartbeat("mercy", at=NOW - 2 * MINUTE), NOW, direct=False)
    assert book.clock_offset() is None
    book.take(world.heartbeat("mercy", at=NOW - MINUTE), NOW)  # as it was signed: this clock is behind
    assert book.clock_offset() == -MINUTE
    book.take(world.heartbeat("coast", at=NOW + MINUTE), NOW)  # the future waits for no link
    assert book.clock_offset() == MINUTE


def test_one_wrong_clock_among_three_homes_changes_nothing() -> None:
    world = _world("mercy", "city")
    world.book.take(world.heartbeat("coast", at=NOW + 60 * MINUTE), NOW)
    assert world.ask().answer is Answer.PERMIT


def test_a_revocation_is_recorded_then_effective() -> None:
    world = _world("mercy")
    signed = revocation(named(directive(permit())))
    world.revoke(signed, "city")
    from medsync_protocol.directive import revocation_id
    from tests.consent_world import ANN

    def level() -> str:
        return world.application.revocation_level(ANN, revocation_id(signed.document), world.book)

    assert level() == "recorded"
    assert world.ask().answer is not Answer.PERMIT, "it binds at once where it is held"
    world.hear("city", at=NOW + 1)
    assert level() == "recorded"
    world.hear("coast", at=NOW + 1)
    assert level() == "effective"


def test_a_home_change_asks_both_sets_until_it_is_final() -> None:
    from medsync_protocol.subject import encode_record, record_id

    world = _world("mercy", "city")
    moved = replace(RECORD, revision=1, previous=record_id(encode_record(RECORD)), homes=(member("coast"),))
    world.add(subject_draft(moved), "mercy")
    world.hear("mercy", "city", at=NOW + 1)
    assert world.ask(now=NOW + 1).reason is Reason.STALE
    world.hear("coast", at=NOW + 1)
    assert world.ask(now=NOW + 1).answer is Answer.PERMIT
    only = World(application=world.application, held=world.held)
    only.hear("coast", at=NOW + 1)
    assert only.ask(now=NOW + 1).reason is Reason.STALE
    world.application.set_final(dict(world.held))
    assert only.ask(now=NOW + 1).answer is Answer.PERMIT


def test_a_heartbeat_opens_as_it_was_made() -> None:
    beat = World.enrolled().heartbeat("mercy")
    assert open_heartbeat(encode_heartbeat(beat), NETWORK, CONTEXT, DEVICES) == beat


def test_a_bent_heartbeat_is_refused() -> None:
    beat = World.enrolled().heartbeat("mercy")
    for bent, error in (
        (replace(beat, time=Instant(NOW + 1)), BadSignature),
        (replace(beat, home=member("city")), Malformed),
        (replace(beat, context=ContextId(b"X" * 32)), Malformed),
        (replace(beat, device=DeviceId(key("nobody"))), Malformed),
        (replace(beat, vector=(*beat.vector, *beat.vector)), Malformed),
    ):
        with pytest.raises(error):
            open_heartbeat(encode_heartbeat(bent), NETWORK, CONTEXT, DEVICES)
    data = encode_heartbeat(beat)
    for end in range(len(data)):
        with pytest.raises(Invalid):
            open_heartbeat(data[:end], NETWORK, CONTEXT, DEVICES)


def test_the_book_keeps_the_newest_and_refuses_the_rest() -> None:
    world = World.enrolled()
    beats = [world.heartbeat("mercy", at=NOW + at) for at in range(1, 6)]
    assert all(world.book.take(beat, NOW) for beat in beats)
    assert not world.book.take(beats[-1], NOW), "known"
    assert not world.book.take(world.heartbeat("mercy", at=NOW - 5), NOW), "older than those kept"
    assert next(one.time for one in world.book.newest() if one.home == member("mercy")) == NOW + 5
