"""Reading the anchor from the embedded chain: what is accepted, what is final, what has vanished, what is not to be trusted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from medsync_bridge.certified import read_certificate
from medsync_bridge.errors import ChainUnreachable as BridgeFindsNone
from medsync_node.chain_reader import ChainReader, ChainUnreachable, Observation, WrongChain, WrongClass
from medsync_protocol.transition import Anchor
from tests.bridge.chains import LiveChain, embedded
from tests.bridge.test_conformance import Stand, standing
from tests.bridge.world import World

DEPTH = 3


@pytest.fixture(scope="module")
def chain() -> Iterator[LiveChain]:
    with embedded() as live:
        yield live


@pytest.fixture
async def stand(chain: LiveChain, tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(chain, tmp_path) as found:
        yield found


class Counting(httpx.AsyncHTTPTransport):
    """Keeps the functions that were called."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content)["method"])
        return await super().handle_async_request(request)


@pytest.fixture
async def transport() -> Counting:
    return Counting()


@pytest.fixture
async def reader(chain: LiveChain, transport: Counting) -> AsyncIterator[ChainReader]:
    async with httpx.AsyncClient(transport=transport) as http:
        yield ChainReader(chain.url, http, DEPTH)


async def post(stand: Stand, world: World) -> int:
    task = read_certificate(world.certify(), world.address)
    return (await stand.sender.bring_about(task)).found


def seen(k: int, digest: int, settled: bool = False) -> Observation:
    return Observation(k=k, digest=digest, settled=settled)


async def test_accepted_checkpoints_are_seen_in_order(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    await reader.check_anchor(world.address)
    assert await reader.observe(world.address, 0, 0) == []
    digests = [await post(stand, world) for _ in range(2)]
    assert await reader.observe(world.address, 0, 0) == [seen(1, digests[0]), seen(2, digests[1])]


async def test_a_block_that_was_read_is_not_read_again(
    stand: Stand, reader: ChainReader, transport: Counting
) -> None:
    world = await stand.open()
    await post(stand, world)
    assert len(await reader.observe(world.address, 0, 0)) == 1
    first = len(transport.asked)
    assert await reader.observe(world.address, 1, 0) == []
    assert len(transport.asked) - first < first, "no digest was asked for"
    reader.forget()
    assert len(await reader.observe(world.address, 1, 0)) == 1


async def test_depth_settles(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    digest = await post(stand, world)
    await reader.observe(world.address, 0, 0)
    for _ in range(DEPTH - 1):
        stand.live.ask("devnet_createBlock")
    assert await reader.observe(world.address, 1, 0) == [seen(1, digest)]
    stand.live.ask("devnet_createBlock")
    assert await reader.observe(world.address, 1, 0) == [seen(1, digest, settled=True)]
    assert await reader.observe(world.address, 1, 1) == []


async def test_acceptance_on_l1_settles_without_a_new_block(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    digest = await post(stand, world)
    assert await reader.observe(world.address, 0, 0) == [seen(1, digest)]
    stand.live.ask("devnet_acceptOnL1", starting_block_id="latest")
    assert await reader.observe(world.address, 1, 0) == [seen(1, digest, settled=True)]


async def test_a_checkpoint_whose_block_vanished_is_seen_as_gone(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    await post(stand, world)
    assert len(await reader.observe(world.address, 0, 0)) == 1
    stand.live.ask("devnet_abortBlocks", starting_block_id="latest")
    assert await reader.observe(world.address, 1, 0) == [seen(1, 0)]


async def test_what_took_the_vanished_one_s_place_is_seen(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    ours = read_certificate(world.certify(adopt=False), world.address)
    await stand.sender.bring_about(ours)
    assert await reader.observe(world.address, 0, 0) == [seen(1, ours.want)]
    stand.live.ask("devnet_abortBlocks", starting_block_id="latest")
    theirs = read_certificate(world.certify(reward_root=4), world.address)
    await stand.sender.bring_about(theirs)
    assert await reader.observe(world.address, 1, 0) == [seen(1, theirs.want)]


async def test_another_chain_and_another_class_are_not_believed(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    with pytest.raises(WrongChain, match="SN_MAIN"):
        await reader.check_anchor(replace(world.address, chain_id=int.from_bytes(b"SN_MAIN")))
    with pytest.raises(WrongClass, match="does not exist"):
        await reader.check_anchor(replace(world.address, contract=0xDEAD))
    with pytest.raises(WrongClass, match="not of the released one"):
        await reader.check_anchor(replace(world.address, contract=stand.account.address))
    assert await reader.observe(replace(world.address, contract=0xDEAD), 0, 0) == []


async def test_an_outage_is_unreachable_to_reader_and_bridge(stand: Stand, reader: ChainReader) -> None:
    world = await stand.open()
    stand.live.ask("medsync_setOutage", down=True)
    try:
        with pytest.raises(ChainUnreachable):
            await reader.observe(world.address, 0, 0)
        with pytest.raises(BridgeFindsNone):
            await post(stand, world)
    finally:
        stand.live.ask("medsync_setOutage", down=False)
    assert await reader.observe(world.address, 0, 0) == []


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(502, text="bad gateway"),
        httpx.Response(200, json={"jsonrpc": "2.0"}),
        httpx.Response(200, json={"result": "latest"}),
        httpx.Response(200, json={"result": {"block_number": "1"}}),
        httpx.Response(200, json=[]),
    ],
)
async def test_an_answer_that_is_none_is_unreachable(answer: httpx.Response) -> None:
    world = World(anchor=Anchor(chain_id=1, contract=2))
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda request: answer)) as http:
        with pytest.raises(ChainUnreachable) as caught:
            await ChainReader("http://nowhere", http, DEPTH).observe(world.address, 0, 0)
    assert "chain.rpc" in caught.value.advice
