"""Erasure of a subject: orders, legal holds, and how far the members are with it."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.wire import Body, Hex16, Hex32, HexBytes, View


class OrderSigned(Body):
    """An order to erase; without a document this node's member orders it as a custodian."""

    document: HexBytes = ""
    signature: HexBytes = ""


class HoldSet(Body):
    """Hold a record back, or with `releases` end a hold of this member's."""

    reason: str = Field(default="", max_length=256)
    releases: Hex32 | None = None


class Hold(View):
    """A legal hold in force."""

    id: Hex32
    custodian: str
    reason: str


class Erasure(View):
    """How far an erasure is: ordered (hidden), destroyed here, and attested by `attested` of `members`."""

    subject: Hex16
    ordered: bool
    destroyed: bool
    holds: tuple[Hold, ...] = ()
    attested: int = 0
    members: int = 0


def erasure(context: str, named: str) -> Call[Erasure]:
    """How far an erasure is."""
    return Call(path=path("contexts", context, "subjects", named, "erasure"), answer=Erasure)


def order_erasure(context: str, named: str, body: OrderSigned) -> Call[Erasure]:
    """Order an erasure: by a patient's signed document, or as a custodian, of whom two must."""
    where = path("contexts", context, "subjects", named, "erasure")
    return Call(method="POST", path=where, body=body, answer=Erasure)


def hold_subject(context: str, named: str, body: HoldSet) -> Call[Erasure]:
    """Hold a subject's record back from erasure, or end that."""
    where = path("contexts", context, "subjects", named, "holds")
    return Call(method="POST", path=where, body=body, answer=Erasure)
