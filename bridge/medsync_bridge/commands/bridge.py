"""`medsync bridge`: post a node's certified checkpoints to Starknet, and see how that goes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from medsync_bridge.commands import options
from medsync_bridge.commands.output import hexed, progress, show
from medsync_bridge.commands.paying import paying
from medsync_bridge.errors import strk
from medsync_bridge.home import read_home
from medsync_bridge.journal import Errand, Journal, Signed
from medsync_bridge.settings import Limits, Settings
from medsync_bridge.standing import Purse, Standing, alerts

if TYPE_CHECKING:
    from medsync_bridge.examining import Finding
    from medsync_bridge.following import News

app = typer.Typer(no_args_is_help=True, help="Post a node's certified checkpoints to Starknet.")

READY: Final = "ready"
LIMITS: Final = Limits()
_RUN = "bridge run --home north --rpc http://127.0.0.1:5050 --account 0x64b… --key file:account.key"


@app.command(epilog=options.examples(_RUN, "bridge run --context trial --fee-cap 5"))
@paying
def run(
    home: options.Home = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", metavar="CONTEXT", help="Only this one; may be repeated.")
    ] = None,
    alert_lag: Annotated[
        int,
        typer.Option("--alert-lag", metavar="N", min=1, help="Alert when the chain is N checkpoints behind."),
    ] = LIMITS.lag,
    alert_minutes: Annotated[
        float, typer.Option("--alert-minutes", metavar="N", min=0.1, help="Or when one has waited N minutes.")
    ] = LIMITS.minutes,
    alert_posts: Annotated[
        int,
        typer.Option(
            "--alert-posts", metavar="N", min=0, help="Or when the balance pays for fewer than N posts."
        ),
    ] = LIMITS.posts,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve /metrics on this machine; 0 for any port.",
        ),
    ] = None,
    ready_fd: Annotated[
        int | None, typer.Option("--ready-fd", metavar="FD", help="Write `ready` there too, once started.")
    ] = None,
    exit_on_eof: Annotated[
        bool, typer.Option("--exit-on-eof", help="Stop when standard input ends: with the parent process.")
    ] = False,
    *,
    settings: Settings,
    as_json: bool,
) -> None:
    """Post every certified checkpoint of the node's anchored contexts, exactly once, until stopped.

    Starting ends with the line `ready` on stdout. Under --json stdout gets one object then, and all that happens
    is told on stderr, an object a line.
    """
    import trio

    from medsync_bridge import running
    from medsync_protocol.address import chain_name


    def report(news: News) -> None:
        progress(
            _sentence(news), as_json=as_json, event=news.event, context=news.context, k=news.k,
            digest=hexed(news.digest), transaction=hexed(news.transaction), advice=news.advice,
        )  # fmt: skip

    def ready(chain_id: int, port: int | None) -> None:
        if ready_fd is not None:
            os.write(ready_fd, f"{READY}\n".encode())
            os.close(ready_fd)
        metrics = None if port is None else f"http://127.0.0.1:{port}/metrics"
        started = {"chain": chain_name(chain_id), "account": hexed(settings.account), "metrics": metrics}
        lines = [f"posting to {started['chain']} from {started['account']}"]
        lines += [f"metrics at {metrics}"] if metrics else []
        show(started, [*lines, READY], as_json=as_json)
        if as_json:
            progress(READY, as_json=True, event=READY)

    tally = trio.run(
        lambda: running.run(
            settings, options.node_of(home), frozenset(context or ()), report=report, ready=ready,
            exit_on_eof=exit_on_eof, metrics_port=metrics_port,
            limits=Limits(lag=alert_lag, minutes=alert_minutes, posts=alert_posts),
        )
    )  # fmt: skip
    text = f"stopped; {tally.posted} posted, {tally.adopted} adopted"
    progress(text, as_json=as_json, event="stopped", posted=tally.posted, adopted=tally.adopted)


@app.command(epilog=options.examples("bridge status", "bridge status --json"))
def status(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the finished ones.")] = 20,
    bridge_home: options.BridgeHome = None,
    as_json: options.Json = False,
) -> None:
    """Show how far the chain is behind, what the money is good for, what the bridge did and had to stop.

    As the running bridge saw it last: asks neither chain nor node.
    """
    now = time.time()
    errands: list[dict[str, Any]] = []
    standings: list[Standing] = []
    purse: Purse | None = None
    with read_home(options.bridge_home_of(bridge_home)) as journal:
        if journal is not None:
            errands = _errands(journal, limit)
            standings, purse = journal.ledger.standings(), journal.ledger.purse()
    warned = [alert.message for alert in alerts(standings, purse, LIMITS, now)]
    rows = [
        {
            "context": one.context, "name": one.name, "signed": one.signed, "accepted": one.accepted,
            "lag": one.lag, "lag_minutes": round(one.lag_minutes(now), 1),
        }
        for one in standings
    ]  # fmt: skip
    money = None if purse is None else {"balance": str(purse.balance), "posts": purse.posts}
    show(
        {"contexts": rows, "money": money, "alerts": warned, "errands": errands},
        [*_standing_lines(rows, purse), *(f"ALERT    {text}" for text in warned), *_status_lines(errands)],
        as_json=as_json,
    )


@app.command(epilog=options.examples("bridge resume", "bridge resume 'checkpoint 0x1a… 0x2b… 7'"))
def resume(
    errand: Annotated[
        str | None, typer.Argument(metavar="[ERRAND]", help="As `bridge status` names it; none: all.")
    ] = None,
    bridge_home: options.BridgeHome = None,
    as_json: options.Json = False,
) -> None:
    """Let what was stopped be tried again, once you know why the contract or the node refused it."""
    with read_home(options.bridge_home_of(bridge_home)) as journal:
        count = 0 if journal is None else journal.resume(errand)
    show({"resumed": count}, [f"{count} resumed"], as_json=as_json)


@app.command(epilog=options.examples("bridge doctor --rpc http://127.0.0.1:5050"))
def doctor(
    rpc: options.Rpc,
    account: options.Account,
    key: options.Key,
    home: options.Home = None,
    bridge_home: options.BridgeHome = None,
    as_json: options.Json = False,
) -> None:
    """Look at everything the bridge needs, and say what is wrong and what to do. Exit code 1 if anything is."""
    import trio

    from medsync_bridge.examining import examine

    settings = options.settings_of(
        bridge_home=bridge_home, rpc=rpc, account=account, key=key, fee_cap=options.FEE_CAP, tip=0, poll=options.POLL
    )
    findings = trio.run(examine, settings, options.node_of(home), time.time())
    well = all(finding.well for finding in findings)
    rows = [{"name": f.name, "ok": f.well, "found": f.found, "advice": f.advice} for f in findings]
    show({"ok": well, "checks": rows}, _doctor_lines(findings), as_json=as_json)
    if not well:
        raise typer.Exit(1)


def _sentence(news: News) -> str:
    where = f"context {news.context[:16]}"
    match news.event:
        case "posted":
            how = f"transaction {hexed(news.transaction)}" if news.transaction else "it stood there already"
            return f"{where}: checkpoint {news.k} accepted, {how}"
        case "adopted":
            return f"{where}: checkpoint {news.k} was accepted with another digest, {hexed(news.digest)}"
        case "recovered":
            return f"{where if news.context else 'the bridge'}: goes on"
        case "trouble" | "alert":
            advice = f"\n  {news.advice}" if news.advice else ""
            return f"{where + ': ' if news.context else ''}{news.message}{advice}"
        case _:
            return news.message


def _errands(journal: Journal, limit: int) -> list[dict[str, Any]]:
    """Everything unfinished, and the newest of the rest."""
    newest = journal.errands(limit)
    older = [errand for errand in journal.unfinished() if errand not in newest]
    return [_errand_row(journal, errand) for errand in (*older, *newest)]


def _errand_row(journal: Journal, errand: Errand) -> dict[str, Any]:
    return {
        "errand": errand.name, "state": errand.state.value, "want": hexed(errand.want),
        "found": hexed(errand.found), "reason": errand.reason,
        "transactions": [_transaction_row(signed) for signed in journal.signed_for(errand.name)],
    }  # fmt: skip


def _transaction_row(signed: Signed) -> dict[str, Any]:
    return {
        "hash": hexed(signed.hash), "nonce": signed.nonce,
        "outcome": None if signed.outcome is None else signed.outcome.value,
    }  # fmt: skip


def _standing_lines(rows: list[dict[str, Any]], purse: Purse | None) -> Iterator[str]:
    for row in rows:
        behind = f", {row['lag']} behind for {row['lag_minutes']} minutes" if row["lag"] else ""
        yield f"{row['name']}: certified {row['signed']}, accepted {row['accepted']}{behind}"
    if purse is not None:
        lasts = "" if purse.posts is None else f", enough for {purse.posts} checkpoints"
        yield f"the account holds {strk(purse.balance)}{lasts}"


def _status_lines(errands: list[dict[str, Any]]) -> Iterator[str]:
    if not errands:
        yield "nothing was posted from here yet"
    for errand in errands:
        yield f"{errand['state']:8} {errand['errand']}" + (
            f"  {errand['reason']}" if errand["reason"] else ""
        )
        for transaction in errand["transactions"]:
            yield f"  {transaction['hash']}  nonce {transaction['nonce']}  {transaction['outcome'] or 'may land'}"


def _doctor_lines(findings: list[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{'ok ' if finding.well else 'BAD'}  {finding.name}: {finding.found}"
        if finding.advice:
            yield f"     {finding.advice}"
