"""The bridge against chains that execute the released contract: ours, yours (STARKNET_RPC_URL), starknet-devnet."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from medsync_bridge.account import Account
from medsync_bridge.certified import read_certificate, read_opening
from medsync_bridge.chain import Chain
from medsync_bridge.client import open_client
from medsync_bridge.errors import AccountUnusable, Reverted, RpcError
from medsync_bridge.journal import Journal, State, open_journal
from medsync_bridge.released import released_anchor
from medsync_bridge.rpc_codes import Course, course_of
from medsync_bridge.sending import Sender, Terms
from medsync_bridge.tasks import DeclareClass, DeployContract
from medsync_protocol.anchor_abi import EVENTS
from medsync_protocol.transition import Anchor
from tests.bridge.chains import LiveChain
from tests.bridge.world import World

CAP = 100 * 10**18


@dataclass(slots=True, kw_only=True)
class Stand:
    """A bridge on a live chain."""

    live: LiveChain
    chain: Chain
    account: Account
    journal: Journal
    told: list[str]

    @property
    def sender(self) -> Sender:
        async def pause() -> None:
            await trio.sleep(0.02 if self.live.ours else 1)

        return Sender(
            self.chain, self.journal, self.account, Terms(cap=CAP), pause=pause, tell=self.told.append
        )

    async def anchor(self) -> Anchor:
        """The released contract, declared and deployed if it isn't."""
        _, _, version = await self.chain.latest()
        await self.sender.bring_about(DeclareClass(released=released_anchor(), starknet_version=version))
        task = DeployContract(class_hash=released_anchor().class_hash, account=self.account.address, salt=0)
        await self.sender.bring_about(task)
        return Anchor(chain_id=self.account.chain_id, contract=task.address)

    async def open(self) -> World:
        """A context of its own."""
        world = World(anchor=await self.anchor(), genesis=secrets.token_bytes(32))
        ended = await self.sender.bring_about(read_opening(world.opening(), world.anchor))
        assert ended.state is State.DONE and ended.transaction is not None
        return world

    async def posted(self, world: World) -> list[tuple[int, int]]:
        """(k, digest) of the CheckpointPosted events of a context."""
        page = await self.chain.client.get_events(
            address=world.anchor.contract, keys=[[hex(EVENTS["CheckpointPosted"])], [hex(world.context)]],
            from_block_number=0, to_block_number="latest", chunk_size=100, follow_continuation_token=True,
        )  # fmt: skip
        return [(event.keys[2], event.data[0]) for event in page.events]


@asynccontextmanager
async def standing(live: LiveChain, home: Path, number: int = 0) -> AsyncIterator[Stand]:
    address, secret = live.account(number)
    with open_journal(home / "journal.sqlite") as journal:
        async with open_client(live.url) as client:
            chain = Chain(client)
            account = Account(address=address, chain_id=await chain.chain_id(), secret=secret)
            yield Stand(live=live, chain=chain, account=account, journal=journal, told=[])


async def test_checkpoints_are_accepted_one_by_one(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        for k in (1, 2, 3):
            task = read_certificate(world.certify(), world.address)
            ended = await stand.sender.bring_about(task)
            assert ended.state is State.DONE and ended.transaction is not None
            assert await stand.chain.head(world.anchor.contract, world.context) == (k, task.want)
        assert await stand.posted(world) == [(s.k, world.anchor.digest(s)) for s in world.accepted[1:]]


async def test_what_stands_already_costs_nothing(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        task = read_certificate(world.certify(), world.address)
        first = await stand.sender.bring_about(task)
        nonce = await stand.chain.nonce(stand.account.address)
        assert await stand.sender.bring_about(task) == first
        assert await stand.anchor() == world.anchor
        assert await stand.chain.nonce(stand.account.address) == nonce


async def test_the_contract_s_reason_is_told_and_nothing_is_paid(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        good = read_certificate(world.certify(adopt=False), world.address)
        nonce = await stand.chain.nonce(stand.account.address)
        spoilt = {
            "BELOW_QUORUM": replace(good, votes=good.votes[:2]),
            "VOTES_NOT_ASCENDING": replace(good, votes=(good.votes[0],) * 3),
            "BAD_SIGNATURE": replace(good, votes=(replace(good.votes[0], r=7), *good.votes[1:])),
            "WRONG_MEMBERS": replace(good, members=good.members[:3]),
            "BAD_APPEND_PROOF": replace(good, append=replace(good.append, nodes=(1, 2))),
        }
        for reason, task in spoilt.items():
            with pytest.raises(Reverted) as caught:
                await stand.sender.bring_about(task)
            assert (caught.value.reason, caught.value.paid) == (reason, False)
        assert await stand.chain.nonce(stand.account.address) == nonce
        assert await stand.chain.checkpoint(world.anchor.contract, world.context, 1) == 0


async def test_a_revert_in_a_block_is_found_and_decoded(live: LiveChain, tmp_path: Path) -> None:
    """Sent past the estimate, as when the state changes in between."""
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        good = read_certificate(world.certify(adopt=False), world.address)
        bad = replace(good, votes=good.votes[:2])
        nonce = await stand.chain.nonce(stand.account.address)
        sender = stand.sender
        offer = await sender._offer(good, nonce)
        stand.journal.begin(bad.name, bad.want)
        await stand.chain.send(sender._commit(bad, nonce, offer).raw)
        with pytest.raises(Reverted) as caught:
            await sender.bring_about(bad)
        assert (caught.value.reason, caught.value.paid) == ("BELOW_QUORUM", True)
        assert stand.journal.resume() == 1
        assert (await sender.bring_about(good)).state is State.DONE
        assert [k for k, _ in await stand.posted(world)] == [1]


async def test_sending_again_is_harmless(live: LiveChain, tmp_path: Path) -> None:
    """Whichever code a node answers to what it has had already, the bridge looks at the chain."""
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        task = read_certificate(world.certify(), world.address)
        await stand.sender.bring_about(task)
        (signed,) = stand.journal.signed_for(task.name)
        with pytest.raises(RpcError) as caught:
            await stand.chain.send(signed.raw)
        assert course_of(caught.value) is Course.LOOK
        assert [k for k, _ in await stand.posted(world)] == [1]


async def test_accounts_and_keys_are_told_apart(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        message = 12345
        account = stand.account
        assert await stand.chain.accepts(account.address, message, account.signature(message))
        wrong = replace(account, secret=account.secret ^ 2)
        assert not await stand.chain.accepts(account.address, message, wrong.signature(message))
        with pytest.raises(AccountUnusable):
            await stand.chain.nonce(0xDEAD)
        assert await stand.chain.class_hash_at(0xDEAD) is None
        assert not await stand.chain.is_declared(0xDEAD)


async def test_two_bridges_of_one_account_make_one_accepted_post_each_k(
    live: LiveChain, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    async with standing(live, tmp_path) as one, standing(live, tmp_path / "other") as two:
        world = await one.open()
        for k in (1, 2):
            task = read_certificate(world.certify(), world.address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.sender.bring_about, task)
                nursery.start_soon(two.sender.bring_about, task)
            assert await one.chain.head(world.anchor.contract, world.context) == (k, task.want)
        assert [k for k, _ in await one.posted(world)] == [1, 2]
