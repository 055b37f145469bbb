"""`medsync context`: shared records: founding, members, voters, keys, checkpoints."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

import typer

from medsync_node.commands.changes import show_change
from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import progress, show, table, wrapped
from medsync_node.outcomes import proposed
from medsync_node.words import column, level, not_anchored, votes
from medsync_node.words import voters as voters_of

if TYPE_CHECKING:
    from medsync_client import BlockingClient
    from medsync_client.checkpoints import Checkpoints
    from medsync_client.contexts import Admission, Context, ContextDetail
    from medsync_client.retentions import Retention

app = typer.Typer(no_args_is_help=True, help="Found, list and show contexts; their members, voters and keys.")

ORDER: Final = ("proposed", "signed", "accepted", "settled")
VOTERS_SECONDS: Final = 15.0  # members' nodes that run answer in one or two; others may be down for days
LOOK_SECONDS: Final = 0.2

RoleName = Literal["reader", "member", "admin"]


def _admission(text: str) -> Admission:
    from medsync_client.contexts import Admission

    member, _, role = text.partition(":")
    if role not in ("", *get_args(RoleName)):
        raise typer.BadParameter(f"{role!r} is no role: use reader, member or admin")
    return Admission.model_validate({"member": member, "role": role or "member"})


def _setting(text: str, application: str) -> tuple[str, int | str]:
    from medsync_node import context_settings

    try:
        return context_settings.parse(text, application)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command(
    epilog=examples(
        "context create trial --member south --member lab:reader", "context create kv --application notes",
        "context create er --setting implicit=deny-but-break-glass --setting glass.role=member",
    )
)
def create(
    name: Annotated[str, typer.Argument(help="What the context is called.")],
    member: Annotated[
        list[str] | None, typer.Option(metavar="MEMBER[:ROLE]", help="Admit this member at once; repeatable.")
    ] = None,
    auditor: Annotated[
        list[str] | None, typer.Option(metavar="MEMBER", help="May read every entry; repeatable.")
    ] = None,
    application: Annotated[str, typer.Option(help="What folds the context's entries.")] = "medsync",
    policy: Annotated[str, typer.Option(help="Rules of membership.")] = "any_admin",
    setting: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A setting, by name or number; repeatable.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Found a context; this node's member is its first admin. Those who may write become voters once their nodes answer."""
    from medsync_client.contexts import ContextCreate

    body = ContextCreate(
        name=name, application=application, policy=policy, auditors=tuple(auditor or ()),
        members=tuple(map(_admission, member or ())), settings=dict(_setting(one, application) for one in setting or ()),
    )  # fmt: skip
    with node(home) as client:
        made = client.create_context(body)
        made = _with_voters(client, made)
    show(made, [*_detail(made), *_not_in(made)], as_json=as_json)


def _not_in(made: ContextDetail) -> Iterator[str]:
    """Who is only proposed, and what has to follow its admission."""
    out = [one.about.rpartition(" as ")[0] for one in made.proposals if one.action == "admit"]
    if out:
        inside = [one.name for one in made.member_list if one.role != "reader"]
        listed = " ".join(f"--set {shlex.quote(name)}" for name in (*inside, *out))
        yield f"{', '.join(out)}: not in {made.name} yet; once in, no voter until the voters vote: `medsync context voters {shlex.quote(made.name)} {listed}`"


def _with_voters(client: BlockingClient, made: ContextDetail) -> ContextDetail:
    """The context once its first voters are in, each of which announces its key; or after a while, said so.

    Who is only proposed is in no context yet, and is not waited for.
    """
    if not (lacking := _no_voters_yet(made)):
        return made
    progress(f"waiting for the voter keys of {', '.join(lacking)} …")
    until = time.monotonic() + VOTERS_SECONDS
    while lacking and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        made = client.context(made.id)
        lacking = _no_voters_yet(made)
    if lacking:
        progress(f"{', '.join(lacking)} did not answer yet: this node makes all of these voters by itself once the last has")
    return made


def _no_voters_yet(made: ContextDetail) -> list[str]:
    return [one.name for one in made.member_list if one.role != "reader" and not one.voter]


@app.command("list", epilog=examples("context list"))
def list_contexts(home: Home = None, as_json: Json = False) -> None:
    """List the contexts that this node holds."""
    with node(home) as client:
        found = client.contexts()
    fields = ["name", "role", "members", "voters", "epoch", "operations", "accepted", "settled", "id"]
    rows = [
        [
            c.name, c.role, c.members, voters_of(c.voters, c.quorum), c.epoch, c.operations, c.checkpoint.accepted,
            c.checkpoint.settled, c.id[:16],
        ]
        for c in found.contexts
    ]  # fmt: skip
    show(found, table([column(field) for field in fields], rows), as_json=as_json)


@app.command("show", epilog=examples("context show trial", "context show trial --json"))
def show_context(context: ContextName, home: Home = None, as_json: Json = False) -> None:
    """Show a context: members, voters, key epoch, checkpoints, and its public address once registered."""
    with node(home) as client:
        found = client.context(context)
    show(found, _detail(found), as_json=as_json)


def _detail(c: ContextDetail) -> Iterator[str]:
    from medsync_node.context_settings import shown

    yield from _head(c)
    yield from (f"setting {text}" for text in shown(c.settings))
    rows = [[m.name, m.role, m.voter, m.connected or m.me, m.id] for m in c.member_list]
    yield from ("", *table(["member", "role", "voter", "linked", "id"], rows))
    yield from (f"waits: {reason}" for reason in c.parked)
    for one in c.proposals:
        yield from proposed(one)


def _head(c: Context) -> Iterator[str]:
    yield f"{c.name}  {c.id}"
    yield f"application {c.application}, membership policy {c.policy}"
    yield f"role {c.role or 'no member any more'}, key epoch {c.epoch}"
    yield f"members {c.members}, voters {voters_of(c.voters, c.quorum)}, operations {c.operations}"
    k = c.checkpoint
    yield f"checkpoints signed {k.signed}, accepted {k.accepted}, settled {k.settled}"
    if c.address is not None:
        yield f"address {c.address}"
        return
    for sentence in not_anchored([c.name]):
        yield from wrapped(sentence)


@app.command(epilog=examples("context admit trial lab --role reader"))
def admit(
    context: ContextName,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="A member of the network.")],
    role: Annotated[RoleName, typer.Option(help="What it may do here.")] = "member",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Admit a member of the network to a context; where the policy wants votes, propose it."""
    with node(home) as client:
        done = client.admit(context, member, role)
    show_change(done, f"{member} is admitted as {role}", f"to admit {member} as {role}", as_json=as_json)


@app.command(
    epilog=examples("context voters trial", "context voters trial --set north --set south --set east")
)
def voters(
    context: ContextName,
    to: Annotated[
        list[str] | None, typer.Option("--set", metavar="MEMBER", help="Vote for this list; repeatable.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show who signs checkpoints, or vote for another list; it changes once a quorum voted for the same."""
    with node(home) as client:
        if to:
            done = client.vote_voters(context, tuple(to))
            show_change(done, f"{', '.join(to)} are the voters", f"to make {', '.join(to)} the voters", as_json=as_json)
            return
        found = client.voters(context)
    rows = [[voter.name, voter.member, voter.key] for voter in found.voters]
    show(found, [*table(["name", "member", "key"], rows), f"quorum {found.quorum}"], as_json=as_json)


@app.command(epilog=examples("context rotate trial"))
def rotate(context: ContextName, home: Home = None, as_json: Json = False) -> None:
    """Make a new epoch key."""
    with node(home) as client:
        done = client.rotate(context)
    show_change(done, "rotated", "to replace the key", as_json=as_json)


@app.command(epilog=examples("context leave trial"))
def leave(context: ContextName, home: Home = None, as_json: Json = False) -> None:
    """Leave a context with this node's member."""
    with node(home) as client:
        done = client.leave(context)
    show_change(done, f"left {context}", f"to leave {context}", as_json=as_json)


@app.command(
    epilog=examples("context checkpoints trial", "context checkpoints trial --propose", "context checkpoints trial --wait accepted")
)
def checkpoints(
    context: ContextName,
    propose: Annotated[bool, typer.Option("--propose", help="Ask for one now.")] = False,
    wait: Annotated[
        Literal["signed", "accepted", "settled"] | None, typer.Option(help="Until the newest has come so far; says how it goes.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How long to wait at most.")] = 300.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List checkpoints, newest first."""
    with node(home) as client:
        if propose:
            client.propose(context)
        found = client.checkpoints(context) if wait is None else waited(client, context, wait, seconds)
    rows = [[c.k, level(c.level), votes(c.votes, c.quorum), c.log_size, c.digest] for c in found.checkpoints]
    show(found, table([column(field) for field in ("k", "level", "votes", "log_size", "digest")], rows), as_json=as_json)


@app.command(
    epilog=examples(
        "context retention trial", "context retention trial --hold 51cf… --reason 'case 12/3'",
        "context retention trial --hold 51cf… --release 3fa4…",
    )
)  # fmt: skip
def retention(
    context: ContextName,
    hold: Annotated[str | None, typer.Option(metavar="MONTH", help="Keep these rows past their end, by the id listed.")] = None,
    reason: Annotated[str, typer.Option(help="A file number; every member reads it.")] = "",
    release: Annotated[str | None, typer.Option(metavar="HOLD", help="End this hold of this member's.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the months whose rows of the log are kept, and when they end; hold one back, or release it."""
    from medsync_client.erasures import HoldSet

    if hold is None and (release is not None or reason):
        raise typer.BadParameter("--reason and --release go with --hold")
    with node(home) as client:
        found = (
            client.retention(context) if hold is None
            else client.hold_month(context, hold, HoldSet(reason=reason, releases=release))
        )  # fmt: skip
    show(found, _retention_lines(found), as_json=as_json)


def _retention_lines(found: Retention) -> Iterator[str]:
    if found.months is None:
        yield "rows of the log go with their subject: the context was founded without retention.months"
        return
    yield f"rows are kept for {found.months} months; {found.ended} keys have ended here"
    rows = [
        [one.month, one.member, one.ends, ", ".join(f"{h.custodian}: {h.reason or '-'} ({h.id})" for h in one.holds), one.id]
        for one in found.kept
    ]
    yield from table(["month", "member", "ends", "held by", "id"], rows)


def waited(client: BlockingClient, context: str, wanted: str, seconds: float) -> Checkpoints:
    """The checkpoints once the newest is as far as wanted. Raises OperatorError when that takes too long."""
    from medsync_protocol.errors import OperatorError

    begun, told, found = time.monotonic(), "", client.checkpoints(context)
    while not found.checkpoints or ORDER.index(found.checkpoints[0].level) < ORDER.index(wanted):
        newest = next(iter(found.checkpoints), None)
        says = "no checkpoint yet" if newest is None else f"checkpoint {newest.k} {level(newest.level)}, {votes(newest.votes, newest.quorum)} votes"
        if says != told:
            progress(f"{says} ({time.monotonic() - begun:.0f} s)")
            told = says
        if time.monotonic() - begun > seconds:
            raise OperatorError(
                f"not {wanted} after {seconds:.0f} s: {says}",
                advice="votes want the voters' nodes, acceptance `medsync bridge run`; see `medsync status` and `medsync bridge status`",
            )
        time.sleep(LOOK_SECONDS)
        found = client.checkpoints(context)
    return found
