"""`medsync subject`: pseudonyms of patients, links between them, and patients' keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsync_node.commands import subject_move
from medsync_node.commands.options import ContextName, Home, Json, Replicated, examples, node
from medsync_node.commands.output import show, table

if TYPE_CHECKING:
    from medsync_client.erasures import Erasure
    from medsync_client.subjects import Subject

app = typer.Typer(no_args_is_help=True, help="Enrol, show, link and move subjects; make patients' keys.")
key_app = typer.Typer(no_args_is_help=True, help="Make a patient's key, or change the keys of a record.")
app.add_typer(key_app, name="key")
subject_move.register(app)

SubjectName = Annotated[str, typer.Argument(metavar="SUBJECT", help="Pseudonym or card.")]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--key", metavar="FILE", help="The patient's key file; repeatable. Only the public key is sent."
    ),
]
PublicKeys = Annotated[
    list[str] | None, typer.Option("--public-key", metavar="HEX", help="A patient's public key; repeatable.")
]


def _public_keys(files: list[Path] | None, given: list[str] | None) -> tuple[str, ...]:
    from medsync_node import patient_key

    return tuple(sorted({patient_key.read(path).public.hex() for path in files or ()} | set(given or ())))


@app.command(
    epilog=examples("subject enrol trial --key anna.key", "subject enrol trial --home-of south --json")
)
def enrol(
    context: ContextName,
    key: Keys = None,
    public_key: PublicKeys = None,
    delegate_key: Annotated[
        list[str] | None, typer.Option(metavar="HEX", help="A delegate's public key; repeatable.")
    ] = None,
    home_of: Annotated[
        list[str] | None,
        typer.Option("--home-of", metavar="MEMBER", help="A home of the subject's consents, up to three."),
    ] = None,
    custodian: Annotated[
        list[str] | None, typer.Option(metavar="MEMBER", help="A custodian besides this member; repeatable.")
    ] = None,
    replicated: Replicated = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Enrol a subject with a new pseudonym, and print the card that the patient carries elsewhere."""
    from medsync_client.subjects import SubjectEnrol

    body = SubjectEnrol(
        custodians=tuple(custodian or ()), homes=tuple(home_of or ()), patient_keys=_public_keys(key, public_key),
        delegate_keys=tuple(delegate_key or ()),
    )  # fmt: skip
    with node(home) as client:
        made = client.enrol_subject(context, body, "replicated" if replicated else "local")
    show(made, _lines(made), as_json=as_json)


@app.command("show", epilog=examples("subject show trial medsync-card:ASk…"))
def show_subject(
    context: ContextName, subject: SubjectName, home: Home = None, as_json: Json = False
) -> None:
    """Show a subject's record: homes, custodians, keys, links."""
    with node(home) as client:
        found = client.subject(context, subject)
    show(found, _lines(found), as_json=as_json)


@app.command("list", epilog=examples("subject list trial", "subject list trial --begins 51c --everyone --json"))
def list_subjects(
    context: ContextName,
    begins: Annotated[str, typer.Option(metavar="DIGITS", help="First digits of the pseudonym.")] = "",
    everyone: Annotated[bool, typer.Option("--everyone", help="Those of other custodians, too.")] = False,
    after: Annotated[str | None, typer.Option(metavar="PSEUDONYM", help="Go on after this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="As many at most.")] = 50,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List subjects that this node's member is a custodian or home of, by pseudonym."""
    with node(home) as client:
        found = client.subjects(context, begins, everyone=everyone, after=after, limit=limit)
    rows = [[one.subject, one.consents, len(one.custodians), len(one.homes), one.pseudonyms] for one in found.subjects]
    lines = table(["subject", "consents in force", "custodians", "homes", "pseudonyms"], rows)
    show(found, [*lines, *([f"more with --after {found.next}"] if found.next else [])], as_json=as_json)


@app.command(
    epilog=examples(
        "subject link trial 51cf… medsync-card:ASk…", "subject link trial 51cf… 90ab… --key anna.key"
    )
)
def link(
    context: ContextName,
    subject: SubjectName,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Pseudonym or card of the same patient.")],
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="Sign by the patient's key, here; else by this custodian."
        ),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Say that two pseudonyms are one patient's: decisions then look at both."""
    from medsync_client.subjects import SubjectLink
    from medsync_node import patient_key
    from medsync_protocol.ids import ContextId, NetworkId, SubjectRef
    from medsync_protocol.subject import make_link

    with node(home) as client:
        one, two = client.subject(context, subject), client.subject(context, other)
        body = SubjectLink(other=two.subject)
        if key is not None:
            held = patient_key.read(key)
            pair = SubjectRef(bytes.fromhex(one.subject)), SubjectRef(bytes.fromhex(two.subject))
            made = make_link(
                NetworkId(bytes.fromhex(one.network)), ContextId(bytes.fromhex(one.context)), pair,
                signer=held.public, seed=held.seed,
            )  # fmt: skip
            body = SubjectLink(other=two.subject, signer=made.signer.hex(), signature=made.signature.hex())
        linked = client.link_subject(context, one.subject, body)
    show(linked, _lines(linked), as_json=as_json)


def _called(s: Subject, member: str) -> str:
    name = s.names.get(member)
    return member if name is None else f"{name} ({member[:16]})"


def _lines(s: Subject) -> Iterator[str]:
    yield f"subject {s.subject}, revision {s.revision}"
    yield f"card {s.card}"
    yield from (f"home {_called(s, member)}" for member in s.homes)
    yield from (f"custodian {_called(s, member)}" for member in s.custodians)
    yield from (f"linked {other}" for other in s.linked)
    if s.keys:
        yield from table(["key", "of", "next number"], [[k.key, k.kind, k.next_number] for k in s.keys])


@key_app.command("new", epilog=examples("subject key new anna.key"))
def new_key(
    file: Annotated[Path, typer.Argument(help="Where to put it (mode 0600); must not exist.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a patient's signing key. It stays in this file: no daemon ever sees it."""
    from medsync_node import patient_key

    made = patient_key.create(file)
    public = made.public.hex()
    show({"file": str(file), "public_key": public}, [f"public key {public}", f"in {file}"], as_json=as_json)


@app.command(epilog=examples("subject erase trial 51cf… --key anna.key", "subject erase trial 51cf…"))
def erase(
    context: ContextName,
    subject: SubjectName,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Sign by this patient's key, here; else as a custodian.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Order a subject's erasure: one key of its record suffices, or two custodians. It hides at once."""
    from medsync_client.erasures import OrderSigned

    with node(home) as client:
        body = OrderSigned()
        if key is not None:
            body = OrderSigned.model_validate(_signed_order(client.subject(context, subject), key))
        found = client.order_erasure(context, subject, body)
    show(found, _erasure_lines(found), as_json=as_json)


def _signed_order(one: Subject, key: Path) -> dict[str, str]:
    import os
    import time

    from medsync_node import patient_key
    from medsync_protocol.erasure import EraseOrder, sign_order
    from medsync_protocol.ids import ContextId, Instant, NetworkId, SubjectRef

    held = patient_key.read(key)
    order = EraseOrder(
        network=NetworkId(bytes.fromhex(one.network)), context=ContextId(bytes.fromhex(one.context)),
        subject=SubjectRef(bytes.fromhex(one.subject)), signer=held.public,
        signed_at=Instant(time.time_ns() // 1_000_000), salt=os.urandom(16),
    )  # fmt: skip
    signed = sign_order(order, held.seed)
    return {"document": signed.document.hex(), "signature": signed.signature.hex()}


@app.command(epilog=examples("subject erasure trial 51cf… --json"))
def erasure(context: ContextName, subject: SubjectName, home: Home = None, as_json: Json = False) -> None:
    """Show how far a subject's erasure is, and what holds it up."""
    with node(home) as client:
        found = client.erasure(context, subject)
    show(found, _erasure_lines(found), as_json=as_json)


@app.command(epilog=examples("subject hold trial 51cf… --reason 'case 12/3'", "subject hold trial 51cf… --release 3fa4…"))
def hold(
    context: ContextName,
    subject: SubjectName,
    reason: Annotated[str, typer.Option(help="A file number; every member reads it.")] = "",
    release: Annotated[str | None, typer.Option(metavar="HOLD", help="End this hold of this member's.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Hold a record back from erasure, as a custodian, until this member releases it."""
    from medsync_client.erasures import HoldSet

    with node(home) as client:
        found = client.hold_subject(context, subject, HoldSet(reason=reason, releases=release))
    show(found, _erasure_lines(found), as_json=as_json)


def _erasure_lines(found: Erasure) -> Iterator[str]:
    yield f"ordered {'yes' if found.ordered else 'no'}, destroyed here {'yes' if found.destroyed else 'no'}"
    yield f"{found.attested} of {found.members} members attested it"
    for one in found.holds:
        yield f"held by {one.custodian}: {one.reason or '-'} ({one.id})"


@key_app.command("change", epilog=examples("subject key change trial 51cf… --key new.key --drop 03fe…"))
def change_keys(
    context: ContextName,
    subject: SubjectName,
    key: Keys = None,
    public_key: PublicKeys = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="HEX", help="Take this public key out; repeatable.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a new revision of the record with other patient keys, as a custodian."""
    from medsync_client.subjects import SubjectKeys

    body = SubjectKeys(add_patient=_public_keys(key, public_key), drop=tuple(drop or ()))
    with node(home) as client:
        changed = client.change_keys(context, subject, body)
    show(changed, _lines(changed), as_json=as_json)


@app.command(epilog=examples("subject export trial 51cf… --to anna.ndjson"))
def export(
    context: ContextName,
    subject: SubjectName,
    to: Annotated[Path, typer.Option(help="Write to this file, mode 0600.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write everything that this member holds of a subject, a JSON object a line. That you looked is logged."""
    with node(home) as client, client.export_subject(context, subject) as lines:
        to.touch(mode=0o600)
        count = 0
        with to.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(f"{line}\n")
                count += 1
    show({"file": str(to), "lines": count}, [f"{count} lines in {to}"], as_json=as_json)
