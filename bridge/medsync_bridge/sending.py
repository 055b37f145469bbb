"""Brings one thing about on chain with exactly one accepted transaction, whatever crashes in between (STARKNET §8).

The state decides, not the transaction result. What is signed is committed before it is sent; a retry or a raise
reuses the nonce, and another nonce is used only once the account's nonce at `latest` has passed it. Any hash of a
nonce may land. What there is to bring about is `tasks.py`'s; trying again after an outage, the caller's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from medsync_bridge.account import Account
from medsync_bridge.chain import CallReverted, Chain
from medsync_bridge.errors import (
    AccountUnusable,
    FeeCapReached,
    Reverted,
    RpcError,
    SendRefused,
    WrongKey,
    strk,
)
from medsync_bridge.fees import Offer, offer_for, offer_in
from medsync_bridge.journal import Journal, Outcome, Signed, State
from medsync_bridge.rpc_codes import Course, course_of
from medsync_bridge.tasks import Task

RAISE_AFTER: Final = 60  # rounds of waiting: at a round a second two blocks of a busy public chain and more
MAX_RAISES: Final = 16  # in one round: 11 % each come to five times the price, beyond that the market moved

Tell = Callable[[str], None]
"""Takes a sentence for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an errand ended: DONE with our transaction (None when it stood there already), ADOPTED with another's."""

    state: State
    found: int
    transaction: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a transaction may cost (`cap`, fri), the tip it starts with, and after how many rounds it is raised."""

    cap: int
    tip: int = 0
    raise_after: int = RAISE_AFTER


class Sender:
    """One account's transactions. `pause` ends when it is time to look again."""

    def __init__(
        self,
        chain: Chain,
        journal: Journal,
        account: Account,
        terms: Terms,
        *,
        pause: Callable[[], Awaitable[None]],
        tell: Tell,
    ) -> None:
        self._chain, self._journal, self._account, self._terms = chain, journal, account, terms
        self._pause, self._tell = pause, tell

    async def bring_about(self, task: Task) -> Ended:
        """Returns once the chain's state holds what the task wants, or something else in its place.

        May be called again after any failure. Raises ChainUnreachable, RpcError, AccountUnusable, FeeCapReached
        (nothing is lost: call again), WrongKey, SendRefused and a paid Reverted (stopped until `bridge resume`).
        """
        errand = self._journal.begin(task.name, task.want)
        if errand.state is State.STOPPED:
            ended = await self._look(task)
            if ended is None:
                raise Reverted(task.name, errand.reason or "", paid=True)
            return ended
        rounds, at = 0, -1
        while True:
            nonce = await self._chain.nonce(
                self._account.address
            )  # first: what it has passed, the state shows
            ended = await self._look(task)
            if ended is not None:
                return ended
            if await self._judge(task, nonce):
                await self._pause()  # a node behind another one: it landed, the state will show it
                continue
            rounds, at = (rounds + 1, at) if nonce == at else (0, nonce)
            ended = await self._advance(task, nonce, rounds)
            if ended is not None:
                return ended
            await self._pause()

    async def _look(self, task: Task) -> Ended | None:
        found = await task.look(self._chain)
        if not found:
            return None
        if found != task.want:
            self._journal.conclude(task.name, State.ADOPTED, found=found)
            return Ended(state=State.ADOPTED, found=found)
        transaction = await self._ours(task)
        self._journal.conclude(task.name, State.DONE, found=found)
        return Ended(state=State.DONE, found=found, transaction=transaction)

    async def _ours(self, task: Task) -> int | None:
        """Which of our transactions did it, as far as the node can tell."""
        for signed in reversed(self._journal.signed_for(task.name)):
            standing = await self._chain.standing(signed.hash)
            if standing is not None and standing.accepted:
                done = standing.reason is None
                self._journal.judge(signed.hash, Outcome.SUCCEEDED if done else Outcome.REVERTED)
                if done:
                    return signed.hash
        return None

    async def _judge(self, task: Task, nonce: int) -> bool:
        """Look up what the account's nonce has passed; whether something succeeded. Raises Reverted."""
        for signed in self._journal.unjudged(task.name, self._account.address, nonce):
            standing = await self._chain.standing(signed.hash)
            if standing is None or not standing.accepted:
                continue  # no proof of absence: it is asked for again, and an estimate precedes the next one
            self._displace_others(signed)
            if standing.reason is None:
                self._journal.judge(signed.hash, Outcome.SUCCEEDED)
                return True
            self._journal.judge(signed.hash, Outcome.REVERTED)
            if await task.look(self._chain):
                return True
            self._journal.conclude(task.name, State.STOPPED, reason=standing.reason)
            raise Reverted(task.name, standing.reason, paid=True, transaction=signed.hash)
        return False

    def _displace_others(self, landed: Signed) -> None:
        for other in self._journal.at_nonce(landed.account, landed.nonce):
            if other.hash != landed.hash and other.outcome is None:
                self._journal.judge(other.hash, Outcome.DISPLACED)

    async def _advance(self, task: Task, nonce: int, rounds: int) -> Ended | None:
        """One round at this nonce: sign, send, send again or raise."""
        newest = self._newest(task, nonce)
        if newest is not None:
            if rounds and rounds % self._terms.raise_after == 0:
                newest = await self._raise(task, nonce, newest)
            elif await self._chain.standing(newest.hash) is not None:
                return None  # under way
        else:
            try:
                newest = await self._sign(task, nonce)
            except CallReverted as refusal:
                return await self._refused(task, refusal.reason)
        for _ in range(MAX_RAISES):
            course = await self._send(task, newest)
            if course is not Course.OFFER_MORE and course is not Course.ESTIMATE_AGAIN:
                return None
            before = newest
            newest = await self._raise(task, nonce, newest)
            if newest is before:
                return None
        return None

    def _newest(self, task: Task, nonce: int) -> Signed | None:
        """What was last signed for this want with this nonce and may still land."""
        dead = (Outcome.REFUSED, Outcome.REVERTED)
        alive = [
            signed
            for signed in self._journal.at_nonce(self._account.address, nonce)
            if signed.errand == task.name and signed.want == task.want and signed.outcome not in dead
        ]
        return alive[-1] if alive else None

    async def _refused(self, task: Task, reason: str) -> Ended | None:
        """An estimate reverted: someone may have been faster. Raises Reverted, of which nothing was sent."""
        ended = await self._look(task)
        if ended is None:
            raise Reverted(task.name, reason, paid=False)
        return ended

    async def _sign(self, task: Task, nonce: int) -> Signed:
        """Sign for a fresh estimate, above everything signed with this nonce before. Raises CallReverted."""
        offer = await self._offer(task, nonce)
        if offer.most > self._terms.cap:
            raise FeeCapReached(offer.most, self._terms.cap)
        return self._commit(task, nonce, offer)

    async def _raise(self, task: Task, nonce: int, newest: Signed) -> Signed:
        """The same with a higher offer, within the cap; else what there is."""
        try:
            offer = await self._offer(task, nonce)
        except CallReverted as refusal:
            self._tell(f"{task.name}: not raised, it would fail now: {refusal.reason}")
            return newest
        if offer.most > self._terms.cap:
            self._tell(f"{task.name}: not raised, {FeeCapReached(offer.most, self._terms.cap)}")
            return newest
        self._tell(f"{task.name}: offering up to {strk(offer.most)}")
        return self._commit(task, nonce, offer)

    async def _offer(self, task: Task, nonce: int) -> Offer:
        estimate = await self._chain.estimate(self._account.simulated(task.draft, nonce))
        offer = offer_for(estimate, self._terms.tip)
        for signed in self._journal.at_nonce(self._account.address, nonce):
            if signed.outcome is not Outcome.REFUSED:
                offer = offer.over(offer_in(signed.raw).raised())
        return offer

    def _commit(self, task: Task, nonce: int, offer: Offer) -> Signed:
        digest, raw = self._account.sign(task.draft, nonce, offer)
        signed = Signed(
            hash=digest, errand=task.name, want=task.want, account=self._account.address, nonce=nonce, raw=raw
        )
        self._journal.record(signed)
        return signed

    async def _send(self, task: Task, signed: Signed) -> Course:
        """Hand it over, and what its answer asks for. Raises AccountUnusable, WrongKey, SendRefused."""
        try:
            await self._chain.send(signed.raw)
        except RpcError as error:
            return self._take_answer(task, signed, error)
        return Course.LOOK

    def _take_answer(self, task: Task, signed: Signed, error: RpcError) -> Course:
        course = course_of(error)
        match course:
            case Course.ALERT:
                raise AccountUnusable(
                    f"the account can't pay: {task.name} may cost {strk(offer_in(signed.raw).most)}",
                    advice=f"fund {self._account.address:#x}; the bridge goes on by itself",
                )
            case Course.STOP:
                self._journal.judge(signed.hash, Outcome.REFUSED)
                raise WrongKey(self._account.address)
            case Course.GIVE_UP:
                self._journal.judge(signed.hash, Outcome.REFUSED)
                refused = SendRefused(error.rpc_code, error.rpc_message)
                self._journal.conclude(task.name, State.STOPPED, reason=str(refused))
                raise refused
            case Course.UNCLEAR:
                self._tell(f"{task.name}: {error}; looking at the chain")
        return course
