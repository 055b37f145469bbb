"""PROTOCOL §7's guarantee, attacked: no honest node permits later than effective + D + skew, under any partition.

A small world of three homes and one decider with skewed clocks. Messages (operations and heartbeats) are delivered,
held back or reordered as the seed says; heartbeats are relayed by anyone. What the nodes hold is all they know.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from medsync_protocol.access import Answer
from medsync_protocol.decision import decide
from medsync_protocol.directive import Signed
from medsync_protocol.drafts import directive_draft, revocation_draft
from medsync_protocol.heartbeat import Heartbeat, HeartbeatBook, make_heartbeat
from medsync_protocol.ids import ChainId, DeviceId, Instant
from medsync_protocol.kinds import Verdict

from tests.consent_world import (
    ANN, CONTEXT, NETWORK, NOW, RECORD, World, chain_of, directive, key, member, named, opened, permit, request,
    revocation, seed,
)  # fmt: skip

SECOND = 1000
D = 5 * 60 * SECOND  # research
SKEW = 2 * 60 * SECOND
HOMES = ("mercy", "city", "coast")
GRANT = directive(permit(purposes=("HRESCH",)))
REVOKED = revocation(named(GRANT))


@dataclass
class Node:
    """A replica as far as decisions go: an application, a book, what it holds, and a clock that is off."""

    name: str
    offset: int
    world: World = field(default_factory=World.enrolled)
    book: HeartbeatBook = field(default_factory=HeartbeatBook)
    seen: set[int] = field(default_factory=set)

    def clock(self, true: int) -> Instant:
        return Instant(true + self.offset)

    def take(self, signed: Signed, seq: int) -> None:
        draft = (revocation_draft if seq else directive_draft)(signed, RECORD.subject_key)
        if seq in self.seen or (seq and seq - 1 not in self.seen):
            return
        self.seen.add(seq)
        self.world.application.fold(opened(draft, "lab", seq), Verdict.EFFECTIVE)
        self.world.held[chain_of("lab")] = seq + 1

    def beat(self, true: int) -> Heartbeat:
        vector = {chain: count for chain, count in self.world.held.items() if count}
        return make_heartbeat(
            NETWORK, CONTEXT, member(self.name), device=DeviceId(key(self.name + " device")),
            device_seed=seed(self.name + " device"), time=self.clock(true), vector=vector,
        )  # fmt: skip

    def permits(self, true: int) -> bool:
        now = self.clock(true)
        view, _ = self.world.application.view(ANN, now=now, held=self.world.held, book=self.book)
        return decide(view, request(), now).answer is Answer.PERMIT


def _run(seed_of_run: int) -> tuple[int, int]:
    """(times permitted, times asked after the revocation was effective + D + skew); asserts the guarantee."""
    draw = random.Random(seed_of_run)
    homes = {name: Node(name, draw.randint(-SKEW // 2, SKEW // 2)) for name in HOMES}
    decider = homes["mercy"] if draw.random() < 0.5 else Node("clinic", draw.randint(-SKEW // 2, SKEW // 2))
    nodes = {**homes, decider.name: decider}
    for node in nodes.values():
        node.take(GRANT, 0)
    beats: list[Heartbeat] = []
    revoked_at = draw.randint(60, 300)
    first = draw.choice([name for name in nodes if name != "mercy"])
    effective: int | None = None
    permitted = asked_late = 0
    for second in range(0, 1500, 15):
        true = NOW + second * SECOND
        if second >= revoked_at:
            nodes[first].take(REVOKED, 1)
        for node in homes.values():
            if draw.random() < 0.7:
                beats.append(node.beat(true))
        for node in nodes.values():
            holders = [other for other in nodes.values() if 1 in other.seen]
            if holders and draw.random() < (0.002 if node is decider else 0.08):
                node.take(REVOKED, 1)
            for beat in draw.sample(beats[-40:], min(len(beats), draw.randint(0, 6))):
                node.book.take(beat, node.clock(true))
        held = sum(1 in node.seen for node in homes.values())
        if effective is None and held >= 2:
            effective = true
        if decider.permits(true):
            permitted += 1
            assert effective is None or true <= effective + D + SKEW, (
                f"seed {seed_of_run}: permitted at {second}"
            )
            assert 1 not in decider.seen, "a held revocation binds at once"
        if effective is not None and true > effective + D + SKEW:
            asked_late += 1
    return permitted, asked_late


@pytest.mark.parametrize("block", range(4))
def test_no_partition_lets_a_permit_outlive_the_guarantee(block: int) -> None:
    runs = [_run(seed_of_run) for seed_of_run in range(block * 10, block * 10 + 10)]
    assert sum(permitted for permitted, _ in runs) > 100, "the attack must permit at all"
    assert sum(late for _, late in runs) > 100, "and ask long after the revocation was effective"


def test_asking_a_minority_of_homes_would_break_it() -> None:
    """The oracle can fail: with one home's word for fresh, a partitioned decider permits for ever."""
    world = World.enrolled()
    world.direct(GRANT, "lab")
    world.hear("mercy")
    held: dict[ChainId, int] = dict(world.held)
    late = NOW + 3 * (D + SKEW)
    world.hear(
        "mercy", at=late, vector=held
    )  # mercy is cut off: city and coast hold the revocation since long
    view, _ = world.application.view(ANN, now=Instant(late), held=held, book=world.book)
    assert decide(view, request(), late).answer is Answer.INDETERMINATE
    world.hear("city", at=late, vector=held)
    view, _ = world.application.view(ANN, now=Instant(late), held=held, book=world.book)
    assert decide(view, request(), late).answer is Answer.PERMIT
