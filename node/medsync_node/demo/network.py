"""Step 1, `network`: one hospital founds it, the others join by signed one-time invitations, and all see all."""

from __future__ import annotations

from typing import Final

from medsync_client.members import InvitationCreate
from medsync_client.wire import RoleName
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.world import AUDITOR, FOUNDER, World
from medsync_node.key_file import new_identity
from medsync_node.applications import APPLICATIONS
from medsync_node.opening import system_entropy
from medsync_node.transport import open_libp2p
from medsync_protocol.engine import Engine
from medsync_protocol.errors import Refused
from medsync_protocol.joining import read_reply
from medsync_protocol.ports import Unreachable

INVITATION_SECONDS: Final = 600


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    founder = world[FOUNDER].client
    founded = await founder.create_network("demo consortium")
    used = ""
    for name, place in world.places.items():
        if name == FOUNDER:
            continue
        role: RoleName = "reader" if name == AUDITOR else "member"
        body = InvitationCreate(role=role, seconds=INVITATION_SECONDS, bound_to=place.member.hex())
        used = (await founder.invite(body)).invitation
        await place.client.join(used)
    names = list(world.places)
    members = {place.member for place in world.places.values()}
    await world.everywhere(names, lambda name: _known(world, name) == members, "all members to be known")
    await world.everywhere(names, lambda name: _linked(world, name) == len(names) - 1, "links to all members")

    networks = {name: await place.client.network() for name, place in world.places.items()}
    seen = {name: await place.client.members() for name, place in world.places.items()}
    chapter.check("all_are_in_one_network", {one.id for one in networks.values()} == {founded.id})
    chapter.check("all_see_all_members", all({m.id for m in found.members} == {m.hex() for m in members} for found in seen.values()))  # fmt: skip
    chapter.check("all_are_linked_to_all", all(all(m.connected or m.me for m in found.members) for found in seen.values()))  # fmt: skip
    chapter.check("roles_are_as_invited", {m.name: m.role for m in seen[FOUNDER].members} == _roles(world))
    chapter.show(
        network=founded.id, members={m.name: f"{m.role} {m.id[:16]}" for m in seen[FOUNDER].members},
        addresses={name: place.node.transport.addresses[0] for name, place in world.places.items()},
    )  # fmt: skip
    await _strangers(world, chapter, used)


def _known(world: World, name: str) -> set[bytes]:
    net = world[name].node.engine.net
    return set() if net is None else set(net.membership.members)


def _linked(world: World, name: str) -> int:
    engine = world[name].node.engine
    return len({engine.member_of(device) for device in world[name].node.transport.linked()} - {None})


def _roles(world: World) -> dict[str, str]:
    special = {FOUNDER: "admin", AUDITOR: "reader"}
    return {name: special.get(name, "member") for name in world.places}


async def _strangers(world: World, chapter: Chapter, used: str) -> None:
    """A stranger shows a used invitation, one that it bent, and one that is bound to somebody else."""
    identity = new_identity("stranger")
    engine = Engine(identity, incarnation=bytes(8), entropy=system_entropy, applications=APPLICATIONS)
    bent = used[:-12] + ("A" if used[-12] != "A" else "B") + used[-11:]
    said = {}
    async with open_libp2p(device_seed=identity.device_seed, listen=["/ip4/127.0.0.1/tcp/0"]) as transport:
        for what, token in (("used", used), ("bent", bent), ("bound", await _bound(world))):
            try:
                request = engine.join_request(world[FOUNDER].node.now(), token)
                read_reply(await transport.ask(request.addresses[0], request.protocol, request.frame))
                said[what] = "let in"
            except Refused as refusal:
                said[what] = refusal.code
            except Unreachable as error:
                said[what] = f"unreachable: {error}"
    refused = {"let in"} | {one for one in said.values() if one.startswith("unreachable")}
    chapter.check("a_used_invitation_is_refused", said["used"] not in refused)
    chapter.check("a_bent_invitation_is_refused", said["bent"] not in refused)
    chapter.check("an_invitation_for_another_key_is_refused", said["bound"] not in refused)
    after = await world[FOUNDER].client.members()
    chapter.check("no_stranger_got_in", len(after.members) == len(world.places))
    chapter.show(strangers_were_told=said)


async def _bound(world: World) -> str:
    body = InvitationCreate(seconds=INVITATION_SECONDS, bound_to=world["lab"].member.hex())
    return (await world[FOUNDER].client.invite(body)).invitation
