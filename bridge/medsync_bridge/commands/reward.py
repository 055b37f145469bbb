"""`medsync reward`: pools that pay what accepted checkpoints say was earned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_bridge.commands import options, reward_reading, reward_votes
from medsync_bridge.commands.output import hexed, progress, show
from medsync_bridge.commands.paying import ACCOUNT_EXAMPLE, paying
from medsync_bridge.settings import Settings

if TYPE_CHECKING:
    from medsync_bridge.pool_tasks import PoolAddress
    from medsync_bridge.rewarding import Standing

app = typer.Typer(no_args_is_help=True, help="Pay what accepted checkpoints say was earned.")
pool_app = typer.Typer(no_args_is_help=True, help="Make a pool, fund it, see what it holds.")
app.add_typer(pool_app, name="pool")
_READING = "reward terms trial 0x2f… --contract 0x7a… --per-point 1000 --days 30"
app.command(epilog=options.examples(_READING))(reward_reading.terms)
app.command(epilog=options.examples("reward points trial", "reward points trial --json"))(reward_reading.points)
app.command(epilog=options.examples("reward proof trial --k 12 --json > tree.json"))(reward_reading.proof)
app.command(epilog=options.examples("reward explain trial --period 20000"))(reward_reading.explain)

pool_app.command(epilog=options.examples(reward_votes.VOTE_EXAMPLE))(reward_votes.vote)
pool_app.command(epilog=options.examples(reward_votes.VETO_EXAMPLE))(reward_votes.veto)
pool_app.command(epilog=options.examples(reward_votes.SWEEP_EXAMPLE))(reward_votes.sweep)

DAY, STRK = reward_reading.DAY, reward_reading.STRK

Contract = Annotated[
    str, typer.Option("--contract", metavar="ADDRESS", help="The reward pool contract's address.")
]
PoolName = Annotated[str, typer.Argument(metavar="POOL", help="The pool's name, as `create` printed it.")]
TreeFile = Annotated[
    Path | None,
    typer.Option("--tree", metavar="FILE", exists=True, dir_okay=False, help="The pay tree; else the node's."),
]


def _at(contract: str, pool: str) -> PoolAddress:
    from medsync_bridge.pool_tasks import PoolAddress

    return PoolAddress(contract=options.felt(contract, "--contract"), pool=options.felt(pool, "POOL"))


@pool_app.command(
    epilog=options.examples(
        f"reward pool create starknet:MEDSYNC_LOCAL/0x5a…/0x31… --window-days 7 {ACCOUNT_EXAMPLE}"
    )
)
@paying
def create(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="The context: starknet:CHAIN/CONTRACT/CONTEXT")
    ],
    token: Annotated[str, typer.Option("--token", metavar="ADDRESS", help="What is paid in.")] = STRK,
    window_days: Annotated[
        float, typer.Option(min=0.01, max=365, help="How long a third of the members may veto a root.")
    ] = 7,
    salt: Annotated[int, typer.Option(min=0, help="Another number makes another pool.")] = 0,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Make a pool for a context; declares and deploys the contract where that is missing. Repeating costs nothing."""
    import trio

    from medsync_bridge import rewarding
    from medsync_protocol.address import parse_address
    from medsync_protocol.reward_pool import Terms

    context = parse_address(address)
    terms = Terms(
        context=context.context,
        token=options.felt(token, "--token"),
        window=round(window_days * DAY),
        salt=salt,
    )
    done = trio.run(
        rewarding.create, settings, context, terms, 0, lambda text: progress(text, as_json=as_json)
    )
    show(
        {
            "contract": hexed(done.at.contract),
            "pool": hexed(done.at.pool),
            "transaction": hexed(done.transaction),
        },
        [f"contract {hexed(done.at.contract)}", f"pool {hexed(done.at.pool)}"],
        as_json=as_json,
    )


@pool_app.command(epilog=options.examples(f"reward pool fund 0x2f… --contract 0x7a… --to 1000000 {ACCOUNT_EXAMPLE}"))
@paying
def fund(
    pool: PoolName,
    contract: Contract,
    to: Annotated[
        int,
        typer.Option("--to", min=1, max=2**128 - 1, help="Deposit what is missing to this, smallest units."),
    ],
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Bring a pool's deposit up to an amount. Repeating it pays nothing twice."""
    import trio

    from medsync_bridge import rewarding

    done = trio.run(
        rewarding.fund, settings, _at(contract, pool), to, lambda text: progress(text, as_json=as_json)
    )
    show(
        {"deposited_at_least": str(to), "transaction": hexed(done)},
        [f"the pool holds {to} or more", "it did before" if done is None else f"transaction {hexed(done)}"],
        as_json=as_json,
    )


@pool_app.command(epilog=options.examples("reward pool status 0x2f… --contract 0x7a… --rpc URL"))
def status(pool: PoolName, contract: Contract, rpc: options.Rpc, as_json: options.Json = False) -> None:
    """What a pool holds, has promised and has paid, and the root that waits."""
    import trio

    from medsync_bridge import rewarding

    found = trio.run(rewarding.status, rpc, _at(contract, pool))
    fields = _fields(found)
    show(fields, [f"{name.replace('_', ' ')}: {value}" for name, value in fields.items()], as_json=as_json)


def _fields(found: Standing) -> dict[str, Any]:
    view, pending = found.view, found.pending
    return {
        "context": hexed(view.context), "token": hexed(view.token), "window": view.window,
        "deposited": str(view.deposited), "promised": str(view.active.sum),
        "claimed": str(view.claimed_total), "balance": str(view.deposited - view.claimed_total),
        "swept": str(view.swept_total), "active_tree": hexed(view.active.hash), "last_k": view.last_k,
        "pending": None if not pending.k else {
            "k": pending.k, "tree": hexed(pending.root.hash), "sum": str(pending.root.sum),
            "ready_at": pending.ready_at,
        },
    }  # fmt: skip


@app.command(epilog=options.examples(f"reward propose 0x2f… trial --k 12 --contract 0x7a… {ACCOUNT_EXAMPLE}"))
@paying
def propose(
    pool: PoolName,
    context: Annotated[str, typer.Argument(metavar="CONTEXT", help="Name or id of the context on the node.")],
    k: Annotated[int, typer.Option("--k", min=1, help="The accepted checkpoint that names the tree.")],
    contract: Contract,
    tree: TreeFile = None,
    home: options.Home = None,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Propose what a checkpoint says was earned. It takes force after the pool's window."""
    import trio

    from medsync_bridge import rewarding

    done = trio.run(
        rewarding.propose, settings, _at(contract, pool), None if tree is None else rewarding.read_tree(tree),
        options.node_of(home), context, k,
        lambda text: progress(text, as_json=as_json),
    )  # fmt: skip
    said = "it was before" if done is None else f"transaction {hexed(done)}"
    show({"k": k, "transaction": hexed(done)}, [f"proposed by checkpoint {k}", said], as_json=as_json)


@app.command(epilog=options.examples(f"reward activate 0x2f… --contract 0x7a… {ACCOUNT_EXAMPLE}"))
@paying
def activate(
    pool: PoolName,
    contract: Contract,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Give a pool's pending root force, once its window has passed."""
    import trio

    from medsync_bridge import rewarding

    done = trio.run(
        rewarding.activate, settings, _at(contract, pool), lambda text: progress(text, as_json=as_json)
    )
    said = "nothing waited" if done is None else f"transaction {hexed(done)}"
    show({"transaction": hexed(done)}, [said], as_json=as_json)


@app.command(
    epilog=options.examples("reward balance 0x2f… --contract 0x7a… --payee 0x1ef… --tree tree.json --rpc URL")
)
def balance(
    pool: PoolName,
    contract: Contract,
    payee: Annotated[str, typer.Option("--payee", metavar="KEY", help="The payee's Stark key.")],
    rpc: options.Rpc,
    tree: Annotated[
        Path | None,
        typer.Option("--tree", metavar="FILE", exists=True, dir_okay=False, help="To see what is owed."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """What a payee was paid, and what the active tree owes it."""
    import trio

    from medsync_bridge import rewarding

    shown = None if tree is None else rewarding.read_tree(tree)
    found = trio.run(rewarding.balance, rpc, _at(contract, pool), options.felt(payee, "--payee"), shown)
    owed = None if found.owed is None else str(found.owed)
    show(
        {"claimed": str(found.claimed), "owed": owed},
        [
            f"claimed {found.claimed}",
            "owed: give the active pay tree by --tree" if owed is None else f"owed {owed}",
        ],
        as_json=as_json,
    )


@app.command(
    epilog=options.examples(
        f"reward claim 0x2f… --contract 0x7a… --context trial --home ~/.medsync --to 0x9b… {ACCOUNT_EXAMPLE}",
        f"reward claim 0x2f… --contract 0x7a… --tree tree.json --payee-key file:payee.key --to 0x9b… {ACCOUNT_EXAMPLE}",
    )
)
@paying
def claim(
    pool: PoolName,
    contract: Contract,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="Who is paid.")],
    context: Annotated[
        str | None,
        typer.Option("--context", metavar="CONTEXT", help="Let the node sign for its member in this context."),
    ] = None,
    home: options.Home = None,
    tree: TreeFile = None,
    payee_key: Annotated[
        str | None,
        typer.Option(
            "--payee-key", metavar="env:NAME|file:PATH", help="Without a node: where the payee's secret is, in hex."
        ),
    ] = None,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Have a payee paid what the active tree owes: the node's member, or whoever's key and tree are given.

    The account only carries the claim and pays its fee.
    """
    import trio

    from medsync_bridge import rewarding

    if (context is None) == (tree is None or payee_key is None):
        raise typer.BadParameter("give --context, or both --tree and --payee-key")

    recipient = options.felt(to, "--to")
    if context is not None:
        signer = rewarding.at_node(options.node_of(home), context, recipient)
    else:
        assert tree is not None and payee_key is not None, "checked above"
        signer = rewarding.by_key(rewarding.read_tree(tree), payee_key, recipient)
    done = trio.run(
        rewarding.claim, settings, _at(contract, pool), signer, lambda text: progress(text, as_json=as_json)
    )
    show(
        {"paid_up_to": str(done.cumulative), "transaction": hexed(done.transaction)},
        [
            f"paid up to {done.cumulative}",
            "it was before" if done.transaction is None else f"transaction {hexed(done.transaction)}",
        ],
        as_json=as_json,
    )
