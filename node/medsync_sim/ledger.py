"""What really took place, as no node can know it: who wrote what when. The invariants compare nodes with it.

Filled by the world as things happen; never read by a node.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from medsync_protocol.ids import ChainId, ContextId, DirectiveId, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import Verdict

Place = tuple[ContextId, ChainId, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule: its name (S1…L6, or a scenario's own oracle), when (ms of the run), and what was seen."""

    rule: str
    at: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An operation that somebody signed. `at`: the true time, ms. `cites`: membership operations; `acked`: told to a user as recorded."""

    op_id: OpId
    place: Place
    node: str
    at: int
    honest: bool
    cites: tuple[OpId, ...] = ()
    acked: bool = False


@dataclass(slots=True, kw_only=True)
class Settled:
    """A checkpoint that some honest node calls settled."""

    digest: int
    at: int
    verdicts: dict[tuple[ChainId, int], tuple[OpId, Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A decision that an honest custodian gave: `at` true time, ms."""

    node: str
    subject: SubjectRef
    requester: MemberId
    permitted: bool
    at: int


@dataclass(slots=True, kw_only=True)
class Revoked:
    """A revocation that honest users asked for. `holders`: homes that have it on disk → true time since when."""

    subject: SubjectRef
    place: Place
    targets: frozenset[DirectiveId]
    series: bytes
    all_before: int
    homes: frozenset[MemberId]
    holders: dict[str, int] = field(default_factory=dict)

    def effective_at(self, lossy: Container[str]) -> int | None:
        """True time since when a majority of homes, none with a disk that lost something, hold it; None before."""
        kept = sorted(at for name, at in self.holders.items() if name not in lossy)
        needed = len(self.homes) // 2 + 1
        return kept[needed - 1] if len(kept) >= needed else None

    def takes(self, directive: DirectiveId, signer: bytes, number: int) -> bool:
        """Whether it takes this directive back, seen or not."""
        in_series = bool(self.series) and signer == self.series and number <= self.all_before
        return directive in self.targets or in_series


@dataclass(slots=True)
class Ledger:
    """See the module."""

    writes: dict[OpId, Write] = field(default_factory=dict)
    places: dict[Place, set[OpId]] = field(default_factory=dict)
    settled: dict[tuple[ContextId, int], Settled] = field(default_factory=dict)
    answers: list[Answered] = field(default_factory=list)
    revoked: dict[Place, Revoked] = field(default_factory=dict)
    """Revocations by where they stand; see decisions.py."""
    grants: list[tuple[SubjectRef, str]] = field(default_factory=list)
    """What was granted to which node, by honest users."""
    knew: dict[OpId, frozenset[OpId]] = field(default_factory=dict)
    """Data operation → removals that counted for its honest author when it was written."""
    lossy: set[str] = field(default_factory=set)
    """Nodes whose disk may have lost what it had promised to keep."""
    backups: dict[str, bytes] = field(default_factory=dict)

    def wrote(self, write: Write) -> bool:
        """Note a signed operation; False when an honest device signed another one for the same place."""
        if write.op_id in self.writes:
            return True
        self.writes[write.op_id] = write
        there = self.places.setdefault(write.place, set())
        there.add(write.op_id)
        return not write.honest or len(there) == 1

    def forks(self, context: ContextId) -> Iterator[tuple[ChainId, int]]:
        """Places of the context that were signed twice."""
        for (where, chain, seq), ids in self.places.items():
            if where == context and len(ids) > 1:
                yield chain, seq
