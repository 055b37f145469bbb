"""`medsync reward terms|points|proof|explain`: what a node knows of a context's rewards. They ask no chain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from medsync_bridge.commands import options
from medsync_bridge.commands.output import show

if TYPE_CHECKING:
    from medsync_client.rewards import RewardExplanation, RewardProof, Rewards

Context = Annotated[str, typer.Argument(metavar="CONTEXT", help="Name or id of the context on the node.")]
Period = Annotated[
    int | None, typer.Option("--period", min=0, metavar="N", help="Its number; else the newest closed one.")
]
STRK = "0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d"
"""Starknet's own token, at the address that it has on every network."""
DAY = 86_400  # seconds


def terms(
    context: Context,
    pool: Annotated[str, typer.Argument(metavar="POOL", help="The pool's name, as `pool create` printed it.")],
    contract: Annotated[str, typer.Option("--contract", metavar="ADDRESS", help="The reward pool contract.")],
    per_point: Annotated[int, typer.Option("--per-point", min=1, help="What a point is worth, smallest units.")],
    token: Annotated[str, typer.Option("--token", metavar="ADDRESS", help="What is paid in.")] = STRK,
    window_days: Annotated[float, typer.Option(min=0.01, max=365, help="As the pool was made with.")] = 7,
    salt: Annotated[int, typer.Option(min=0, help="As the pool was made with.")] = 0,
    days: Annotated[int, typer.Option(min=1, max=366, help="Length of a reward period.")] = 30,
    cap: Annotated[int, typer.Option(min=1, help="Points that one requester brings in a period, at most.")] = 1000,
    least: Annotated[
        int | None, typer.Option(min=1, help="Relations that share them, at least; else as the cap.")
    ] = None,
    first: Annotated[
        int | None, typer.Option(min=0, help="The first period that is paid; else the one it is now.")
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """Say, as a voter, what rewards shall be. In force once a quorum of the voters said the same; then they stay."""
    from medsync_client import BlockingClient
    from medsync_client.rewards import RewardTermsSet

    body = RewardTermsSet(
        pool=hex(options.felt(pool, "POOL")), contract=hex(options.felt(contract, "--contract")), token=hex(options.felt(token, "--token")),
        window=round(window_days * DAY), salt=hex(salt), per_point=per_point, days=days, cap=cap, least=least, first=first,
    )  # fmt: skip
    with BlockingClient(options.node_of(home)) as client:
        found = client.set_reward_terms(context, body)
    show(found.model_dump(), ["said; in force once a quorum of the voters did, and a checkpoint holds it"], as_json=as_json)


def points(context: Context, home: options.Home = None, as_json: options.Json = False) -> None:
    """What each member earned, period by period, and how far the open one is."""
    from medsync_client import BlockingClient

    with BlockingClient(options.node_of(home)) as client:
        found = client.rewards(context)
    show(found.model_dump(), list(_points(found)), as_json=as_json)


def _points(found: Rewards) -> Iterator[str]:
    if found.terms is None:
        yield "no reward terms are in force"
        yield from (f"{name} wants {one.per_point} a point by pool contract {one.contract}" for name, one in found.named.items())
        return
    for period in found.closed:
        yield f"period {period.period}, {_day(period.begins)} to {_day(period.ends)}: paid by checkpoint {period.k}, {'settled' if period.settled else 'accepted'}"
        yield from (f"  {one.name}: {one.points}" for one in period.points)
        yield from (f"  {name}: nothing, for a false report" for name in period.violators)
    if found.open is not None:
        until = f"until {_day(found.open.ends)}"
        if found.open.complete_at is not None:
            until = f"waits for reports by {', '.join(found.open.missing) or 'nobody'}"
        yield f"period {found.open.period}, from {_day(found.open.begins)}: {until}"
    yield from (f"{one.name or one.payee}: {one.amount} earned since the beginning" for one in found.earned)


def proof(
    context: Context,
    k: Annotated[int | None, typer.Option("--k", min=1, help="The accepted checkpoint; else the newest.")] = None,
    payee: Annotated[
        str | None, typer.Option("--payee", metavar="KEY", help="Whose Stark key; else the node's member's.")
    ] = None,
    home: options.Home = None,
    as_json: options.Json = False,
) -> None:
    """What a payee has earned, with the proof that the pool takes. With --json it is a file for --tree."""
    from medsync_client import BlockingClient

    key = None if payee is None else hex(options.felt(payee, "--payee"))
    with BlockingClient(options.node_of(home)) as client:
        found = client.reward_proof(context, k, key)
    show(found.model_dump(), list(_proof(found)), as_json=as_json)


def _proof(found: RewardProof) -> Iterator[str]:
    yield f"{found.payee} has earned {found.cumulative} by checkpoint {found.k}, {'settled' if found.settled else 'accepted'}"
    yield f"pool {found.pool}, tree {found.tree_hash}, sum {found.sum}, reward root {found.reward_root}"
    yield from (f"sibling {step.hash} {step.sum}" for step in found.path or ())


def explain(
    context: Context, period: Period = None, home: options.Home = None, as_json: options.Json = False
) -> None:
    """Why: each relation of a period that this node may know of, its receipt, and who reported it."""
    from medsync_client import BlockingClient

    with BlockingClient(options.node_of(home)) as client:
        found = client.explain_rewards(context, period)
    show(found.model_dump(), list(_explained(found)), as_json=as_json)


def _explained(found: RewardExplanation) -> Iterator[str]:
    yield f"period {found.period}: {found.points} points" if found.closed else f"period {found.period} is open"
    for one in found.relations:
        told = [
            name
            for name, said in (
                (one.custodian_name, one.reported_by_custodian), (one.requester_name, one.reported_by_requester)
            )
            if said
        ]  # fmt: skip
        says = "counts" if one.counts else f"reported by {' and '.join(told) or 'nobody'}"
        yield f"{one.custodian_name} gave {one.requester_name} {one.purpose} of {one.subject}: {says}; receipt {one.receipt}"
    if found.unexplained:
        yield f"{found.unexplained} points have no relation here: erased since, or falsely reported"


def _day(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).date().isoformat()
