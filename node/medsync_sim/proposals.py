"""Candidates and votes that an honest voter never sends: several at once, and ones that leave something out."""

from __future__ import annotations

from collections.abc import Iterable

from medsync_protocol import frames
from medsync_protocol.candidate import Built, Candidate, Plan
from medsync_protocol.certificate import vote_fields
from medsync_protocol.chains import Vector
from medsync_protocol.frames import FrameKind
from medsync_protocol.poseidon import felt_bytes
from medsync_protocol.statement import cast_vote
from medsync_sim.node import SimNode
from medsync_sim.world import World


def candidate(world: World, node: SimNode, vector: Vector) -> tuple[Candidate, Built, Plan] | None:
    """What a proposer would build at this cut; None for a cut that is not closed."""
    acceptance = node.engine.checkpoints(world.the_context).acceptance
    cut = acceptance.cut({chain: count for chain, count in vector.items() if count})
    if not acceptance.is_closed(cut):
        return None
    plan = acceptance.plan(cut, acceptance.head.statement.not_before)
    built = world.build(plan)
    return Candidate(cut=cut, statement=built.statement), built, plan


def propose(world: World, node: SimNode, made: tuple[Candidate, Built, Plan], names: Iterable[str]) -> None:
    """Send it with the node's own vote to these."""
    context, (proposed, built, _) = world.the_context, made
    signers = node.engine.checkpoints(context).acceptance.head.next_signers
    keys = [key for _, key in signers]
    sent = [frames.encode(FrameKind.PROPOSAL, context, proposed.encode())]
    if node.engine.checkpoints(context).voter_key in keys:
        vote = cast_vote(built.digest, keys, node.identity.stark_secret(context))
        fields = (proposed.statement.k, felt_bytes(built.digest), vote_fields(vote))
        sent.append(frames.encode(FrameKind.VOTE, context, *fields))
    for name in names:
        for frame in sent:
            world.send(node, world.nodes[name].device, frame)
