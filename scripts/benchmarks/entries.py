"""The unit of every figure: access entries of 300 bytes about a few hundred patients."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from medsync_protocol.access import NO_RECEIPT, AccessEntry, Answer, Half, encode_access
from medsync_protocol.ids import Instant, MemberId, SubjectRef
from medsync_protocol.rule import member_actor

ENTRY_BYTES: Final = 300  # of payload, as the peer's records
SUBJECTS: Final = 200
UNIT: Final = b"cardiology/intensive care/ward 7/room 12".ljust(64, b".")  # both names are at most 64 bytes


def access_entry(member: MemberId, subject: SubjectRef, now: int, user: bytes) -> AccessEntry:
    """A disclosure by this member to itself, as its EHR would log it."""
    return AccessEntry(
        half=Half.DISCLOSED, subject=subject, requester=member, actors=(member_actor(member, UNIT, user),),
        custodian=member, purposes=("TREAT",), action="access", types=("Observation",), outcome=Answer.PERMIT,
        receipt=NO_RECEIPT, time=Instant(now), match=os.urandom(16),
    )  # fmt: skip


def user_bytes(member: MemberId) -> int:
    """How long the user's name must be for an entry of ENTRY_BYTES."""
    return (
        ENTRY_BYTES - len(encode_access(access_entry(member, SubjectRef(bytes(16)), 1 << 40, b"x" * 40))) + 40
    )


class EntrySource:
    """Makes entries, each with another user and the next subject."""

    def __init__(self, member: MemberId, subjects: Sequence[SubjectRef]) -> None:
        self._member, self._subjects = member, subjects
        self._user = user_bytes(member)
        self._made = 0

    def make(self, count: int, now: int) -> list[AccessEntry]:
        """The next `count`."""
        random = os.urandom(count * self._user).hex().encode()
        entries = []
        for at in range(count):
            subject = self._subjects[self._made % len(self._subjects)]
            user = random[2 * at * self._user : (2 * at + 1) * self._user]
            entries.append(access_entry(self._member, subject, now, user))
            self._made += 1
        return entries
