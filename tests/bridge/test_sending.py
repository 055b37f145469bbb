"""Sending against the mempool's rules: exactly one accepted post, whatever the node answers and wherever it breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from medsync_bridge.account import Account
from medsync_bridge.certified import read_certificate, read_opening
from medsync_bridge.chain import Chain
from medsync_bridge.errors import (
    AccountUnusable,
    ChainUnreachable,
    FeeCapReached,
    Reverted,
    SendRefused,
    WrongKey,
)
from medsync_bridge.fees import offer_in
from medsync_bridge.journal import Journal, Outcome, State, open_journal
from medsync_bridge.sending import Ended, Sender, Terms
from medsync_bridge.tasks import PostCheckpoint, Task
from tests.bridge.model_chain import ACCOUNT, CHAIN_ID, SECRET, ModelChain
from tests.bridge.world import World

CAP = 10**19


@dataclass(slots=True, kw_only=True)
class Desk:
    """A bridge's sender at the model chain; `between` takes place whenever it waits."""

    model: ModelChain
    world: World
    journal: Journal
    secret: int = SECRET
    cap: int = CAP
    raise_after: int = 3
    told: list[str] = field(default_factory=list)
    between: Callable[[], None] = lambda: None
    waits: int = 0

    @property
    def sender(self) -> Sender:
        async def pause() -> None:
            self.waits += 1
            assert self.waits < 200, f"it waits for ever: {self.told[-3:]}"
            self.between()

        account = Account(address=ACCOUNT, chain_id=CHAIN_ID, secret=self.secret)
        terms = Terms(cap=self.cap, raise_after=self.raise_after)
        return Sender(
            Chain(self.model.client()), self.journal, account, terms, pause=pause, tell=self.told.append
        )

    def checkpoint(self, *, adopt: bool = True, **changes: int) -> PostCheckpoint:
        return read_certificate(self.world.certify(adopt=adopt, **changes), self.world.address)

    def bring_about(self, task: Task) -> Awaitable[Ended]:
        return self.sender.bring_about(task)

    async def open(self) -> None:
        await self.bring_about(read_opening(self.world.opening(), self.world.anchor))


@pytest.fixture
async def desk(tmp_path: Path) -> Iterator[Desk]:  # type: ignore[misc]
    model = ModelChain()
    with open_journal(tmp_path / "journal.sqlite") as journal:
        desk = Desk(model=model, world=World(anchor=model.anchor), journal=journal)
        await desk.open()
        yield desk


async def test_each_checkpoint_is_posted_by_one_transaction(desk: Desk) -> None:
    for k in (1, 2, 3):
        task = desk.checkpoint()
        ended = await desk.bring_about(task)
        assert ended.state is State.DONE and ended.found == task.want
        (result,) = desk.model.posts(k)
        assert ended.transaction == result.post.hash
    assert len(desk.model.results()) == 4  # the opening, too


async def test_what_stands_on_chain_already_is_not_sent_again(desk: Desk) -> None:
    task = desk.checkpoint()
    first = await desk.bring_about(task)
    again = await desk.bring_about(task)
    assert again == first
    assert len(desk.model.sent) == 2


async def test_a_transaction_is_committed_before_it_is_sent(desk: Desk) -> None:
    seen: list[int] = []

    def look(method: str) -> None:
        if method == "addInvokeTransaction":
            seen.extend(signed.hash for signed in desk.journal.at_nonce(ACCOUNT, 1))

    desk.model.before = look
    await desk.bring_about(desk.checkpoint())
    assert seen == desk.model.sent[1:]


async def test_another_digest_at_k_is_adopted_and_nothing_is_sent(desk: Desk) -> None:
    ours = desk.checkpoint(adopt=False)
    theirs = desk.checkpoint(reward_root=5)
    desk.model.digests[theirs.following.context, 1] = theirs.want
    ended = await desk.bring_about(ours)
    assert ended == Ended(state=State.ADOPTED, found=theirs.want)
    assert len(desk.model.sent) == 1


async def test_losing_the_race_in_the_block_is_adoption_not_a_fault(desk: Desk) -> None:
    """Ours reverts with K_TAKEN, which costs a fee; the state says what stands there."""
    ours = desk.checkpoint(adopt=False)
    theirs = desk.checkpoint(reward_root=5)

    def overtake(method: str) -> None:
        if method == "addInvokeTransaction":
            desk.model.digests[theirs.following.context, 1] = theirs.want
            desk.model.heads[theirs.following.context] = 1

    desk.model.before = overtake
    ended = await desk.bring_about(ours)
    assert ended.state is State.ADOPTED and ended.found == theirs.want
    desk.model.mine()
    assert desk.model.results()[-1].revert == "K_TAKEN"


async def test_a_revert_in_a_block_stops_and_tells_and_is_not_repeated(desk: Desk) -> None:
    task = desk.checkpoint()
    context = task.following.context

    def spoil(method: str) -> None:
        if method == "addInvokeTransaction":
            del desk.model.heads[context]  # after the estimate the contract no longer knows the context

    desk.model.before = spoil
    with pytest.raises(Reverted) as caught:
        await desk.bring_about(task)
    assert caught.value.paid and caught.value.reason == "UNKNOWN_CONTEXT"
    assert "bridge resume" in caught.value.advice
    sent = list(desk.model.sent)
    with pytest.raises(Reverted):
        await desk.bring_about(task)
    assert desk.model.sent == sent
    desk.model.before = lambda method: None
    desk.model.heads[context] = 0
    assert desk.journal.resume() == 1
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.posts(1)) == 1


async def test_what_the_contract_would_refuse_is_not_paid_for(desk: Desk) -> None:
    late = desk.checkpoint(not_before=desk.model.time + 60)
    with pytest.raises(Reverted) as caught:
        await desk.bring_about(late)
    assert not caught.value.paid and caught.value.reason == "TOO_EARLY"
    assert len(desk.model.sent) == 1
    desk.model.time += 60
    assert (await desk.bring_about(late)).state is State.DONE


async def test_an_answer_that_is_lost_does_not_post_twice(desk: Desk) -> None:
    task = desk.checkpoint()
    desk.model.lose_answers = True
    with pytest.raises(ChainUnreachable):
        await desk.bring_about(task)
    desk.model.lose_answers = False
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.posts(1)) == 1 and desk.model.sent[1:] == [desk.model.posts(1)[0].post.hash]


async def test_an_expired_mempool_entry_is_sent_again_as_it_was(desk: Desk) -> None:
    """Error 29 is no proof of absence: the same bytes go out again, not a new nonce."""
    task = desk.checkpoint()
    desk.model.auto = False

    def expire() -> None:
        if desk.waits == 1:
            desk.model.forget()
        if desk.waits == 3:
            desk.model.auto = True

    desk.between = expire
    desk.waits, desk.raise_after = 0, 100
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.sent[1:]) == 2 and len(set(desk.model.sent[1:])) == 1


async def test_a_stuck_transaction_is_raised_at_the_same_nonce_by_a_tenth_and_more(desk: Desk) -> None:
    task = desk.checkpoint()
    desk.model.auto, desk.waits = False, 0

    def release() -> None:
        desk.model.auto = desk.waits > 8

    desk.between = release
    assert (await desk.bring_about(task)).state is State.DONE
    signed = desk.journal.at_nonce(ACCOUNT, 1)
    prices = [offer_in(one.raw).l2_gas.price for one in signed]
    assert len(prices) >= 3
    assert all(after * 10 >= before * 11 for before, after in pairwise(prices))
    assert signed[-1].outcome is Outcome.SUCCEEDED
    assert len(desk.model.posts(1)) == 1


async def test_raising_ends_at_the_cap(desk: Desk) -> None:
    task = desk.checkpoint()
    desk.model.auto, desk.waits = False, 0
    first = 15 * 10**5 * 15 * 10**8
    desk.cap = first * 112 // 100 + 15 * 10**8
    desk.between = lambda: setattr(desk.model, "auto", desk.waits > 20)
    assert (await desk.bring_about(task)).state is State.DONE
    assert all(offer_in(one.raw).most <= desk.cap for one in desk.journal.at_nonce(ACCOUNT, 1))
    assert any("the cap is" in text for text in desk.told)


async def test_above_the_cap_nothing_is_signed(desk: Desk) -> None:
    desk.cap = 10**6
    with pytest.raises(FeeCapReached):
        await desk.bring_about(desk.checkpoint())
    assert desk.journal.at_nonce(ACCOUNT, 1) == []


async def test_59_means_already_sent(desk: Desk) -> None:
    task = desk.checkpoint()
    desk.model.auto = False
    desk.model.answers = [59]
    desk.waits = 0
    desk.between = lambda: setattr(desk.model, "auto", True)
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.journal.signed_for(task.name)) == 1


async def test_64_raises_tip_and_price_until_it_replaces_what_is_there(desk: Desk) -> None:
    """Another bridge with the same account took the nonce in the mempool, at twice our price."""
    other = desk.model.client()
    desk.model.auto = False
    foreign = Account(address=ACCOUNT, chain_id=CHAIN_ID, secret=SECRET)
    offer = offer_in(desk.journal.at_nonce(ACCOUNT, 0)[0].raw)
    offer = replace(offer.raised().raised().raised(), tip=100)
    task = desk.checkpoint()
    _, raw = foreign.sign(task.draft, 1, offer)
    await other.send_raw(raw)
    desk.waits = 0
    desk.between = lambda: setattr(desk.model, "auto", True)
    assert (await desk.bring_about(task)).state is State.DONE
    mine = desk.journal.at_nonce(ACCOUNT, 1)
    assert offer_in(mine[-1].raw).l2_gas.price * 10 >= offer.l2_gas.price * 11
    assert len(desk.model.posts(1)) == 1


@pytest.mark.parametrize("code", [53, 65])
async def test_a_fee_that_is_too_low_is_estimated_again(desk: Desk, code: int) -> None:
    desk.model.answers = [code]
    task = desk.checkpoint()
    assert (await desk.bring_about(task)).state is State.DONE
    assert desk.model.requests.count("estimateFee") == 3
    assert len({one.nonce for one in desk.journal.signed_for(task.name)}) == 1


async def test_52_looks_at_the_chain_and_takes_the_nonce_that_is_next(desk: Desk) -> None:
    """The account was used elsewhere between our look and our send: a gap in our nonces."""
    task = desk.checkpoint()

    def use(method: str) -> None:
        if method == "addInvokeTransaction" and desk.model.nonces[ACCOUNT] == 1:
            desk.model.nonces[ACCOUNT] = 5

    desk.model.before = use
    assert (await desk.bring_about(task)).state is State.DONE
    assert [one.nonce for one in desk.journal.signed_for(task.name)] == [1, 5]
    assert len(desk.model.posts(1)) == 1


async def test_a_nonce_refused_as_failed_validation_is_a_nonce(desk: Desk) -> None:
    task = desk.checkpoint()
    ordinary = ModelChain._add

    def gateway(model: ModelChain, raw: dict[str, object]) -> dict[str, str]:
        from tests.bridge.model_chain import Refusal

        if len(model.sent) == 1:
            model.sent.append(0)
            raise Refusal(55, "Invalid transaction nonce of contract")
        return ordinary(model, raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelChain, "_add", gateway)
        assert (await desk.bring_about(task)).state is State.DONE


async def test_54_alerts_and_goes_on_once_funded(desk: Desk) -> None:
    desk.model.balance = 0
    task = desk.checkpoint()
    with pytest.raises(AccountUnusable) as caught:
        await desk.bring_about(task)
    assert "fund" in caught.value.advice
    desk.model.balance = 10**21
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(desk.model.posts(1)) == 1


async def test_55_stops_and_a_right_key_signs_anew(desk: Desk) -> None:
    desk.secret = SECRET + 1
    task = desk.checkpoint()
    with pytest.raises(WrongKey):
        await desk.bring_about(task)
    assert [one.outcome for one in desk.journal.signed_for(task.name)] == [Outcome.REFUSED]
    desk.secret = SECRET
    assert (await desk.bring_about(task)).state is State.DONE
    (signed,) = desk.journal.signed_for(task.name)
    assert signed.outcome is Outcome.SUCCEEDED, "a hash doesn't cover the signature: the right one is kept"


@pytest.mark.parametrize("code", [56, 57, 58, 60, 61, 62])
async def test_what_no_node_takes_stops_until_resumed(desk: Desk, code: int) -> None:
    desk.model.answers = [code]
    task = desk.checkpoint()
    with pytest.raises(SendRefused, match=f"error {code}"):
        await desk.bring_about(task)
    errand = desk.journal.errand(task.name)
    assert errand is not None and errand.state is State.STOPPED
    desk.journal.resume(task.name)
    assert (await desk.bring_about(task)).state is State.DONE


async def test_an_unclear_answer_is_told_and_the_chain_decides(desk: Desk) -> None:
    desk.model.answers = [63]
    task = desk.checkpoint()
    assert (await desk.bring_about(task)).state is State.DONE
    assert any("error 63" in text for text in desk.told)


async def test_a_block_that_vanishes_brings_the_same_bytes_back(desk: Desk) -> None:
    before = dict(desk.model.digests)
    task = desk.checkpoint()
    await desk.bring_about(task)
    desk.model.reorg(before, nonce=1)
    assert (await desk.bring_about(task)).state is State.DONE
    assert len(set(desk.model.sent[1:])) == 1 and len(desk.model.posts(1)) == 1


async def test_another_certificate_for_the_same_k_takes_the_nonce_over(desk: Desk) -> None:
    """The first is in the journal, unsent; a second candidate was certified meanwhile."""
    first = desk.checkpoint(adopt=False)
    desk.model.before = _break_at("addInvokeTransaction", 1)
    with pytest.raises(ChainUnreachable):
        await desk.bring_about(first)
    desk.model.before = lambda method: None
    second = desk.checkpoint(reward_root=9)
    ended = await desk.bring_about(second)
    assert ended.found == second.want
    assert [one.nonce for one in desk.journal.signed_for(second.name)] == [1, 1]
    assert len(desk.model.posts(1)) == 1


async def test_two_bridges_at_once_make_one_accepted_post(desk: Desk, tmp_path: Path) -> None:
    """Same account, same certificate, other journals: one is displaced or repeats what stands there."""
    import trio

    with open_journal(tmp_path / "other.sqlite") as journal:
        other = Desk(model=desk.model, world=desk.world, journal=journal)
        task = desk.checkpoint()
        endings: list[Ended] = []

        async def post(at: Desk) -> None:
            endings.append(await at.bring_about(task))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post, desk)
            nursery.start_soon(post, other)
    assert [ended.found for ended in endings] == [task.want] * 2
    assert desk.model.digests[task.following.context, 1] == task.want
    assert desk.model.heads[task.following.context] == 1


def _break_at(method: str, nth: int) -> Callable[[str], None]:
    """The nth request of this method, or of all for an empty one, finds no node."""
    seen = 0

    def before(asked: str) -> None:
        nonlocal seen
        if asked == method or not method:
            seen += 1
            if seen == nth:
                raise httpx.ConnectError("down")

    return before


async def test_an_outage_at_any_request_costs_nothing_but_time(desk: Desk) -> None:
    k = 0
    while True:
        k += 1
        task = desk.checkpoint()
        broken = False
        desk.model.before = _break_at("", k)
        try:
            await desk.bring_about(task)
        except ChainUnreachable:
            broken = True
        desk.model.before = lambda method: None
        assert (await desk.bring_about(task)).state is State.DONE
        assert len(desk.model.posts(k)) == 1
        if not broken:
            break
    assert k > 5, "every request of a post was broken once"
    assert all(result.revert is None for result in desk.model.results())
    assert len(desk.model.results()) == k + 1
