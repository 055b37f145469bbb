"""Writing to a context, and how far a write has to be before the answer comes: committed here, or held elsewhere too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from medsync_client.wire import Level
from medsync_protocol.application import Draft
from medsync_protocol.errors import NotPermitted, OperatorError
from medsync_protocol.kinds import Role
from medsync_protocol.replica import Submitted

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.effects import Effect
    from medsync_protocol.replica import Replica

REPLICATION_SECONDS: Final = 20.0  # how long a caller waits for another member; the write stands in any case
T = TypeVar("T")


class NotReplicated(OperatorError):
    """The write is durable here, and nobody else holds it yet."""


def require_writer(replica: Replica) -> None:
    """Raises NotPermitted where this node's member is none here, or a reader: before anybody else is asked."""
    if replica.role is None or replica.role < Role.MEMBER:
        raise NotPermitted(
            "this node's member may not write here", code="not_permitted",
            advice="ask an admin of the context for the role member",
        )  # fmt: skip


async def write(
    node: Node, replica: Replica, compose: Callable[[int], tuple[T, Sequence[Draft]]]
) -> tuple[T, Submitted | None]:
    """Compose and submit in one step of the engine; None where there was nothing to submit. Raises what they raise."""

    require_writer(replica)

    def step(now: int) -> tuple[tuple[T, Submitted | None], list[Effect]]:
        result, drafts = compose(now)
        if not drafts:
            return (result, None), []
        submitted, effects = node.engine.submit(now, replica.context, drafts)
        return (result, submitted), effects

    return await node.perform(step)


async def reached(node: Node, replica: Replica, done: Submitted | None, level: Level) -> None:
    """Return once the write is as far as asked. Raises NotReplicated."""
    if level == "local" or done is None:
        return
    sync = node.engine.sync

    def elsewhere() -> bool:
        return bool(sync.replicated(replica.context, done.chain, done.seq))

    if not await node.wait_for(elsewhere, REPLICATION_SECONDS):
        raise NotReplicated(
            "the write stands here, but no other member has acknowledged it yet",
            advice="see `medsync status` for links; it is sent by itself once one is up",
        )
