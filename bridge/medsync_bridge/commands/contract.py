"""`medsync contract`: put the anchor on a chain, and a context on the anchor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from medsync_bridge.commands import options
from medsync_bridge.commands.output import hexed, progress, show
from medsync_bridge.commands.paying import ACCOUNT_EXAMPLE, paying
from medsync_bridge.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Put the anchor on a chain, and a context on the anchor.")

DAY: Final = 86_400  # seconds


@app.command(epilog=options.examples(f"contract declare {ACCOUNT_EXAMPLE}"))
@paying
def declare(*, settings: Settings, as_json: bool) -> None:
    """Declare the anchor's class, once on every chain. Repeating it costs nothing."""
    import trio

    from medsync_bridge import anchoring

    done = trio.run(anchoring.declare, settings, _teller(as_json))
    show(
        {"class_hash": hexed(done.class_hash), "transaction": hexed(done.transaction)},
        [f"class {hexed(done.class_hash)}", _how(done.transaction, "was declared already")],
        as_json=as_json,
    )


@app.command(epilog=options.examples(f"contract deploy {ACCOUNT_EXAMPLE}", "contract deploy --salt 2 --json"))
@paying
def deploy(
    salt: Annotated[int, typer.Option("--salt", min=0, help="Another number makes another contract.")] = 0,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Deploy an anchor. One serves any number of contexts, and nobody owns it."""
    import trio

    from medsync_bridge import anchoring

    done = trio.run(anchoring.deploy, settings, salt, _teller(as_json))
    show(
        {
            "contract": hexed(done.contract), "class_hash": hexed(done.class_hash),
            "transaction": hexed(done.transaction),
        },
        [f"contract {hexed(done.contract)}", _how(done.transaction, "stood there already")],
        as_json=as_json,
    )  # fmt: skip


@app.command(epilog=options.examples(f"contract register trial --contract 0x5c1… --home north {ACCOUNT_EXAMPLE}"))
@paying
def register(
    context: Annotated[str, typer.Argument(metavar="CONTEXT", help="Name or id of the context.")],
    contract: Annotated[str, typer.Option("--contract", metavar="ADDRESS", help="The anchor's address.")],
    home: options.Home = None,
    recovery_days: Annotated[
        int, typer.Option("--recovery-days", min=14, max=365, help="How long a recovery of the voters waits.")
    ] = 30,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Open a context on the anchor: its founder's node signs, the account pays, every member learns the address."""
    import trio

    from medsync_bridge import anchoring

    done = trio.run(
        anchoring.register, settings, options.node_of(home), context, options.felt(contract, "--contract"),
        recovery_days * DAY, _teller(as_json),
    )  # fmt: skip
    show(
        {**done.info.model_dump(mode="json"), "transaction": hexed(done.transaction)},
        [
            f"address {done.info.address}", _how(done.transaction, "was open already"),
            "Now `medsync bridge run` posts what the voters sign, within a minute of something new; watch it come:",
            f"  medsync context checkpoints {context} --wait accepted",
        ],
        as_json=as_json,
    )


def _teller(as_json: bool) -> Callable[[str], None]:
    return lambda text: progress(text, as_json=as_json)


def _how(transaction: int | None, otherwise: str) -> str:
    return otherwise if transaction is None else f"transaction {hexed(transaction)}"
