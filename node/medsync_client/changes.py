"""What became of a change of a membership: whether it took force, or what it still wants."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medsync_client.wire import Hex32, Written

Standing = Literal["in-force", "proposed", "waiting", "rejected", "void"]


class Changed(Written):
    """A change that this node committed, and where it stands by all that the node holds.

    `in-force`: it counts. `proposed`: `needed` of the `electors` (names; those who have not voted) must yet say yes, of a
    proposal up to checkpoint `until`; `vote` is what they type. `waiting`: it passed, and counts from checkpoint
    `counts_from` on. `rejected`: too many said no. `void`: it counts for nothing, for the `reason`.
    """

    state: Standing
    needed: int = 0
    electors: tuple[str, ...] = ()
    proposal: Hex32 | None = Field(default=None, description="what is voted on; null for lists of voters and policies, which are voted for")
    vote: str = ""
    until: int | None = None
    counts_from: int | None = None
    reason: str = ""
    contexts: tuple[str, ...] = Field(default=(), description="after a removal from the network: contexts where it still is a member")
