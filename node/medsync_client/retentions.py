"""How long the log's rows are kept: month keys by member, when each ends, and who holds one back."""

from __future__ import annotations

from medsync_client.calls import Call, path
from medsync_client.erasures import Hold, HoldSet
from medsync_client.wire import Hex16, View


class KeptMonth(View):
    """Rows that one member wrote in one month (YYYY-MM, UTC), kept until `ends` (YYYY-MM-DD) and while anybody holds them."""

    id: Hex16
    month: str
    member: str
    ends: str
    holds: tuple[Hold, ...] = ()


class Retention(View):
    """`months`: how long, None where rows go with their subject. `ended`: keys that were destroyed here."""

    months: int | None
    kept: tuple[KeptMonth, ...] = ()
    ended: int = 0


def retention(context: str) -> Call[Retention]:
    """The months whose rows are kept."""
    return Call(path=path("contexts", context, "retention"), answer=Retention)


def hold_month(context: str, month: str, body: HoldSet) -> Call[Retention]:
    """Hold a month's rows back from their end, by the id of its key, or end a hold of this member's."""
    return Call(method="POST", path=path("contexts", context, "retention", month, "holds"), body=body, answer=Retention)
