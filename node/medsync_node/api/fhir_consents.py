"""FHIR Consents over this node: create, read, search, update as a superseding directive, and `$decide`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from medsync_client.consents import Consent, DirectiveText, Grant, RevocationText, Revoke, WireActor
from medsync_node.api.access_log import cursor_of
from medsync_node.api.consents import consent_view, put_on_record, take_back
from medsync_node.api.deciding import ask
from medsync_node.api.fhir_answers import answered, base_of
from medsync_node.api.finding import find_anyone, find_member, find_replica, find_subject, member_names
from medsync_node.api.problems import Failure, not_found
from medsync_client.wire import Problem
from medsync_node.fhir import deciding, directive_text, patient_reference, references, search
from medsync_node.fhir.audit_event import event_id
from medsync_node.fhir.capability import CONSENT_SEARCH
from medsync_node.fhir.consent import release_of
from medsync_node.fhir.export import consent_resource
from medsync_node.fhir.lineage import current
from medsync_node.fhir.parsing import parse
from medsync_node.fhir.refusal import NotComputed
from medsync_protocol.directive import decode_directive
from medsync_protocol.errors import Refused
from medsync_protocol.ids import DirectiveId, MemberId, SubjectRef

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.replica import Replica

_ENDED = ("inactive", "entered-in-error")
MAX_FOUND = 1000  # consents of one patient in one answer: the rest is told, never passed over


def _on_record(node: Node, replica: Replica, subject: SubjectRef) -> list[Consent]:
    """Every consent of a subject, linked pseudonyms' included. Raises UnknownSubject."""
    application, book = node.engine.desk(replica.context).application, node.engine.book(replica.context)
    now = node.now()
    return [
        consent_view(one.directive, one.id, one, application.directive(one.id, book).level, now)
        for one in application.directives(subject)
    ]


def _resources(node: Node, replica: Replica, subject: SubjectRef) -> dict[str, Consent]:
    return current(_on_record(node, replica, subject))


def _find(node: Node, replica: Replica, id_: str) -> Consent:
    """The newest version under a logical id. Raises Failure where there is none."""
    application = node.engine.desk(replica.context).application
    try:
        named = DirectiveId(bytes.fromhex(id_))
        subject = application.subject_of(named)
        found = _resources(node, replica, subject).get(id_)
        if found is None:
            directive = decode_directive(application.signed(named).document)
            counted = application.directive(named).counted
            found = consent_view(directive, named, counted, None, node.now())
    except (ValueError, Refused) as error:
        raise not_found("unknown_consent", "no such Consent here", "search by patient") from error
    return found


class FhirConsents:
    """The calls of one release at one place: `context` None is the only context that this node has."""

    def __init__(self, node: Node, release: str) -> None:
        self._node, self._release = node, release

    def _resource(self, replica: Replica, consent: Consent, id_: str) -> dict[str, Any]:
        names = member_names(replica)
        return consent_resource(
            consent, self._release, id_=id_, version=consent.id,
            name_of=lambda member: names.get(MemberId(bytes.fromhex(member)), ""),
        )  # fmt: skip

    def _read(self, replica: Replica, body: bytes) -> tuple[dict[str, Any], DirectiveText]:
        """A Consent of this release, and what it says with members as this node knows them."""
        resource = parse(body, "Consent")
        if release_of(resource) != self._release:
            raise NotComputed(
                f"the Consent is not of FHIR {self._release}", code="fhir_release", advice="send it to the other endpoint"
            )
        subject = references.subject_of(patient_reference(resource))
        find_subject(replica, subject)

        def recipient(named: str) -> WireActor:
            actor = references.recipient(named)
            if actor.member is not None:
                find_member(replica, actor.member)
            return actor

        return resource, _with_failures(resource, subject, recipient)

    async def create(self, request: Request, context: str | None) -> Response:
        """Attest what a Consent says."""
        replica = find_replica(self._node, context)
        _, text = self._read(replica, await request.body())
        written, _ = await put_on_record(self._node, replica, Grant(attest=text))
        return self._written(request, replica, written.id.hex(), written.id.hex(), 201)

    def _written(self, request: Request, replica: Replica, id_: str, version: str, status: int) -> Response:
        found = _find(self._node, replica, version)
        headers = {"Location": f"{base_of(request)}/Consent/{id_}/_history/{version}", "ETag": f'W/"{version}"'}
        return answered(self._resource(replica, found, id_), status, headers)

    async def read(self, context: str | None, id_: str) -> Response:
        """The newest version of a Consent."""
        replica = find_replica(self._node, context)
        found = _find(self._node, replica, id_)
        return answered(self._resource(replica, found, id_), 200, {"ETag": f'W/"{found.id}"'})

    async def update(self, request: Request, context: str | None, id_: str) -> Response:
        """A directive that supersedes the newest version; with a status that ends it, a revocation."""
        replica = find_replica(self._node, context)
        found = _find(self._node, replica, id_)
        expected = request.headers.get("if-match")
        if expected is not None and expected.removeprefix("W/").strip('"') != found.id:
            raise Failure(412, Problem(code="version", message="the Consent has another version by now", advice="read it again"))
        body = await request.body()
        resource = parse(body, "Consent")
        if resource.get("id") != id_:
            raise NotComputed("the resource's id is not that of the address", element="id", code="malformed", advice="send the same id")
        if resource.get("status") in _ENDED:
            await take_back(self._node, replica, Revoke(attest=RevocationText(subject=found.subject, targets=(found.id,))))
            return self._written(request, replica, id_, found.id, 200)
        _, text = self._read(replica, body)
        if find_subject(replica, text.subject).hex() != found.subject:
            raise NotComputed(
                "an update is about the same patient", element="patient" if self._release == "R4" else "subject",
                code="other_subject", advice="create a Consent of its own",
            )  # fmt: skip
        replacing = text.model_copy(update={"supersedes": (found.id,)})
        written, _ = await put_on_record(self._node, replica, Grant(attest=replacing))
        return self._written(request, replica, id_, written.id.hex(), 200)

    async def search(self, request: Request, context: str | None) -> Response:
        """A page of a patient's Consents, by id: its cursor is how many came before."""
        replica = find_replica(self._node, context)
        given = search.parameters(request.query_params.multi_items(), CONSENT_SEARCH)
        named = search.one(given, "patient")
        if named is None:
            raise NotComputed("a search names a patient", code="unknown_parameter", advice="give patient=Patient/PSEUDONYM")
        subject = find_subject(replica, references.subject_of(named))
        most = search.count(given) if "_count" in given else MAX_FOUND
        found = [
            self._resource(replica, consent, id_)
            for id_, consent in sorted(_resources(self._node, replica, subject).items())
            if self._wanted(replica, given, consent)
        ]
        base, begin = base_of(request), cursor_of(search.one(given, "_cursor")) or 0
        links = [{"relation": "self", "url": f"{base}/Consent?{request.url.query}"}]
        if begin + most < len(found):
            kept = [(name, value) for name, value in request.query_params.multi_items() if name != "_cursor"]
            links.append({"relation": "next", "url": f"{base}/Consent?{urlencode([*kept, ('_cursor', str(begin + most))])}"})
        entries = [
            {"fullUrl": f"{base}/Consent/{one['id']}", "resource": one, "search": {"mode": "match"}}
            for one in found[begin : begin + most]
        ]
        bundle: dict[str, Any] = {
            "resourceType": "Bundle", "type": "searchset", "total": len(found), "link": links,
        }  # fmt: skip
        return answered({**bundle, "entry": entries} if entries else bundle)

    def _wanted(self, replica: Replica, given: dict[str, list[str]], consent: Consent) -> bool:
        status = "active" if consent.status in ("active", "not-yet", "contested") else "inactive"
        wanted = [code for value in given.get("status", ()) for code in value.split(",")]
        if wanted and status not in wanted:
            return False
        since, until = search.span(given.get("period", ()), "period")
        if (since is not None and consent.until is not None and consent.until <= since) or (
            until is not None and consent.valid_from >= until
        ):
            return False
        named = [one for rule in consent.rules for one in (rule, *(rule.exceptions or ()))]
        for value in given.get("purpose", ()):
            if not any(search.token(value)[1] in (rule.purposes or ()) for rule in named):
                return False
        for value in given.get("actor", ()):
            actor = references.recipient(value)
            member = None if actor.member is None else find_anyone(replica, actor.member).hex()
            meant = actor.model_copy(update={"member": member})
            if not any(_covers(meant, one) for rule in named for one in rule.actors or ()):
                return False
        return True

    async def decide(self, request: Request, context: str | None) -> Response:
        """Ask a custodian, as `POST /v1/contexts/…/access` does."""
        replica = find_replica(self._node, context)
        asked = deciding.question(parse(await request.body(), "Parameters"))
        given, half = await ask(self._node, context, asked)
        resources = _resources(self._node, replica, find_subject(replica, asked.subject)) if given.rules or given.ended else {}
        ids = {consent.id: id_ for id_, consent in resources.items()}
        return answered(deciding.answer(given, ids, None if half is None else event_id(half[0].hex(), half[1], half[2])))


def _with_failures(resource: dict[str, Any], subject: str, recipient: Any) -> DirectiveText:
    """As `directive_text`; a member that isn't known here is told as the element that names it."""

    def found(named: str) -> WireActor:
        try:
            actor: WireActor = recipient(named)
        except Failure as failure:
            problem = failure.problem
            raise NotComputed(problem.message, code=problem.code, advice=problem.advice) from failure
        return actor

    return directive_text(resource, subject=subject, recipient=found)


def _covers(meant: WireActor, named: WireActor) -> bool:
    return meant.group == named.group and meant.member == named.member and all(
        one is None or one == other for one, other in ((meant.unit, named.unit), (meant.user, named.user))
    )
