"""Whoever lies to the bridge costs it time or a fee at most: a node about a checkpoint, a Starknet node about a result.

And what looks like a lie: a nonce that jumps, another account that takes over. Every k has one accepted post.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from medsync_bridge.account import Account
from medsync_bridge.certified import read_opening
from medsync_bridge.chain import Chain
from medsync_bridge.errors import Reverted
from medsync_bridge.journal import Outcome, State, open_journal
from medsync_bridge.sending import Sender, Terms
from medsync_client.checkpoints import Certificate
from medsync_protocol import stark
from tests.bridge.model_chain import ACCOUNT, CHAIN_ID, SECRET, ModelChain, Refusal, Rpc
from tests.bridge.test_following import Following
from tests.bridge.test_following import following as following
from tests.bridge.test_sending import Desk
from tests.bridge.world import World

OTHER, OTHER_SECRET = 0xACD, 0x5ED


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    model = ModelChain()
    model.nonces[OTHER] = 0
    model.keys[OTHER] = stark.public_key(OTHER_SECRET)
    with open_journal(tmp_path / "journal.sqlite") as journal:
        found = Desk(model=model, world=World(anchor=model.anchor), journal=journal)
        await found.bring_about(read_opening(found.world.opening(), found.world.anchor))
        yield found


def lying(model: ModelChain, method: str, lie: Callable[[Rpc, Any], Any], times: int) -> None:
    """The next so many answers to this method are made by `lie` of the honest one and the question."""
    left = times

    def answer(honest: Rpc, params: Any) -> Any:
        nonlocal left
        left -= 1
        return lie(honest, params) if left >= 0 else honest(params)

    model.lies[method] = answer


def said(status: dict[str, str]) -> Callable[[Rpc, Any], Any]:
    return lambda honest, params: status


SUCCEEDED = {"finality_status": "ACCEPTED_ON_L2", "execution_status": "SUCCEEDED"}
REVERTED = {**SUCCEEDED, "execution_status": "REVERTED", "failure_reason": "('MADE_UP')"}


async def test_a_success_that_never_was_is_seen_through_by_the_state(desk: Desk) -> None:
    """The node says it succeeded, and never passed it on."""
    task = desk.checkpoint()
    lying(desk.model, "addInvokeTransaction", lambda honest, params: {"transaction_hash": "0x1"}, 1)
    lying(desk.model, "getTransactionStatus", said(SUCCEEDED), 2)
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.posts(1)) == 1


async def test_a_revert_that_never_was_does_not_stop_what_stands(desk: Desk) -> None:
    task = desk.checkpoint()
    lying(desk.model, "getTransactionStatus", said(REVERTED), 10)
    ended = await desk.bring_about(task)
    assert (ended.state, ended.found) == (State.DONE, task.want)
    assert len(desk.model.posts(1)) == 1


async def test_a_digest_that_does_not_stand_is_posted_once_the_lie_ends(desk: Desk) -> None:
    task = desk.checkpoint()

    def claim(honest: Rpc, params: Any) -> Any:
        return [hex(task.want)]

    lying(desk.model, "call", claim, 1)
    assert (await desk.bring_about(task)).transaction is None
    assert desk.model.posts(1) == []
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.posts(1)) == 1


async def test_a_nonce_from_nowhere_leaves_a_gap_and_the_next_one_fills_it(desk: Desk) -> None:
    """What was signed for the far nonce waits in the pool; posted late, it repeats what stands and changes nothing."""
    task = desk.checkpoint()
    lying(desk.model, "getNonce", lambda honest, params: hex(9), 1)
    assert (await desk.bring_about(task)).state is State.DONE
    assert {signed.nonce for signed in desk.journal.signed_for(task.name)} == {1, 9}
    for _ in range(7):
        await desk.bring_about(desk.checkpoint())
    assert desk.model.nonces[ACCOUNT] == 10, "the far one landed in between"
    assert len(desk.model.posts(1)) == 2 and len({post.revert for post in desk.model.results()}) == 1
    assert desk.model.heads[desk.world.context] == 8


async def test_an_estimate_of_nothing_costs_a_try_and_no_second_post(desk: Desk) -> None:
    task = desk.checkpoint()
    desk.model.floor = 10**9

    def cheap(honest: Rpc, params: Any) -> Any:
        (estimate,) = honest(params)
        return [{**estimate, "l2_gas_price": "0x1"}]

    lying(desk.model, "estimateFee", cheap, 1)
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.posts(1)) == 1 and len(desk.model.sent) == 3


async def test_a_refusal_that_is_made_up_costs_nothing(desk: Desk) -> None:
    task = desk.checkpoint()

    def refuse(honest: Rpc, params: Any) -> Any:
        raise Refusal(41, {"transaction_index": 0, "execution_error": "('MADE_UP')"})

    lying(desk.model, "estimateFee", refuse, 1)
    with pytest.raises(Reverted) as caught:
        await desk.bring_about(task)
    assert (caught.value.reason, caught.value.paid) == ("MADE_UP", False)
    assert len(desk.model.sent) == 1, "the opening"
    assert (await desk.bring_about(task)).state is State.DONE


async def test_another_account_takes_over_and_what_the_first_sent_may_land_too(desk: Desk) -> None:
    task = desk.checkpoint()
    desk.model.auto = False

    class Rotated(Exception):
        pass

    async def rotate() -> None:
        raise Rotated

    old = Account(address=ACCOUNT, chain_id=CHAIN_ID, secret=SECRET)
    chain = Chain(desk.model.client())
    told: list[str] = []
    with pytest.raises(Rotated):
        await Sender(chain, desk.journal, old, Terms(cap=10**19), pause=rotate, tell=told.append).bring_about(
            task
        )
    assert [post.account for post in desk.model.mempool.values()] == [ACCOUNT]

    async def pause() -> None:
        desk.model.auto = True

    new = Account(address=OTHER, chain_id=CHAIN_ID, secret=OTHER_SECRET)
    sender = Sender(chain, desk.journal, new, Terms(cap=10**19), pause=pause, tell=told.append)
    assert (await sender.bring_about(task)).state is State.DONE
    desk.model.mine()
    signed = desk.journal.signed_for(task.name)
    assert {one.account for one in signed} == {ACCOUNT, OTHER}
    assert all(result.revert is None for result in desk.model.results())
    assert desk.model.heads[desk.world.context] == 1
    following_task = desk.checkpoint()
    assert (await sender.bring_about(following_task)).state is State.DONE
    assert [one.account for one in desk.journal.signed_for(following_task.name)] == [OTHER]
    assert Outcome.REVERTED not in {one.outcome for one in signed}


def spoilt(honest: Certificate) -> dict[str, Certificate]:
    """A certificate with one thing changed each."""
    vote, following, append = honest.votes[0], honest.next, honest.append

    def statement(**changes: Any) -> Certificate:
        return honest.model_copy(update={"next": following.model_copy(update=changes)})

    def votes(*changed: Any) -> Certificate:
        return honest.model_copy(update={"votes": changed})

    return {
        "root": statement(log_root="0x7"),
        "context": statement(context="0x7"),
        "k": honest.model_copy(update={"k": 2}),
        "digest": honest.model_copy(update={"digest": "0x7"}),
        "prev": honest.model_copy(update={"head": honest.head.model_copy(update={"detail": "0x7"})}),
        "vote": votes(vote.model_copy(update={"r": "0x7"}), *honest.votes[1:]),
        "voter": votes(vote.model_copy(update={"index": 9}), *honest.votes[1:]),
        "twice": votes(vote, vote, *honest.votes[1:]),
        "members": honest.model_copy(update={"members": honest.members[1:]}),
        "next": honest.model_copy(update={"next_members": honest.members}),
        "append": honest.model_copy(update={"append": append.model_copy(update={"nodes": ("0x7",)})}),
        "range": votes(vote.model_copy(update={"s": "0x0"}), *honest.votes[1:]),
    }


async def test_a_node_that_lies_about_a_checkpoint_is_told_and_nobody_pays(following: Following) -> None:
    honest = following.node.certify("north")
    follower, sent = following.follower(), len(following.model.sent)
    for what, certificate in spoilt(honest).items():
        following.node.certificates["north", 1] = certificate
        before = len(following.news)
        await follower.round()
        assert [news.event for news in following.news[before:]] in (["trouble"], []), what
        assert len(following.model.sent) == sent, what
    assert {news.event for news in following.news} == {"trouble"}
    following.node.certificates["north", 1] = honest
    await follower.round()
    assert [news.event for news in following.news[-2:]] == ["posted", "recovered"]


async def test_a_node_of_another_history_is_told_and_nobody_pays(following: Following) -> None:
    """Its members signed two statements for one k: the chain holds one, and theirs at 2 stands on the other."""
    world = following.node.worlds["north"]
    following.node.certify("north")
    await following.follower().round()
    forked = World(anchor=world.anchor, genesis=world.genesis)
    forked.certify(1, 2, 3)
    following.node.certificates["north", 2] = forked.certify(4)
    sent = len(following.model.sent)
    await following.follower().round()
    assert following.news[-1].event == "trouble" and "WRONG_PREV" in following.news[-1].message
    assert len(following.model.sent) == sent
