"""`medsync consent import`: a FHIR Consent, R4 or R5, attested as a directive, or refused with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.options import ContextName, Home, Json, Replicated, node
from medsync_node.commands.output import show

if TYPE_CHECKING:
    from medsync_client.consents import WireActor


def import_consent(
    context: ContextName,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="Pseudonym or card.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A FHIR R4 or R5 Consent as JSON.")],
    actor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REFERENCE=MEMBER[:UNIT[:USER]]",
            help="Who an actor of the Consent is here, as Organization/f001=lab; repeatable.",
        ),
    ] = None,
    offset: Annotated[
        str, typer.Option(metavar="±HH:MM", help="The offset from UTC of dates without a time.")
    ] = "+00:00",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what it says; write nothing.")
    ] = False,
    replicated: Replicated = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a FHIR Consent on record, attested by this member; what can't be computed is refused with the reason."""
    from medsync_client.consents import Grant
    from medsync_node.fhir import directive_text

    text = directive_text(
        _read(file), subject=subject, recipient=_recipients(actor or []), offset=_minutes(offset)
    )
    if dry_run:
        show(text, [text.model_dump_json(exclude_none=True, indent=2)], as_json=as_json)
        return
    with node(home) as client:
        done = client.grant(context, Grant(attest=text), "replicated" if replicated else "local")
    show(done, [f"consent {done.id}", f"{done.state}, operation {done.op}"], as_json=as_json)


def _read(file: Path) -> dict[str, Any]:
    try:
        resource = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} holds no JSON that can be read") from error
    if not isinstance(resource, dict):
        raise typer.BadParameter(f"{file} holds no resource")
    return resource


def _recipients(given: list[str]) -> Callable[[str], WireActor]:
    from medsync_client.consents import WireActor
    from medsync_node.fhir.references import by_reference

    known: dict[str, WireActor] = {}
    for one in given:
        reference, equals, who = one.partition("=")
        member, *below = who.split(":")
        if not (reference and equals and member) or len(below) > 2:
            raise typer.BadParameter(f"{one!r} is not REFERENCE=MEMBER[:UNIT[:USER]]")
        unit, user = (*below, "", "")[:2]
        known[reference] = WireActor(member=member, unit=unit or None, user=user or None)
    return lambda reference: known[reference] if reference in known else by_reference(reference)


def _minutes(offset: str) -> int:
    match = re.fullmatch(r"([+-])(\d\d):(\d\d)", offset)
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        raise typer.BadParameter(f"{offset!r} is no offset: write +01:00")
    minutes = int(match[2]) * 60 + int(match[3])
    return -minutes if match[1] == "-" else minutes
