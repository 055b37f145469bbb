"""Vetoes and sweeps of a reward pool: each voter's node signs, the votes are gathered as files, anyone carries them.

What a pool holds and pays is `rewarding.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from medsync_bridge.certified import read_certificate
from medsync_bridge.chain import Chain
from medsync_bridge.client import open_client
from medsync_bridge.connecting import Bridge, connect
from medsync_bridge.home import open_home
from medsync_bridge.pool_tasks import PoolAddress, SweepPool, VetoRoot
from medsync_bridge.rewarding import known
from medsync_bridge.sending import Tell
from medsync_bridge.settings import Settings
from medsync_bridge.tasks import PostCheckpoint
from medsync_client import Address, Client
from medsync_client.rewards import PoolVote, SweepRequest, VetoRequest
from medsync_protocol.address import ChainAddress
from medsync_protocol.errors import BadSignature, Malformed, Refused
from medsync_protocol.reward_calldata import PendingView
from medsync_protocol.reward_pool import PoolReason, sweep_digest, veto_digest, veto_size
from medsync_protocol.stark import verify
from medsync_protocol.statement import Vote, listed_hash, quorum

MAX_VOTE: Final = 1 << 16  # bytes of a vote's file


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What votes brought about, and the transaction that did it; None when it was before."""

    k: int
    amount: int
    transaction: int | None


async def vote_against(rpc: str, at: PoolAddress, node: Address, context: str) -> PoolVote:
    """A node's vote against the root that waits. Raises Refused, NotDeployed, and the client's errors."""
    async with open_client(rpc) as client:
        pending = (await known(Chain(client), at)).pending
    _require_pending(pending)
    body = VetoRequest(k=pending.k, tree_hash=hex(pending.root.hash), sum=str(pending.root.sum))
    async with Client(node) as asked:
        return _of_pool(await asked.sign_veto(context, body), at)


async def vote_for_sweep(
    rpc: str, at: PoolAddress, node: Address, context: str, to: int, amount: int
) -> PoolVote:
    """A node's vote for a sweep of what is free now. Raises as `vote_against`."""
    async with open_client(rpc) as client:
        view = (await known(Chain(client), at)).view
    body = SweepRequest(to=hex(to), amount=str(amount), swept=str(view.swept_total))
    async with Client(node) as asked:
        return _of_pool(await asked.sign_sweep(context, body), at)


async def veto(
    settings: Settings, at: PoolAddress, node: Address, context: str, files: Sequence[Path], tell: Tell
) -> Carried:
    """Carry votes against the root that waits. Raises Refused for too few or unfit ones, NotDeployed, Malformed, the
    client's errors, and what `bring_about` raises."""
    votes = [_read(path) for path in files]
    with open_home(settings.contract_home) as journal:
        async with Client(node) as client, connect(settings, journal, tell=tell) as bridge:
            pending = (await known(bridge.chain, at)).pending
            _require_pending(pending)
            certified = await _certified(client, bridge, at, context, pending.k)
            if listed_hash(certified.members) != pending.members:
                raise _refused(PoolReason.WRONG_MEMBERS, "the node's list for this checkpoint is not the pool's")
            chain_id = bridge.account.chain_id
            digest = veto_digest(chain_id, at.contract, at.pool, pending.k, pending.root)
            cast = _cast(votes, digest, certified.members, veto_size(len(certified.members)))
            task = VetoRoot(at=at, k=pending.k, members=certified.members, votes=cast)
            ended = await bridge.sender.bring_about(task)
    return Carried(k=pending.k, amount=pending.root.sum, transaction=ended.transaction)


async def sweep(
    settings: Settings, at: PoolAddress, node: Address, context: str, files: Sequence[Path], to: int, amount: int, tell: Tell
) -> Carried:
    """Carry votes for a sweep. Raises as `veto`."""
    votes = [_read(path) for path in files]
    with open_home(settings.contract_home) as journal:
        async with Client(node) as client, connect(settings, journal, tell=tell) as bridge:
            view = (await known(bridge.chain, at)).view
            k, _ = await bridge.chain.head(await at.anchor(bridge.chain), view.context)
            certified = await _certified(client, bridge, at, context, k)
            members = certified.next_members or certified.members
            chain_id = bridge.account.chain_id
            digest = sweep_digest(chain_id, at.contract, at.pool, to, amount, view.swept_total)
            cast = _cast(votes, digest, members, quorum(len(members)))
            task = SweepPool(
                at=at, to=to, amount=amount, swept=view.swept_total, statement=certified.following, members=members,
                votes=cast,
            )  # fmt: skip
            ended = await bridge.sender.bring_about(task)
    return Carried(k=k, amount=amount, transaction=ended.transaction)


async def _certified(client: Client, bridge: Bridge, at: PoolAddress, context: str, k: int) -> PostCheckpoint:
    certificate = await client.certificate(context, k)
    address = ChainAddress(
        chain_id=bridge.account.chain_id, contract=await at.anchor(bridge.chain),
        context=int(certificate.next.context, 16),
    )  # fmt: skip
    return read_certificate(certificate, address)


def _require_pending(pending: PendingView) -> None:
    if not pending.k:
        raise _refused(PoolReason.NO_PENDING, "no root waits in this pool")


def _of_pool(vote: PoolVote, at: PoolAddress) -> PoolVote:
    if (int(vote.contract, 16), int(vote.pool, 16)) != (at.contract, at.pool):
        raise Refused(
            "the node's context pays from another pool", code="wrong_pool",
            advice="give pool and contract as `medsync reward proof` shows them",
        )  # fmt: skip
    return vote


def _read(path: Path) -> PoolVote:
    try:
        with path.open("rb") as file:
            return PoolVote.model_validate_json(file.read(MAX_VOTE))
    except (OSError, ValidationError) as error:
        raise Malformed(f"{path.name} is no vote as `medsync reward pool vote --json` prints it") from error


def _cast(found: Sequence[PoolVote], digest: int, members: Sequence[int], needed: int) -> tuple[Vote, ...]:
    """As the contract wants them. Raises Refused for one that doesn't count, and for too few."""
    cast: dict[int, Vote] = {}
    for one in found:
        voter, r, s = int(one.voter, 16), int(one.r, 16), int(one.s, 16)
        if voter not in members:
            raise _refused(PoolReason.UNKNOWN_SIGNER, f"the vote of {one.voter[:18]}… is not of a listed voter")
        if int(one.digest, 16) != digest:
            raise _refused(PoolReason.BAD_SIGNATURE, f"the vote of {one.voter[:18]}… is about something else")
        try:
            verify(digest, voter, r, s)
        except BadSignature as error:
            raise _refused(PoolReason.BAD_SIGNATURE, f"the vote of {one.voter[:18]}… is not signed by it") from error
        index = members.index(voter)
        cast[index] = Vote(index=index, r=r, s=s)
    if len(cast) < needed:
        raise _refused(PoolReason.BELOW_QUORUM, f"{len(cast)} votes of {needed} that it takes")
    return tuple(cast[index] for index in sorted(cast))


def _refused(reason: PoolReason, message: str) -> Refused:
    advice = "each voter's node makes one by `medsync reward pool vote`, for the root and pool that the chain has now"
    return Refused(message, code=reason.lower(), advice=advice)
