"""A reward period over real nodes: agreed terms, reports, points, proofs, claims; erasure and restarts change nothing."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from medsync_bridge.commands.reward import STRK
from medsync_client import NotFound, Refused
from medsync_client.accesses import AccessAnswer, AccessRequest
from medsync_client.checkpoints import ChainRegistration, OpeningRequest
from medsync_client.consents import Grant, SignedDocument
from medsync_client.errors import BadRequest, ClientError
from medsync_client.erasures import OrderSigned
from medsync_client.rewards import ClaimRequest, RewardTermsSet, SweepRequest, VetoRequest
from medsync_client.subjects import SubjectEnrol
from medsync_node.applications import APPLICATIONS
from medsync_node.cli import run
from medsync_protocol import stark
from medsync_protocol.checkpoints import Checkpoints
from medsync_protocol.claims import Claim
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.directive import Basis, Directive, sign_directive
from medsync_protocol.effects import Effect as WorldEffect
from medsync_protocol.engine import Engine
from medsync_protocol.erasure import EraseOrder, sign_order
from medsync_protocol.ids import ContextId, Instant, NetworkId, SubjectRef
from medsync_protocol.reward_labels import Report, relation_token, report_drafts
from medsync_protocol.reward_pool import sweep_digest, veto_digest
from medsync_protocol.rewards import PayTree, Subtree, climb, pool_hash, reward_root
from medsync_protocol.rule import Effect, Rule, member_actor
from tests.node.api_world import Party, form, make_home, running, same, until
from tests.node.test_api import refused

SEED = blake2b(b"ann")
DAY_MS = 86_400_000
TERMS = RewardTermsSet(pool="0x1", contract="0x7a", token="0x47", window=60, per_point=1000, days=1, cap=100)


class Trial:
    """North keeps the record, south asks; the chain is what the test says it is."""

    def __init__(self, north: Party, south: Party, network: str, context: str) -> None:
        self.everyone, self.network, self.context = [north, south], network, ContextId(bytes.fromhex(context))

    @property
    def north(self) -> Party:
        return self.everyone[0]

    @property
    def south(self) -> Party:
        return self.everyone[1]

    def checkpoints(self, party: Party) -> Checkpoints:
        return party.daemon.node.engine.checkpoints(self.context)

    def turn_clocks(self, millis: int) -> None:
        for one in self.everyone:
            driver = one.daemon.node.driver
            driver.now = partial(lambda clock: clock() + millis, driver.now)

    async def accept(self, until_holds: Callable[[], bool], *, settled: bool = True) -> None:
        """Checkpoints, accepted by the word of the test, until a fact holds at both."""
        with trio.fail_after(60):
            while not until_holds():
                await self._one(settled)

    async def _one(self, settled: bool) -> None:
        await same(self.everyone)
        held = [self.checkpoints(one) for one in self.everyone]
        k = held[0].accepted + 1
        for one in self.everyone:
            try:
                await one.client.propose("trial")
            except ClientError as error:
                assert error.code == "nothing_new", error
        digests = [one.certificate(k).digest for one in held if one.certificate(k) is not None]  # type: ignore[union-attr]
        if len(digests) < 2 or len(set(digests)) > 1:
            await trio.lowlevel.checkpoint()
            with trio.move_on_after(0.5):
                await until(self._agreed(k))
            return
        for one in self.everyone:
            await self.observe(one, k, digests[0], settled)

    def _agreed(self, k: int) -> Callable[[], Awaitable[bool]]:
        async def agreed() -> bool:
            found = [self.checkpoints(one).certificate(k) for one in self.everyone]
            return None not in found and len({one.digest for one in found if one is not None}) == 1

        return agreed

    async def observe(self, party: Party, k: int, digest: int, settled: bool) -> None:
        def command(now: int) -> tuple[None, list[WorldEffect]]:
            return None, party.daemon.node.engine.observe(now, self.context, k, digest, settled)

        await party.daemon.node.perform(command)

    async def patient(self) -> str:
        """Ann, who lets south have everything for research and in an emergency."""
        made = await self.north.client.enrol_subject("trial", SubjectEnrol(patient_keys=(signing_public(SEED).hex(),)))
        south = self.south.daemon.node.identity.member
        rule = Rule(effect=Effect.PERMIT, actors=(member_actor(south),), purposes=("ETREAT", "HRESCH"))
        now = Instant(self.north.daemon.node.now())
        directive = Directive(
            network=NetworkId(bytes.fromhex(made.network)), context=self.context, subject=SubjectRef(bytes.fromhex(made.subject)),
            signer=signing_public(SEED), number=1, base=None, rules=(rule,), valid_from=Instant(now - 1), until=None,
            basis=Basis.PATIENT_SIGNED, signed_at=now, salt=os.urandom(16),
        )  # fmt: skip
        signed = sign_directive(directive, SEED)
        document = SignedDocument(document=signed.document.hex(), signature=signed.signature.hex())
        await self.north.client.grant("trial", Grant(signed=document))
        await same(self.everyone)
        return made.subject

    async def ask(self, subject: str, purpose: str = "HRESCH") -> AccessAnswer:
        body = AccessRequest(subject=subject, custodian="north", purposes=(purpose,))
        answers: list[AccessAnswer] = []

        async def decided() -> bool:
            answers.append(await self.south.client.request_access("trial", body))
            return answers[-1].answer != "INDETERMINATE"  # until the home's heartbeat is there

        await until(decided)
        return answers[-1]

    def book(self, party: Party) -> object:
        return self.checkpoints(party).acceptance.rewards

    def closed(self, party: Party) -> int:
        found = self.checkpoints(party).acceptance.rewards.closed
        return -1 if found is None else found.period

    def terms(self, **changes: Any) -> RewardTermsSet:
        """TERMS, changed, for the pool that they give a name to."""
        wanted = TERMS.model_copy(update=changes)
        acceptance = self.checkpoints(self.north).acceptance
        pool = pool_hash(
            chain_id=acceptance.contract.chain_id, contract=int(wanted.contract, 16), token=int(wanted.token, 16),
            context=acceptance.head.statement.context, window=wanted.window, salt=0,
        )  # fmt: skip
        return wanted.model_copy(update={"pool": hex(pool)})

    def in_force(self) -> bool:
        return all(self.checkpoints(one).acceptance.rewards.terms is not None for one in self.everyone)


@pytest.fixture
async def trial(tmp_path: Path) -> AsyncIterator[Trial]:
    async with AsyncExitStack() as stack:
        parties = [await stack.enter_async_context(running(make_home(tmp_path, n))) for n in ("north", "south")]
        north, south = parties
        now = north.daemon.node.now()
        for one in parties:  # noon of tomorrow: no day ends while a test works
            driver = one.daemon.node.driver
            driver.now = partial(lambda clock, millis: clock() + millis, driver.now, DAY_MS * 3 // 2 - now % DAY_MS)
        made = await form(parties)

        async def elected() -> bool:
            return len((await north.client.voters("trial")).voters) == 2

        await until(elected)
        where = OpeningRequest(chain_id="0x4d4544", contract="0x1234")
        opening = await north.client.opening("trial", where)
        body = ChainRegistration(chain_id=where.chain_id, contract=where.contract, block=7, opening=opening)
        await north.client.register_chain("trial", body)
        network = (await north.client.status()).network or ""
        world = Trial(north, south, network, made.id)
        await until(lambda: _anchored(south))
        yield world


async def _anchored(party: Party) -> bool:
    return (await party.client.chain("trial")).registered


async def agree(trial: Trial, first: int) -> None:
    """Both voters name the same terms, and a checkpoint holds it."""
    for one in trial.everyone:
        await one.client.set_reward_terms("trial", trial.terms(first=first))
    await trial.accept(trial.in_force)


async def close(trial: Trial, period: int) -> None:
    """A day later: the period's log is settled, both report, the next checkpoint pays."""
    trial.turn_clocks(DAY_MS + 600_000)
    await trial.north.client.enrol_subject("trial", SubjectEnrol())  # without news there is no checkpoint
    await trial.accept(lambda: all(trial.closed(one) == period for one in trial.everyone))


async def test_a_period_ends_in_a_claim_and_nothing_changes_it_any_more(trial: Trial) -> None:
    north, south = trial.north, trial.south
    await refused(north.client.reward_proof("trial"), NotFound, "nothing_earned")
    await refused(north.client.explain_rewards("trial"), NotFound, "no_rewards")
    await refused(north.client.pool_history("trial"), NotFound, "no_rewards")
    await refused(north.client.sign_veto("trial", VetoRequest(k=1, tree_hash="0x1", sum="1")), NotFound, "no_rewards")
    wrong = trial.terms(least=5)
    await refused(north.client.set_reward_terms("trial", wrong), BadRequest, "malformed", advice=False)
    await refused(north.client.set_reward_terms("trial", TERMS), Refused, "wrong_pool")
    ann = await trial.patient()
    first = await trial.ask(ann)
    assert [(await trial.ask(ann)).answer, (await trial.ask(ann, "ETREAT")).answer] == ["PERMIT", "PERMIT"]
    period = first.time // DAY_MS
    await agree(trial, period)
    await refused(north.client.set_reward_terms("trial", TERMS), Refused, "terms_in_force")
    open_one = await north.client.explain_rewards("trial")
    assert not open_one.closed and [one.counts for one in open_one.relations] == [False]
    await close(trial, period)

    assert "chain.rpc" in (await north.client.pool_history("trial")).trouble
    shown = [await one.client.rewards("trial") for one in trial.everyone]
    assert shown[0] == shown[1] and shown[0].root != "0x0"
    assert [(one.name, one.points) for one in shown[0].closed[0].points] == [("north", 1)]
    assert [(one.name, one.amount) for one in shown[0].earned] == [("north", "1000")]
    statements = {trial.checkpoints(one).acceptance.head.statement.reward_root for one in trial.everyone}
    assert statements == {int(shown[0].root, 16)}

    why = [await one.client.explain_rewards("trial", period) for one in trial.everyone]
    assert why[0].relations == why[1].relations and (why[0].points, why[1].points) == (1, 0)
    (relation,) = why[0].relations
    assert relation.counts and (relation.requester_name, relation.custodian_name) == ("south", "north")

    deadline = 2**40
    signed = await north.client.sign_reward_claim("trial", ClaimRequest(recipient="0x9b", deadline=deadline))
    proof = signed.proof
    path = [Subtree(int(step.hash, 16), int(step.sum)) for step in proof.path or ()]
    top, left = climb(int(proof.payee, 16), 1000, proof.index, path)
    assert left == 0 and reward_root(int(proof.pool, 16), top) in statements
    claim = Claim(
        chain_id=0x4D4544, contract=0x7A, pool=int(proof.pool, 16), payee=int(proof.payee, 16), recipient=0x9B,
        cumulative=1000, deadline=deadline,
    )  # fmt: skip
    stark.verify(claim.digest(), int(proof.payee, 16), int(signed.r, 16), int(signed.s, 16))
    await refused(south.client.sign_reward_claim("trial", ClaimRequest(recipient="0x9b", deadline=1)), Refused, "nothing_earned")
    pool = int(proof.pool, 16)
    against = await south.client.sign_veto("trial", VetoRequest(k=3, tree_hash="0x5", sum="9"))
    wanted = await south.client.sign_sweep("trial", SweepRequest(to="0x9b", amount="7", swept="2"))
    for vote, digest in (
        (against, veto_digest(0x4D4544, 0x7A, pool, 3, Subtree(5, 9))),
        (wanted, sweep_digest(0x4D4544, 0x7A, pool, 0x9B, 7, 2)),
    ):
        assert int(vote.voter, 16) == trial.checkpoints(south).voter_key and int(vote.digest, 16) == digest
        stark.verify(digest, int(vote.voter, 16), int(vote.r, 16), int(vote.s, 16))

    await _erased_changes_nothing(trial, ann, period)
    await _taken_back_and_again(trial)


async def _erased_changes_nothing(trial: Trial, ann: str, period: int) -> None:
    before = await trial.north.client.rewards("trial")
    order = sign_order(
        EraseOrder(
            network=NetworkId(bytes.fromhex(trial.network)), context=trial.context, subject=SubjectRef(bytes.fromhex(ann)),
            signer=signing_public(SEED), signed_at=Instant(1), salt=bytes(16),
        ),
        SEED,
    )  # fmt: skip
    body = OrderSigned(document=order.document.hex(), signature=order.signature.hex())
    await trial.north.client.order_erasure("trial", ann, body)
    k = trial.checkpoints(trial.north).accepted
    await trial.accept(lambda: all(trial.checkpoints(one).settled > k for one in trial.everyone))

    async def destroyed() -> bool:
        return (await trial.north.client.erasure("trial", ann)).destroyed

    await until(destroyed)
    after = await trial.north.client.rewards("trial")
    assert (after.closed[0].points, after.earned, after.root) == (before.closed[0].points, before.earned, before.root)
    why = await trial.north.client.explain_rewards("trial", period)
    assert (why.points, why.relations, why.unexplained) == (1, (), 1)


async def _taken_back_and_again(trial: Trial) -> None:
    """A vanished block takes back what its checkpoint made of the rewards, and nothing that is settled."""
    north = trial.north
    held, acceptance = trial.checkpoints(north), trial.checkpoints(north).acceptance
    period = acceptance.rewards.period
    trial.turn_clocks(DAY_MS)
    await trial.ask(await trial.patient())
    settled = held.settled
    await trial.accept(lambda: all(trial.checkpoints(one).acceptance.rewards.ended for one in trial.everyone), settled=False)
    assert acceptance.rewards.period == period and acceptance.rewards.ended == held.accepted > settled
    await trial.observe(north, held.accepted, 0, False)
    assert acceptance.rewards.ended == 0 and acceptance.rewards.earned

    await trial.accept(lambda: all(trial.closed(one) == period for one in trial.everyone))
    early = [book for since, book in acceptance.reward_books[:-2] if book.reports]
    assert not early, "tokens of settled periods that others followed are let go"
    found = await north.client.rewards("trial")
    assert [one.period for one in found.closed] == [period, period - 1]
    again = await north.client.explain_rewards("trial", period - 1)
    assert (again.points, again.unexplained) == (1, 1)
    assert (await north.client.explain_rewards("trial", period)).relations == ()
    coming = await north.client.explain_rewards("trial", period + 1)
    assert [one.counts for one in coming.relations] == [False] and not coming.closed


async def test_the_command_line_says_what_was_earned_and_why(
    trial: Trial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def medsync(*words: str, code: int = 0) -> dict[str, Any]:
        home = ("--home", str(tmp_path / "north"), "--json")
        assert await trio.to_thread.run_sync(run, ["reward", *words, *home]) == code, capsys.readouterr().err
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    period = (await trial.ask(await trial.patient())).time // DAY_MS
    named = trial.terms(first=period, window=7 * 86_400, cap=1000, token=STRK)
    terms = ("terms", "trial", named.pool, "--contract", "0x7a", "--per-point", "1000", "--days", "1", "--first", str(period))
    assert list((await medsync(*terms))["named"]) == []  # nothing until a checkpoint holds it
    again = await medsync("explain", "trial", code=1)
    assert again["error"]["code"] == "no_rewards"
    await trial.south.client.set_reward_terms("trial", named)
    await trial.accept(trial.in_force)
    await close(trial, period)
    shown = await medsync("points", "trial")
    assert [(one["name"], one["points"]) for one in shown["closed"][0]["points"]] == [("north", 1)]
    why = await medsync("explain", "trial", "--period", str(period))
    assert (why["points"], [one["counts"] for one in why["relations"]]) == (1, [True])
    proof = await medsync("proof", "trial")
    assert (proof["cumulative"], proof["reward_root"]) == ("1000", shown["root"]) and proof["pool"] == shown["pool"]
    tree = PayTree({int(payee, 16): int(amount) for payee, amount in proof["earned"].items()})
    assert (hex(tree.root.hash), str(tree.root.sum)) == (proof["tree_hash"], proof["sum"])
    for verb in ("points", "explain", "proof"):
        assert await trio.to_thread.run_sync(run, ["reward", verb, "trial", "--home", str(tmp_path / "north")]) == 0
    said = capsys.readouterr().out
    assert "north: 1\n" in said and "north gave south HRESCH" in said and "has earned 1000 by checkpoint" in said


async def test_whoever_reports_a_refusal_is_shown_to_everyone_and_earns_nothing(trial: Trial) -> None:
    ann = await trial.patient()
    honest = await trial.ask(ann)
    denied = await trial.ask(ann, "HPAYMT")
    assert (honest.answer, denied.answer) == ("PERMIT", "NO_CONSENT") and denied.receipt_id is not None
    period = honest.time // DAY_MS
    await agree(trial, period)
    north, south = trial.north.daemon.node, trial.south.daemon.node
    token = relation_token(bytes.fromhex(denied.receipt_id), "HPAYMT", period)
    lie = Report(period=period, given=((south.identity.member, frozenset({token})),))
    trial.turn_clocks(DAY_MS + 600_000)
    await trial.north.client.enrol_subject("trial", SubjectEnrol())
    await trial.accept(lambda: all(trial.checkpoints(one).acceptance.rewards.ended for one in trial.everyone))
    await north.perform(lambda now: north.engine.submit(now, trial.context, report_drafts(lie)))
    await trial.accept(lambda: all(trial.closed(one) == period for one in trial.everyone))

    def shown() -> bool:
        book = trial.checkpoints(trial.north).acceptance.rewards
        closed = book.closed
        return north.identity.member in (book.violators | (closed.violators if closed is not None else frozenset()))

    await trial.north.client.enrol_subject("trial", SubjectEnrol())
    await trial.accept(shown)
    closed = trial.checkpoints(trial.south).acceptance.rewards.closed
    assert closed is not None and closed.points.get(south.identity.member, 0) == 0


async def test_a_restarted_node_has_the_same_rewards(trial: Trial, tmp_path: Path) -> None:
    ann = await trial.patient()
    period = (await trial.ask(ann)).time // DAY_MS
    await agree(trial, period)
    await close(trial, period)
    before = trial.checkpoints(trial.south).acceptance.rewards
    assert before.earned and before.closed is not None
    copy = trial.south.daemon.node.store.reader
    engine = Engine(
        trial.south.daemon.node.identity, incarnation=b"again   ", entropy=lambda label, size: os.urandom(size),
        applications=APPLICATIONS,
    )  # fmt: skip
    for record in copy.replay():
        engine.replay(record)
    engine.restored(trial.south.daemon.node.now())
    after = engine.checkpoints(trial.context).acceptance
    assert after.rewards == before and after.rewards_at(after.accepted) == before
    assert after.head.statement.reward_root == before.root
