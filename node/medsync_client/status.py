"""What a node says of itself: identity, links, clock, disk, and each context's state."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from medsync_client.calls import Call, path
from medsync_client.wire import Hex32, View


class Notice(View):
    """What holds by choice and is no fault: `code` for programs, `what` it means, and `advice` for who chooses otherwise."""

    code: str
    what: str
    advice: str


class Status(View):
    """A node's own account. Fields that only newer nodes know are kept in it (`model_extra`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    version: str
    protocol: int
    name: str
    member: Hex32
    device: Hex32
    network: Hex32 | None
    addresses: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    peers: tuple[dict[str, Any], ...] = ()
    contexts: tuple[dict[str, Any], ...] = ()


class Health(View):
    """`ok`, and for readiness what is missing."""

    ok: bool
    waiting_for: tuple[str, ...] = Field(default=())


def status() -> Call[Status]:
    """All of it at once."""
    return Call(path=path("status"), answer=Status)


def ready() -> Call[Health]:
    """Whether the node serves: journal open, transport listening. Refused (503) while it does not."""
    return Call(path="/readyz", answer=Health)
