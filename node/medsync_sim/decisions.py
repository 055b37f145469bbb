"""S10, by what really took place: no PERMIT on a grant that the decider knows to be revoked, none later than guaranteed.

PROTOCOL §7: no honest node permits later than effective + D + skew, where effective is when a majority of the
subject's homes hold the revocation on disk. No node's own idea of freshness is asked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from medsync_protocol.access import Answer, Request
from medsync_protocol.directive import parse_directive
from medsync_protocol.ids import DirectiveId, SubjectRef
from medsync_protocol.receipt import ReceiptEntry
from medsync_sim.consortium import FRESH_MS, SKEW_MS
from medsync_sim.ledger import Answered, Finding, Place, Revoked

if TYPE_CHECKING:
    from medsync_sim.node import SimNode
    from medsync_sim.world import World


def revoked(world: World, revocation: Revoked) -> None:
    """Keep it in mind; its author holds it already."""
    world.ledger.revoked[revocation.place] = revocation
    for node in world.nodes.values():
        if node.up and revocation.place in node.bodies:
            stored(world, node, revocation.place)


def stored(world: World, node: SimNode, place: Place) -> None:
    """A node has this operation on disk now."""
    found = world.ledger.revoked.get(place)
    if found is not None and node.member in found.homes and node.honest:
        found.holders.setdefault(node.name, world.now)


def answered(world: World, node: SimNode, request: Request, entry: ReceiptEntry) -> Iterator[Finding]:
    """An honest custodian decided: keep it, and hold a PERMIT against the ledger."""
    decision = entry.receipt.decision
    permitted = decision.answer is Answer.PERMIT
    world.ledger.answers.append(
        Answered(
            node=node.name, subject=request.subject, requester=request.requester, permitted=permitted, at=world.now
        )
    )
    world.trace.note(world.now, "decided", node.name, decision.answer.name)
    if permitted and node.honest:
        for directive in decision.directives:
            yield from _against(world, node, request.subject, directive)


def _against(world: World, node: SimNode, subject: SubjectRef, directive: DirectiveId) -> Iterator[Finding]:
    replica = node.replica(world.the_context)
    held = parse_directive(replica.application.signed(directive).document)
    readable = replica.readable()
    for revocation in world.ledger.revoked.values():
        if revocation.subject != subject or not revocation.takes(directive, held.signer, held.number):
            continue
        _, chain, seq = revocation.place
        holds = readable.get(chain, 0) > seq
        if holds and not replica.verdict(chain, seq).effective:
            continue  # by somebody who was removed meanwhile: contested or void, a question of its own
        if holds:
            yield world.broke("S10", f"{node.name} permits on a grant whose revocation it holds")
        since = revocation.effective_at(world.ledger.lossy)
        if since is not None and world.now > since + FRESH_MS + SKEW_MS:
            late = world.now - since
            yield world.broke("S10", f"{node.name} permits {late} ms after the revocation was effective")
