"""Accountings of disclosures, unmatched halves, and everything that is held of a subject, over this node's log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter

from medsync_client.accesses import AccessRow
from medsync_client.accounting import Accounting, Mode, Reconciliation
from medsync_node import accounting
from medsync_node.api.access_log import Wanted, access_of, log_page, log_read, row_of
from medsync_node.api.consents import consent_view
from medsync_node.api.finding import find_anyone, find_replica, find_subject, member_names
from medsync_node.api.reviews import glass_view
from medsync_node.api.streaming import Stream
from medsync_node.api.subjects import subject_view
from medsync_node.authorised import authorised
from medsync_protocol.access import AccessEntry
from medsync_protocol.application import OpenedEntry
from medsync_protocol.directive import decode_directive
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import SubjectRef
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import decode_receipt

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

PAGE: Final = 1000
MAX_ROWS: Final = 200_000  # of one accounting or reconciliation: about 100 MB; a narrower time answers more


async def _rows(
    node: Node, replica: Replica, subject: SubjectRef | None, wanted: Wanted
) -> tuple[list[AccessRow], bool]:
    """Every row that is wanted, newest first, and whether that is all."""
    names = member_names(replica)
    found: list[AccessRow] = []
    before: int | None = None

    def read(opened: OpenedEntry) -> AccessEntry | None:
        entry = access_of(opened)
        return entry if entry is not None and wanted(entry) else None

    while len(found) < MAX_ROWS:
        page, before = await log_page(node, replica, subject, before, PAGE, read)
        found += [row_of(opened, entry, verdict, names) for opened, entry, verdict in page]
        if before is None:
            return found, True
    return found, False


async def _authorised(node: Node, replica: Replica, subject: SubjectRef, rows: list[AccessRow]) -> set[tuple[str, int]]:
    """Which of these rows, by operation and index, the patient's own authorisation covers; receipts that aren't held cover none."""
    application = node.engine.desk(replica.context).application
    waiting: dict[str, list[AccessRow]] = {}
    for row in rows:
        if row.receipt is not None:
            waiting.setdefault(row.receipt, []).append(row)
    found: set[tuple[str, int]] = set()
    before: int | None = None
    while waiting:
        page = await node.log(replica.context, (EntryKind.RECEIPT,), subject, before, PAGE)
        for _, opened, _ in page:
            try:
                entry = decode_receipt(opened.payload)
            except Malformed:
                continue
            for row in waiting.pop(entry.receipt.id.hex(), ()):
                if authorised(row, entry, lambda named: decode_directive(application.signed(named).document)):
                    found.add((row.op, row.index))
        if not page:
            break
        before = page[-1][0]
    return found


async def _everything(node: Node, replica: Replica, subject: SubjectRef) -> AsyncIterator[str]:
    """Lines of JSON: the record, then consents as they count and as they were signed, broken glass, accesses, receipts."""
    application, book = node.engine.desk(replica.context).application, node.engine.book(replica.context)

    def line(kind: str, fields: dict[str, Any]) -> str:
        return json.dumps({"kind": kind, **fields}) + "\n"

    yield line("subject", subject_view(replica, application, subject).model_dump(mode="json"))
    for one in application.directives(subject):
        signed = application.signed(one.id)
        view = consent_view(one.directive, one.id, one, application.directive(one.id, book).level, node.now())
        proof = {"document": signed.document.hex(), "signature": signed.signature.hex()}
        yield line("consent", {**view.model_dump(mode="json"), "signed": proof})
    glass = node.engine.desk(replica.context).glass
    for case in glass.cases(subject):
        yield line("broken-glass", glass_view(node, replica, glass, case).model_dump(mode="json"))
    names = member_names(replica)
    before: int | None = None
    while True:
        page = await node.log(replica.context, (EntryKind.ACCESS, EntryKind.RECEIPT), subject, before, PAGE)
        for _, opened, verdict in page:
            entry = access_of(opened)
            if entry is not None:
                yield line("access", row_of(opened, entry, verdict, names).model_dump(mode="json"))
            elif opened.kind == EntryKind.RECEIPT:
                yield line("receipt", {"op": opened.op_id.hex(), "index": opened.index, "receipt": opened.payload.hex()})
        if not page:
            return
        before = page[-1][0]


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["access"])
    engine = node.engine

    @router.get("/contexts/{context}/subjects/{named}/accounting")
    async def account(
        context: str, named: str, mode: Mode = "hipaa528", since: int | None = None, until: int | None = None,
        suspend: str | None = None,
    ) -> Accounting:  # fmt: skip
        """Who was given what of a subject, repeats in one line; `suspend`: members to leave out. Reading is logged."""
        replica = find_replica(node, context)
        subject = find_subject(replica, named)
        subjects = (subject, *engine.desk(replica.context).application.linked(subject))
        left_out = frozenset(find_anyone(replica, one).hex() for one in (suspend or "").split(",") if one)
        await log_read(node, replica, subjects)
        rows: list[AccessRow] = []
        complete, exempt = True, 0
        for one in subjects:
            found, whole = await _rows(node, replica, one, Wanted(since=since, until=until))
            mine = [row for row in found if accounting.accounted(row, mode) and row.requester not in left_out]
            own = await _authorised(node, replica, one, mine) if mode == "hipaa528" else set()
            rows += [row for row in mine if (row.op, row.index) not in own]
            complete, exempt = complete and whole, exempt + len(own)
        return Accounting(
            subject=subject.hex(), subjects=tuple(one.hex() for one in subjects), mode=mode, since=since, until=until,
            lines=accounting.summarise(rows), total=len(rows), authorised=exempt,
            suspended=tuple(sorted(left_out)), complete=complete,
        )  # fmt: skip

    @router.get("/contexts/{context}/subjects/{named}/export")
    async def export_subject(context: str, named: str) -> Stream:
        """Everything this member holds of a subject, one JSON object a line. Reading is logged."""
        replica = find_replica(node, context)
        subject = find_subject(replica, named)
        engine.desk(replica.context).application.subject(subject)
        await log_read(node, replica, (subject,))
        return Stream(_everything(node, replica, subject), media_type="application/x-ndjson")

    @router.get("/contexts/{context}/audit:reconcile")
    async def reconcile(context: str, since: int | None = None, until: int | None = None) -> Reconciliation:
        """Halves of accesses whose counterpart is not held, or says something else."""
        replica = find_replica(node, context)
        rows, complete = await _rows(node, replica, None, Wanted(since=since, until=until))
        await log_read(node, replica, {SubjectRef(bytes.fromhex(row.subject)) for row in rows})
        matched, unmatched = accounting.reconcile(rows)
        return Reconciliation(matched=matched, unmatched=unmatched, complete=complete)

    return router
