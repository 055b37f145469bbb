"""The numbers on the wire: planes, operation kinds, entry kinds, audiences, roles, verdicts. Never renumber."""

from __future__ import annotations

from enum import IntEnum


class Plane(IntEnum):
    """Which of a context's three planes an operation belongs to (PROTOCOL §2)."""

    MEMBERSHIP = 0
    KEYS = 1
    DATA = 2


class OpKind(IntEnum):
    """Kinds of operation. Unknown kinds are kept and relayed, not folded."""

    GENESIS = 1
    ADMIT = 2
    REMOVE = 3
    SET_ROLE = 4
    LEAVE = 5
    VOTER_KEY = 6
    VOTE = 7
    DEVICE_ADD = 8
    DEVICE_REVOKE = 9
    REKEY = 10  # new sealing key, or a member key replaced by votes
    RESUME = 11  # a forked chain counts again from a named seq
    MERGE = 12  # carries nothing: joins membership heads
    ENDORSE = 13  # a vote on a proposal
    POLICY = 14  # a vote to replace the membership policy
    TRANSFER = 15  # the owner hands the context over
    ROTATE = 20
    BATCH = 32  # data plane: entries carry their own kinds


class EntryKind(IntEnum):
    """Kinds of data entry. The label carries it; unknown kinds are kept and relayed, not folded."""

    SUBJECT = 1
    SUBJECT_LINK = 2
    DIRECTIVE = 3
    REVOCATION = 4
    ACCESS = 5
    RECEIPT = 6
    DELEGATION = 7  # reserved
    ERASE_ORDER = 8  # by a key of the subject's record, or one of two custodians
    ATTESTATION = 9  # of an erasure done
    LEGAL_HOLD = 10  # by a custodian, or its release
    REWARD_ROOT = 11  # what the reward root is made of: terms, reports, proofs of false ones; all in the label
    NOTE = 12  # plain application bytes: the key-value example and benchmarks
    BREAK_GLASS = 13  # by whom, why and until when, beside the requester's half in the log
    REVIEW = 14  # of a broken glass, by a custodian other than who broke it
    GLASS_RIGHT = 15  # to break glass: an admin gives it to a member, or takes it back
    MONTH_KEY = 16  # what one member's halves of the log of one month are sealed under


class Audience(IntEnum):
    """Who is sent an entry's ciphertext (PROTOCOL §2); others keep hash and size."""

    ALL = 0
    PARTIES = 1


class Role(IntEnum):
    """What a member may do: readers read, members write, admins also change the membership."""

    READER = 0
    MEMBER = 1
    ADMIN = 2


class Verdict(IntEnum):
    """What the set of operations says of one of them; every void one has its reason (PROTOCOL §2)."""

    EFFECTIVE = 0
    VOID_NOT_A_MEMBER = 1  # the author was no member at the heads it cites
    VOID_ROLE = 2  # a reader wrote, or someone without the policy's authority changed the membership
    VOID_AFTER_CUT_OFF = 3  # beyond the cut-off of an effective removal
    VOID_CONCURRENT_REMOVAL = 4  # a membership op concurrent with its author's effective removal
    VOID_KEY = 5  # sealed under a key unusable for writing
    VOID_FORK = 6  # one of two operations on a (chain, seq), or after it
    VOID_INVITATION = 7  # an invitation used before, expired, or for another key
    VOID_EPOCH = 8  # a rotation that is not one above the highest epoch in its past
    VOID_MALFORMED = 9  # entries that decode to nothing a member could have meant
    VOID_POLICY_ERROR = 10  # the membership policy raised
    VOID_LAST_ADMIN = 11  # beside what others did concurrently it would have left the context without an admin or owner
    VOID_COOL_DOWN = 12  # a proposal made again by its author while it was open or cooling down

    @property
    def effective(self) -> bool:
        """True when the operation counts."""
        return self is Verdict.EFFECTIVE
