"""Routes: devices of a context's members, forked chains going on, recovery of a lost member key (PROTOCOL §§1, 3.6)."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter

from medsync_client.changes import Changed
from medsync_client.devices import Device, DeviceAdd, DeviceAdded, Devices, HeldChain, Recovery, Revoked
from medsync_node.api.changes import changed
from medsync_node.api.finding import (
    context_replicas, find_member, find_replica, member_names, network_replica, pick,
)  # fmt: skip
from medsync_node.api.levels import REPLICATION_SECONDS, NotReplicated
from medsync_node.api.problems import unprocessable
from medsync_protocol.errors import BadSignature
from medsync_protocol.identity import check_certificate
from medsync_protocol.ids import ChainId, DeviceId, MemberId, device_of, short
from medsync_protocol.replica import Replica

if TYPE_CHECKING:
    from medsync_node.node import Node


def devices_view(replica: Replica) -> Devices:
    """As this node sees them."""
    state, names = replica.membership, member_names(replica)
    owners: dict[DeviceId, MemberId] = {card.device: member for member, card in state.cards.items()}
    owners |= {r.device: r.member for r in state.removed if r.device is not None}
    owners |= state.devices
    written: dict[DeviceId, list[ChainId]] = defaultdict(list)
    for chain in replica.chains.chains():
        written[device_of(chain)].append(chain)
    return Devices(
        devices=tuple(
            Device(
                id=device.hex(), member=member.hex(), name=names.get(member, short(member)),
                current=state.devices.get(device) == member, me=device == replica.identity.device,
                chains=tuple(_chain(replica, chain) for chain in written[device]),
            )
            for device, member in sorted(owners.items(), key=lambda pair: (names.get(pair[1], ""), pair[0]))
        )
    )  # fmt: skip


def _chain(replica: Replica, chain: ChainId) -> HeldChain:
    return HeldChain(
        id=chain.hex(), operations=replica.chains.next_seq(chain), forked_at=replica.judge.forks.get(chain),
        resumed=chain in replica.membership.resumed,
    )  # fmt: skip


async def _known(node: Node, net: Replica) -> int:
    """How many other members hold all that this node wrote on the network; waits for one. Raises NotReplicated."""
    upto, others = net.chains.next_seq(net.chain), net.membership.members.keys() - {net.member}

    def holders() -> int:
        held = node.engine.sync.acknowledged(net.context)
        return sum(held.get(member, {}).get(net.chain, 0) >= upto for member in others)

    if others and not await node.wait_for(lambda: holders() > 0, REPLICATION_SECONDS):
        raise NotReplicated(
            "the device is added here, but no other member has acknowledged it yet: they would not let it in",
            advice="see `medsync status` for links; say the same again once one is up",
        )
    return holders()


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["governance"])
    engine = node.engine

    @router.get("/contexts/{context}/devices")
    async def list_devices(context: str) -> Devices:
        """Devices of a context's members, and the chains they wrote."""
        return devices_view(find_replica(node, context))

    @router.get("/devices")
    async def list_network_devices() -> Devices:
        """Devices of the network's members."""
        return devices_view(network_replica(node))

    @router.post("/devices")
    async def add_device(body: DeviceAdd) -> DeviceAdded:
        """Add a device of this member to the network and every context; answers once another member, if any, knows it."""
        net = network_replica(node)
        added, certificate = DeviceId(bytes.fromhex(body.device)), bytes.fromhex(body.certificate)
        try:
            check_certificate(net.member, added, certificate)
        except BadSignature as error:
            raise unprocessable(
                "bad_certificate", "this member did not certify that device",
                "copy device and certificate whole, as `medsync init --device-of` printed them",
            ) from error
        operations = {}
        for replica in [net, *context_replicas(node)]:
            if replica.role is not None and added not in replica.membership.devices:
                op = await node.perform(partial(engine.add_device, context=replica.context, device=added, certificate=certificate))
                operations[replica.name] = op.hex()
        known_to = await _known(node, net)
        invitation = None
        if body.seconds is not None:
            invitation = await node.perform(lambda now: engine.welcome(now, added, now + 1000 * (body.seconds or 0)))
        return DeviceAdded(operations=operations, known_to=known_to, invitation=invitation)

    @router.delete("/devices/{device}")
    async def revoke_device(device: str) -> Revoked:
        """Revoke one of this member's own devices in the network and in every context; the member stays."""
        net = network_replica(node)
        chosen = pick(device, ((d, "", d) for d in net.membership.devices), "device", "member devices")
        operations = {}
        for replica in list(engine.replicas.values()):
            if replica is net or chosen in replica.membership.devices:
                op = await node.perform(partial(engine.revoke_device, context=replica.context, device=chosen))
                operations[replica.name] = op.hex()
        return Revoked(operations=operations)

    @router.post("/contexts/{context}/members/{member}/recovery")
    async def recover_member(context: str, member: str, body: Recovery) -> Changed:
        """Ask for votes to put another member of the network in the place of one that lost its key."""
        replica = find_replica(node, context)
        lost, renewed = find_member(replica, member), find_member(network_replica(node), body.renewed)
        op = await node.perform(lambda now: engine.recover(now, replica.context, lost, renewed))
        return changed(replica, op)

    @router.post("/contexts/{context}/chains/{chain}/resumption")
    async def resume_chain(context: str, chain: str) -> Changed:
        """Ask for votes to let a forked chain go on from where it stands here."""
        replica = find_replica(node, context)
        chosen = pick(chain, ((c, "", c) for c in replica.judge.forks), "chain", "member devices")
        op = await node.perform(lambda now: engine.resume(now, replica.context, chosen))
        return changed(replica, op)

    return router
