"""`medsync receipt`: re-compute a receipt bit for bit, as the one who was given it or as a party of the access."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import moment, show

app = typer.Typer(no_args_is_help=True, help="Check receipts of decisions.")
_HEX = re.compile(r"[0-9a-f]+")


@app.callback()
def main() -> None:
    """Check receipts of decisions."""


@app.command(
    epilog=examples(
        "access request trial 51cf… --purpose TREAT --json | jq -r .receipt > answer.receipt",
        "receipt verify trial answer.receipt",
        "receipt verify trial - --json",
    )
)
def verify(
    context: ContextName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The receipt in hex, as it was given out; - for stdin.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Decide again on the inputs that a receipt names; exit code 1 unless it matches bit for bit.

    Once the subject is erased, all that can be said is `signature valid, inputs erased`: a status of its own, exit code 0.
    """
    from medsync_client.receipts import ReceiptPayload

    try:
        text = "".join((sys.stdin.read() if str(file) == "-" else file.read_text("ascii")).split())
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} can't be read as hex") from error
    if not _HEX.fullmatch(text):
        raise typer.BadParameter(f"{file} holds no receipt in hex")
    with node(home) as client:
        found = client.verify_receipt(context, ReceiptPayload(receipt=text))
    claim = "" if found.ok else "it says, unproven: "
    lines = [found.outcome, f"{claim}{found.answer} by {found.custodian_name or found.custodian[:16]} at {moment(found.time)}", f"receipt {found.id}"]
    if found.signer_is_custodian is False:
        lines.append("its signer is no custodian of the subject today")
    show({**found.model_dump(mode="json"), "ok": found.ok}, lines, as_json=as_json)
    if not found.ok:
        raise typer.Exit(ExitCode.FAILURE)
