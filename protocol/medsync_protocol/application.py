"""What a context's genesis names to fold its data entries and answer its queries (PROTOCOL §1, Application).

Envelopes, membership, keys, checkpoints and sync know nothing of consent; an application knows nothing of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from medsync_protocol.ids import ChainId, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import Audience, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The part of an entry that stays when its ciphertext is pruned, and that every member holds.

    `public` is the kind's own tuple: for a directive (directive id, from, until, series, number, supersedes),
    for a revocation (targets, series, all_before), empty otherwise. `tags` are 4-byte tags, one per party,
    each computable by that party alone; only for Audience.PARTIES.
    """

    kind: int
    audience: Audience
    public: tuple[Any, ...] = ()
    tags: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An entry before sealing. `subject` None: sealed under the epoch key alone; else under epoch and subject key."""

    kind: int
    payload: bytes
    subject: SubjectRef | None = None
    kept_by: SubjectRef | None = None  # the month whose key it is sealed under, instead of its subject's
    audience: Audience = Audience.ALL
    parties: tuple[MemberId, ...] = ()
    public: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedEntry:
    """An entry whose ciphertext this replica holds and could open."""

    op_id: OpId
    index: int
    kind: int
    payload: bytes
    subject: SubjectRef | None
    author: MemberId
    chain: ChainId
    seq: int
    hlc: int  # milliseconds << 16 | counter, the author's clock
    kept_by: SubjectRef | None = None  # the month whose key it is sealed under, instead of its subject's


class Announces(ABC):
    """An application some of whose entries the node's users are told of as they come."""

    notices: Mapping[int, str]
    """Entry kind → what a notice of it is called. It names the operation, and nothing that is sealed."""


class FollowsFinality(ABC):
    """An application for which some entries take force only when they are final."""

    @abstractmethod
    def set_final(self, cut: Mapping[ChainId, int]) -> None:
        """Operations below `cut` (chain → next seq) are final."""


class Application(Protocol):
    """Folds entries into state. Must be a function of the *set* of (entry, verdict), in any order, with repeats."""

    name: str
    indexed: frozenset[int]
    """Entry kinds that are not held in memory: the journal indexes them by subject, newest first."""

    def fold(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Take the entry under its verdict. The same entry comes again when its verdict changes: the last counts.

        An entry that the application can't accept (malformed payload) is kept as such; it never raises Invalid.
        """

    def subject_keys(self) -> Mapping[SubjectRef, bytes]:
        """Subject keys learnt from effective entries, 32 bytes each."""

    def parties(self, entry: OpenedEntry) -> Iterable[MemberId]:
        """The members entitled to the plaintext of a PARTIES entry, besides its author and the context's auditors."""

    def query(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Answer a named question from state. Raises Refused for what may not be answered."""
