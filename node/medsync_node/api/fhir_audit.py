"""FHIR AuditEvents over this node's access log: search of a patient's, and reading one. Both are logged as always."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import trio
from starlette.requests import Request
from starlette.responses import Response

from medsync_node.api.access_log import Wanted, access_of, cursor_of, log_page, log_read, row_of
from medsync_node.api.deciding import ANSWER_NAMES
from medsync_node.api.fhir_answers import answered, base_of
from medsync_node.api.finding import find_anyone, find_replica, find_subject, member_names
from medsync_node.api.problems import not_found
from medsync_node.fhir import references, search
from medsync_node.fhir.audit_event import Decided, access_event, decision_event, place_of
from medsync_node.fhir.capability import AUDIT_SEARCH
from medsync_node.fhir.refusal import NotComputed
from medsync_protocol.access import AccessEntry, Answer, Half, Request as Asked
from medsync_protocol.application import OpenedEntry
from medsync_protocol.chains import Chains, Vector
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, MemberId, OpId, SubjectRef
from medsync_protocol.kinds import EntryKind, Verdict
from medsync_protocol.receipt import ReceiptEntry, decode_receipt, request_of

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

_OUTCOMES: Final = {
    "0": frozenset({Answer.PERMIT}), "4": frozenset({Answer.INDETERMINATE}),
    "8": frozenset({Answer.DENY, Answer.NO_CONSENT, Answer.ERASED}), "12": frozenset[Answer](),
}  # fmt: skip
"""HL7's audit-event-outcome, as audit_event.py writes it."""
_KINDS: Final = (EntryKind.ACCESS, EntryKind.RECEIPT)
_ONE_OPERATION: Final = 1 << 20  # bytes: an operation is smaller

_Event = AccessEntry | tuple[ReceiptEntry, Asked]


def _read(opened: OpenedEntry) -> _Event | None:
    if opened.kind != EntryKind.RECEIPT:
        return access_of(opened)
    try:
        entry = decode_receipt(opened.payload)
        request = request_of(entry)
    except Malformed:
        return None
    return None if request is None else (entry, request)


def _meets(wanted: Wanted, event: _Event) -> bool:
    if isinstance(event, AccessEntry):
        return wanted(event)
    entry, request = event
    receipt = entry.receipt
    as_half = AccessEntry(
        half=Half.DISCLOSED, subject=receipt.subject, requester=request.requester, actors=request.actors,
        custodian=receipt.signer, purposes=request.purposes, action=request.action, types=request.types,
        outcome=receipt.decision.answer, time=receipt.time, match=b"",
    )  # fmt: skip
    return wanted(as_half)


def _resource(
    opened: OpenedEntry, event: _Event, verdict: Verdict, names: dict[MemberId, str], release: str
) -> dict[str, Any]:
    if isinstance(event, AccessEntry):
        return access_event(row_of(opened, event, verdict, names), opened.seq, release)
    entry, request = event
    receipt = entry.receipt
    _, unit, user = (*request.actors[0].path, b"", b"")[:3]
    decided = Decided(
        op=opened.op_id.hex(), seq=opened.seq, index=opened.index, subject=receipt.subject.hex(), requester=request.requester.hex(),
        requester_name=names.get(request.requester, ""), unit=unit.decode(errors="replace") or None,
        user=user.decode(errors="replace") or None, custodian=receipt.signer.hex(),
        custodian_name=names.get(receipt.signer, ""), purposes=request.purposes,
        outcome=ANSWER_NAMES[receipt.decision.answer], reason=receipt.decision.reason.value,
        consents=tuple(one.hex() for one in receipt.decision.directives), receipt=receipt.id.hex(), time=receipt.time,
    )  # fmt: skip
    return decision_event(decided, release)


def _chain_of(chains: Chains, vector: Vector, op_id: OpId, seq: int) -> ChainId | None:
    """Whose operation it is, of all that have one with that seq."""
    return next((chain for chain, count in vector.items() if seq < count and chains.slot(chain, seq).op_id == op_id), None)


class FhirAudit:
    """The calls of one release."""

    def __init__(self, node: Node, release: str) -> None:
        self._node, self._release = node, release

    async def search(self, request: Request, context: str | None) -> Response:
        """A page of a patient's events, newest first."""
        replica = find_replica(self._node, context)
        given = search.parameters(request.query_params.multi_items(), AUDIT_SEARCH)
        named = search.one(given, "patient")
        if named is None:
            raise NotComputed("a search names a patient", code="unknown_parameter", advice="give patient=Patient/PSEUDONYM")
        subject = find_subject(replica, references.subject_of(named))
        self._node.engine.desk(replica.context).application.subject(subject)
        wanted = self._wanted(replica, given)
        before = cursor_of(search.one(given, "_cursor"))
        if before is None:
            await log_read(self._node, replica, (subject,))

        def read(opened: OpenedEntry) -> _Event | None:
            event = _read(opened)
            return event if event is not None and _meets(wanted, event) else None

        rows: list[tuple[OpenedEntry, _Event, Verdict]]
        rows, following = await log_page(self._node, replica, subject, before, search.count(given), read, _KINDS)
        names = member_names(replica)
        found = [_resource(opened, event, verdict, names, self._release) for opened, event, verdict in rows]
        base = base_of(request)
        links = [{"relation": "self", "url": f"{base}/AuditEvent?{request.url.query}"}]
        if following is not None:
            kept = [(name, value) for name, value in request.query_params.multi_items() if name != "_cursor"]
            links.append({"relation": "next", "url": f"{base}/AuditEvent?{urlencode([*kept, ('_cursor', str(following))])}"})
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": links}
        entries = [{"fullUrl": f"{base}/AuditEvent/{one['id']}", "resource": one, "search": {"mode": "match"}} for one in found]
        return answered({**bundle, "entry": entries} if entries else bundle)

    def _wanted(self, replica: Replica, given: dict[str, list[str]]) -> Wanted:
        since, until = search.span(given.get("date", ()), "date")
        agent, outcome, purpose = (search.one(given, name) for name in ("agent", "outcome", "purpose"))
        outcomes = None
        if outcome is not None:
            outcomes = _OUTCOMES.get(search.token(outcome)[1])
            if outcomes is None:
                raise NotComputed("no outcome of that code", code="unknown_parameter", advice="use 0, 4, 8 or 12")
        member = None
        if agent is not None:
            named = references.recipient(agent).member
            member = None if named is None else find_anyone(replica, named)
        return Wanted(
            member=member, outcomes=outcomes, purpose=None if purpose is None else search.token(purpose)[1],
            since=since, until=until,
        )  # fmt: skip

    async def read(self, context: str | None, id_: str) -> Response:
        """One event. What this member may not open reads like what is not there."""
        replica = find_replica(self._node, context)
        found = await self._entry(replica, id_)
        event = None if found is None else _read(found)
        if found is None or event is None or found.subject is None or self._hidden(replica, found.subject):
            raise not_found("unknown_event", "no such AuditEvent here", "search by patient")
        await log_read(self._node, replica, (found.subject,))
        verdict = replica.verdict(found.chain, found.seq)
        return answered(_resource(found, event, verdict, member_names(replica), self._release))

    def _hidden(self, replica: Replica, subject: SubjectRef) -> bool:
        return self._node.engine.desk(replica.context).application.hidden(subject)

    async def _entry(self, replica: Replica, id_: str) -> OpenedEntry | None:
        named = place_of(id_)
        if named is None:
            return None
        op_id, seq, index = named
        chain = _chain_of(replica.chains, replica.vector, OpId(op_id), seq)
        if chain is None:
            return None
        read = partial(self._node.store.reader.read_ops, replica.context, chain, seq, seq + 1, _ONE_OPERATION)
        wires = await trio.to_thread.run_sync(read)
        opened = replica.open(wires[0]) if wires else ()
        return opened[index] if index < len(opened) else None
