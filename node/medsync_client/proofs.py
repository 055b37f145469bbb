"""Proofs that stand alone: a statement with an address, and what is or is not under it. Checking needs no node."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.checkpoints import WireStatement, WireVote
from medsync_client.wire import Felt, Hex32, View

MAX_DEPTH = 128  # of the consent map; the log's paths and peaks have at most 33
MAX_MEMBERS = 250  # of a voter list
ProofKind = Literal["consent", "entry", "checkpoint"]
Path = Annotated[tuple[Felt, ...], Field(max_length=MAX_DEPTH)]


class ConsentPart(View):
    """What the consent map holds of a directive: siblings from the root down, the leaf where its path ends.

    `value` and `term_key` are 0x0 where the path ends in an empty place; another `term_key` than `key` proves absence.
    """

    directive: Hex32
    key: Felt
    value: Felt
    term_key: Felt
    siblings: Path


class EntryPart(View):
    """Where an operation stands in the log, and with what verdict: siblings from the leaf up, peaks highest first."""

    operation: Hex32
    verdict: int = Field(ge=0, lt=256)
    index: int = Field(ge=0, lt=1 << 32)
    leaf: Felt
    peaks: Path
    siblings: Path


class VotesPart(View):
    """The list that signed the statement, and its votes."""

    members: Annotated[tuple[Felt, ...], Field(max_length=MAX_MEMBERS)]
    votes: Annotated[tuple[WireVote, ...], Field(max_length=MAX_MEMBERS)]


class Proof(View):
    """One file. It is a proof once the contract at `address` says that the statement's digest stands at its k."""

    medsync_proof: Literal[1] = 1
    kind: ProofKind
    address: str = Field(max_length=256)
    statement: WireStatement
    digest: Felt
    consent: ConsentPart | None = None
    entry: EntryPart | None = None
    votes: VotesPart | None = None


def prove_consent(context: str, directive: str) -> Call[Proof]:
    """That a directive has this status under the newest accepted checkpoint, or is not there."""
    return Call(path=path("contexts", context, "proofs", "consents", directive), answer=Proof)


def prove_entry(context: str, operation: str) -> Call[Proof]:
    """That an operation with its entries is in the log of the newest accepted checkpoint. NotFound, Refused."""
    return Call(path=path("contexts", context, "proofs", "entries", operation), answer=Proof)


def prove_checkpoint(context: str, k: int | None = None) -> Call[Proof]:
    """That a quorum signed checkpoint k; the newest accepted one where k is left out."""
    return Call(path=path("contexts", context, "proofs", "checkpoint"), query={"k": k}, answer=Proof)
