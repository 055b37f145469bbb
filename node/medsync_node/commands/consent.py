"""`medsync consent`: granting, checking and revoking; with --key signed here, by a key that the daemon never sees."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.consent_import import import_consent
from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, Replicated, examples, millis, node
from medsync_node.commands.output import moment, show
from medsync_node.consent_words import sentence, standing
from medsync_node.nearest import nearest

if TYPE_CHECKING:
    from medsync_client import BlockingClient
    from medsync_client.consents import Consent, DirectiveText
    from medsync_client.documents import FindMember, Signing
    from medsync_client.subjects import Subject

app = typer.Typer(no_args_is_help=True, help="Grant, import, verify, revoke, list and show consents.")
app.command(
    "import",
    epilog=examples(
        "consent import trial 51cf… consent.json --actor Organization/f001=lab",
        "consent import trial 51cf… consent.json --offset +01:00 --dry-run",
    ),
)(import_consent)

SubjectName = Annotated[str, typer.Argument(metavar="SUBJECT", help="Pseudonym or card.")]
ConsentName = Annotated[str, typer.Argument(metavar="CONSENT", help="Id of the consent, in hex.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Sign by this patient's key, here; else this member attests."),
]


@app.command(
    epilog=examples(
        "consent grant trial 51cf… --to lab --purpose HRESCH --until 2027-06-30 --key anna.key",
        "consent grant trial 51cf… --deny --to lab",
        "consent grant trial 51cf… --to lab --duo DUO:0000007=MONDO:0004992 --duo DUO:0000021",
        "consent grant trial 51cf… --file directive.json --key anna.key",
    )
)
def grant(
    context: ContextName,
    subject: SubjectName,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="MEMBER", help="Who may (or may not); repeatable; else anyone."),
    ] = None,
    purpose: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="HL7 purpose of use; repeatable; else any.")
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--type", metavar="CODE", help="Resource type; repeatable; else any.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="Security label; repeatable; else any.")
    ] = None,
    duo: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="GA4GH Data Use Ontology, as DUO:0000042 or DUO:0000007=MONDO:0004992; repeatable; instead of --purpose."),
    ] = None,
    deny: Annotated[
        bool, typer.Option("--deny", help="Forbid what is named, instead of permitting it.")
    ] = False,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Valid from; else now.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Valid until, exclusive; else without end.")
    ] = None,
    supersedes: Annotated[
        list[str] | None,
        typer.Option(metavar="CONSENT", help="A consent that this one replaces; repeatable."),
    ] = None,
    evidence: Annotated[
        str | None, typer.Option(help="Where the signed paper lies, without patient data.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A directive as JSON instead of the options above, as /docs shows it.")
    ] = None,
    key: Key = None,
    replicated: Replicated = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a consent on record."""
    from medsync_client.consents import DirectiveText, Grant

    rule = {
        "effect": "deny" if deny else "permit",
        "actors": None if to is None else [{"member": member} for member in to],
        "purposes": purpose, "types": kind, "labels": label, "duo": duo,
    }  # fmt: skip
    fields = {
        "rules": [rule], "valid_from": millis(since), "until": millis(until), "supersedes": supersedes or [],
        "evidence": evidence,
    }  # fmt: skip
    text = _validated(DirectiveText, {**(fields if file is None else _read_json(file)), "subject": subject})
    with node(home) as client:
        body = Grant(attest=text) if key is None else _sign_grant(client, context, text, key)
        done = client.grant(context, body, "replicated" if replicated else "local")
    show(done, [f"consent {done.id}", f"{done.state}, operation {done.op}"], as_json=as_json)


def _read_json(file: Path) -> dict[str, Any]:
    import json

    try:
        fields = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} holds no JSON that can be read") from error
    if not isinstance(fields, dict):
        raise typer.BadParameter(f"{file} holds no directive")
    return fields


def _validated(model: type[DirectiveText], fields: dict[str, Any]) -> DirectiveText:
    from pydantic import ValidationError

    from medsync_client.wire import in_words

    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{where}: {in_words(first['msg'])}") from error


def _signing(found: Subject, key: Path) -> Signing:
    from medsync_client.documents import Signing
    from medsync_node import patient_key
    from medsync_protocol.directive import Basis
    from medsync_protocol.ids import ContextId, Instant, NetworkId, SubjectRef

    held = patient_key.read(key)
    return Signing(
        network=NetworkId(bytes.fromhex(found.network)), context=ContextId(bytes.fromhex(found.context)),
        subject=SubjectRef(bytes.fromhex(found.subject)), signer=held.public, seed=held.seed,
        basis=Basis.PATIENT_SIGNED, now=Instant(time.time_ns() // 1_000_000), salt=os.urandom(16),
    )  # fmt: skip


def _sign_grant(client: BlockingClient, context: str, text: DirectiveText, key: Path) -> Any:
    from medsync_client.consents import Grant, SignedDocument
    from medsync_client.documents import signed_directive

    found = client.subject(context, text.subject)
    place = _signing(found, key)
    number = next((k.next_number for k in found.keys if k.key == place.signer.hex()), 1)
    signed = signed_directive(text, place, number, _finder(client, context))
    return Grant(signed=SignedDocument(document=signed.document.hex(), signature=signed.signature.hex()))


def _finder(client: BlockingClient, context: str) -> FindMember:
    from medsync_protocol.errors import Refused
    from medsync_protocol.ids import MemberId

    def find(named: str) -> MemberId:
        members = client.context_members(context).members
        found = [
            m.id for m in members if named in (m.id, m.name) or (len(named) >= 8 and m.id.startswith(named))
        ]
        if len(found) != 1:
            hint = nearest(named, (m.name for m in members)) if not found else "give the whole id"
            raise Refused(
                f"{len(found) or 'no'} member{'s are' if found else ' is'} called {named!r} here", code="unknown_member",
                advice="; ".join(filter(None, [hint, f"see `medsync member list --context {context}`"])),
            )  # fmt: skip
        return MemberId(bytes.fromhex(found[0]))

    return find


@app.command(
    epilog=examples(
        "consent revoke trial 51cf… 8d00… --key anna.key",
        "consent revoke trial 51cf… --all --key anna.key --wait",
    )
)
def revoke(
    context: ContextName,
    subject: SubjectName,
    consent: Annotated[
        list[str] | None, typer.Argument(metavar="[CONSENT]...", help="Ids of the consents to take back.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All consents that this key signed so far, seen here or not.")
    ] = False,
    key: Key = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Answer once a majority of the subject's homes hold it.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take consents back: it binds at once where it is made, and everywhere once it is effective."""
    from medsync_client.consents import RevocationText, Revoke, SignedDocument
    from medsync_client.documents import signed_revocation

    if bool(consent) == everything:
        raise typer.BadParameter("name the consents to take back, or say --all")
    shortened = [one for one in consent or () if len(one) != 64]
    if shortened:
        raise typer.BadParameter(
            f"{shortened[0]!r}: give the consent's whole id, 64 hex digits, as `medsync consent list {context} SUBJECT --json` "
            "prints it; or say --all"
        )
    if everything and key is None:
        raise typer.BadParameter("--all takes back what one key signed: name it with --key")
    with node(home) as client:
        if key is None:
            body = Revoke(attest=RevocationText(subject=subject, targets=tuple(consent or ())))
        else:
            found = client.subject(context, subject)
            place = _signing(found, key)
            signer = place.signer.hex()
            number = next((k.next_number for k in found.keys if k.key == signer), 1)
            text = RevocationText(
                subject=subject, targets=tuple(consent or ()), series=signer if everything else None,
                all_before=max(number - 1, 1) if everything else 0,
            )  # fmt: skip
            signed = signed_revocation(text, place)
            document = SignedDocument(document=signed.document.hex(), signature=signed.signature.hex())
            body = Revoke(signed=document)
        done = client.revoke(context, body, wait)
    show(done, [f"revocation {done.id}", f"{done.state}, operation {done.op}"], as_json=as_json)


@app.command("list", epilog=examples("consent list trial 51cf…"))
def list_consents(
    context: ContextName, subject: SubjectName, home: Home = None, as_json: Json = False
) -> None:
    """List what is on record for a subject, linked pseudonyms included: to whom, for what, which data, and whether it counts."""
    with node(home) as client:
        found = client.consents(context, subject)
        names = {} if as_json else _names(client, context)
    show(found, listed(found.consents, names), as_json=as_json)


def _names(client: BlockingClient, context: str) -> dict[str, str]:
    return {one.id: one.name for one in client.context_members(context).members}


def listed(found: Sequence[Consent], names: Mapping[str, str]) -> Iterator[str]:
    """A consent a paragraph: id, whether it counts, until when, and what it says. `names` by member id."""
    if not found:
        yield "no consent is on record for this subject"
    for one in found:
        until = "no end" if one.until is None else f"until {moment(one.until)}"
        state = " (not at most homes yet)" if one.state == "recorded" else ""
        yield f"{one.id}  {standing(one.status, one.reason)}{state}; {one.basis}; from {moment(one.valid_from)}, {until}"
        yield from (f"    {line}" for line in _says(one, names))


def _says(one: Consent, names: Mapping[str, str]) -> Iterator[str]:
    """To whom, for which purposes and which data: a sentence a rule."""
    yield from (f"{sentence(rule, names)}." for rule in one.rules)
    if one.base is not None:
        yield f"All else is {'permitted' if one.base == 'permit' else 'denied'}."


@app.command("show", epilog=examples("consent show trial 8d00… --json"))
def show_consent(
    context: ContextName, consent: ConsentName, home: Home = None, as_json: Json = False
) -> None:
    """Show one consent in full."""
    with node(home) as client:
        found = client.consent(context, consent)
        names = {} if as_json else _names(client, context)
    show(found, _lines(found, names), as_json=as_json)


def _lines(c: Consent, names: Mapping[str, str]) -> Iterator[str]:
    yield f"consent {c.id}, number {c.number} of key {c.signer[:16]}, {c.basis}, {standing(c.status, c.reason)}"
    yield f"valid {moment(c.valid_from)} to {'no end' if c.until is None else moment(c.until)}, signed {moment(c.signed_at)}"
    yield from _says(c, names)
    if c.reason and c.status != "not-counted":
        yield f"its permits do not count: {c.reason}"


@app.command(epilog=examples("consent summary trial 8d00… > consent.jsonld"))
def summary(context: ContextName, consent: ConsentName, home: Home = None, as_json: Json = False) -> None:
    """Print a consent as JSON-LD, in the style of ISO/IEC TS 27560 with terms of the W3C Data Privacy Vocabulary."""
    import json

    with node(home) as client:
        found = client.summarise_consent(context, consent)
    show(found, [json.dumps(found.record, indent=2, ensure_ascii=False)], as_json=as_json)


@app.command(epilog=examples("consent verify trial 8d00…"))
def verify(context: ContextName, consent: ConsentName, home: Home = None, as_json: Json = False) -> None:
    """Check a consent's signature, authority, validity and standing; exit code 3 when it does not hold."""
    with node(home) as client:
        found = client.verify_consent(context, consent)
    lines = [f"{'holds ' if ok else 'FAILED'} {name}" for name, ok in found.checks.items()]
    show(found.model_dump(mode="json"), lines, as_json=as_json)
    if not found.ok:
        raise typer.Exit(ExitCode.DENIED)
