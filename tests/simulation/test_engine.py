"""A whole network of engines on virtual links: found, join, grant, decide, revoke, remove, checkpoint, crash."""

from __future__ import annotations

from typing import Any

import pytest
from medsync_protocol.access import Answer, Request, encode_request, make_request
from medsync_protocol import frames
from medsync_protocol.certificate import Certificate
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, Instant, SubjectRef
from medsync_protocol.kinds import Role, Verdict
from medsync_protocol.receipt import Recomputed, decode_receipt
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_protocol.transition import Anchor, check_checkpoint
from medsync_sim.node import SimNode
from tests.simulated import CalmWorld


class Hospitals:
    """north, south and west, a lab, and a reader in one network with the context `trial`."""

    def __init__(self, seed: int = 0) -> None:
        self.world = world = CalmWorld(seed)
        self.north, self.south, self.west, self.lab, self.reader = self.nodes = [
            world.add(name) for name in ("north", "south", "west", "lab", "reader")
        ]
        self.north.do(lambda engine, now: engine.found_network(now, "consortium"))
        for node in self.nodes[1:]:
            world.join(node, self.north, Role.READER if node is self.reader else Role.MEMBER)
        world.until(lambda: world.converged(NETWORK_CONTEXT))
        roles = [(n.identity.member, Role.MEMBER) for n in (self.south, self.west, self.lab)]
        roles.append((self.reader.identity.member, Role.READER))
        self.context: ContextId = self.north.do(
            lambda engine, now: engine.create_context(
                now, "trial", "medsync", "any_admin", roles, [self.reader.identity.member]
            )
        )
        world.until(lambda: world.converged(self.context))
        world.until(lambda: len(self.replica(self.north).membership.voters) == 4)
        world.until(lambda: world.converged(self.context))

    def replica(self, node: SimNode) -> Any:
        return node.engine.replicas[self.context]

    def submit(self, node: SimNode, drafts: Any) -> Any:
        return node.do(lambda engine, now: engine.submit(now, self.context, drafts))

    def desk(self, node: SimNode) -> Any:
        return node.engine.desk(self.context)


@pytest.fixture
def hospitals() -> Hospitals:
    return Hospitals()


def test_members_join_by_invitation_and_all_see_all(hospitals: Hospitals) -> None:
    roots = {hospitals.replica(node).membership.root() for node in hospitals.nodes}
    assert len(roots) == 1
    assert len(hospitals.world.network.links) == 10
    assert not any(node.faults for node in hospitals.nodes)


def test_the_first_members_that_may_write_become_voters(hospitals: Hospitals) -> None:
    voters = {member for member, _ in hospitals.replica(hospitals.reader).membership.voters}
    assert voters == {n.identity.member for n in hospitals.nodes if n is not hospitals.reader}


def test_a_removed_member_learns_of_it_and_reads_nothing_written_after(hospitals: Hospitals) -> None:
    world, lab = hospitals.world, hospitals.lab
    member = lab.identity.member
    hospitals.north.do(lambda engine, now: engine.remove(now, hospitals.context, member))
    world.until(lambda: lab.noticed("removed"))
    _, drafts = hospitals.desk(hospitals.south).enrol(world.now)
    done = hospitals.submit(hospitals.south, drafts)
    world.until(lambda: world.converged(hospitals.context))
    held = hospitals.replica(lab).vector.get(done.chain, 0)
    assert held <= done.seq
    key_id = hospitals.replica(hospitals.south).membership.usable_key()
    assert key_id not in hospitals.replica(lab).ring


def test_what_a_removed_member_writes_is_void(hospitals: Hospitals) -> None:
    world, lab = hospitals.world, hospitals.lab
    others = [n for n in hospitals.nodes if n is not lab]
    world.partition([lab], others)
    _, drafts = hospitals.desk(lab).enrol(world.now)
    done = hospitals.submit(lab, drafts)
    member = lab.identity.member
    hospitals.north.do(lambda engine, now: engine.remove(now, hospitals.context, member))
    wire = lab.wire(hospitals.context, done.chain, done.seq)
    hospitals.north.perform(hospitals.replica(hospitals.north).receive(world.now, wire))
    verdict = hospitals.replica(hospitals.north).verdict(done.chain, done.seq)
    assert verdict is Verdict.VOID_AFTER_CUT_OFF


def test_a_crashed_node_catches_up(hospitals: Hospitals) -> None:
    world, west = hospitals.world, hospitals.west
    west.crash()
    for _ in range(20):
        _, drafts = hospitals.desk(hospitals.south).enrol(world.now)
        hospitals.submit(hospitals.south, drafts)
    west.start()
    world.until(lambda: world.converged(hospitals.context))
    assert hospitals.replica(west).application.state_digest() == hospitals.replica(hospitals.south).application.state_digest()


def test_a_directive_that_came_before_its_subject_is_read_again_after_every_restart(hospitals: Hospitals) -> None:
    world, north, south, west = hospitals.world, hospitals.north, hospitals.south, hospitals.west
    world.partition([west], [n for n in hospitals.nodes if n is not west])
    subject, drafts = hospitals.desk(north).enrol(world.now, custodians=[south.identity.member])
    enrolled = hospitals.submit(north, drafts)
    world.until(lambda: subject in hospitals.replica(south).application.subject_keys())
    _, drafts = hospitals.desk(south).grant_attested(world.now, subject, base=Effect.PERMIT, valid_from=world.now)
    granted = hospitals.submit(south, drafts)
    for node, done in ((south, granted), (north, enrolled)):
        wire = node.wire(hospitals.context, done.chain, done.seq)
        west.perform(hospitals.replica(west).receive(world.now, wire))
    assert len(hospitals.replica(west).application.directives(subject)) == 1
    for _ in range(2):
        west.crash()
        west.start()
        assert len(hospitals.replica(west).application.directives(subject)) == 1

def _promoted(hospitals: Hospitals, *nodes: SimNode) -> None:
    """Admins too."""
    north = hospitals.north
    for node in nodes:
        north.do(lambda engine, now, node=node: engine.set_role(now, hospitals.context, node.identity.member, Role.ADMIN))
    hospitals.world.until(lambda: all(hospitals.replica(node).role is Role.ADMIN for node in nodes))
    hospitals.world.until(lambda: hospitals.world.converged(hospitals.context))


def test_admins_that_removed_each_other_unheard_are_judged_alike_after_the_heal(hospitals: Hospitals) -> None:
    world, south, west = hospitals.world, hospitals.south, hospitals.west
    _promoted(hospitals, south, west)
    others = [n for n in hospitals.nodes if n not in (south, west)]
    world.partition([south], [west], others)
    for one, other in ((south, west), (west, south)):
        one.do(lambda engine, now, one=one, other=other: engine.remove(now, hospitals.context, other.identity.member))
    world.run(2_000)
    world.heal()
    stay = [*others, south]
    world.until(lambda: len({hospitals.replica(n).membership.root() for n in stay}) == 1)
    assert hospitals.replica(south).membership.admins() == {hospitals.north.identity.member, south.identity.member}
    world.until(lambda: west.noticed("removed"))


def test_whose_admission_a_demotion_voided_is_told(hospitals: Hospitals) -> None:
    world, north, south = hospitals.world, hospitals.north, hospitals.south
    late = world.add("late")
    world.join(late, north, Role.MEMBER)
    world.until(lambda: world.converged(NETWORK_CONTEXT))
    _promoted(hospitals, south)
    world.partition([south, hospitals.west], [n for n in hospitals.nodes if n not in (south, hospitals.west)])
    north.do(lambda engine, now: engine.set_role(now, hospitals.context, south.identity.member, Role.MEMBER))
    south.do(lambda engine, now: engine.admit(now, hospitals.context, late.identity.member, Role.MEMBER))
    world.until(lambda: hospitals.context in late.engine.replicas and hospitals.replica(late).role is not None)
    world.heal()
    world.until(lambda: hospitals.replica(late).role is None)


# -- decisions ------------------------------------------------------------------------------------------------


def _granted(hospitals: Hospitals) -> SubjectRef:
    """A subject at north whose research use by the lab is permitted, once north's heartbeat makes that fresh."""
    world, north = hospitals.world, hospitals.north
    subject, drafts = hospitals.desk(north).enrol(world.now)
    hospitals.submit(north, drafts)
    rule = Rule(
        effect=Effect.PERMIT, purposes=("HRESCH",), actors=(member_actor(hospitals.lab.identity.member),)
    )
    _, drafts = hospitals.desk(north).grant_attested(
        world.now, subject, base=None, rules=(rule,), valid_from=world.now, until=None
    )
    hospitals.submit(north, drafts)
    world.until(lambda: world.converged(hospitals.context))
    world.run(500)
    return subject


def _request(hospitals: Hospitals, subject: SubjectRef) -> Request:
    lab = hospitals.lab
    return make_request(
        hospitals.replica(lab).network, hospitals.context, subject, lab.identity.member, purposes=("HRESCH",),
        action="access", time=Instant(hospitals.world.now), salt=bytes(16),
    )  # fmt: skip


def _ask(hospitals: Hospitals, subject: SubjectRef, custodian: SimNode) -> Any:
    lab, world = hospitals.lab, hospitals.world
    request = _request(hospitals, subject)
    name = lab.do(lambda engine, now: engine.ask(now, hospitals.context, custodian.identity.member, request))
    world.until(lambda: name in lab.engine.asking.answers)
    return lab.engine.asking.take_answer(name)


def test_a_custodian_decides_and_another_party_recomputes_the_receipt(hospitals: Hospitals) -> None:
    subject = _granted(hospitals)
    entry = _ask(hospitals, subject, hospitals.north)
    assert entry.receipt.decision.answer is Answer.PERMIT
    hospitals.world.until(lambda: hospitals.world.converged(hospitals.context))
    assert hospitals.desk(hospitals.reader).recompute(entry) is Recomputed.MATCHES


def test_a_question_whose_link_broke_is_put_again_and_decided_once(hospitals: Hospitals) -> None:
    world, lab, north = hospitals.world, hospitals.lab, hospitals.north
    subject = _granted(hospitals)
    request = _request(hospitals, subject)
    before = hospitals.replica(north).vector[hospitals.replica(north).chain]
    name = lab.do(lambda engine, now: engine.ask(now, hospitals.context, north.identity.member, request))
    world.partition([lab], [n for n in hospitals.nodes if n is not lab])
    world.run(1_000)
    world.heal()
    world.until(lambda: name in lab.engine.asking.answers)
    answered = lab.engine.asking.take_answer(name)
    assert answered.receipt.decision.answer is Answer.PERMIT
    for _ in range(3):
        frame = frames.encode(FrameKind.ASK, hospitals.context, name, "decide", encode_request(request))
        north.perform(north.engine.frame_received(world.now, lab.device, frame))
    assert hospitals.replica(north).vector[hospitals.replica(north).chain] == before + 1


def test_only_the_parties_hold_the_ciphertext_of_an_access(hospitals: Hospitals) -> None:
    subject = _granted(hospitals)
    entry = _ask(hospitals, subject, hospitals.north)
    hospitals.world.until(lambda: hospitals.world.converged(hospitals.context))
    chain = hospitals.replica(hospitals.north).chain
    seq = hospitals.replica(hospitals.north).vector[chain] - 1
    opened = {
        node.name: hospitals.replica(node).open(node.wire(hospitals.context, chain, seq))
        for node in hospitals.nodes
    }
    assert all(one is not None for one in opened["lab"] + opened["reader"])
    assert opened["south"] == opened["west"] == (None, None)
    assert decode_receipt(opened["lab"][0].payload).receipt == entry.receipt


def test_a_revocation_is_effective_once_its_home_holds_it_and_the_next_answer_is_no(hospitals: Hospitals) -> None:
    world, south = hospitals.world, hospitals.south
    subject = _granted(hospitals)
    named = hospitals.desk(south).application.directives(subject)[0].id
    written, drafts = hospitals.desk(south).revoke_attested(world.now, subject, targets=(named,))
    hospitals.submit(south, drafts)
    application = hospitals.replica(south).application
    book = south.engine.book(hospitals.context)
    assert application.revocation_level(subject, written.id, book) == "recorded"
    world.until(lambda: application.revocation_level(subject, written.id, book) == "effective")
    entry = _ask(hospitals, subject, hospitals.north)
    assert entry.receipt.decision.answer is not Answer.PERMIT


# -- checkpoints ----------------------------------------------------------------------------------------------


def _anchored(hospitals: Hospitals) -> None:
    north = hospitals.north
    anchor = Anchor(chain_id=0x4D53, contract=0xA11CE)
    opening = north.do(lambda engine, now: engine.opening(now, hospitals.context, anchor, 0, 30 * 86_400))
    north.do(lambda engine, now: engine.register_anchor(now, hospitals.context, opening, 7))
    hospitals.world.until(
        lambda: all(n.engine.checkpoints(hospitals.context).anchoring is not None for n in hospitals.nodes)
    )


def _signed(hospitals: Hospitals, k: int) -> Certificate:
    checkpoints = hospitals.north.engine.checkpoints(hospitals.context)
    hospitals.world.until(lambda: checkpoints.signed >= k)
    certificate = checkpoints.certificate(k)
    assert certificate is not None
    check_checkpoint(
        checkpoints.acceptance.contract, head=certificate.head, following=certificate.following,
        members=certificate.members, votes=certificate.votes, append=certificate.append,
        next_members=certificate.next_members, block_time=hospitals.world.now // 1000 + 60,
    )  # fmt: skip
    return certificate


def _accept(hospitals: Hospitals, certificate: Certificate, nodes: list[SimNode] | None = None) -> None:
    for node in nodes or hospitals.nodes:
        node.perform(
            node.engine.observe(hospitals.world.now, hospitals.context, certificate.k, certificate.digest, True)
        )


def test_voters_sign_what_the_contract_would_take_and_the_next_one_extends_it(hospitals: Hospitals) -> None:
    _anchored(hospitals)
    _accept(hospitals, _signed(hospitals, 1))
    hospitals.world.until(
        lambda: {n.engine.checkpoints(hospitals.context).accepted for n in hospitals.nodes} == {1}
    )
    _granted(hospitals)
    second = _signed(hospitals, 2)
    assert second.following.log_size > second.head.log_size
    assert second.following.consent_root != 0


def test_a_member_admitted_after_the_anchoring_learns_of_it_without_reconnecting(hospitals: Hospitals) -> None:
    world, north, late = hospitals.world, hospitals.north, hospitals.world.add("late")
    world.join(late, north, Role.MEMBER)
    world.until(lambda: world.converged(NETWORK_CONTEXT))
    _anchored(hospitals)
    world.run(2_000)
    north.do(lambda engine, now: engine.admit(now, hospitals.context, late.identity.member, Role.MEMBER))
    world.until(lambda: hospitals.context in late.engine.replicas)
    world.until(lambda: late.engine.checkpoints(hospitals.context).anchoring is not None)


def test_checkpoints_go_on_with_one_voter_down_and_it_catches_up(hospitals: Hospitals) -> None:
    _anchored(hospitals)
    hospitals.west.crash()
    running = [n for n in hospitals.nodes if n.up]
    for k in (1, 2):
        _granted(hospitals)
        _accept(hospitals, certificate := _signed(hospitals, k), running)
        assert certificate.k == k
    hospitals.west.start()
    west = hospitals.west.engine.checkpoints(hospitals.context)
    for k in (1, 2):
        certificate = running[0].engine.checkpoints(hospitals.context).certificate(k)
        hospitals.west.perform(
            hospitals.west.engine.observe(hospitals.world.now, hospitals.context, k, certificate.digest, True)
        )
    hospitals.world.until(lambda: west.accepted == 2)
    hospitals.world.until(lambda: west.acceptance.unproven() is None)
    for k in (1, 2):  # learnt from the chain alone: it can show by whom it was signed all the same, also after a restart
        kept = west.certificate(k)
        check_checkpoint(
            west.acceptance.contract, head=kept.head, following=kept.following, members=kept.members, votes=kept.votes,
            append=kept.append, next_members=kept.next_members, block_time=hospitals.world.now // 1000 + 60,
        )  # fmt: skip
    shown = [west.certificate(k).votes for k in (1, 2)]
    hospitals.west.crash()
    hospitals.west.start()
    again = hospitals.west.engine.checkpoints(hospitals.context)
    assert [again.certificate(k).votes for k in (1, 2)] == shown


def test_a_restart_gives_the_same_history_and_roots(hospitals: Hospitals) -> None:
    _anchored(hospitals)
    _granted(hospitals)
    _accept(hospitals, _signed(hospitals, 1))
    hospitals.world.run(1_000)
    south = hospitals.south
    before = south.engine.checkpoints(hospitals.context).acceptance
    digest = hospitals.replica(south).application.state_digest()
    south.crash()
    south.start()
    after = south.engine.checkpoints(hospitals.context).acceptance
    assert [a.digest for a in after.history] == [a.digest for a in before.history]
    assert after.consents.root == before.consents.root == after.head.statement.consent_root
    assert hospitals.replica(south).application.state_digest() == digest
    _granted(hospitals)
    _signed(hospitals, 2)


def test_when_the_block_vanishes_verdicts_thaw_and_the_checkpoint_is_signed_again(hospitals: Hospitals) -> None:
    _anchored(hospitals)
    first = _signed(hospitals, 1)
    for node in hospitals.nodes:
        node.perform(node.engine.observe(hospitals.world.now, hospitals.context, 1, first.digest, False))
    for node in hospitals.nodes:
        node.perform(node.engine.observe(hospitals.world.now, hospitals.context, 1, 0, False))
    assert {n.engine.checkpoints(hospitals.context).accepted for n in hospitals.nodes} == {0}
    _granted(hospitals)
    again = _signed(hospitals, 1)
    assert again.head == first.head


def test_a_removal_from_the_network_is_followed_in_its_contexts(hospitals: Hospitals) -> None:
    world, lab = hospitals.world, hospitals.lab
    member = lab.identity.member
    hospitals.north.do(lambda engine, now: engine.remove(now, NETWORK_CONTEXT, member))
    world.until(lambda: member not in hospitals.replica(hospitals.south).membership.members)
    world.until(lambda: not any(lab.device in pair for pair in world.network.links))
    assert lab.noticed("removed")


def test_who_was_away_when_it_was_removed_learns_of_it_at_a_door(hospitals: Hospitals) -> None:
    world, lab = hospitals.world, hospitals.lab
    lab.crash()
    hospitals.north.do(
        lambda engine, now: engine.remove(now, NETWORK_CONTEXT, lab.identity.member)
    )
    world.run(5_000)
    lab.start()
    world.until(lambda: lab.noticed("removed"))


@pytest.mark.parametrize("seed", range(4))
def test_crashes_and_partitions_lose_no_acknowledged_operation(seed: int) -> None:
    hospitals = Hospitals(seed)
    world = hospitals.world
    writers = [hospitals.north, hospitals.south, hospitals.west]
    written = []
    for _ in range(30):
        node = world.rng.choice(writers)
        if not node.up:
            node.start()
        _, drafts = hospitals.desk(node).enrol(world.now)
        written.append(hospitals.submit(node, drafts))
        match world.rng.randrange(4):
            case 0:
                world.rng.choice(writers).crash()
            case 1:
                world.partition(writers[:1], writers[1:])
            case 2:
                world.heal()
        world.run(world.rng.randrange(600))
    world.heal()
    for node in writers:
        if not node.up:
            node.start()
    world.until(lambda: world.converged(hospitals.context))
    for node in hospitals.nodes:
        held = hospitals.replica(node)
        assert all(held.chains.slot(done.chain, done.seq).op_id == done.op_id for done in written)


def test_a_candidate_that_comes_before_its_predecessors_acceptance_is_not_forgotten(hospitals: Hospitals) -> None:
    """The proposer's reader saw the block first: the others get candidate and vote for k+1 while they wait for k."""
    _anchored(hospitals)
    first, north = _signed(hospitals, 1), hospitals.north
    _granted(hospitals)
    _accept(hospitals, first, [north])
    north.do(lambda engine, now: engine.propose(now, hospitals.context))
    hospitals.world.run(500)
    _accept(hospitals, first, [node for node in hospitals.nodes if node is not north])
    hospitals.world.run(3_000)
    assert north.engine.checkpoints(hospitals.context).signed == 2
