"""`medsync chain`: the embedded Starknet on the command line. Everything heavy is imported when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from medsync_chain.running import Started

__all__ = ["app"]

HONEST = (
    "This is an embedded Starknet for development: one sequencer on this machine that executes real compiled "
    "contracts. It proves nothing, settles nowhere, and its keys are public: never send value to these addresses."
)
app = typer.Typer(
    no_args_is_help=True, help="The embedded Starknet: real contract code, no proofs, one sequencer."
)


@app.callback()
def chain() -> None:
    """The embedded Starknet: real contract code, no proofs, one sequencer."""


@app.command(
    epilog="Examples:\n\n  medsync chain run\n\n  medsync chain run --db chain.sqlite --port 0 --json\n\n"
    "  medsync chain run --block-time 2 --classes contracts/compiled"
)
def run(
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than loopback are at your own risk.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65_535)] = 5050,
    db: Annotated[
        Path | None, typer.Option(help="Keep the chain in this file; without it, in memory.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed, the same accounts.", min=0)] = None,
    accounts: Annotated[
        int, typer.Option(help="How many funded accounts a new chain has.", min=1, max=1_000)
    ] = 10,
    block_time: Annotated[
        float | None,
        typer.Option(
            help="Seal a block every so many seconds, 0 only on demand; by default after each transaction."
        ),
    ] = None,
    classes: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder with NAME.sierra.json and NAME.casm.json that may be declared.", exists=True
        ),
    ] = None,
    sierra_compiler: Annotated[
        Path | None,
        typer.Option(help="Compiles other declared classes; by default starknet-sierra-compile on PATH."),
    ] = None,
    knobs: Annotated[bool, typer.Option(help="Serve devnet_* and medsync_* methods.")] = True,
    ready_fd: Annotated[int | None, typer.Option(help="Write a line to this descriptor once ready.")] = None,
    exit_on_eof: Annotated[bool, typer.Option("--exit-on-eof", help="Stop when stdin ends.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Describe the chain as one JSON object on stdout.")
    ] = False,
) -> None:
    """Run a chain until Ctrl-C and serve JSON-RPC 0.10.2; `ready` is the last line of its start."""
    import trio

    from medsync_chain.running import Options
    from medsync_chain.running import run as run_chain
    from medsync_chain.store import StoreProblem

    options = Options(
        host=host,
        port=port,
        db=db,
        seed=seed,
        accounts=accounts,
        block_seconds=block_time,
        classes=tuple(classes or ()),
        compiler=sierra_compiler,
        knobs=knobs,
        ready_fd=ready_fd,
        exit_on_eof=exit_on_eof,
    )
    try:
        trio.run(run_chain, options, _announce_json if as_json else _announce)
    except StoreProblem as problem:
        _fail("store_problem", str(problem), problem.advice, as_json)
    except OSError as error:
        where = f"{host}:{port}"
        _fail("cannot_listen", f"{where}: {error.strerror or error}", "choose another --port, or 0", as_json)


def _description(started: Started) -> dict[str, Any]:
    from medsync_chain.genesis import DEPLOYER
    from medsync_chain.running import chain_name
    from medsync_chain.token import FEE_TOKEN

    chain = started.chain
    return {
        "url": started.url,
        "chain_id": chain_name(chain),
        "block": chain.history.latest.number,
        "seed": chain.genesis.seed,
        "fee_token": f"{FEE_TOKEN:#066x}",
        "deployer": f"{DEPLOYER:#066x}",
        "account_class": f"{chain.account_class:#066x}",
        "accounts": [
            {
                "address": f"{account.address:#066x}",
                "private_key": f"{account.private_key:#066x}",
                "public_key": f"{account.public_key:#066x}",
                "initial_balance": str(account.balance),
            }
            for account in chain.genesis.predeployed(chain.account_class)
        ],
        "about": HONEST,
    }


def _announce_json(started: Started) -> None:
    typer.echo(json.dumps(_description(started)))
    typer.echo("ready", err=True)


def _announce(started: Started) -> None:
    about = _description(started)
    for label, value in (
        ("Predeployed FeeToken", ""),
        ("ERC20 STRK Address", about["fee_token"]),
        ("Predeployed UDC", ""),
        ("Address", about["deployer"]),
        ("Chain ID", f"{about['chain_id']} ({started.chain.chain_id:#x})"),
    ):
        typer.echo(f"{label}: {value}" if value else label)
    for account in about["accounts"]:
        typer.echo("")
        typer.echo(f"| Account address |  {account['address']}")
        typer.echo(f"| Private key     |  {account['private_key']}")
        typer.echo(f"| Public key      |  {account['public_key']}")
    balance = about["accounts"][0]["initial_balance"]
    typer.echo(
        f"\nPredeployed accounts using class with hash: {about['account_class']}\n"
        f"Initial balance of each account: {balance} FRI\nSeed to replicate this account sequence: {about['seed']}\n"
        f"\n{HONEST}\n\nBlock {about['block']}; listening on {about['url']}\nready"
    )


def _fail(code: str, message: str, advice: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": {"code": code, "message": message, "advice": advice}}))
    else:
        typer.echo(f"{message}\n{advice}", err=True)
    raise typer.Exit(1)
