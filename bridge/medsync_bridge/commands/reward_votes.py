"""`medsync reward pool vote|veto|sweep`: what voters decide about a pool, beyond the checkpoints they sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medsync_bridge.commands import options
from medsync_bridge.commands.output import hexed, progress, show
from medsync_bridge.commands.paying import ACCOUNT_EXAMPLE, paying
from medsync_bridge.settings import Settings

Contract = Annotated[
    str, typer.Option("--contract", metavar="ADDRESS", help="The reward pool contract's address.")
]
PoolName = Annotated[str, typer.Argument(metavar="POOL", help="The pool's name, as `create` printed it.")]
Context = Annotated[str, typer.Argument(metavar="CONTEXT", help="Name or id of the context on the node.")]
To = Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Who receives it.")]
Amount = Annotated[
    int, typer.Option("--amount", min=1, max=2**128 - 1, help="How much, in the token's smallest unit.")
]
Votes = Annotated[
    list[Path],
    typer.Option("--vote", metavar="FILE", exists=True, dir_okay=False, help="What a voter's `vote --json` printed."),
]  # fmt: skip

VOTE_EXAMPLE = "reward pool vote 0x2f… trial --contract 0x7a… --rpc URL --json > north.json"
VETO_EXAMPLE = f"reward pool veto 0x2f… trial --contract 0x7a… --vote north.json --vote south.json {ACCOUNT_EXAMPLE}"
SWEEP_EXAMPLE = f"reward pool sweep 0x2f… trial --contract 0x7a… --to 0x9b… --amount 500 --vote north.json {ACCOUNT_EXAMPLE}"


def vote(
    pool: PoolName,
    context: Context,
    contract: Contract,
    rpc: options.Rpc,
    sweep_to: Annotated[
        str | None, typer.Option("--sweep-to", metavar="ADDRESS", help="For a sweep to this address, not a veto.")
    ] = None,
    amount: Annotated[int | None, typer.Option("--amount", min=1, max=2**128 - 1, help="Of the sweep.")] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Have the node sign, as its member, against the root that waits in a pool; or for a sweep. Costs nothing."""
    import trio

    from medsync_bridge import pool_votes
    from medsync_bridge.pool_tasks import PoolAddress

    at = PoolAddress(contract=options.felt(contract, "--contract"), pool=options.felt(pool, "POOL"))
    if (sweep_to is None) != (amount is None):
        raise typer.BadParameter("a sweep takes --sweep-to and --amount")
    if sweep_to is None or amount is None:
        found = trio.run(pool_votes.vote_against, rpc, at, options.node_of(home), context)
        about = "against the root that waits"
    else:
        to = options.felt(sweep_to, "--sweep-to")
        found = trio.run(pool_votes.vote_for_sweep, rpc, at, options.node_of(home), context, to, amount)
        about = f"for a sweep of {amount}"
    lines = [f"{found.voter} votes {about}", "give what --json prints to who carries the votes"]
    show(found.model_dump(), lines, as_json=as_json)


@paying
def veto(
    pool: PoolName,
    context: Context,
    contract: Contract,
    vote: Votes,
    home: options.Home = None,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Stop the root that waits, by votes of ⌊n/3⌋+1 of those who signed its checkpoint."""
    import trio

    from medsync_bridge import pool_votes
    from medsync_bridge.pool_tasks import PoolAddress

    at = PoolAddress(contract=options.felt(contract, "--contract"), pool=options.felt(pool, "POOL"))
    done = trio.run(
        pool_votes.veto, settings, at, options.node_of(home), context, vote,
        lambda text: progress(text, as_json=as_json),
    )  # fmt: skip
    said = "it waited no more" if done.transaction is None else f"transaction {hexed(done.transaction)}"
    show(
        {"k": done.k, "transaction": hexed(done.transaction)},
        [f"the root of checkpoint {done.k} is vetoed", said], as_json=as_json,
    )  # fmt: skip


@paying
def sweep(
    pool: PoolName,
    context: Context,
    contract: Contract,
    to: To,
    amount: Amount,
    vote: Votes,
    home: options.Home = None,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Take out of a pool what no root has promised, by votes of a quorum of the voters."""
    import trio

    from medsync_bridge import pool_votes
    from medsync_bridge.pool_tasks import PoolAddress

    at = PoolAddress(contract=options.felt(contract, "--contract"), pool=options.felt(pool, "POOL"))
    done = trio.run(
        pool_votes.sweep, settings, at, options.node_of(home), context, vote, options.felt(to, "--to"), amount,
        lambda text: progress(text, as_json=as_json),
    )  # fmt: skip
    said = "it was before" if done.transaction is None else f"transaction {hexed(done.transaction)}"
    show(
        {"amount": str(done.amount), "transaction": hexed(done.transaction)},
        [f"{done.amount} taken out of the pool", said], as_json=as_json,
    )  # fmt: skip
