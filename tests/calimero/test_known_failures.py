"""What users of Calimero ran into (eight of them), tried on real nodes of ours: none of it stays silent, all of it mends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from medsync_node.transport import MemoryNetwork
from medsync_protocol import frames
from medsync_protocol.effects import Notify
from medsync_protocol.ids import ContextId
from medsync_protocol.sync import Session
from tests.calimero.door_world import KV, Party, agreed, joined, parties, party, until_true
from tests.node.node_world import until


async def test_what_was_written_while_nobody_listened_arrives(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with party(network, tmp_path, "north") as north:
        async with party(network, tmp_path, "south") as south:
            _, context = await joined(north, south)
        for number in range(40):  # more than sixteen attempts' worth
            await north.call(context, "set", key=f"k{number}", value="v")
        async with party(network, tmp_path, "south", incarnation=b"restart!") as again:
            await agreed(context, north, again)
            assert await again.call(context, "len") == 40


async def test_a_newcomer_that_missed_its_key_still_gets_it(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with party(network, tmp_path, "north") as north:
        namespace = (await north.post("namespaces", {"applicationId": KV}))["namespaceId"]
        made = (await north.post(f"namespaces/{namespace}/invite"))["invitation"]
        async with party(network, tmp_path, "south") as south:
            await south.post(f"namespaces/{namespace}/join", {"invitation": made})
            account = south.account
        shut = (await north.post(f"namespaces/{namespace}/groups"))["groupId"]
        context = (await north.post("contexts", {"applicationId": KV, "groupId": shut}))["contextId"]
        await north.post(f"groups/{shut}/members", {"members": [{"identity": account, "role": "Member"}]})
        await north.node.perform(lambda now: north.node.engine.rotate(now, ContextId(bytes.fromhex(shut))))
        await north.call(context, "set", key="a", value="1")
        async with party(network, tmp_path, "south", incarnation=b"restart!") as again:
            await agreed(context, north, again)
            assert await again.call(context, "get", key="a") == "1"


async def test_a_member_that_was_added_again_is_a_member(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, context = await joined(north, south)
        used = north.node.engine.net
        assert used is not None
        await north.post(f"groups/{namespace}/members/remove", {"members": [south.account]})
        await until_true(lambda: _out(south, context))
        assert (await south.call(context, "set", key="a", value="no"))["error"]["type"] == "ContextNotFound"
        await north.post(f"groups/{namespace}/members", {"members": [{"identity": south.account, "role": "Member"}]})
        await agreed(context, north, south)
        assert await south.call(context, "set", key="a", value="back") is None
        await agreed(context, north, south)
        assert await north.call(context, "get", key="a") == "back"


async def _out(one: Party, context: str) -> bool:
    return (await one.client.get(f"/admin-api/contexts/{context}")).status_code == 404


async def test_a_kicked_member_does_not_come_back_by_its_old_invitation(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace = (await north.post("namespaces", {"applicationId": KV}))["namespaceId"]
        made = (await north.post(f"namespaces/{namespace}/invite"))["invitation"]
        await south.post(f"namespaces/{namespace}/join", {"invitation": made})
        await north.post(f"groups/{namespace}/members/remove", {"members": [south.account]})
        replica = south.node.engine.replicas[ContextId(bytes.fromhex(namespace))]
        await until(lambda: replica.role is None)
        assert "an admin add" in await south.post(f"namespaces/{namespace}/join", {"invitation": made}, status=403)
        assert (await north.get(f"groups/{namespace}"))["memberCount"] == 1


async def test_a_leave_rotates_the_key(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, context = await joined(north, south)
        ours, theirs = (one.node.engine.replicas[ContextId(bytes.fromhex(namespace))] for one in (north, south))
        before = ours.membership.usable_key()
        await south.post(f"namespaces/{namespace}/leave")
        await until(lambda: len(ours.membership.members) == 1)
        assert await north.call(context, "set", key="a", value="alone") is None
        after = ours.membership.usable_key()
        assert after is not None and after != before and after not in theirs.ring


async def test_nodes_that_differ_say_so_until_they_agree(tmp_path: Path) -> None:
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        north, south = [await stack.enter_async_context(party(network, tmp_path, name)) for name in ("north", "south")]
        _, context = await joined(north, south)
        network.partition([north.node.identity.device], [south.node.identity.device])
        for one, value in ((north, "n"), (south, "s")):
            assert await one.call(context, "set", key="a", value=value) is None
        assert await north.state(context) != await south.state(context)
        network.heal()
        await agreed(context, north, south)
        assert await north.call(context, "get", key="a") == await south.call(context, "get", key="a")
        status = await _status(north, context)
        assert status["waiting"] == 0 and status["contextStateHash"] == await north.state(context)


async def _status(one: Party, context: str) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": "sync_status", "params": {"contextId": context}}
    return (await one.client.post("/jsonrpc", json=request)).json()["result"]


async def test_another_version_is_told_to_whoever_listens(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        await joined(north, south)
        engine, peer = north.node.engine, south.node.identity.device
        engine.sync.sessions[peer] = Session(peer)
        hello = frames.encode(frames.FrameKind.HELLO, 90, 99, engine.network, [])
        told = engine.frame_received(north.node.now(), peer, hello)
        assert any(isinstance(effect, Notify) and effect.what == "version_mismatch" for effect in told), told
