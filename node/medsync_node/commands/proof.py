"""`medsync proof`: write a small proof about a directive, an operation or a checkpoint, and check one without a node."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import show

if TYPE_CHECKING:
    from medsync_client.proofs import Proof
    from medsync_node.verify.proof import Checked

app = typer.Typer(no_args_is_help=True, help="Prove one thing to a stranger, or check such a proof.")

To = Annotated[Path | None, typer.Option(metavar="FILE", help="Write to this file, which is meant to be given away: others may read it as the umask allows; else to stdout.")]


def _write(proof: Proof, to: Path | None, as_json: bool) -> None:
    text = json.dumps(proof.model_dump(mode="json", exclude_none=True), indent=1) + "\n"
    if to is None:
        sys.stdout.write(text)
        return
    to.write_text(text, encoding="utf-8")
    fields = {"file": str(to), "kind": proof.kind, "address": proof.address, "k": proof.statement.k}
    show(fields, [f"{to}: {proof.kind}, checkpoint {proof.statement.k} of {proof.address}"], as_json=as_json)


def _require_file(to: Path | None, as_json: bool) -> None:
    if to is None and as_json:
        raise typer.BadParameter("a proof is JSON by itself: name a file with --to, or leave --json out")


@app.command(epilog=examples("proof consent trial 3f…c1 --to consent.json"))
def consent(
    context: ContextName,
    directive: Annotated[str, typer.Argument(metavar="DIRECTIVE", help="The directive's whole id.")],
    to: To = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Status and validity of a directive under the newest accepted checkpoint, or that it is not there."""
    _require_file(to, as_json)
    with node(home) as client:
        _write(client.prove_consent(context, directive), to, as_json)


@app.command(epilog=examples("proof entry trial 90…4e --to entry.json"))
def entry(
    context: ContextName,
    operation: Annotated[str, typer.Argument(metavar="OPERATION", help="The operation's whole id.")],
    to: To = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """That an operation, with the entries in it, stands in the log of the newest accepted checkpoint."""
    _require_file(to, as_json)
    with node(home) as client:
        _write(client.prove_entry(context, operation), to, as_json)


@app.command(epilog=examples("proof checkpoint trial 12 --to checkpoint.json", "proof checkpoint trial --k 12 --to checkpoint.json"))
def checkpoint(
    context: ContextName,
    which: Annotated[int | None, typer.Argument(metavar="[K]", min=1, help="Which; else the newest accepted one.")] = None,
    k: Annotated[int | None, typer.Option(min=1, help="The same as an option.")] = None,
    to: To = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Who signed a checkpoint: the statement with its member list and votes."""
    if None not in (which, k) and which != k:
        raise typer.BadParameter(f"which checkpoint: {which} or {k}? Give one of K and --k")
    _require_file(to, as_json)
    with node(home) as client:
        _write(client.prove_checkpoint(context, k if which is None else which), to, as_json)


@app.command(epilog=examples("proof check consent.json --rpc http://127.0.0.1:5050"))
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    rpc: Annotated[
        list[str], typer.Option(metavar="URL", help="A Starknet JSON-RPC node; give two to compare them.")
    ],
    address: Annotated[
        str | None, typer.Option(help="The context's address, from a source you trust; compared.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Re-check a proof against the chain, asking no MedSync node; exit code 1 if anything does not hold.

    A checkpoint says what a quorum signed; inclusion in the chain is the word of the node asked: ask two.
    """
    import httpx

    from medsync_node.verify.proof import MAX_FILE, check_proof, read_proof
    from medsync_protocol.address import parse_address

    with file.open(encoding="utf-8", errors="replace") as opened:
        proof = read_proof(opened.read(MAX_FILE + 1))
    with httpx.Client() as http:
        found = check_proof(proof, rpc, http)
    if address is not None:
        same = parse_address(address) == found.address
        found.report.check("address", same, "the proof is about another context than the one named")
    show(_fields(found), _lines(found), as_json=as_json)
    if not found.report.ok:
        raise typer.Exit(ExitCode.FAILURE)


def _fields(found: Checked) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ok": found.report.ok, "kind": found.proof.kind, "address": str(found.address), "k": found.statement.k,
        "newest": found.newest, "block": found.block, "checks": found.report.checks,
        "problems": found.report.problems,
    }  # fmt: skip
    if found.proof.consent is not None:
        state = found.consent
        fields["consent"] = {
            "directive": found.proof.consent.directive, "present": state is not None,
            "status": None if state is None else state.status.name.lower(),
            "valid_from": None if state is None else state.valid_from,
            "until": None if state is None else state.until,
        }  # fmt: skip
    if found.proof.entry is not None:
        verdict = None if found.verdict is None else found.verdict.name.lower()
        fields["entry"] = {"operation": found.proof.entry.operation, "verdict": verdict}
    return fields


def _lines(found: Checked) -> Iterator[str]:
    yield from found.report.lines()
    if not found.report.ok:
        return
    place = f"checkpoint {found.statement.k}, {'the newest' if found.newest else 'not the newest any more'}"
    if found.proof.entry is not None and found.verdict is not None:
        yield f"the operation is in the log of {place}, with the verdict {found.verdict.name.lower()}"
    elif found.proof.consent is None:
        yield f"{place}: signed by a quorum of its members"
    elif found.consent is None:
        yield f"the directive is not under {place}"
    else:
        until = "without end" if found.consent.until is None else f"until {_time(found.consent.until)}"
        since = _time(found.consent.valid_from)
        yield f"the directive is {found.consent.status.name.lower()} under {place}: from {since}, {until}"


def _time(millis: int) -> str:
    try:
        return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{millis} ms"
