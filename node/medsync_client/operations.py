"""Operations as a picture needs them: who wrote what kind of thing when, on what, and whether it counts. No contents."""

from __future__ import annotations

from typing import Literal

from medsync_client.calls import Call, path
from medsync_client.wire import Hex32, Millis, View

PlaneName = Literal["membership", "keys", "data"]

MAX_OPERATIONS = 500  # of one answer: more than a picture can show


class OperationRow(View):
    """One operation. `parents`: its predecessor on its chain and the membership heads it cites."""

    id: Hex32
    chain: str
    seq: int
    member: Hex32 | None
    member_name: str = ""
    plane: PlaneName
    time: Millis
    parents: tuple[Hex32, ...]
    verdict: str
    final: bool
    checkpoint: int | None = None


class Operations(View):
    """The newest operations of a context, newest first; `total` is how many are held."""

    operations: tuple[OperationRow, ...]
    total: int


def operations(context: str, limit: int = 60) -> Call[Operations]:
    """The newest operations of a context."""
    return Call(path=path("contexts", context, "operations"), query={"limit": limit}, answer=Operations)
