"""Checkpoints of a context: what was signed, what the chain accepted, what the bridge needs for the next."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.wire import Body, Felt, Hex32, View

CheckpointLevel = Literal["proposed", "signed", "accepted", "settled"]


class Checkpoint(View):
    """One k.

    `digest` is what the contract stores; votes are how many voters signed it, `quorum` how many must.
    """

    k: int
    digest: Felt
    level: CheckpointLevel
    log_size: int
    log_root: Felt
    consent_root: Felt
    votes: int
    quorum: int


class Checkpoints(View):
    """Newest first."""

    checkpoints: tuple[Checkpoint, ...]


class WireStatement(View):
    """The statement's fields (STARKNET §2): felts as text, the unsigned 64-bit ones as numbers."""

    context: Felt
    k: int
    prev: Felt
    members: Felt
    next_members: Felt
    consent_root: Felt
    log_root: Felt
    log_size: int
    reward_root: Felt
    detail: Felt
    not_before: int


class WireVote(View):
    """One voter's signature; `index` into `members`."""

    index: int
    r: Felt
    s: Felt


class WireAppend(View):
    """The proof that the new log extends the old one."""

    old_peaks: tuple[Felt, ...]
    nodes: tuple[Felt, ...]


class Certificate(View):
    """All that `post_checkpoint` takes: both statements, voter lists, votes and the append proof."""

    k: int
    digest: Felt
    head: WireStatement
    next: WireStatement
    members: tuple[Felt, ...]
    votes: tuple[WireVote, ...]
    append: WireAppend
    next_members: tuple[Felt, ...]


class Opening(View):
    """What `open_context` takes: founder's key, the genesis, the first voter list, signed by the founder."""

    founder: Felt
    genesis: Hex32
    members: tuple[Felt, ...]
    context: Felt
    verifier: Felt
    recovery_delay: int
    r: Felt
    s: Felt


class ChainRegistration(Body):
    """Where a context was opened, and by which opening: every member checks the founder's signature itself.

    From then on the node reads the context's anchor there, and hands this on to the other members.
    """

    chain_id: Felt
    contract: Felt
    block: int = Field(ge=0, description="block in which the context was opened")
    opening: Opening


class ChainInfo(View):
    """Where a context is anchored: `address` is `starknet:CHAIN/CONTRACT/CONTEXT`, null before that."""

    registered: bool
    address: str | None = None
    chain_id: Felt | None = None
    contract: Felt | None = None
    context: Felt
    block: int | None = None
    accepted: int = 0
    settled: int = 0
    reader: dict[str, Any] = Field(
        default_factory=dict, description="how this node reads the chain, and since when"
    )


class OpeningRequest(Body):
    """For which contract on which chain to sign the opening. `recovery_delay` in seconds, 14 to 365 days."""

    chain_id: Felt
    contract: Felt
    verifier: Felt = "0x0"
    recovery_delay: int = Field(default=30 * 86_400, ge=14 * 86_400, le=365 * 86_400)


class Proposal(View):
    """That this node was asked to propose: whether it could, and the newest k it knows to be signed."""

    signed: int


def checkpoints(context: str, limit: int = 50) -> Call[Checkpoints]:
    """Checkpoints of a context."""
    return Call(path=path("contexts", context, "checkpoints"), query={"limit": limit}, answer=Checkpoints)


def certificate(context: str, k: int) -> Call[Certificate]:
    """The certified checkpoint k. NotFound before a quorum signed it."""
    return Call(path=path("contexts", context, "checkpoints", str(k)), answer=Certificate)


def propose(context: str) -> Call[Proposal]:
    """Ask for a checkpoint now, not at the next interval."""
    return Call(method="POST", path=path("contexts", context, "checkpoints"), answer=Proposal)


def chain(context: str) -> Call[ChainInfo]:
    """Where a context is anchored."""
    return Call(path=path("contexts", context, "chain"), answer=ChainInfo)


def register_chain(context: str, body: ChainRegistration) -> Call[ChainInfo]:
    """Tell the node where its context was opened."""
    return Call(method="PUT", path=path("contexts", context, "chain"), body=body, answer=ChainInfo)


def opening(context: str, body: OpeningRequest) -> Call[Opening]:
    """Have the founder's node sign the opening of its context."""
    return Call(method="POST", path=path("contexts", context, "chain", "opening"), body=body, answer=Opening)
