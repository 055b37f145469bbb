"""A simulated chain with one anchor contract: blocks, outages, reorgs, slow blocks; accepts what the contract would.

The rules are `medsync_protocol.transition`'s. Each node reads it by itself, at its own pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from medsync_protocol.anchoring import Opening
from medsync_protocol.certificate import Certificate
from medsync_protocol.ids import ContextId
from medsync_protocol.refusal import AnchorRefusal
from medsync_protocol.statement import Statement
from medsync_protocol.transition import Anchor, check_checkpoint

ANCHOR: Final = Anchor(chain_id=0x4D53, contract=0xA11CE)
BLOCK_MS: Final = 1_000
DEPTH: Final = 3  # blocks after which a node calls a checkpoint settled; no reorg reaches so deep


@dataclass(frozen=True, slots=True)
class Block:
    """When it was made, and the checkpoint in it, if any."""

    at: int
    certificate: Certificate | None


class Chain:
    """See the module. `interval` ms between blocks; `down`: nobody can read or post."""

    def __init__(self, context: ContextId, opening: Opening) -> None:
        self.context = context
        self.opening = opening
        self.down = False
        self.interval = BLOCK_MS
        self.blocks: list[Block] = []
        self.refusals: list[tuple[int, str]] = []
        self.reorgs = 0
        self._waiting: list[Certificate] = []

    @property
    def accepted(self) -> list[tuple[int, Certificate]]:
        """(height, certificate) of every checkpoint, by k."""
        return [(h, b.certificate) for h, b in enumerate(self.blocks) if b.certificate is not None]

    @property
    def head(self) -> Statement:
        """The newest accepted statement."""
        found = self.accepted
        return found[-1][1].following if found else self.opening.statement

    def post(self, certificate: Certificate) -> bool:
        """Hand a checkpoint in; it is judged when its block is made. False while the chain can't be reached."""
        if self.down:
            return False
        self._waiting.append(certificate)
        return True

    def make_block(self, now: int) -> Certificate | None:
        """The next block takes the first certificate that the contract accepts; the others must be posted again."""
        waiting, self._waiting = self._waiting, []
        if self.down:
            return None
        chosen = next((c for c in waiting if self._accepts(c, now)), None)
        self.blocks.append(Block(now, chosen))
        return chosen

    def _accepts(self, certificate: Certificate, now: int) -> bool:
        if certificate.following.k <= self.head.k:
            return False
        try:
            check_checkpoint(
                ANCHOR, head=self.head, following=certificate.following, members=certificate.members,
                votes=certificate.votes, append=certificate.append, next_members=certificate.next_members,
                block_time=now // 1000,
            )  # fmt: skip
        except AnchorRefusal as refusal:
            self.refusals.append((certificate.following.k, refusal.reason.name))
            return False
        return True

    def reorg(self, blocks: int) -> int:
        """The last blocks vanish, as many as may; how many did."""
        gone = min(blocks, DEPTH - 1, len(self.blocks))
        if gone:
            del self.blocks[-gone:]
            self.reorgs += 1
        return gone

    def read(self, k: int) -> tuple[int, bool]:
        """(digest at k or 0, whether it is settled), as a node's reader sees it."""
        for height, certificate in self.accepted:
            if certificate.k == k:
                return certificate.digest, len(self.blocks) - height > DEPTH
        return 0, False
