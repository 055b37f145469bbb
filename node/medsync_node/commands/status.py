"""`medsync status`: what the running node says of itself, a label and a value a line."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from medsync_node.commands.options import Home, Json, examples, node
from medsync_node.commands.output import labelled, moment, show, table, wrapped
from medsync_node.words import UNLINKED, column, voters

if TYPE_CHECKING:
    from medsync_client import BlockingClient
    from medsync_client.status import Status

app = typer.Typer()

LOOK_SECONDS: Final = 0.2  # between looks for a node that starts, which takes seconds
_WIDTH: Final = 12  # of labels: an id of a context then ends in column 80
_DIGITS: Final = 16  # of ids of members and devices: commands want eight; --json has all
_SAID: Final = frozenset({
    "name", "id", "role", "members", "voters", "quorum", "epoch", "operations", "parked", "waits_for", "signed", "accepted",
    "settled", "clock_offset_ms", "reviews_open", "reviews_overdue",
})  # fmt: skip
"""Fields of a context that have a line of their own here; a newer node's others follow under their names."""


@app.command(epilog=examples("status", "status --home north --json", "status --wait 60"))
def status(
    wait: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Until the node answers, at most so long; then exit code 4.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show identity, links, contexts, checkpoints, and everything that waits or is wrong."""
    with node(home) as client:
        found = client.status() if wait is None else _waited(client, wait)
    show(found, _lines(found), as_json=as_json)


def _waited(client: BlockingClient, seconds: float) -> Status:
    """As soon as a node answers. Raises Unreachable when none did in that time."""
    from medsync_client.errors import Unreachable

    until = time.monotonic() + seconds
    while True:
        try:
            return client.status()
        except Unreachable as error:
            if time.monotonic() >= until:
                raise Unreachable(
                    f"no node has answered within {seconds:g} s: {error}", code=error.code,
                    advice="read what `medsync run` printed, or its log; `medsync doctor` says what keeps it from starting",
                ) from error
        time.sleep(LOOK_SECONDS)


def _lines(found: Status) -> Iterator[str]:
    yield f"{found.name}  version {found.version}"
    yield from labelled("member", [found.member[:_DIGITS]], _WIDTH)
    yield from labelled("device", [found.device[:_DIGITS]], _WIDTH)
    yield from labelled("network", [found.network or "none: create one, or join by invitation"], _WIDTH)
    yield from labelled(column("addresses"), found.addresses, _WIDTH)
    more: Mapping[str, Any] = found.model_extra or {}
    yield from labelled("chain", list(_chain(more.get("chain") or {})), _WIDTH)
    for warning in found.warnings:
        yield from ("", *wrapped(f"warning: {warning}"))
    for one in found.notices:
        yield from ("", *wrapped(f"notice: {one.what}"), *wrapped(f"  {one.advice}", "  "))
    for context in found.contexts:
        yield from ("", f"context {context.get('name')}", *_context(context))
    if found.peers:
        yield from ("", f"{column('peers')}:", *_links(found.peers))


def _chain(read: Mapping[str, Any]) -> Iterator[str]:
    if read.get("rpc"):
        last = "nothing read yet" if read.get("read_at") is None else f"last {moment(read['read_at'])}"
        yield f"read through {read['rpc']}, {last}"
    if read.get("trouble"):
        yield str(read["trouble"])


def _context(one: Mapping[str, Any]) -> Iterator[str]:
    def line(field: str, value: object) -> list[str]:
        return labelled(column(field), [value], _WIDTH, "  ")

    signed, accepted, settled = (int(one.get(name) or 0) for name in ("signed", "accepted", "settled"))
    behind = f", {signed - accepted} wait for the chain" if signed > accepted else ""
    yield from line("id", one.get("id"))
    yield from line("role", one.get("role") or "no member any more")
    yield from line("members", one.get("members"))
    yield from line("voters", voters(one.get("voters") or 0, one.get("quorum") or 0))
    yield from line("epoch", one.get("epoch"))
    yield from line("operations", one.get("operations"))
    reasons = ", ".join(map(str, one.get("waits_for") or ()))
    yield from line("parked", f"{one.get('parked') or 0}{f' ({reasons})' if reasons else ''}")
    yield from line("checkpoints", f"signed {signed}, accepted {accepted}, settled {settled}{behind}")
    yield from line("clocks", _ahead(one.get("clock_offset_ms")))
    yield from line("broken glass", f"{one.get('reviews_open') or 0} to be reviewed, {one.get('reviews_overdue') or 0} of them overdue")
    for field, value in one.items():
        if field not in _SAID and not isinstance(value, dict | list):
            yield from line(field, value)


def _ahead(offset: int | None) -> str:
    if offset is None:
        return "no home was heard yet"
    return f"the homes' are {abs(offset)} ms {'behind' if offset < 0 else 'ahead of'} this machine's"


def _links(peers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows = [[one.get("name"), str(one.get("device"))[:_DIGITS], one.get("connected"), one.get("backlog")] for one in peers]
    head, *lines = table(["member", "device", column("connected"), column("backlog")], rows)
    yield f"  {head}"
    for line, one in zip(lines, peers, strict=True):
        yield f"  {line}"
        if not one.get("connected"):
            yield from wrapped(f"    {one.get('trouble') or 'not tried yet'}; {UNLINKED}", "    ")
