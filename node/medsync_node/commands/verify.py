"""`medsync verify`: an auditor re-checks a context from chain data and an export, trusting no node of the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import Json, examples
from medsync_node.commands.output import progress, show

if TYPE_CHECKING:
    from medsync_node.verify.audit import Audit
    from medsync_protocol.address import ChainAddress

app = typer.Typer(help="Check a context against the chain, and an export against it.")


@app.command(
    epilog=examples(
        "verify --rpc http://127.0.0.1:5050 starknet:MEDSYNC_LOCAL/0x5a…/0x31…",
        "verify --rpc URL --rpc OTHER-URL starknet:SN_MAIN/0x5a…/0x31… --export trial.ndjson --json",
    )
)
def verify(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="starknet:CHAIN/CONTRACT/CONTEXT")],
    rpc: Annotated[
        list[str], typer.Option(metavar="URL", help="A Starknet JSON-RPC node; give two to compare them.")
    ],
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="From `audit export`; .gz is read too."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Re-check every digest, link, member list, signature and proof; exit code 1 if anything does not hold.

    Inclusion in the chain is the word of the node asked: ask two. A checkpoint says what a quorum signed.
    """
    import httpx

    from medsync_node.verify.audit import audit
    from medsync_node.verify.export_format import lines_of, open_export

    with ExitStack() as stack:
        lines = None if export is None else lines_of(stack.enter_context(open_export(export)))
        http = stack.enter_context(httpx.Client())
        found = audit(_parsed(address), rpc, http, lines, progress)
    show(_fields(address, rpc, found), _lines(found), as_json=as_json)
    if not found.report.ok:
        raise typer.Exit(ExitCode.FAILURE)


def _parsed(text: str) -> ChainAddress:
    from medsync_protocol.address import parse_address
    from medsync_protocol.errors import Malformed

    try:
        return parse_address(text)
    except Malformed as error:
        raise typer.BadParameter(f"{error}. Copy it from `medsync context show`") from error


def _fields(address: str, urls: list[str], found: Audit) -> dict[str, Any]:
    export = found.export
    return {
        "ok": found.report.ok, "address": address, "rpc": urls, "block": found.facts.block,
        "k": found.facts.head[0], "digest": hex(found.facts.head[1]), "checks": found.report.checks,
        "problems": found.report.problems,
        "transactions": [hex(transaction) for transaction in found.judged.transactions],
        "export": None if export is None else {
            "operations": export.operations, "entries": export.entries, "checkpoints": export.checkpoints
        },
    }  # fmt: skip


def _lines(found: Audit) -> Iterator[str]:
    yield from found.report.lines()
    if not found.judged.statements:
        yield "nothing more was looked at: check the address and --rpc"
        return
    yield f"k = {found.facts.head[0]} at block {found.facts.block}, digest {found.facts.head[1]:#066x}"
    if found.export is not None:
        one = found.export
        yield f"the export holds {one.operations} operations and reaches k = {one.checkpoints}"
