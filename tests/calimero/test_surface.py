"""The surface over nodes in one process: shapes, refusals that store nothing, capabilities, blobs, tokens, the table."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import trio

from medsync_calimero.app import Options
from medsync_calimero.compat import NOT_SERVED, ROUTES
from medsync_calimero.encodings import b58
from medsync_node.transport import MemoryNetwork
from medsync_protocol.kinds import Role
from tests.calimero.door_world import KV, Party, agreed, invite, joined, parties, party, until_true

GUIDE = Path(__file__).resolve().parents[2] / "node" / "coming-from-calimero.md"
NOBODY = b58(bytes(range(32)))


async def test_two_nodes_share_a_store_and_a_summary(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, context = await joined(north, south)
        assert await north.call(context, "set", key="a", value="1") is None
        assert await south.call(context, "set", key="b", value="2") is None
        await agreed(context, north, south)
        assert await south.call(context, "entries") == {"a": "1", "b": "2"}
        assert await south.call(context, "get_result", key="c") == {"error": {"type": "FunctionCallError", "data": '{"data":"c","kind":"NotFound"}'}}
        ours, theirs = [await one.get(f"groups/{namespace}") for one in (north, south)]
        assert ours["groupStateHash"] == theirs["groupStateHash"] and ours["memberCount"] == 2
        rows = (await south.get(f"groups/{namespace}/members"))["members"]
        assert {(row["identity"], row["role"]) for row in rows} == {(north.account, "Admin"), (south.account, "Member")}
        assert (await south.get("namespaces"))[0]["contextCount"] == 1


async def test_a_restricted_subgroup_is_its_members_alone_and_an_open_one_everybodys(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, _ = await joined(north, south)
        shut = (await north.post(f"namespaces/{namespace}/groups", {"groupName": "board"}))["groupId"]
        wide = (await north.post(f"namespaces/{namespace}/groups", {"groupName": "hall", "visibility": "open"}))["groupId"]
        inside = (await north.post("contexts", {"applicationId": KV, "groupId": wide, "name": "board"}))["contextId"]
        await agreed(inside, north, south)
        assert await south.post(f"groups/{wide}/join-via-inheritance") == {"groupId": wide, "memberPublicKey": b58(south.node.identity.member), "wasInherited": True}
        await until_true(lambda: _lists(south, f"groups/{wide}/contexts", [{"contextId": inside, "name": "board"}]))
        assert "not in it" in await south.get(f"groups/{shut}", status=404)
        await until_true(lambda: _is_ok(south, f"groups/{wide}"))
        named = {row["groupId"]: row.get("name") for row in (await south.get(f"groups/{namespace}/subgroups"))["subgroups"]}
        assert named == {shut: None, wide: "hall"}
        await north.post(f"groups/{shut}/members", {"members": [{"identity": south.account, "role": "ReadOnly"}]})
        await until_true(lambda: _is_ok(south, f"groups/{shut}"))


async def _lists(one: Party, path: str, rows: Any) -> bool:
    return bool(await one.get(path) == rows)


async def _is_ok(one: Party, path: str) -> bool:
    return (await one.client.get(f"/admin-api/{path}")).status_code == 200


async def test_capabilities_are_what_an_admin_gives(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, _ = await joined(north, south)
        group = f"groups/{namespace}"
        for verb, path, body in (
            ("POST", "contexts", {"applicationId": KV, "groupId": namespace}), ("POST", f"namespaces/{namespace}/groups", {"visibility": "open"}),
            ("PUT", f"{group}/metadata", {"name": "ours", "data": {}}), ("PUT", f"{group}/settings/default-capabilities", {"defaultCapabilities": 511}),
            ("PUT", f"{group}/members/{south.account}/capabilities", {"capabilities": 511}), ("POST", f"namespaces/{namespace}/invite", {}),
            ("PUT", f"{group}/members/{south.account}/role", {"role": "Admin"}), ("POST", f"{group}/members/remove", {"members": [north.account]}),
        ):  # fmt: skip
            await south.ask(verb, path, body, status=403)
        await north.put(f"{group}/settings/default-capabilities", {"defaultCapabilities": 0b100100101})
        await until_true(lambda: _holds(south, namespace, 0b100100101))
        assert (await south.post("contexts", {"applicationId": KV, "groupId": namespace}))["groupCreated"] is False
        assert (await south.post(f"namespaces/{namespace}/groups", {"visibility": "open"}))["groupId"]
        await south.put(f"{group}/metadata", {"name": "ours", "data": {"a": "b"}})
        assert await south.get(f"{group}/metadata") == {"name": "ours", "data": {"a": "b"}}
        await south.put(f"{group}/members/{south.account}/auto-follow", {"autoFollowContexts": True, "autoFollowSubgroups": False})


async def _holds(one: Party, group: str, bits: int) -> bool:
    return bool((await one.get(f"groups/{group}/members/{one.account}/capabilities"))["capabilities"] == bits)


async def test_a_reader_asks_but_changes_nothing(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, context = await joined(north, south, role="ReadOnly")
        before = await south.state(context)
        assert "ReadOnly" in (await south.call(context, "set", key="a", value="1"))["error"]["data"]
        assert "ReadOnly" in await south.put(f"groups/{namespace}/metadata", {"data": {}}, status=403)
        assert await south.call(context, "len") == 0 and await south.state(context) == before
        assert "Member" in await north.put(f"groups/{namespace}/members/{south.account}/role", {"role": "Owner"}, status=400)
        assert "trusted" in await north.put(f"groups/{namespace}/members/{south.account}/role", {"role": "ReadOnlyTee"}, status=400)


async def test_what_is_wrong_is_said_and_nothing_is_stored(tmp_path: Path) -> None:
    async with parties(tmp_path, "north") as (north,):
        namespace, context = await joined(north)
        before = (await north.state(context), (await north.get(f"groups/{namespace}"))["groupStateHash"], sum(r.vector[c] for r in north.node.engine.replicas.values() for c in r.vector))
        cases: list[tuple[str, str, Any, int, str]] = [
            ("POST", "install-dev-application", {"path": "mine.wasm"}, 400, "WASM is not run"), ("POST", "namespaces", {"applicationId": NOBODY}, 404, "installed"),
            ("POST", "namespaces", {}, 400, "applicationId"), ("GET", "groups/abc", None, 400, "64 hex"), ("GET", f"groups/{'0' * 64}", None, 404, "no such group"),
            ("GET", "contexts/0OIl", None, 400, "base58"), ("GET", f"contexts/{NOBODY}", None, 404, "no context"), ("POST", f"groups/{namespace}/members", {"members": []}, 400, "list"),
            ("POST", f"groups/{namespace}/members", {"members": [{"identity": "1" * 64}]}, 404, "invite it first"), ("GET", "blobs/xx", None, 400, "base58"),
            ("POST", "contexts", {"applicationId": KV, "groupId": namespace, "initializationParams": [300]}, 400, "bytes"), ("DELETE", f"blobs/{NOBODY}", None, 404, "no blob"),
            ("POST", f"namespaces/{namespace}/invite", {"expirationTimestamp": 5}, 400, "expired"), ("POST", f"namespaces/{namespace}/join", {"invitation": {"a": 1}}, 400, "whole"),
            ("PUT", f"groups/{namespace}/settings/default-capabilities", {"defaultCapabilities": 1 << 40}, 400, "number"), ("PUT", f"groups/{namespace}/metadata", {"data": {"a": 1}}, 400, "texts"),
            ("GET", "tee/attest", None, 501, "trusted execution"), ("POST", f"groups/{namespace}/upgrade", {}, 501, "WASM"), ("GET", "no/such/call", None, 501, "not served"),
        ]  # fmt: skip
        for verb, path, body, status, words in cases:
            assert words in await north.ask(verb, path, body, status=status), path
        for arguments, words in (({"key": "a", "value": "x" * 300_000}, "longer"), ({"key": 1, "value": "x"}, "string"), ({"key": "a"}, "value")):
            assert words in (await north.call(context, "set", **arguments))["error"]["data"]
        assert "MethodNotFound" in (await north.call(context, "explode"))["error"]["data"]
        assert (await north.call(NOBODY, "len"))["error"]["type"] == "ContextNotFound"
        for raw in (b"{", b"[]", b'{"method":"execute"}', b'{"method":"fly","params":{}}'):
            assert "error" in (await north.client.post("/jsonrpc", content=raw)).json()
        answer = await north.client.put("/admin-api/blobs", params={"context_id": context, "hash": "00" * 32}, content=b"x")
        assert answer.status_code == 400 and "SHA-256" in answer.json()["error"]
        after = (await north.state(context), (await north.get(f"groups/{namespace}"))["groupStateHash"], sum(r.vector[c] for r in north.node.engine.replicas.values() for c in r.vector))
        assert after == before


async def test_an_invitation_lets_one_in_once_and_only_as_it_was_made(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south", "east") as (north, south, east):
        namespace, _ = await joined(north)
        made = (await north.post(f"namespaces/{namespace}/invite"))["invitation"]
        raised = {**made, "invitation": {**made["invitation"], "invited_role": 0}}
        assert "changed" in await south.post(f"namespaces/{namespace}/join", {"invitation": raised}, status=400)
        await south.post(f"namespaces/{namespace}/join", {"invitation": made})
        assert "already" in await south.post(f"namespaces/{namespace}/join", {"invitation": made}, status=409)
        assert "used before" in await east.post(f"namespaces/{namespace}/join", {"invitation": made}, status=409)
        assert east.node.engine.net is None


async def test_blobs_are_shared_with_members_and_with_nobody_else(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south") as (north, south):
        namespace, context = await joined(north, south)
        picture = bytes(range(256)) * 2_000
        kept = (await north.client.put("/admin-api/blobs", params={"context_id": context}, content=picture)).json()["data"]
        assert kept == {"blob_id": b58(hashlib.sha256(picture).digest()), "size": len(picture)}
        with trio.fail_after(30):
            while (got := await south.client.get(f"/admin-api/blobs/{kept['blob_id']}")).status_code != 200:
                await trio.sleep(0.01)
        assert got.content == picture
        head = await south.client.head(f"/admin-api/blobs/{kept['blob_id']}")
        assert head.headers["x-blob-hash"] == hashlib.sha256(picture).hexdigest() and head.headers["content-length"] == str(len(picture))
        assert all(picture[:64] not in part.read_bytes() for part in tmp_path.iterdir() if part.is_file())
        shut = (await north.post(f"namespaces/{namespace}/groups"))["groupId"]
        theirs = (await north.post("contexts", {"applicationId": KV, "groupId": shut}))["contextId"]
        secret = (await north.client.put("/admin-api/blobs", params={"context_id": theirs}, content=b"secret")).json()["data"]["blob_id"]
        await north.call(context, "set", key="after", value="it")
        await agreed(context, north, south)
        assert "no blob" in await south.get(f"blobs/{secret}", status=404)


async def test_aliases_and_a_contexts_end(tmp_path: Path) -> None:
    async with parties(tmp_path, "north") as (north,):
        _, context = await joined(north)
        assert await north.post("alias/create/context", {"alias": "ours", "contextId": context}) is None
        assert await north.post("alias/lookup/context/ours") == {"value": context}
        assert await north.get("alias/list/context") == {"ours": context}
        assert await north.post("alias/delete/context/ours") is None
        assert await north.post("alias/lookup/context/ours") == {"value": None}
        assert await north.ask("DELETE", f"contexts/{context}") == {"isDeleted": True}
        assert (await north.get("contexts"))["contexts"] == []


async def test_embedded_authentication_asks_for_a_token_with_the_permission(tmp_path: Path) -> None:
    options = Options(embedded=True, admin=("root", "a long password"))
    async with party(MemoryNetwork(), tmp_path, "north", options) as north:
        assert "token" in await north.get("contexts", status=401)
        assert await north.get("health") == {"status": "alive"}

        async def log_in(password: str, permissions: list[str] | None = None) -> Any:
            body = {"auth_method": "user_password", "public_key": "root", "client_name": "test", "timestamp": 0, "permissions": permissions, "provider_data": {"username": "root", "password": password}}
            return await north.client.post("/auth/token", json=body)

        assert (await log_in("wrong")).status_code == 401
        tokens = (await log_in("a long password")).json()["data"]
        north.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        await north.post("install-dev-application", {"path": "kv_store.wasm"})
        _, context = await joined(north)
        assert (await north.client.head("/auth/validate")).status_code == 200
        asked = {"id": 1, "method": "sync_status", "params": {"contextId": context}}
        assert "result" in (await north.client.post("/jsonrpc", json=asked)).json()
        narrow = (await log_in("a long password", [f"context:execute[{context},,get]"])).json()["data"]["access_token"]
        north.client.headers["Authorization"] = f"Bearer {narrow}"
        assert await north.call(context, "get", key="a") is None
        assert "lacks the permission" in (await north.call(context, "set", key="a", value="1"))["error"]["data"]
        assert "lacks" in await north.get("contexts", status=403)
        assert (await north.client.post("/jsonrpc", json=asked)).status_code == 403
        again = (await north.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})).json()["data"]
        north.client.headers["Authorization"] = f"Bearer {again['access_token']}"
        assert await north.call(context, "set", key="a", value="1") is None
        north.client.headers["Authorization"] = f"Bearer {again['access_token'][:-2]}xx"
        assert (await north.client.head("/auth/validate")).status_code == 401


async def test_the_table_is_what_is_served_and_what_the_guide_lists(tmp_path: Path) -> None:
    async with party(MemoryNetwork(), tmp_path, "north") as north:
        served = (await north.client.get("/openapi.json")).json()["paths"]
    found = {(verb.upper(), path) for path, verbs in served.items() if path.startswith("/admin-api") for verb in verbs}
    assert found == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        described = served[route.path][route.method.lower()]
        answer = described["responses"]["200"]["content"]["application/json"]["schema"].get("properties", {})
        inside = answer if route.whole else answer["data"].get("properties", {})
        assert set(inside) == set(route.answer)
        body = described.get("requestBody", {"content": {"application/json": {"schema": {"required": []}}}})
        required = body["content"]["application/json"]["schema"]["required"]
        assert set(required) == {name for name in route.request or () if not name.endswith("?")}
    text = GUIDE.read_text("utf-8")
    assert {(route.method, route.path) for route in ROUTES} == set(re.findall(r"\| `([A-Z]+) (/admin-api/[^`]+)` \|", text))
    assert {path for path, _ in NOT_SERVED} == set(re.findall(r"\| `(/admin-api/[^` ]+)` \|", text))


async def test_every_invited_member_comes_in_with_the_invitations_role(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "south", "east") as (north, south, east):
        namespace, context = await joined(north)
        await invite(north, south, namespace, "Admin")
        await until_true(lambda: _admin_of_network(south))
        await invite(south, east, namespace)
        await agreed(context, north, south, east)


async def _admin_of_network(one: Party) -> bool:
    net = one.node.engine.net
    return net is not None and net.role is not None and net.role is Role.ADMIN
