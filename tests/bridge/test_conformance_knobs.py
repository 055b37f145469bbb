"""What no public chain does on request: blocks taken back, settled, dearer and later ones. Ours and starknet-devnet do.

What any chain must do is `test_conformance.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from medsync_bridge.certified import read_certificate
from medsync_bridge.commands.reward import STRK
from medsync_bridge.errors import FeeCapReached, Reverted
from medsync_bridge.journal import State
from medsync_bridge.pool_tasks import ActivateRoot, CreatePool, FundPool, PayClaim, PoolAddress, ProposeRoot
from medsync_bridge.released import released_pool
from medsync_bridge.sending import Sender, Terms
from medsync_bridge.tasks import DeclareClass, DeployContract
from medsync_node.chain_reader import ChainReader
from medsync_node.verify.audit import audit
from medsync_protocol import stark
from medsync_protocol.claims import Claim
from medsync_protocol.reward_pool import Pool
from medsync_protocol.reward_pool import Terms as PoolTerms
from medsync_protocol.rewards import PayTree, reward_root
from tests.bridge.chains import LiveChain
from tests.bridge.test_conformance import Stand, standing
from tests.bridge.world import World

PRICE = 10**9  # fri for a unit of L2 gas, before and after a spike
DEEP = 10_000  # blocks: only L1 makes anything final here
DAY = 86_400
SECRET = 4242


@pytest.fixture(autouse=True)
def knobs(live: LiveChain) -> LiveChain:
    if not live.knobs:
        pytest.skip(reason="a chain of yours takes no blocks back on request")
    return live


@contextmanager
def price(live: LiveChain, times: int) -> Iterator[None]:
    live.ask("devnet_setGasPrice", l2_gas_price_fri=PRICE * times, generate_block=True)
    try:
        yield
    finally:
        live.ask("devnet_setGasPrice", l2_gas_price_fri=PRICE, generate_block=True)


def error_of(live: LiveChain, method: str, **params: Any) -> int:
    body = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
    return int(httpx.post(live.url, json=body, timeout=60).json()["error"]["code"])


async def test_what_a_reorganisation_takes_back_is_posted_again_once(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        contract, context = world.anchor.contract, world.context
        await stand.sender.bring_about(read_certificate(world.certify(), world.address))
        task = read_certificate(world.certify(), world.address)
        first = await stand.sender.bring_about(task)
        assert first.transaction is not None
        number, _, _ = await stand.chain.latest()
        nonce = await stand.chain.nonce(stand.account.address)
        live.ask("devnet_abortBlocks", starting_block_id={"block_number": number})
        assert await stand.chain.standing(first.transaction) is None
        assert error_of(live, "starknet_getBlockWithTxHashes", block_id={"block_number": number}) == 24
        assert await stand.chain.nonce(stand.account.address) == nonce - 1
        assert (await stand.chain.head(contract, context))[0] == 1
        again = await stand.sender.bring_about(task)
        assert (again.state, again.found) == (State.DONE, task.want)
        assert [signed.nonce for signed in stand.journal.signed_for(task.name)] == [nonce - 1]
        assert [k for k, _ in await stand.posted(world)] == [1, 2]


async def test_a_chain_that_settles_is_final_up_to_there(live: LiveChain, tmp_path: Path) -> None:
    """As a member's node reads it: accepted first, final once the block stands on L1."""
    async with standing(live, tmp_path) as stand, httpx.AsyncClient(trust_env=False) as http:
        world = await stand.open()
        reader = ChainReader(live.url, http, DEEP)
        await reader.check_anchor(world.address)
        for settled in (False, True):
            task = read_certificate(world.certify(), world.address)
            await stand.sender.bring_about(task)
            if settled:
                live.ask("devnet_acceptOnL1", starting_block_id="latest")
            seen = await reader.observe(world.address, 0, 0)
            assert [one.settled for one in seen] == [settled] * len(seen)
            assert seen[-1].digest == task.want
            assert (await stand.sender.bring_about(task)).state is State.DONE
        await stand.sender.bring_about(read_certificate(world.certify(), world.address))
        seen = await reader.observe(world.address, 2, 0)
        assert [one.settled for one in seen] == [True, True, False]


async def test_a_price_above_the_cap_is_waited_out(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        task = read_certificate(world.certify(), world.address)
        nonce = await stand.chain.nonce(stand.account.address)
        cap = (await stand.sender._offer(task, nonce)).most * 2

        async def pause() -> None:
            raise AssertionError("nothing was sent that could be waited for")

        careful = Sender(
            stand.chain, stand.journal, stand.account, Terms(cap=cap), pause=pause, tell=stand.told.append
        )
        with price(live, 1_000), pytest.raises(FeeCapReached):
            await careful.bring_about(task)
        assert stand.journal.signed_for(task.name) == []
        assert (await stand.sender.bring_about(task)).state is State.DONE
        assert await stand.chain.nonce(stand.account.address) == nonce + 1


async def test_a_stranger_verifies_what_the_chain_tells(live: LiveChain, tmp_path: Path) -> None:
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        for _ in range(3):
            await stand.sender.bring_about(read_certificate(world.certify(), world.address))
    with httpx.Client(trust_env=False) as http:
        found = audit(world.address, [live.url, live.url], http, None, lambda text: None)
    assert found.report.ok, found.report.problems
    assert (found.facts.head[0], len(found.judged.statements)) == (3, 4)


async def test_a_reward_period_ends_in_a_claim(live: LiveChain, tmp_path: Path) -> None:
    tree = PayTree({stark.public_key(SECRET): 700, stark.public_key(SECRET + 1): 300})
    async with standing(live, tmp_path) as stand:
        world = await stand.open()
        at = await _pool(stand, world)
        await stand.sender.bring_about(FundPool(at=at, token=int(STRK, 16), target=1_000, missing=1_000))
        task = read_certificate(world.certify(reward_root=reward_root(at.pool, tree.root)), world.address)
        await stand.sender.bring_about(task)
        await stand.sender.bring_about(ProposeRoot(at=at, statement=task.following, root=tree.root))
        activation = ActivateRoot(at=at, k=1, root=tree.root)
        with pytest.raises(Reverted) as caught:
            await stand.sender.bring_about(activation)
        assert (caught.value.reason, caught.value.paid) == ("WINDOW_OPEN", False)
        live.ask("devnet_increaseTime", time=DAY)
        await stand.sender.bring_about(activation)
        claim = await _claim(stand, at, tree)
        assert (await stand.sender.bring_about(claim)).state is State.DONE
        with pytest.raises(Reverted) as caught:
            await stand.sender.bring_about(
                replace(claim, recipient=7, proof=replace(claim.proof, cumulative=701))
            )
        assert caught.value.reason == "BAD_SIGNATURE"
        assert await stand.chain.balance(int(STRK, 16), claim.recipient) >= 700
        view = await at.view(stand.chain)
        assert (view.deposited, view.claimed_total, view.active) == (1_000, 700, tree.root)


async def _pool(stand: Stand, world: World) -> PoolAddress:
    _, _, version = await stand.chain.latest()
    await stand.sender.bring_about(DeclareClass(released=released_pool(), starknet_version=version))
    deploy = DeployContract(
        class_hash=released_pool().class_hash, account=stand.account.address, salt=0,
        arguments=(world.anchor.contract,),
    )  # fmt: skip
    await stand.sender.bring_about(deploy)
    terms = PoolTerms(context=world.context, token=int(STRK, 16), window=DAY)
    model = Pool(
        chain_id=world.anchor.chain_id, contract=deploy.address, anchor=world.anchor.contract, terms=terms
    )
    create = CreatePool(model=model)
    await stand.sender.bring_about(create)
    return create.at


async def _claim(stand: Stand, at: PoolAddress, tree: PayTree) -> PayClaim:
    proof = tree.prove(stark.public_key(SECRET))
    _, now, _ = await stand.chain.latest()
    recipient = 0x9B9B
    signature = Claim(
        chain_id=stand.account.chain_id, contract=at.contract, pool=at.pool, payee=proof.payee,
        recipient=recipient, cumulative=proof.cumulative, deadline=now + DAY,
    ).sign(SECRET)  # fmt: skip
    return PayClaim(at=at, proof=proof, recipient=recipient, deadline=now + DAY, signature=signature)
