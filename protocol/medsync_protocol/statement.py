"""Statements, of which the anchor contract stores the digest, and the votes on them (STARKNET §2).

Where roots come from is `checkpoint`'s; whether one statement may follow another is `transition.py`'s.
The Cairo twins are `contracts/src/statement.cairo` and `votes.cairo`; `vectors/statement.json` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from medsync_protocol import stark
from medsync_protocol.errors import BadSignature, Malformed
from medsync_protocol.log import EMPTY_LOG_ROOT
from medsync_protocol.poseidon import Felt, split_digest, tagged_hash, want_felt, want_uint
from medsync_protocol.refusal import AnchorRefusal, Reason, require

MAX_VOTERS = 250  # an event holds 300 felts and must hold the whole list
_WIDE = frozenset({"k", "log_size", "not_before"})  # u64; every other field is a felt


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One checkpoint's claim. Fields are felts but for `k`, `log_size` and `not_before` (unsigned 64 bit).

    `members` and `next_members` are `members_hash` of the list that signs this k and of the one that signs
    the next; `prev` is the digest of k−1; `not_before` is in seconds, as block times are.
    """

    context: int
    k: int
    prev: int
    members: int
    next_members: int
    consent_root: int
    log_root: int
    log_size: int
    reward_root: int
    detail: int
    not_before: int

    def digest(self, chain_id: int, contract: int) -> Felt:
        """What is signed, and what the contract at this address on this chain stores at (context, k)."""
        return tagged_hash("MEDSYNC_CHECKPOINT_1", [chain_id, contract, *self.to_felts()])

    def to_felts(self) -> list[int]:
        """The fields in order, as Cairo serialises the struct."""
        return [getattr(self, field) for field in FIELD_NAMES]

    @classmethod
    def from_felts(cls, felts: Sequence[int]) -> Statement:
        """What `to_felts` gives. Raises Malformed for a wrong count or a field out of range."""
        if len(felts) != len(FIELD_NAMES):
            raise Malformed(f"a statement has {len(FIELD_NAMES)} fields, not {len(felts)}")
        named = zip(FIELD_NAMES, felts, strict=True)
        return cls(**{name: want_uint(x, 64) if name in _WIDE else want_felt(x) for name, x in named})


FIELD_NAMES = tuple(field.name for field in fields(Statement))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A voter's signature over a statement's digest; `index` is its place in the member list."""

    index: int
    r: int
    s: int

    def to_felts(self) -> list[int]:
        """[index, r, s]."""
        return [self.index, self.r, self.s]

    @classmethod
    def from_felts(cls, felts: Sequence[int]) -> Vote:
        """What `to_felts` gives. Raises Malformed."""
        if len(felts) != 3:
            raise Malformed(f"a vote has 3 fields, not {len(felts)}")
        return cls(index=want_uint(felts[0], 32), r=want_felt(felts[1]), s=want_felt(felts[2]))


def opening_statement(context: int, members: Sequence[int]) -> Statement:
    """Statement 0, which the contract makes itself from the first member list. Raises AnchorRefusal."""
    listed = members_hash(members)
    return Statement(
        context=context, k=0, prev=0, members=listed, next_members=listed, consent_root=0,
        log_root=EMPTY_LOG_ROOT, log_size=0, reward_root=0, detail=0, not_before=0,
    )  # fmt: skip


def context_hash(founder_key: int, genesis_digest: bytes) -> Felt:
    """A context's public name: nobody but the holder of the founder's key can open it (no squatting)."""
    return tagged_hash("MEDSYNC_CONTEXT_1", [founder_key, *split_digest(genesis_digest)])


def detail_hash(detail: bytes) -> Felt:
    """`Statement.detail` from the BLAKE2b-256 of (cut, membership_root, state_root, key_id, policy_hash)."""
    return tagged_hash("MEDSYNC_DETAIL_1", split_digest(detail))


def members_hash(keys: Sequence[int]) -> Felt:
    """Hash of a member list. Raises AnchorRefusal: MEMBERS_SIZE, KEYS_NOT_ASCENDING (0 is no key)."""
    require(1 <= len(keys) <= MAX_VOTERS, Reason.MEMBERS_SIZE)
    ascending = all(before < after for before, after in zip((0, *keys), keys, strict=False))
    require(ascending, Reason.KEYS_NOT_ASCENDING)
    return listed_hash(keys)


def listed_hash(keys: Sequence[int]) -> Felt:
    """The same without the checks: for comparing with a list that was checked when it was announced."""
    return tagged_hash("MEDSYNC_MEMBERS_1", [len(keys), *keys])


def opening_digest(
    *, chain_id: int, contract: int, context: int, members: int, verifier: int, recovery_delay: int
) -> Felt:
    """What the founder signs to open a context; `members` is the first list's hash, the delay in seconds."""
    return tagged_hash("MEDSYNC_OPEN_1", [chain_id, contract, context, members, verifier, recovery_delay])


def quorum(voters: int) -> int:
    """How many of `voters` must sign: ⌊n/2⌋+1 for n ≤ 3, else ⌊2n/3⌋+1 (PROTOCOL §1)."""
    return voters // 2 + 1 if voters <= 3 else 2 * voters // 3 + 1


def majority(voters: int) -> int:
    """How many of `voters` must sign a recovery: ⌊n/2⌋+1."""
    return voters // 2 + 1


def cast_vote(digest: int, members: Sequence[int], secret: int) -> Vote:
    """This secret's vote on the digest. Raises Malformed when its public key is not in the list."""
    key = stark.public_key(secret)
    if key not in members:
        raise Malformed("the voter's key is not in the member list")
    r, s = stark.sign(digest, secret)
    return Vote(index=members.index(key), r=r, s=s)


def merge_votes(votes: Iterable[Vote]) -> list[Vote]:
    """One vote per index, ascending, as the contract wants them; of two by one voter, the first."""
    found: dict[int, Vote] = {}
    for vote in votes:
        found.setdefault(vote.index, vote)
    return [found[index] for index in sorted(found)]


def verify_vote(digest: int, members: Sequence[int], vote: Vote) -> None:
    """Raises AnchorRefusal: UNKNOWN_SIGNER, SIGNATURE_OUT_OF_RANGE, BAD_SIGNATURE."""
    require(vote.index < len(members), Reason.UNKNOWN_SIGNER)
    in_range = stark.in_signature_range(vote.r) and stark.in_signature_range(vote.s)
    require(in_range, Reason.SIGNATURE_OUT_OF_RANGE)
    try:
        stark.verify(digest, members[vote.index], vote.r, vote.s)
    except BadSignature as error:
        raise AnchorRefusal(Reason.BAD_SIGNATURE) from error


def verify_votes(digest: int, members: Sequence[int], votes: Sequence[Vote]) -> None:
    """Raises AnchorRefusal unless a quorum signed: BELOW_QUORUM, VOTES_NOT_ASCENDING, and `verify_vote`'s."""
    require(len(votes) >= quorum(len(members)), Reason.BELOW_QUORUM)
    verify_each(digest, members, votes)


def verify_each(digest: int, members: Sequence[int], votes: Sequence[Vote]) -> None:
    """As `verify_votes`, however many there are. In the contract's order, so that the reasons agree."""
    next_index = 0
    for vote in votes:
        require(vote.index < len(members), Reason.UNKNOWN_SIGNER)
        require(vote.index >= next_index, Reason.VOTES_NOT_ASCENDING)
        next_index = vote.index + 1
        verify_vote(digest, members, vote)
