"""The cover of an audit export: what the file holds, up to which checkpoint, and how whoever is handed it checks it."""

from __future__ import annotations

from medsync_node.printed.contents import Contents
from medsync_node.printed.sheet import sheet
from medsync_protocol.kinds import Plane

PLANES = {Plane.MEMBERSHIP: "membership", Plane.KEYS: "keys", Plane.DATA: "data"}


def cover_sheet(found: Contents, *, file: str, context: str | None, made: int, by: str | None, back: str | None = None) -> str:
    """One HTML document. `file`: the export's name as its holder has it; `context`: the context's name, where it is known;
    `by`: who held what is in it, None for a file whose origin is not known here.
    """
    ident = found.header.context.hex()
    kinds = sorted({*found.entries, *found.sealed_only})
    return sheet(
        "cover.html", edge=f"Audit export · context {ident[:16]} · SHA-256 {found.digest[:16]}", made=made, by=by, back=back,
        found=found, file=file, context=context, planes={PLANES[plane]: found.operations[plane] for plane in Plane}, kinds=kinds,
        entries=found.entries.total() + found.sealed_only.total(),
    )  # fmt: skip
