"""What a node says of itself: identity, links, clock, disk, each context's state, and everything that waits or is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter

from medsync_client.status import Notice, Status
from medsync_node.api.finding import context_replicas, member_names
from medsync_node.api.members import role_here
from medsync_node.api.reviews import unfinished_reviews
from medsync_node.words import not_anchored
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, MemberId, device_of, short
from medsync_protocol.operation import PROTOCOL_VERSION
from medsync_protocol.parking import MAX_AHEAD_MS, Parked
from medsync_protocol.rekeying import exposed
from medsync_protocol.statement import quorum

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

SKEW_MS: Final = 2 * 60_000  # PROTOCOL §7: beyond it decisions answer INDETERMINATE(clock)


def _peers(node: Node) -> Iterator[dict[str, Any]]:
    replica = node.engine.replicas.get(NETWORK_CONTEXT)
    if replica is None:
        return
    state = replica.membership
    linked, troubles = node.transport.linked(), node.transport.troubles()
    for device, member in sorted(state.devices.items()):
        if device == node.identity.device or member not in state.members:
            continue
        yield {
            "name": state.members[member].name, "device": device.hex(), "connected": device in linked,
            "backlog": node.transport.backlog(device), "trouble": troubles.get(device, ""),
        }  # fmt: skip


def _context(node: Node, replica: Replica) -> dict[str, Any]:
    state, held = replica.membership, node.engine.checkpoints(replica.context)
    left, overdue = unfinished_reviews(node, replica)
    reasons = sorted({reason.value for _, _, reason in replica.parking.reasons()})
    return {
        "name": replica.name, "id": replica.context.hex(), "role": role_here(replica),
        "members": len(state.members), "voters": len(state.voters),
        "quorum": quorum(len(state.voters)) if state.voters else 0, "epoch": state.highest_epoch(),
        "operations": sum(replica.vector.values()), "parked": len(replica.parking),
        "signed": held.signed, "accepted": held.accepted, "settled": held.settled, "waits_for": reasons,
        "clock_offset_ms": node.engine.book(replica.context).clock_offset(),
        "reviews_open": left, "reviews_overdue": overdue,
    }  # fmt: skip


def _warnings(node: Node, contexts: tuple[dict[str, Any], ...]) -> Iterator[str]:
    if node.store.trouble is not None:
        yield f"{node.store.trouble}; {node.store.trouble.advice}"
    offsets = [abs(one["clock_offset_ms"]) for one in contexts if one["clock_offset_ms"] is not None]
    if offsets and max(offsets) > SKEW_MS:
        yield (
            f"this machine's clock is {max(offsets) // 1000} s off the members': decisions answer INDETERMINATE "
            "until it is set; check its NTP"
        )
    for replica in node.engine.replicas.values():
        ahead = replica.latest - node.now()
        if ahead > MAX_AHEAD_MS:
            yield (
                f"{replica.name} holds operations of {ahead // 60_000} minutes from now: this machine's clock was ahead, or has gone "
                "back. Whatever it writes there reaches the others only then; check NTP"
            )
        early = sum(reason is Parked.FUTURE for _, _, reason in replica.parking.reasons())
        if early:
            yield (
                f"{early} operations of {replica.name} wait because their time has not come: this machine's clock is "
                "behind the members', or a member's is ahead; check NTP"
            )
    for one in contexts:
        if one.get("reviews_open"):
            yield (
                f"context {one['name']}: glass was broken, {one['reviews_open']} to be reviewed, {one['reviews_overdue']} overdue; "
                f"`medsync access reviews {one['name']}`"
            )
    yield from _chain_warnings(node)
    for replica in context_replicas(node):
        name, held = replica.name, node.engine.checkpoints(replica.context)
        if role_here(replica) is None:
            yield f"this member is no longer in the context {name}"
        if replica.membership.usable_key() is None:
            yield f"context {name}: no key that only members hold; an admin's `medsync context rotate` brings one"
        yield from _governance_warnings(node, replica)
        if held.differing:
            first = f": {held.difference.told(partial(_name, replica))}" if held.difference is not None else ""
            yield f"context {name}: a proposed checkpoint differs from what this node makes of its operations{first}"
        if (lacking := held.lacking()) is not None:
            yield (
                f"context {name}: the chain holds checkpoint {lacking[0]}, which no member has shown this node yet: it goes on "
                "asking; if this stays, a member that signed it must start, or restore its backup"
            )
        if held.anchoring is not None:
            yield from (f"context {name}: {text} is not settled yet" for text in _unsettled_removals(node, replica))


def _unsettled_removals(node: Node, replica: Replica) -> Iterator[str]:
    """Removals that what the removed dates back may still undo (PROTOCOL §3.4), with their age.

    Not of those that are in again: what they wrote until then, and from then on, is theirs.
    """
    held = node.engine.checkpoints(replica.context)
    settled = held.acceptance.history[held.settled].cut.vector if held.settled else {}
    for removed in replica.membership.removed:
        chain, seq = replica.places[removed.op_id]
        if settled.get(chain, 0) <= seq and (removed.device is not None or removed.member not in replica.membership.members):
            minutes = max(0, node.now() - (replica.chains.slot(chain, seq).hlc >> 16)) // 60_000
            name = _name(replica, removed.member)
            what = f"the removal of {name}"
            if removed.device is not None:
                what = f"the revocation of the device {short(removed.device)} of {name}"
            elif removed.left:
                what = f"the leave of {name}"
            yield f"{what} {minutes} minutes ago"


def _name(replica: Replica, member: MemberId) -> str:
    return member_names(replica).get(member) or short(member)


def _notices(node: Node) -> Iterator[Notice]:
    """What was chosen so: contexts without a chain, with the removals that therefore never settle."""
    loose = [one for one in context_replicas(node) if node.engine.checkpoints(one.context).anchoring is None]
    if loose:
        what, advice = not_anchored([one.name for one in loose])
        yield Notice(code="not_anchored", what=what, advice=advice)
    for replica in loose:
        for text in _unsettled_removals(node, replica):
            yield Notice(
                code="removal", what=f"context {replica.name}: {text} never settles, as the context is not anchored",
                advice="what the removed member dates back may undo it; anchor the context if that matters",
            )  # fmt: skip


def _governance_warnings(node: Node, replica: Replica) -> Iterator[str]:
    """What the members owe: votes, a rotation after somebody left, a policy to install, a forked chain."""
    state, name = replica.membership, replica.name
    open_proposals = state.open_proposals()
    if open_proposals:
        yield f"context {name}: {len(open_proposals)} proposals wait for votes; see `medsync policy proposals {name}`"
    gone = [_name(replica, member) for member, _ in state.voters if member not in state.members]
    if gone and len(state.voters) - len(gone) < quorum(len(state.voters)):
        yield (
            f"context {name}: of {len(state.voters)} voters {len(state.voters) - len(gone)} are still members ({', '.join(gone)} "
            f"no longer), and {quorum(len(state.voters))} must sign: no checkpoint is signed and no voter list passes without "
            f"{'it' if len(gone) == 1 else 'one of them'}. Found a new context, or admit again who can still sign"
        )
    if replica.fold.rules() is None:
        yield f"context {name}: the voters chose a membership policy that this node doesn't have: install it and start again"
    for member in state.rotation_owed():
        since = max((replica.chains.slot(*replica.places[r.op_id]).hlc >> 16 for r in state.removed if r.member == member), default=0)
        minutes = max(0, node.now() - since) // 60_000
        yield (
            f"context {name}: {_name(replica, member)} left and still holds the key, so that for {minutes} minutes now it could "
            f"read what it gets hold of; an admin's `medsync context rotate {name}` ends that"
        )
    for member in exposed(replica):
        yield (
            f"context {name}: {_name(replica, member)} renewed its keys, and whoever has its old key file can open the epoch key still: "
            "an admin's node rotates it by itself"
        )
    if role_here(replica) is not None and state.devices.get(replica.identity.device) != replica.member:
        yield (
            f"context {name}: this device is not known there, so that nothing it writes counts: an admin removes and admits "
            f"{replica.identity.name} again"
        )
    for chain in replica.judge.forks:
        yield (
            f"context {name}: device {short(chain[:32])}{_owner(replica, chain)} signed two operations for one place: nothing of it "
            f"counts from there on, until admins let it go on: `medsync member resume CHAIN --context {name}`"
        )


def _owner(replica: Replica, chain: ChainId) -> str:
    member = replica.membership.devices.get(device_of(chain))
    return "" if member is None else f" of {_name(replica, member)}"


def chain_state(node: Node) -> dict[str, Any]:
    """How this node reads the chain, for how long not, and why. The RPC by its host: its path may hold a key."""
    finality = node.finality
    if finality is None:
        return {
            "rpc": None,
            "read_at": None,
            "trouble": "no chain.rpc is set: this node reads no chain, and nothing is settled for it",
        }
    trouble = "" if finality.trouble is None else str(finality.trouble)
    return {"rpc": urlsplit(finality.rpc).hostname, "read_at": finality.read_at, "trouble": trouble}


def _chain_warnings(node: Node) -> Iterator[str]:
    finality = node.finality
    if finality is None or finality.trouble is None:
        return
    since = (
        "since this start" if finality.read_at is None else f"for {(node.now() - finality.read_at) // 1000} s"
    )
    yield f"{finality.trouble}; {finality.trouble.advice}. Nothing was settled {since}: until then back-dating is not excluded"


def status_view(node: Node) -> Status:
    """All of it at once."""
    contexts = tuple(_context(node, one) for one in context_replicas(node))
    network = node.engine.network
    return Status.model_validate(
        {
            "version": version("medsync"), "protocol": PROTOCOL_VERSION, "name": node.identity.name,
            "member": node.identity.member.hex(), "device": node.identity.device.hex(),
            "network": None if network is None else network.hex(),
            "addresses": tuple(node.transport.addresses), "warnings": tuple(_warnings(node, contexts)),
            "notices": tuple(_notices(node)), "peers": tuple(_peers(node)), "contexts": contexts, "disk_full": node.store.full,
            "chain": chain_state(node),
        }
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["status"])

    @router.get("/status", response_model=None)
    async def show_status() -> Status:
        """Identity, links, clock, disk, contexts, warnings."""
        return status_view(node)

    return router
