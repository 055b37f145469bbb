"""A chain that was signed twice is shown where the membership is, and goes on by a button that says what that means."""

from __future__ import annotations

from pathlib import Path

from medsync_client.devices import HeldChain
from medsync_client.links import LinkCreate
from medsync_protocol import frames
from medsync_protocol import operation as ops
from medsync_protocol.actions import Merge, encode_action
from medsync_protocol.ids import ChainId, ContextId
from medsync_protocol.kinds import Plane
from tests.dashboard.test_signing_in import browser, csrf, enter
from tests.node.api_world import Party, form, make_home, running


def signed(author: Party, context: ContextId, mark: bytes) -> bytes:
    """An operation for the first place of a new chain of the author's device, which its own node knows nothing of."""
    node = author.daemon.node
    replica, (kind, payload) = node.engine.replica(context), encode_action(Merge())
    header = ops.Header(
        network=replica.network, context=context, plane=Plane.MEMBERSHIP, chain=ChainId(node.identity.device + b"a copy!!"), seq=0,
        prev=ops.NO_OP, membership_heads=replica.fold.heads(), seen_k=0, seen_root=bytes(32), key_id=ops.NO_KEY, hlc=node.now() << 16,
        kind=kind, entries_root=bytes(32), count=1,
    )  # fmt: skip
    return ops.build(header, mark.ljust(24, b"."), [(b"", payload)], node.identity.device_seed).wire


async def forked(north: Party) -> HeldChain:
    (chain,) = (one for each in (await north.client.devices("trial")).devices for one in each.chains if one.forked_at is not None)
    return chain


async def test_a_forked_chain_is_shown_and_goes_on_once_somebody_looked_into_it(tmp_path: Path) -> None:
    over_tcp = {"api.listen": "127.0.0.1:0"}
    async with running(make_home(tmp_path, "north"), over_tcp) as north, running(make_home(tmp_path, "south")) as south:
        context, device = ContextId(bytes.fromhex((await form([north, south])).id)), south.daemon.node.identity.device
        engine = north.daemon.node.engine
        twice = frames.ops(context, [signed(south, context, mark) for mark in (b"one", b"two")])
        async with browser(north) as http, browser(north) as small:
            await enter(http, (await north.client.open_dashboard(LinkCreate())).url)
            await enter(small, (await north.client.open_dashboard(LinkCreate(scopes=("status",)))).url)
            assert "Forked chains" not in (await http.get("/dashboard/c/trial/members")).text
            await north.daemon.node.perform(lambda now: (None, engine.frame_received(now, device, twice)))
            chain = await forked(north)
            here = f"/dashboard/c/trial/members/resume?chain={chain.id}"
            page = await http.get("/dashboard/c/trial/members")
            assert "Forked chains" in page.text and "Let it go on" in page.text
            asked = await http.get(here)
            for words in ("of south go on in trial?", "signed two operations for place 0", "stays void", "backup restore", "count at once"):
                assert words in asked.text, words
            fields = {"chain": chain.id, "csrf": csrf(page)}
            assert (await small.get(here)).status_code == 403
            assert (await small.post("/dashboard/c/trial/members/resume", data={**fields, "csrf": csrf(await small.get("/dashboard/members"))})).status_code == 403
            assert not (await forked(north)).resumed
            done = await http.post("/dashboard/c/trial/members/resume", data=fields)
            assert done.status_code == 303
            again = await http.get("/dashboard/c/trial/members?done=resume")
            assert "goes on" in again.text and "Let it go on" not in again.text and "That the chain goes on is on record." in again.text
            assert (await http.get(here.replace(chain.id, "00" * 40))).status_code == 404
