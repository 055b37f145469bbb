"""Subjects: enrolling, showing, listing, linking, changing keys, custodians and homes. What may be written is the desk's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter
from pydantic import Field

from medsync_client.subjects import Subject, SubjectEnrol, SubjectKey, SubjectKeys, SubjectLink, SubjectMove, SubjectPage, SubjectRow
from medsync_client.wire import Hex16, Level
from medsync_node.api.finding import find_anyone, find_member, find_members, find_replica, find_subject, member_names
from medsync_node.api.levels import reached, write
from medsync_protocol.errors import Refused
from medsync_protocol.ids import Instant, SubjectRef
from medsync_protocol.subject import card_text

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.consent import MedSyncApplication
    from medsync_protocol.replica import Replica


MAX_SCANNED: Final = 2_000  # records looked at for one page: tens of milliseconds; `next` goes on from there
Digits = Annotated[str, Field(pattern=r"^[0-9a-f]{0,32}$")]


def subject_page(
    replica: Replica, application: MedSyncApplication, begins: str, *, everyone: bool, after: str | None, limit: int, now: int
) -> SubjectPage:
    """Subjects with an effective record, erased ones left out as if they had never been."""
    start = bytes.fromhex(after or "")
    if begins and begins > start.hex():
        start = below(begins)
    found: list[SubjectRow] = []
    for scanned, subject in enumerate(application.filed(start)):
        if not subject.hex().startswith(begins):
            break  # ascending: none that begins so comes any more
        if len(found) == limit or scanned == MAX_SCANNED:
            return SubjectPage(subjects=tuple(found), next=start.hex())
        start = subject
        standing = application.standing(subject)
        if standing is None or not application.listed(subject):
            continue
        if everyone or replica.member in standing.custodians | standing.homes:
            found.append(_row(application, subject, now))
    return SubjectPage(subjects=tuple(found))


def below(begins: str) -> bytes:
    """The greatest 16 bytes or fewer that every pseudonym with these first digits is greater than."""
    first = int(begins.ljust(32, "0"), 16)
    return b"" if first == 0 else (first - 1).to_bytes(16, "big")


def _row(application: MedSyncApplication, subject: SubjectRef, now: int) -> SubjectRow:
    standing = application.subject(subject)
    return SubjectRow(
        subject=subject.hex(), custodians=tuple(member.hex() for member in sorted(standing.custodians)),
        homes=tuple(member.hex() for member in sorted(standing.homes)), pseudonyms=1 + len(application.linked(subject)),
        consents=sum((one.permits or one.denies) and one.directive.in_force(now) for one in application.directives(subject)),
        revision=standing.revision,
    )  # fmt: skip


def subject_view(replica: Replica, application: MedSyncApplication, subject: SubjectRef) -> Subject:
    """A subject as the effective revisions of its record have it. Raises UnknownSubject."""
    standing = application.subject(subject)
    kinds = (
        ("patient", standing.patient_keys), ("delegate", standing.delegate_keys), ("custodian", standing.custodians),
    )  # fmt: skip
    return Subject(
        subject=subject.hex(), network=replica.network.hex(), context=replica.context.hex(),
        card=card_text(replica.context, subject),
        custodians=tuple(member.hex() for member in sorted(standing.custodians)),
        homes=tuple(member.hex() for member in sorted(standing.homes)),
        keys=tuple(
            SubjectKey(key=key.hex(), kind=kind, next_number=application.next_number(subject, key))
            for kind, keys in kinds
            for key in sorted(keys)
        ),
        linked=tuple(other.hex() for other in application.linked(subject)), revision=standing.revision,
        names={member.hex(): name for member, name in member_names(replica).items() if member in standing.custodians | standing.homes},
    )  # fmt: skip


def routes(node: Node) -> APIRouter:
    """Routes over this node."""
    router = APIRouter(tags=["subjects"])
    engine = node.engine

    @router.post("/contexts/{context}/subjects")
    async def enrol_subject(context: str, body: SubjectEnrol, level: Level = "local") -> Subject:
        """A new subject with a random pseudonym."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        custodians, homes = find_members(replica, body.custodians), find_members(replica, body.homes)
        patient, delegate = map(bytes.fromhex, body.patient_keys), map(bytes.fromhex, body.delegate_keys)
        subject, done = await write(
            node, replica,
            lambda now: desk.enrol(
                Instant(now), custodians=custodians, homes=homes, patient_keys=patient, delegate_keys=delegate
            ),
        )  # fmt: skip
        await reached(node, replica, done, level)
        return subject_view(replica, desk.application, subject)

    @router.get("/contexts/{context}/subjects")
    async def list_subjects(
        context: str, begins: Digits = "", everyone: bool = False, after: Hex16 | None = None,
        limit: Annotated[int, Field(ge=1, le=500)] = 50,
    ) -> SubjectPage:  # fmt: skip
        """Subjects that this node's member is a custodian or home of, or all that it knows, by pseudonym."""
        replica = find_replica(node, context)
        application = engine.desk(replica.context).application
        return subject_page(replica, application, begins, everyone=everyone, after=after, limit=limit, now=node.now())

    @router.get("/contexts/{context}/subjects/{named}")
    async def show_subject(context: str, named: str) -> Subject:
        """One subject, by pseudonym or card."""
        replica = find_replica(node, context)
        return subject_view(replica, engine.desk(replica.context).application, find_subject(replica, named))

    @router.post("/contexts/{context}/subjects/{named}/links")
    async def link_subject(context: str, named: str, body: SubjectLink) -> Subject:
        """Say that another pseudonym is the same patient's."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        one, two = find_subject(replica, named), SubjectRef(bytes.fromhex(body.other))
        signer, signature = bytes.fromhex(body.signer or ""), bytes.fromhex(body.signature or "")
        await write(
            node, replica, lambda now: desk.link(Instant(now), (one, two), signer=signer, signature=signature)
        )
        return subject_view(replica, desk.application, one)

    @router.post("/contexts/{context}/subjects/{named}/keys")
    async def change_keys(context: str, named: str, body: SubjectKeys) -> Subject:
        """Write a new revision of the record with other keys."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        subject = find_subject(replica, named)
        patient, delegate, drop = (
            [bytes.fromhex(key) for key in keys] for keys in (body.add_patient, body.add_delegate, body.drop)
        )
        await write(
            node, replica,
            lambda now: desk.change_keys(
                Instant(now), subject, add_patient=patient, add_delegate=delegate, drop=drop
            ),
        )  # fmt: skip
        return subject_view(replica, desk.application, subject)

    @router.post("/contexts/{context}/subjects/{named}/members")
    async def move_subject(context: str, named: str, body: SubjectMove) -> Subject:
        """Put another member, or nobody, in the place of a custodian or home. Other homes take force once settled."""
        replica = find_replica(node, context)
        desk = engine.desk(replica.context)
        subject = find_subject(replica, named)
        leaving = find_anyone(replica, body.leaving)
        entering = set() if body.entering is None else {find_member(replica, body.entering)}
        standing = desk.application.subject(subject)
        if leaving not in standing.custodians | standing.homes:
            raise Refused(
                "that member is neither a custodian nor a home of this subject", code="no_part",
                advice="see `medsync subject show`",
            )  # fmt: skip
        custodians, homes = (
            held - {leaving} | entering if leaving in held else held for held in (standing.custodians, standing.homes)
        )
        await write(
            node, replica, lambda now: desk.change_members(Instant(now), subject, custodians=custodians, homes=homes)
        )
        return subject_view(replica, desk.application, subject)

    return router
