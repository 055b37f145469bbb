"""Rewards of a context: what voters want them to be, points, proofs, why, and claims that this node's member signs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import trio
from fastapi import APIRouter
from pydantic import Field

from medsync_client.rewards import (
    ClaimRequest, Earned, MemberPoints, OpenPeriod, PathStep, PoolHistory, PoolVote, RewardExplanation, RewardPeriod, RewardProof,
    RewardRelation, Rewards, RewardTermsSet, RewardTermsView, SignedClaim, SweepRequest, VetoRequest,
)  # fmt: skip
from medsync_client.wire import Felt
from medsync_node.api.finding import find_replica, member_names
from medsync_node.api.levels import write
from medsync_node.api.problems import not_found
from medsync_node.pool_history import read_pool
from medsync_node.reward_reports import relations_of, reports_of
from medsync_protocol.claims import Claim
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.ids import MemberId, short
from medsync_protocol.kinds import Role
from medsync_protocol.reward_book import Closed, RewardBook, pool_name
from medsync_protocol.reward_labels import RewardTerms, terms_draft
from medsync_protocol.reward_points import matched
from medsync_protocol.reward_pool import Pending, Pool
from medsync_protocol.reward_pool import Terms as PoolTerms
from medsync_protocol.rewards import Subtree
from medsync_protocol.stark import sign

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.acceptance import Acceptance
    from medsync_protocol.replica import Replica

POOL_SECONDS: Final = 10.0  # for a pool's events: somebody waits before a page
MAX_POOL_READERS: Final = 2  # threads that a Starknet node which doesn't answer can hold: the journal needs the others


def terms_view(terms: RewardTerms) -> RewardTermsView:
    """Terms as text and numbers."""
    return RewardTermsView(
        contract=hex(terms.contract), token=hex(terms.token), window=terms.window, salt=hex(terms.salt),
        per_point=terms.per_point, days=terms.days, cap=terms.cap, least=terms.least, first=terms.first,
    )  # fmt: skip


def _terms(body: RewardTermsSet, now: int) -> RewardTerms:
    terms = RewardTerms(
        contract=int(body.contract, 16), token=int(body.token, 16), window=body.window, salt=int(body.salt, 16),
        per_point=body.per_point, days=body.days, cap=body.cap,
        least=body.cap if body.least is None else body.least, first=body.first or 0,
    )  # fmt: skip
    return terms if body.first is not None else _from_now(terms, now)


def _from_now(terms: RewardTerms, now: int) -> RewardTerms:
    return replace(terms, first=terms.period_of(now))


def _pool(acceptance: Acceptance, book: RewardBook) -> Felt:
    return hex(book.pool_at(acceptance.contract, acceptance.head.statement.context))


def _names(replica: Replica, members: set[MemberId] | frozenset[MemberId]) -> tuple[str, ...]:
    names = member_names(replica)
    return tuple(sorted(names.get(member, short(member)) for member in members))


def rewards_view(replica: Replica, acceptance: Acceptance) -> Rewards:
    """As the newest accepted checkpoint has them."""
    book, names = acceptance.rewards, member_names(replica)
    shown = {names.get(member, short(member)): terms_view(terms) for member, terms in sorted(book.named.items())}
    if book.terms is None:
        return Rewards(k=acceptance.accepted, named=shown)
    holders = {key: names.get(member, "") for member, key in replica.membership.voter_keys.items()}
    writers = {m for m, standing in replica.membership.members.items() if standing.role >= Role.MEMBER}
    closed = {one.closed.period: one.closed for _, one in acceptance.reward_books if one.closed is not None}
    return Rewards(
        k=acceptance.accepted, terms=terms_view(book.terms), pool=_pool(acceptance, book),
        open=OpenPeriod(
            period=book.period, begins=book.period * book.terms.length, ends=(book.period + 1) * book.terms.length,
            complete_at=book.ended or None, reported=_names(replica, frozenset(book.reports)),
            missing=_names(replica, writers - set(book.reports)) if book.ended else (),
        ),
        closed=tuple(
            _closed_view(replica, acceptance, book.terms, one)
            for one in sorted(closed.values(), key=lambda one: -one.period)
        ),
        earned=tuple(
            Earned(payee=hex(payee), name=holders.get(payee, ""), amount=str(amount))
            for payee, amount in sorted(book.earned.items())
        ),
        root=hex(book.root),
    )  # fmt: skip


def _closed_view(replica: Replica, acceptance: Acceptance, terms: RewardTerms, one: Closed) -> RewardPeriod:
    names = member_names(replica)
    return RewardPeriod(
        period=one.period, begins=one.period * terms.length, ends=(one.period + 1) * terms.length, k=one.k,
        settled=one.k <= acceptance.settled, violators=_names(replica, one.violators),
        points=tuple(
            MemberPoints(member=member.hex(), name=names.get(member, short(member)), points=count)
            for member, count in sorted(one.points.items())
        ),
    )  # fmt: skip


def proof_view(acceptance: Acceptance, k: int, payee: int) -> RewardProof:
    """What a payee has earned by an accepted checkpoint. Raises Failure where nobody has earned anything."""
    book = acceptance.rewards_at(k)
    if not 0 < k <= acceptance.accepted or book.terms is None or not book.earned:
        raise not_found(
            "nothing_earned", f"nobody has earned anything by a checkpoint {k} that this node knows as accepted",
            "see `medsync reward points`",
        )  # fmt: skip
    tree = book.tree
    proof = tree.prove(payee) if payee in tree.payees else None
    return RewardProof(
        k=k, settled=k <= acceptance.settled, pool=_pool(acceptance, book), contract=hex(book.terms.contract),
        reward_root=hex(book.root), tree_hash=hex(tree.root.hash), sum=str(tree.root.sum), payee=hex(payee),
        cumulative=str(0 if proof is None else proof.cumulative), index=0 if proof is None else proof.index,
        path=None if proof is None else tuple(PathStep(hash=hex(s.hash), sum=str(s.sum)) for s in proof.path),
        earned={hex(one): str(amount) for one, amount in sorted(book.earned.items())},
    )  # fmt: skip


async def explanation(node: Node, replica: Replica, period: int) -> RewardExplanation:
    """Which relations a period has, and who reported which."""
    acceptance = node.engine.checkpoints(replica.context).acceptance
    closed = next(
        (b.closed for _, b in acceptance.reward_books if b.closed is not None and b.closed.period == period), None
    )
    book = acceptance.rewards
    open_ones = book.reports if book.period == period else {}
    reports = open_ones if closed is None else reports_of(replica, acceptance, closed)
    agreed, names = matched(reports), member_names(replica)
    rows = []
    for one in await relations_of(node, replica.context, period):
        given = reports.get(one.custodian)
        asked = reports.get(one.requester)
        rows.append(
            RewardRelation(
                subject=one.subject.hex(), requester=one.requester.hex(), requester_name=names.get(one.requester, ""),
                custodian=one.custodian.hex(), custodian_name=names.get(one.custodian, ""), purpose=one.purpose,
                receipt=one.receipt.hex(), token=one.token.hex(),
                reported_by_custodian=given is not None and one.token in given.given.get(one.requester, ()),
                reported_by_requester=asked is not None and one.token in asked.asked.get(one.custodian, ()),
                counts=one.token in agreed.get((one.custodian, one.requester), ()),
            )
        )  # fmt: skip
    audits = replica.member in replica.genesis.auditors
    paid = (tokens for (custodian, _), tokens in agreed.items() if audits or custodian == replica.member)
    return RewardExplanation(
        period=period, closed=closed is not None, relations=tuple(rows),
        points=0 if closed is None else closed.points.get(replica.member, 0),
        unexplained=len(frozenset().union(*paid) - {bytes.fromhex(row.token) for row in rows}),
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["rewards"])
    engine, readers = node.engine, trio.CapacityLimiter(MAX_POOL_READERS)

    def accepted(replica: Replica) -> Acceptance:
        found = engine.checkpoints(replica.context).acceptance
        assert found.head.statement.context  # refuses before the context is anchored
        return found

    @router.get("/contexts/{context}/rewards")
    async def show_rewards(context: str) -> Rewards:
        """How rewards stand at the newest accepted checkpoint."""
        replica = find_replica(node, context)
        return rewards_view(replica, engine.checkpoints(replica.context).acceptance)

    @router.put("/contexts/{context}/rewards/terms")
    async def set_terms(context: str, body: RewardTermsSet) -> Rewards:
        """Name terms as this node's member. In force once a quorum of the voters has named the same; then they stay."""
        replica = find_replica(node, context)
        acceptance = accepted(replica)
        if acceptance.rewards.terms is not None:
            raise Refused(
                "terms are in force in this context, and stay", code="terms_in_force",
                advice="see `medsync reward points`; other terms need another context",
            )  # fmt: skip
        if all(member != replica.member for member, _ in replica.membership.voters):
            raise NotPermitted(
                "only voters name reward terms", code="not_a_voter", advice="ask a voter of the context"
            )
        terms = _terms(body, node.now())
        named = pool_name(terms, acceptance.contract, acceptance.head.statement.context)
        if named != int(body.pool, 16):
            raise Refused(
                f"a pool of this contract, token, window and salt is called {named:#x}", code="wrong_pool",
                advice="give all of them as the pool was made with: see `medsync reward pool status`",
            )  # fmt: skip
        await write(node, replica, lambda now: (None, [terms_draft(terms)]))
        return rewards_view(replica, acceptance)

    @router.get("/contexts/{context}/rewards/proof")
    async def show_proof(
        context: str, k: Annotated[int | None, Field(ge=1)] = None, payee: Felt | None = None
    ) -> RewardProof:
        """What a payee has earned, this node's member when none is named; by checkpoint k, or the newest accepted."""
        replica = find_replica(node, context)
        acceptance = accepted(replica)
        key = engine.checkpoints(replica.context).voter_key if payee is None else int(payee, 16)
        return proof_view(acceptance, acceptance.accepted if k is None else k, key)

    @router.get("/contexts/{context}/rewards/pool")
    async def show_pool(context: str) -> PoolHistory:
        """What the pool that the terms name did on the chain, as this node's RPC tells it."""
        replica = find_replica(node, context)
        pool, names = pool_of(accepted(replica)), member_names(replica)
        payees = {key: names.get(member, "") for member, key in replica.membership.voter_keys.items()}
        finality = node.finality
        if finality is not None and finality.trouble is not None:
            return PoolHistory(trouble=str(finality.trouble))
        with trio.move_on_after(POOL_SECONDS):
            url = None if finality is None else finality.rpc
            return await trio.to_thread.run_sync(  # libp2p brings old stubs
                read_pool, url, pool, payees, abandon_on_cancel=True, limiter=readers  # type: ignore[call-arg]
            )
        return PoolHistory(trouble="the Starknet node takes too long to tell the pool's events")

    @router.get("/contexts/{context}/rewards/explanation")
    async def explain(context: str, period: Annotated[int | None, Field(ge=0)] = None) -> RewardExplanation:
        """Relations of a period that this node may know of; the newest closed one when none is named."""
        replica = find_replica(node, context)
        book = accepted(replica).rewards
        if book.terms is None:
            raise not_found("no_rewards", "no reward terms are in force here", "see `medsync reward terms`")
        newest = book.period if book.closed is None else book.closed.period
        return await explanation(node, replica, newest if period is None else period)

    @router.post("/contexts/{context}/rewards/claim")
    async def sign_claim(context: str, body: ClaimRequest) -> SignedClaim:
        """Sign a claim of what this node's member earned; any relayer may carry it, for nobody but `recipient`."""
        replica = find_replica(node, context)
        acceptance, checkpoints = accepted(replica), engine.checkpoints(replica.context)
        k = acceptance.settled if body.k is None else body.k
        proof = proof_view(acceptance, k, checkpoints.voter_key)
        if proof.path is None:
            raise Refused("this node's member has earned nothing", code="nothing_earned", advice="see `medsync reward points`")  # fmt: skip
        claim = Claim(
            chain_id=acceptance.contract.chain_id, contract=int(proof.contract, 16), pool=int(proof.pool, 16),
            payee=checkpoints.voter_key, recipient=int(body.recipient, 16), cumulative=int(proof.cumulative),
            deadline=body.deadline,
        )  # fmt: skip
        r, s = claim.sign(node.identity.stark_secret(replica.context))
        return SignedClaim(proof=proof, recipient=body.recipient, deadline=body.deadline, r=hex(r), s=hex(s))

    @router.post("/contexts/{context}/rewards/veto")
    async def sign_veto(context: str, body: VetoRequest) -> PoolVote:
        """Sign, as this node's member, against the root that waits in the pool; ⌊n/3⌋+1 of its signers stop it."""
        replica = find_replica(node, context)
        root = Subtree(int(body.tree_hash, 16), int(body.sum))
        pool = replace(pool_of(accepted(replica)), pending=Pending(k=body.k, members=0, root=root, ready_at=0))
        return vote(node, replica, pool, pool.veto_digest())

    @router.post("/contexts/{context}/rewards/sweep")
    async def sign_sweep(context: str, body: SweepRequest) -> PoolVote:
        """Sign, as this node's member, that what nobody was promised is taken out of the pool; a quorum does it."""
        replica = find_replica(node, context)
        pool = replace(pool_of(accepted(replica)), swept_total=int(body.swept))
        return vote(node, replica, pool, pool.sweep_digest(int(body.to, 16), int(body.amount)))

    return router


def pool_of(acceptance: Acceptance) -> Pool:
    """The pool that the terms in force name. Raises NotFound while there are none."""
    terms, anchor = acceptance.rewards.terms, acceptance.contract
    if terms is None:
        raise not_found("no_rewards", "no reward terms are in force here", "see `medsync reward terms`")
    of_pool = PoolTerms(
        context=acceptance.head.statement.context, token=terms.token, window=terms.window, salt=terms.salt
    )
    return Pool(chain_id=anchor.chain_id, contract=terms.contract, anchor=anchor.contract, terms=of_pool)


def vote(node: Node, replica: Replica, pool: Pool, digest: int) -> PoolVote:
    """Signed with the key that this node's member votes by in this context."""
    r, s = sign(digest, node.identity.stark_secret(replica.context))
    voter = node.engine.checkpoints(replica.context).voter_key
    return PoolVote(
        contract=hex(pool.contract), pool=hex(pool.id), voter=hex(voter), digest=hex(digest), r=hex(r), s=hex(s)
    )
