"""Consents: directives and revocations on record, signed elsewhere or attested here; listing and checking them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from fastapi import APIRouter

from medsync_client.consents import (
    Consent,
    Consents,
    ConsentSummary,
    Grant,
    Recorded,
    Revoke,
    Verification,
)
from medsync_client.documents import EFFECT_NAMES, EFFECTS, rule_of, rule_view
from medsync_client.wire import Level
from medsync_node.api.finding import find_member, find_replica, find_subject, member_names
from medsync_node.api.levels import reached, write
from medsync_node.api.problems import not_found, unprocessable
from medsync_node.consent_summary import summary
from medsync_protocol.authority import Counted
from medsync_protocol.desk import Written
from medsync_protocol.directive import NO_SERIES, Basis, Directive, decode_directive
from medsync_protocol.ids import DirectiveId, Instant, MemberId

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica, Submitted

EFFECTIVE_SECONDS: Final = (
    30.0  # how long a caller waits for a majority of the homes: two rounds of heartbeats are longer
)
Status = Literal["active", "not-counted", "expired", "not-yet", "contested"]


def consent_view(
    directive: Directive, named: DirectiveId, counted: Counted | None, state: str | None, now: int
) -> Consent:
    """A directive as this node counts it."""
    return Consent(
        id=named.hex(), subject=directive.subject.hex(), signer=directive.signer.hex(),
        basis="patient-signed" if directive.basis is Basis.PATIENT_SIGNED else "attested",
        number=directive.number, base=None if directive.base is None else EFFECT_NAMES[directive.base],
        rules=tuple(map(rule_view, directive.rules)), valid_from=directive.valid_from, until=directive.until,
        supersedes=tuple(one.hex() for one in directive.supersedes), evidence=directive.evidence,
        signed_at=directive.signed_at, status=_status(directive, counted, now),
        permits=counted is not None and counted.permits, denies=counted is not None and counted.denies,
        reason="" if counted is None else counted.reason,
        state=None if state is None else "effective" if state == "effective" else "recorded",
    )  # fmt: skip


def _status(directive: Directive, counted: Counted | None, now: int) -> Status:
    if counted is None or not (counted.permits or counted.denies):
        return "not-counted"
    if now < directive.valid_from:
        return "not-yet"
    if not directive.in_force(now):
        return "expired"
    return "contested" if counted.contested else "active"


def _directive_id(named: str) -> DirectiveId:
    try:
        found = DirectiveId(bytes.fromhex(named))
    except ValueError:
        found = DirectiveId(b"")
    if len(found) != 32:
        raise not_found("unknown_directive", "no such consent here", "give its whole id, 64 hex digits")
    return found


def _recorded(written: Written, done: Submitted | None, state: str) -> Recorded:
    op = written.held if done is None else done.op_id
    assert op is not None, "a document that was not submitted is held"
    return Recorded(
        id=written.id.hex(), subject=written.subject.hex(), op=op.hex(),
        state="effective" if state == "effective" else "recorded", number=written.number,
    )  # fmt: skip


async def put_on_record(node: Node, replica: Replica, body: Grant) -> tuple[Written, Submitted | None]:
    """Carry a signed directive, or attest one. Raises Failure and Refused."""
    desk = node.engine.desk(replica.context)
    if (body.signed is None) == (body.attest is None):
        raise unprocessable("two_documents", "give either `signed` or `attest`", "see /docs")
    if body.signed is not None:
        document, signature = bytes.fromhex(body.signed.document), bytes.fromhex(body.signed.signature)
        return await write(node, replica, lambda now: desk.grant_signed(Instant(now), document, signature))
    text = body.attest
    assert text is not None

    def find(named: str) -> MemberId:
        return find_member(replica, named)

    subject = find_subject(replica, text.subject)
    rules = tuple(rule_of(rule, find) for rule in text.rules)
    return await write(
        node, replica,
        lambda now: desk.grant_attested(
            Instant(now), subject, base=None if text.base is None else EFFECTS[text.base], rules=rules,
            valid_from=None if text.valid_from is None else Instant(text.valid_from),
            until=None if text.until is None else Instant(text.until),
            supersedes=map(_directive_id, text.supersedes), evidence=text.evidence,
        ),
    )  # fmt: skip


async def take_back(node: Node, replica: Replica, body: Revoke) -> tuple[Written, Submitted | None]:
    """Carry a signed revocation, or attest one. Raises Failure and Refused."""
    desk = node.engine.desk(replica.context)
    if (body.signed is None) == (body.attest is None):
        raise unprocessable("two_documents", "give either `signed` or `attest`", "see /docs")
    if body.signed is not None:
        document, signature = bytes.fromhex(body.signed.document), bytes.fromhex(body.signed.signature)
        return await write(node, replica, lambda now: desk.revoke_signed(Instant(now), document, signature))
    text = body.attest
    assert text is not None
    subject = find_subject(replica, text.subject)
    targets = tuple(map(_directive_id, text.targets))
    series = NO_SERIES if text.series is None else bytes.fromhex(text.series)
    return await write(
        node, replica,
        lambda now: desk.revoke_attested(
            Instant(now), subject, targets=targets, series=series, all_before=text.all_before
        ),
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["consents"])
    engine = node.engine

    @router.post("/contexts/{context}/consents")
    async def grant(context: str, body: Grant, level: Level = "local") -> Recorded:
        """Put a directive on record."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        written, done = await put_on_record(node, replica, body)
        await reached(node, replica, done, level)
        status = desk.application.directive(DirectiveId(written.id), engine.book(replica.context))
        return _recorded(written, done, status.level)

    @router.post("/contexts/{context}/consents:revoke")
    async def revoke(context: str, body: Revoke, wait: bool = False) -> Recorded:
        """Take directives back; `wait` answers once it is effective, or `recorded` after a while."""
        replica = find_replica(node, context)
        desk, book = engine.desk(replica.context), engine.book(replica.context)
        written, done = await take_back(node, replica, body)

        def state() -> str:
            return desk.application.revocation_level(written.subject, written.id, book)

        if wait:
            await node.wait_for(lambda: state() == "effective", EFFECTIVE_SECONDS)
        return _recorded(written, done, state())

    @router.get("/contexts/{context}/consents")
    async def list_consents(context: str, subject: str) -> Consents:
        """What is on record for a subject, linked pseudonyms' included, by id."""
        replica = find_replica(node, context)
        application, book = engine.desk(replica.context).application, engine.book(replica.context)
        now = node.now()
        return Consents(
            consents=tuple(
                consent_view(one.directive, one.id, one, application.directive(one.id, book).level, now)
                for one in application.directives(find_subject(replica, subject))
            )
        )

    @router.get("/contexts/{context}/consents/{named}")
    async def show_consent(context: str, named: str) -> Consent:
        """One directive by id."""
        replica = find_replica(node, context)
        application = engine.desk(replica.context).application
        id_ = _directive_id(named)
        status = application.directive(id_, engine.book(replica.context))
        directive = decode_directive(application.signed(id_).document)
        application.subject(directive.subject)  # refuses where it was erased (PROTOCOL §8)
        return consent_view(directive, id_, status.counted, status.level, node.now())

    @router.get("/contexts/{context}/consents/{named}/summary")
    async def summarise_consent(context: str, named: str) -> ConsentSummary:
        """One directive as JSON-LD, in the style of ISO/IEC TS 27560 with terms of the W3C Data Privacy Vocabulary."""
        replica = find_replica(node, context)
        application = engine.desk(replica.context).application
        id_ = _directive_id(named)
        status = application.directive(id_, engine.book(replica.context))
        directive = decode_directive(application.signed(id_).document)
        consent = consent_view(directive, id_, status.counted, status.level, node.now())
        names = {member.hex(): name for member, name in member_names(replica).items()}
        custodians = tuple(one.hex() for one in sorted(application.subject(directive.subject).custodians))
        return ConsentSummary(record=summary(consent, custodians, lambda member: names.get(member, "")))

    @router.post("/contexts/{context}/consents/{named}:verify")
    async def verify_consent(context: str, named: str) -> Verification:
        """Check a directive's signature, authority, validity and standing again, from what this node holds."""
        replica = find_replica(node, context)
        id_, now = _directive_id(named), node.now()
        found = engine.desk(replica.context).verify_consent(Instant(now), id_)
        return Verification(
            id=named, ok=found.ok, checks=dict(found.checks),
            consent=consent_view(found.directive, id_, found.counted, found.level, now),
        )  # fmt: skip

    return router
