"""A context with known voters: its opening, and real certificates for one checkpoint after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from medsync_client.checkpoints import Certificate, Opening, WireAppend, WireStatement, WireVote
from medsync_protocol import stark
from medsync_protocol.address import ChainAddress
from medsync_protocol.log import Log
from medsync_protocol.statement import (
    FIELD_NAMES,
    Statement,
    cast_vote,
    context_hash,
    members_hash,
    opening_digest,
    opening_statement,
    quorum,
)
from medsync_protocol.transition import MIN_RECOVERY_DELAY, Anchor

WIDE = {"k", "log_size", "not_before"}


@dataclass(slots=True, kw_only=True)
class World:
    """What the members of one context hold. `secrets` are the voters', the first the founder's."""

    anchor: Anchor
    genesis: bytes = bytes(range(32))
    secrets: Sequence[int] = (1001, 1002, 1003, 1004)
    log: Log = field(default_factory=Log)
    accepted: list[Statement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.accepted.append(opening_statement(self.context, self.members))

    @property
    def members(self) -> list[int]:
        return sorted(map(stark.public_key, self.secrets))

    @property
    def founder(self) -> int:
        return stark.public_key(self.secrets[0])

    @property
    def context(self) -> int:
        return context_hash(self.founder, self.genesis)

    @property
    def address(self) -> ChainAddress:
        return ChainAddress(
            chain_id=self.anchor.chain_id, contract=self.anchor.contract, context=self.context
        )

    def opening(self) -> Opening:
        digest = opening_digest(
            chain_id=self.anchor.chain_id, contract=self.anchor.contract, context=self.context,
            members=members_hash(self.members), verifier=0, recovery_delay=MIN_RECOVERY_DELAY,
        )  # fmt: skip
        r, s = stark.sign(digest, self.secrets[0])
        return Opening(
            founder=hex(self.founder), genesis=self.genesis.hex(), members=tuple(map(hex, self.members)),
            context=hex(self.context), verifier="0x0", recovery_delay=MIN_RECOVERY_DELAY, r=hex(r), s=hex(s),
        )  # fmt: skip

    def certify(
        self, *leaves: int, votes: int | None = None, adopt: bool = True, **changes: int
    ) -> Certificate:
        """The next checkpoint, signed; later ones stand on it if `adopt`. `changes` go into the statement."""
        head, old = self.accepted[-1], self.log.size
        self.log.append(leaves or (7, 8, 9))
        following = replace(
            head, k=head.k + 1, prev=self.anchor.digest(head), log_size=self.log.size,
            log_root=self.log.root(), **changes,
        )  # fmt: skip
        append = WireAppend(
            old_peaks=tuple(map(hex, self.log.peaks(old))), nodes=tuple(map(hex, self.log.append_proof(old)))
        )
        if adopt:
            self.accepted.append(following)
        else:
            self.log.truncate(old)
        digest = self.anchor.digest(following)
        count = quorum(len(self.members)) if votes is None else votes
        cast = sorted(
            (cast_vote(digest, self.members, secret) for secret in self.secrets), key=lambda v: v.index
        )[:count]
        return Certificate(
            k=following.k, digest=hex(digest), head=_wire(head), next=_wire(following),
            members=tuple(map(hex, self.members)), append=append, next_members=(),
            votes=tuple(WireVote(index=v.index, r=hex(v.r), s=hex(v.s)) for v in cast),
        )  # fmt: skip


def _wire(statement: Statement) -> WireStatement:
    values = {name: getattr(statement, name) for name in FIELD_NAMES}
    return WireStatement.model_validate({n: x if n in WIDE else hex(x) for n, x in values.items()})
