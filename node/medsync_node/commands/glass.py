"""`medsync access break-glass`, `release`, `reviews`, `review`: emergencies and their review; `breakers`: who may, and by whose leave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from medsync_node.commands.options import ContextName, Home, Json, examples, millis, node
from medsync_node.commands.output import moment, show, table
from medsync_node.words import review as review_in_words

if TYPE_CHECKING:
    from pathlib import Path

    from medsync_client.glass import Breakers, BrokenGlass

GlassName = Annotated[str, typer.Argument(metavar="ID", help="The broken glass: its id, or the beginning of it.")]
MemberName = Annotated[str, typer.Argument(metavar="MEMBER", help="Name or id.")]
StateName = Literal["open", "follow-up", "justified", "not-justified"]


def register(app: typer.Typer) -> None:
    """Add the commands to `medsync access`."""
    app.command("break-glass", epilog=examples(
        'access break-glass trial 51cf… --reason "found unconscious" --user dr-haste',
        "access break-glass trial 51cf… --reason - --purpose ETREAT --from-custodian north --minutes 30",
    ))(break_glass)  # fmt: skip
    app.command(epilog=examples("access reviews trial", "access reviews trial --state open --json"))(reviews)
    app.command(epilog=examples(
        "access review trial 9a0e4f21 --outcome justified", 'access review trial 9a0e4f21 --outcome follow-up --note "ask the ward"',
    ))(review)  # fmt: skip
    app.command(epilog=examples("access release trial 9a0e4f21"))(release)
    app.command(epilog=examples("access breakers trial"))(breakers)
    app.command("allow-breaking", epilog=examples("access allow-breaking trial south"))(allow)
    app.command("withdraw-breaking", epilog=examples("access withdraw-breaking trial south"))(withdraw)


def break_glass(
    context: ContextName,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Pseudonym or card.")],
    reason: Annotated[str, typer.Option(help="What the emergency is, in one line; - reads it from stdin, which leaves no trace of it here.")],
    purpose: Annotated[Literal["BTG", "ETREAT"], typer.Option(help="BTG goes before a refusal, ETREAT doesn't.")] = "BTG",
    custodian: Annotated[
        str | None, typer.Option("--from-custodian", metavar="MEMBER", help="Who is to release; else this member, or one of the record.")
    ] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="How long it is to last; else as long as it may.")] = None,
    kind: Annotated[list[str] | None, typer.Option("--type", metavar="CODE", help="Resource type; repeatable; else any.")] = None,
    unit: Annotated[str | None, typer.Option(help="The unit of this member that needs it.")] = None,
    user: Annotated[str | None, typer.Option(help="The person who needs it.")] = None,
    replicated: Annotated[bool, typer.Option("--wait", help="Return once another member holds it.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Break the glass in an emergency. It stands on record, custodians and homes are told, and another one reviews it."""
    from medsync_client.glass import GlassBreak

    told = sys.stdin.readline().strip() if reason == "-" else reason
    with node(home) as client:
        body = GlassBreak(
            subject=subject, reason=told, purpose=purpose, custodian=custodian, minutes=minutes,
            types=None if kind is None else tuple(kind), unit=unit, user=user,
        )  # fmt: skip
        found = client.break_glass(context, body, "replicated" if replicated else "local")
    show(found, _lines(found), as_json=as_json)


def reviews(
    context: ContextName,
    subject: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Only of this one: pseudonym or card.")] = None,
    state: Annotated[StateName | None, typer.Option(help="Only those whose review is so far.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Not before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List broken glass with its reviews, newest first. That you looked is logged as well."""
    with node(home) as client:
        found = client.reviews(context, subject, state=state, since=millis(since), limit=limit)
    rows = [
        [
            moment(one.time), one.id[:16], one.requester_name, one.user, one.custodian_name, ",".join(one.purposes),
            "holds" if one.holds else "over", review_in_words(one.state), "overdue" if one.overdue else "", one.reason,
        ]
        for one in found.glass
    ]  # fmt: skip
    lines = table(["time", "id", "who broke it", "person", "custodian", "purposes", "now", "review", "", "reason"], rows)
    more = [f"{found.total - len(rows)} more with --limit"] if found.total > len(rows) else []
    show(found, [*lines, *more, f"{found.open} to be reviewed, {found.overdue} of them overdue"], as_json=as_json)


def review(
    context: ContextName,
    glass: GlassName,
    outcome: Annotated[Literal["justified", "not-justified", "follow-up"], typer.Option(help="What this member found.")],
    note: Annotated[str, typer.Option(help="One line for those who may read it; - reads it from stdin.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Review a broken glass as a custodian that didn't break it. Said again, the newer counts."""
    from medsync_client.glass import ReviewText

    told = sys.stdin.readline().strip() if note == "-" else note
    with node(home) as client:
        found = client.review_glass(context, glass, ReviewText(outcome=outcome, note=told))
    show(found, _lines(found), as_json=as_json)


def release(context: ContextName, glass: GlassName, home: Home = None, as_json: Json = False) -> None:
    """Record that this member, the custodian that was named, releases data on a broken glass. Release only after this."""
    with node(home) as client:
        found = client.release_glass(context, glass)
    show(found, [f"on record as {found.op[:16]} at {moment(found.time)}: the data may go"], as_json=as_json)


def breakers(context: ContextName, home: Home = None, as_json: Json = False) -> None:
    """List who may break glass: by its role, or because an admin allowed it."""
    with node(home) as client:
        found = client.breakers(context)
    show(found, _who(found), as_json=as_json)


def allow(context: ContextName, member: MemberName, home: Home = None, as_json: Json = False) -> None:
    """Let a member break glass, as an admin of the context."""
    _set(context, member, True, home, as_json)


def withdraw(context: ContextName, member: MemberName, home: Home = None, as_json: Json = False) -> None:
    """Take the right to break glass back from a member, as an admin. Glass that it broke before holds no more either."""
    _set(context, member, False, home, as_json)


def _set(context: str, member: str, allowed: bool, home: Path | None, as_json: bool) -> None:
    from medsync_client.glass import BreakerSet

    with node(home) as client:
        found = client.set_breaker(context, member, BreakerSet(allowed=allowed))
    show(found, _who(found), as_json=as_json)


def _who(found: Breakers) -> list[str]:
    rows = [[one.name, one.member[:16], "its role" if one.by_role else f"allowed by {', '.join(one.given_by)}"] for one in found.breakers]
    return table(["may break glass", "id", "why"], rows)


def _lines(one: BrokenGlass) -> Iterator[str]:
    yield f"glass broken {moment(one.time)} by {one.requester_name or one.requester[:16]}, for {one.custodian_name or one.custodian[:16]} to release"
    yield f"id {one.id}"
    yield f"holds until {moment(one.until)}" if one.holds else f"does not hold: {one.why_not}"
    yield f"review: {review_in_words(one.state)}, due {moment(one.due)}{' (overdue)' if one.overdue else ''}; {_by(one)}"
    for said in one.reviews:
        yield f"  {said.by_name or said.by[:16]} {moment(said.time)}: {review_in_words(said.outcome)}{f', {said.note}' if said.note else ''}"


def _by(one: BrokenGlass) -> str:
    if not one.reviewers:
        return "nobody may review it: the record names no other custodian, the context no auditor"
    return f"reviewed by {' or '.join(one.reviewers)}"
