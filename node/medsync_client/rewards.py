"""Rewards of a context: terms that voters name, points by period, what each payee has earned, proofs and signed claims.

Amounts are text: they may have more digits than a JSON number holds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medsync_client.calls import PATIENT, Call, path
from medsync_client.wire import Body, Felt, Hex16, Hex32, Millis, View

MAX_POINTS = 2**32 - 1


class RewardTermsSet(Body):
    """What rewards shall be, by this node's member, a voter: in force once a quorum of the voters named the same.

    `pool`, `token`, `window` (seconds) and `salt` as the pool was made with: they are held against its name, as nothing can
    be changed later. `first` None: the period that it is now.
    """

    pool: Felt
    contract: Felt
    token: Felt
    window: int = Field(ge=0, lt=1 << 32)
    salt: Felt = "0x0"
    per_point: int = Field(ge=1, lt=1 << 63, description="what a point is worth, in the token's smallest unit")
    days: int = Field(default=30, ge=1, le=366, description="length of a reward period")
    cap: int = Field(default=1000, ge=1, le=MAX_POINTS, description="points that one requester brings in a period, at most")
    least: int | None = Field(default=None, ge=1, le=MAX_POINTS, description="relations that share them, at least; None: as cap")
    first: int | None = Field(default=None, ge=0, lt=1 << 32)


class RewardTermsView(View):
    """Terms as they were named."""

    contract: Felt
    token: Felt
    window: int
    salt: Felt
    per_point: int
    days: int
    cap: int
    least: int
    first: int


class MemberPoints(View):
    """What a member earned in a period."""

    member: Hex32
    name: str
    points: int


class RewardPeriod(View):
    """A closed period: when it was, the checkpoint that paid it, and how far that is."""

    period: int
    begins: Millis
    ends: Millis
    k: int
    settled: bool
    points: tuple[MemberPoints, ...]
    violators: tuple[str, ...] = ()


class Earned(View):
    """What a payee's key has earned since the beginning; `name` empty for a key that is no current member's."""

    payee: Felt
    name: str
    amount: str


class OpenPeriod(View):
    """The period that is open: `complete_at` is the checkpoint that holds its log, None before its end.

    Then members report; `missing` are those that have not.
    """

    period: int
    begins: Millis
    ends: Millis
    complete_at: int | None
    reported: tuple[str, ...]
    missing: tuple[str, ...]


class Rewards(View):
    """How a context's rewards stand at the newest accepted checkpoint; `named` says who wants which terms before they are
    in force. Closed periods newest first."""

    k: int
    terms: RewardTermsView | None = None
    pool: Felt | None = None
    named: dict[str, RewardTermsView] = Field(default_factory=dict)
    open: OpenPeriod | None = None
    closed: tuple[RewardPeriod, ...] = ()
    earned: tuple[Earned, ...] = ()
    root: Felt = "0x0"


class PathStep(View):
    """A sibling on the way up."""

    hash: Felt
    sum: str


class RewardProof(View):
    """That a payee has earned `cumulative` by the tree under checkpoint k. `earned` is the whole tree: what `reward propose`
    and `reward claim` take as a file. `path` is None for who has earned nothing."""

    k: int
    settled: bool
    pool: Felt
    contract: Felt
    reward_root: Felt
    tree_hash: Felt
    sum: str
    payee: Felt
    cumulative: str
    index: int = 0
    path: tuple[PathStep, ...] | None = None
    earned: dict[str, str]


class RewardRelation(View):
    """One relation of a period as this node can open it: who reported it, and whether it is a point."""

    subject: Hex16
    requester: Hex32
    requester_name: str
    custodian: Hex32
    custodian_name: str
    purpose: str
    receipt: Hex32
    token: Hex16
    reported_by_custodian: bool
    reported_by_requester: bool
    counts: bool


class RewardExplanation(View):
    """Which relations a period has, as far as this node may know. `unexplained`: points without one, of this
    node's member, or of all where it audits: their inputs were erased since, or a report is false."""

    period: int
    closed: bool
    points: int
    relations: tuple[RewardRelation, ...]
    unexplained: int


class ClaimRequest(Body):
    """To whom this node's member wants what it earned to be paid. `deadline` in seconds, by block time."""

    recipient: Felt
    deadline: int = Field(ge=0, lt=1 << 63)
    k: int | None = Field(default=None, ge=1)


class SignedClaim(View):
    """A claim that any relayer may carry."""

    proof: RewardProof
    recipient: Felt
    deadline: int
    r: Felt
    s: Felt


class VetoRequest(Body):
    """The root that waits in a pool, as the chain has it: what a veto of this node's member names."""

    k: int = Field(ge=1)
    tree_hash: Felt
    sum: str = Field(pattern=r"^[0-9]{1,39}$")


class SweepRequest(Body):
    """What is to be taken out of a pool: `amount` to `to`; `swept` is what was taken out before."""

    to: Felt
    amount: str = Field(pattern=r"^[0-9]{1,39}$")
    swept: str = Field(pattern=r"^[0-9]{1,39}$")


class PoolVote(View):
    """A member's signature over a veto or a sweep of its context's pool; `digest` is what was signed."""

    contract: Felt
    pool: Felt
    voter: Felt
    digest: Felt
    r: Felt
    s: Felt


StepName = Literal["deposited", "proposed", "activated", "vetoed", "claimed", "swept"]


class PoolStep(View):
    """Something that a pool did. `amount`: what was deposited, paid or taken out, or what the whole tree promises; `k`: the
    checkpoint of a root; `name` is empty for a payee's key that is no current member's."""

    what: StepName
    block: int
    transaction: Felt
    k: int | None = None
    amount: str | None = None
    payee: Felt | None = None
    name: str = ""


class PoolHistory(View):
    """What a context's pool did up to a block, oldest first; the newest of `total` steps. `trouble`: why it can't be read.

    `promised_before`, `paid_before` (by payee's key): what earlier steps came to.
    """

    block: int = 0
    steps: tuple[PoolStep, ...] = ()
    total: int = 0
    promised_before: str = "0"
    paid_before: dict[str, str] = Field(default_factory=dict)
    trouble: str = ""


def pool_history(context: str) -> Call[PoolHistory]:
    """What the pool of a context did on the chain, as the node's RPC tells it."""
    return Call(path=path("contexts", context, "rewards", "pool"), answer=PoolHistory, timeout=PATIENT)


def rewards(context: str) -> Call[Rewards]:
    """How a context's rewards stand."""
    return Call(path=path("contexts", context, "rewards"), answer=Rewards)


def set_reward_terms(context: str, body: RewardTermsSet) -> Call[Rewards]:
    """Name terms as this node's member."""
    return Call(method="PUT", path=path("contexts", context, "rewards", "terms"), body=body, answer=Rewards)


def reward_proof(context: str, k: int | None = None, payee: str | None = None) -> Call[RewardProof]:
    """What a payee has earned, this node's member when none is named, by the newest accepted checkpoint or k."""
    where = path("contexts", context, "rewards", "proof")
    return Call(path=where, query={"k": k, "payee": payee}, answer=RewardProof)


def explain_rewards(context: str, period: int | None = None) -> Call[RewardExplanation]:
    """Relations of a period; None: the newest closed one, or the open one."""
    where = path("contexts", context, "rewards", "explanation")
    return Call(path=where, query={"period": period}, answer=RewardExplanation, timeout=PATIENT)


def sign_reward_claim(context: str, body: ClaimRequest) -> Call[SignedClaim]:
    """Have the node sign a claim of what its member earned."""
    return Call(method="POST", path=path("contexts", context, "rewards", "claim"), body=body, answer=SignedClaim)


def sign_veto(context: str, body: VetoRequest) -> Call[PoolVote]:
    """Have the node vote against the root that waits in its context's pool."""
    return Call(method="POST", path=path("contexts", context, "rewards", "veto"), body=body, answer=PoolVote)


def sign_sweep(context: str, body: SweepRequest) -> Call[PoolVote]:
    """Have the node vote for taking out of its context's pool what nobody was promised."""
    return Call(method="POST", path=path("contexts", context, "rewards", "sweep"), body=body, answer=PoolVote)
