"""`medsync access`: ask a custodian for a decision; read who asked for what. DENY is exit code 3. Emergencies are glass.py's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medsync_node.commands import follow, glass
from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, millis, node
from medsync_node.commands.output import moment, show, table
from medsync_node.words import answer as answer_in_words
from medsync_node.words import half as half_in_words

if TYPE_CHECKING:
    from medsync_client.accesses import AccessAnswer
    from medsync_client.explanations import Explanation
    from medsync_node.access_sessions import AccessSession

app = typer.Typer(no_args_is_help=True, help="Request access, break glass, explain decisions, and list who asked.")
glass.register(app)
follow.register(app)

SubjectName = Annotated[str, typer.Argument(metavar="SUBJECT", help="Pseudonym or card.")]
HalfName = Literal["requested", "disclosed", "refused", "break-glass", "log-read"]


@app.command(
    epilog=examples(
        "access request trial 51cf… --purpose HRESCH --from-custodian north",
        "access request trial 51cf… --purpose TREAT --type Observation --json",
    )
)
def request(
    context: ContextName,
    subject: SubjectName,
    purpose: Annotated[list[str], typer.Option(metavar="CODE", help="HL7 purpose of use; repeatable.")],
    custodian: Annotated[
        str | None,
        typer.Option("--from-custodian", metavar="MEMBER", help="Whom to ask; else one of the record."),
    ] = None,
    action: Annotated[str, typer.Option(help="collect, access, use, disclose or correct.")] = "access",
    kind: Annotated[
        list[str] | None, typer.Option("--type", metavar="CODE", help="Resource type; repeatable; else any.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Security label of the data; repeatable.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="The unit of this member that asks.")] = None,
    user: Annotated[str | None, typer.Option(help="The person who asks.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask for access; only PERMIT releases. Exit code 0 on PERMIT, 3 on any other answer."""
    from medsync_client.accesses import AccessRequest

    body = AccessRequest(
        subject=subject, custodian=custodian, purposes=tuple(purpose), action=action,
        types=None if kind is None else tuple(kind), labels=None if label is None else tuple(label), unit=unit,
        user=user,
    )  # fmt: skip
    with node(home) as client:
        answer = client.request_access(context, body)
    permitted = answer.answer == "PERMIT"
    show({**answer.model_dump(mode="json"), "ok": permitted}, _lines(answer), as_json=as_json)
    if not permitted:
        raise typer.Exit(ExitCode.DENIED)


def _lines(a: AccessAnswer) -> Iterator[str]:
    reason = a.reason
    if a.ended:
        last = max(a.ended, key=lambda one: one.signed_at)
        reason = f"a consent permitted this until it was {last.why} on {moment(last.signed_at)}, and no other does"
    yield f"{a.answer}{f': {reason}' if reason else ''}"
    yield f"by {a.custodian_name or a.custodian[:16]} at {moment(a.time)}"
    yield from (f"obligation: {obligation}" for obligation in a.obligations)
    yield from (f"decided by {rule}" for rule in a.rules)
    for one in a.ended:
        what = "revocation" if one.why == "revoked" else "consent"
        yield f"consent {one.consent[:16]} was {one.why} by {what} {one.document[:16]}, signed {moment(one.signed_at)}"
    if a.receipt_id is not None:
        yield f"receipt {a.receipt_id}"


@app.command(
    "list",
    epilog=examples("access list trial 51cf…", "access list trial 51cf… --sessions", "access list trial 51cf… --half refused --since 2027-01-01"),
)
def list_accesses(
    context: ContextName,
    subject: SubjectName,
    member: Annotated[
        str | None, typer.Option(metavar="MEMBER", help="Only where this one is a party.")
    ] = None,
    half: Annotated[HalfName | None, typer.Option(help="Only this half.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Not before.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier page ended.")] = None,
    sessions: Annotated[
        bool, typer.Option("--sessions", help="One line for what a person did for one purpose within 15 minutes.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List accesses to a subject's data, newest first. That you looked is logged as well."""
    with node(home) as client:
        page = client.accesses(
            context, subject, member=member, half=half, since=millis(since), until=millis(until), cursor=cursor,
            limit=limit,
        )  # fmt: skip
    more = [] if page.next is None else [f"more with --cursor {page.next}"]
    if sessions:
        from medsync_node.access_sessions import rolled_up

        found = rolled_up(page.entries)
        fields = {"sessions": [_session(one) for one in found], "next": page.next}
        show(fields, [*table(["from", "to", "who", "purposes", "custodians", "what"], map(_session_row, found)), *more], as_json=as_json)
        return
    rows = [
        [
            moment(e.time),
            half_in_words(e.half),
            e.requester_name,
            e.custodian_name,
            ",".join(e.purposes),
            e.outcome,
            e.effective,
        ]
        for e in page.entries
    ]
    lines = table(["time", "what", "requester", "custodian", "purposes", "outcome", "counts"], rows)
    show(page, [*lines, *more], as_json=as_json)


def _session(one: AccessSession) -> dict[str, object]:
    entries = [entry.model_dump(mode="json") for entry in one.entries]
    return {"first": one.first, "last": one.last, "count": len(entries), "entries": entries}


def _session_row(session: AccessSession) -> list[object]:
    one = session.one
    who = ", ".join(filter(None, (one.user, one.unit, one.requester_name or one.requester[:12])))
    what = ", ".join(
        f"{count} {half_in_words(half)}{'' if outcome == 'PERMIT' else f' ({answer_in_words(outcome)})'}"
        for half, outcome, count in session.told
    )
    what = what if one.effective else f"doesn't count: {what}"
    return [moment(session.first), moment(session.last), who, ",".join(one.purposes), ",".join(session.custodians), what]


@app.command(
    epilog=examples(
        "access explain trial 51cf… --requester lab --purpose HRESCH",
        "access explain trial 51cf… --requester lab --purpose HRESCH --at 2026-03-01",
        "access explain trial 51cf… --receipt 9a0e…",
    )
)
def explain(
    context: ContextName,
    subject: SubjectName,
    purpose: Annotated[list[str] | None, typer.Option(metavar="CODE", help="HL7 purpose of use; repeatable.")] = None,
    requester: Annotated[str | None, typer.Option(metavar="MEMBER", help="Who would ask; else this member.")] = None,
    action: Annotated[str, typer.Option(help="collect, access, use, disclose or correct.")] = "access",
    kind: Annotated[
        list[str] | None, typer.Option("--type", metavar="CODE", help="Resource type; repeatable; else any.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Security label of the data; repeatable.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="By what was written until then.")] = None,
    receipt: Annotated[str | None, typer.Option(metavar="ID", help="Explain this receipt instead.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say which consent and rule decide, and what would be needed. Nothing is asked of anybody, and nothing released."""
    from medsync_client.explanations import ExplainRequest

    body = ExplainRequest(
        subject=subject, requester=requester, purposes=tuple(purpose or ()), action=action,
        types=None if kind is None else tuple(kind), labels=None if label is None else tuple(label), at=millis(at),
        receipt=receipt,
    )  # fmt: skip
    with node(home) as client:
        found = client.explain(context, body)
    show(found, _reasons(found), as_json=as_json)


def _reasons(found: Explanation) -> Iterator[str]:
    basis = {"now": "as this node sees it now", "past": "by what was written then", "receipt": "by the receipt's view"}
    yield f"{found.answer}{f': {found.reason}' if found.reason else ''} ({basis[found.basis]}, {moment(found.time)})"
    fresh = {"fresh": "enough homes had been heard", "stale": "too few homes had been heard", "unknown": "whether enough homes had been heard is not known"}
    yield f"{fresh[found.freshness]}{'' if found.proven_by is None else f', by receipt {found.proven_by[:16]}'}"
    for one in found.findings:
        place = "base decision" if one.rule is None else f"rule {one.rule}"
        place += "" if one.exception is None else f", exception {one.exception}"
        why = "decides" if one.decides else one.unheard or (f"lacks {', '.join(one.missing)}" if one.missing else "overruled")
        yield f"consent {one.consent[:16]} {place} {one.effect}s: {why}"
    yield from (f"needed: {text}" for text in found.needed)
