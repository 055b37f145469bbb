"""The right to break glass that admins give to members and take back: what an entry says, and who holds it (PROTOCOL §7).

Admins need none. Who was an admin when, is the membership's to say: `breaking.py` asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NewType

from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b
from medsync_protocol.ids import ChainId, MemberId, OpId
from medsync_protocol.kinds import EntryKind, Verdict

RightId = NewType("RightId", bytes)
"""32 bytes: the hash of what gives it."""
MAX_TAKEN: Final = 64  # rights of one member that one entry takes back: as many admins gave it one
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassRight:
    """Gives `member` the right, or with `takes` takes these back. `salt` (16) tells one giving from the next."""

    member: MemberId
    takes: tuple[RightId, ...] = ()
    salt: bytes


def encode_right(right: GlassRight) -> bytes:
    """Canonical bytes: the payload of a GLASS_RIGHT entry."""
    return pack([_VERSION, right.member, right.takes, right.salt])


def decode_right(payload: bytes) -> GlassRight:
    """What was said. Raises Malformed."""
    version, member, takes, salt = want_array(unpack(payload), 4)
    want_int(version, _VERSION, _VERSION)
    return GlassRight(
        member=MemberId(want_bytes(member, 32)), salt=want_bytes(salt, 16),
        takes=tuple(RightId(want_bytes(one, 32)) for one in want_array(takes, at_most=MAX_TAKEN)),
    )  # fmt: skip


def right_id(payload: bytes) -> RightId:
    """The id of what an entry's payload says."""
    return RightId(blake2b(b"medsync/glass-right/1", payload))


def right_draft(right: GlassRight) -> Draft:
    """A right on its way, given or taken back: for all members, and about no patient."""
    return Draft(kind=EntryKind.GLASS_RIGHT, payload=encode_right(right))


@dataclass(frozen=True, slots=True)
class SaidRight:
    """A right with the entry that gives it or takes it back."""

    id: RightId
    right: GlassRight
    author: MemberId
    chain: ChainId
    seq: int


class RightBook:
    """What a context says about who may break glass: a function of the set of (entry, verdict), in any order, with repeats."""

    def __init__(self) -> None:
        self._said: dict[tuple[OpId, int], SaidRight] = {}

    def take(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Take an entry under its verdict; void ones don't count. Raises Malformed."""
        right = decode_right(entry.payload)
        if verdict.effective:
            said = SaidRight(right_id(entry.payload), right, entry.author, entry.chain, entry.seq)
            self._said[entry.op_id, entry.index] = said
        else:
            self._said.pop((entry.op_id, entry.index), None)

    def held(
        self, may_give: Callable[[SaidRight], bool], may_take: Callable[[SaidRight], bool]
    ) -> dict[MemberId, dict[RightId, MemberId]]:
        """Member → the rights it holds, with who gave each. Taking back wins over giving, whichever came first."""
        said = [self._said[place] for place in sorted(self._said)]
        taken = {(one.right.member, named) for one in said if one.right.takes and may_take(one) for named in one.right.takes}
        found: dict[MemberId, dict[RightId, MemberId]] = {}
        for one in said:
            if not one.right.takes and (one.right.member, one.id) not in taken and may_give(one):
                found.setdefault(one.right.member, {})[one.id] = one.author
        return found
