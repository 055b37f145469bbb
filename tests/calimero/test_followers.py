"""Who follows a context hears what calls change: over WebSocket from Node 20, over server-sent events, over members' coming."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from medsync_calimero.app import Options
from medsync_calimero.serving import serving
from medsync_node.transport import MemoryNetwork
from medsync_protocol.errors import OperatorError
from tests.calimero.door_world import agreed, invite, joined, parties, party

HERE = Path(__file__).parent
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None and not os.environ.get("CI"), reason="nodejs is not installed")


@needs_node
async def test_a_browsers_client_subscribes_calls_and_hears(tmp_path: Path) -> None:
    async with party(MemoryNetwork(), tmp_path, "north") as north, serving(north.node, "127.0.0.1", 0) as url:
        _, context = await joined(north)
        command = [str(NODE), "--experimental-websocket", str(HERE / "web" / "follow.mjs"), f"{url.replace('http', 'ws')}/ws", context]
        done = await trio.to_thread.run_sync(lambda: subprocess.run(command, capture_output=True, text=True, timeout=60))
        assert done.returncode == 0, done.stderr
        heard = json.loads(done.stdout)
        assert heard["subscribed"]["result"]["contextIds"] == [context]
        assert heard["set"] == {"id": 2, "result": {"output": None}} and heard["got"]["result"]["output"] == "from node"
        assert heard["wrong"]["error"]["type"] == "FunctionCallError"
        event = heard["event"]
        assert (event["contextId"], event["type"]) == (context, "StateMutation")
        (told,) = event["data"]["events"]
        assert told["kind"] == "Inserted" and json.loads(bytes(told["data"])) == {"key": "a", "value": "from node"}
        assert event["data"]["newRoot"] == await north.state(context)


async def test_a_stream_tells_of_calls_and_members_that_were_made_elsewhere(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        north, south = await stack.enter_async_context(parties(tmp_path, "north", "south"))
        url = await stack.enter_async_context(serving(north.node, "127.0.0.1", 0))
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            namespace, context = await joined(north)
            async with client.stream("GET", "/sse") as stream:
                lines = stream.aiter_lines()
                session = (await heard(lines))["session_id"]
                params = {"contextIds": [context], "groupIds": [namespace]}
                answer = await client.post("/sse/subscription", json={"id": session, "method": "subscribe", "params": params})
                assert answer.json() == {"result": params}
                await invite(north, south, namespace)
                member = (await heard(lines))["result"]
                assert member == {"groupId": namespace, "type": "GroupMembershipEvent", "data": {"kind": "MemberAdded", "member": south.account}}
                await agreed(context, north, south)
                assert await south.call(context, "set", key="a", value="1") is None
                event = (await heard(lines))["result"]
                assert event["contextId"] == context and event["data"]["events"][0]["kind"] == "Inserted"
            assert (await client.get("/sse/session/none")).status_code == 404


async def heard(lines: Any) -> Any:
    """The data of the next event."""
    with trio.fail_after(30):
        async for line in lines:
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


async def test_without_tokens_it_listens_on_loopback_alone(tmp_path: Path) -> None:
    async with party(MemoryNetwork(), tmp_path, "north") as north:
        with pytest.raises(OperatorError, match="no loopback"):
            async with serving(north.node, "0.0.0.0", 0):
                pass


async def test_with_tokens_a_follower_needs_one(tmp_path: Path) -> None:
    options = Options(embedded=True, admin=("root", "a long password"))
    async with (
        party(MemoryNetwork(), tmp_path, "north") as north,
        serving(north.node, "127.0.0.1", 0, options) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        assert (await client.get("/sse")).status_code == 401
