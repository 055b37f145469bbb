"""`medsync policy`: the membership policies that this installation has, and whether one keeps the rules for policies."""

from __future__ import annotations

from typing import Annotated

import typer

from medsync_node.commands.changes import show_change
from medsync_node.commands.exits import ExitCode
from medsync_node.commands.options import ContextName, Home, Json, examples, node
from medsync_node.commands.output import progress, show, table

app = typer.Typer(no_args_is_help=True, help="List, show and check membership policies; vote under one.")

Named = Annotated[str, typer.Argument(metavar="POLICY", help="Name of an installed policy.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--parameter", metavar="NAME=VALUE", help="Instead of the default; repeatable.")
]


def _parameter(text: str) -> tuple[str, int | str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is no parameter: write NAME=VALUE")
    return name, int(value) if value.isdecimal() else value


@app.command("list", epilog=examples("policy list", "policy list --json"))
def list_policies(as_json: Json = False) -> None:
    """List the policies that a context can be founded with here."""
    from medsync_node.policies import installed

    offers = installed().offers
    rows = [[o.kind.name, o.kind.version, "shipped" if o.own else "installed", o.kind.about] for o in offers.values()]
    fields = [
        {"name": name, "version": version, "origin": origin, "about": about} for name, version, origin, about in rows
    ]
    show({"policies": fields}, table(["policy", "version", "origin", "who changes the membership"], rows), as_json=as_json)


@app.command("show", epilog=examples("policy show k_of_n", "policy show k_of_n --parameter k=3"))
def show_policy(policy: Named, parameter: Parameters = None, as_json: Json = False) -> None:
    """Show a policy: parameters, and the hash that stands in geneses and checkpoints."""
    from medsync_node.policies import installed

    policies = installed()
    made = policies.make(policy, map(_parameter, parameter or ()))
    offer = policies.offers[policy]
    expiry, cool_down = made.expiry()
    facts = {
        "name": made.name, "version": made.version, "origin": "shipped" if offer.own else "installed",
        "about": made.about, "hash": policies.digest(made).hex(), "source": offer.source.hex(),
        "parameters": dict(made.parameters), "mutual_removal": made.mutual_removal().value,
        "on_equivocation": made.on_equivocation().value, "concurrent_ops_of_removed": made.concurrent_ops_of_removed().value,
        "keeps_owner": made.keeps_owner(), "vote_checkpoints": expiry, "cool_down_checkpoints": cool_down,
    }  # fmt: skip
    lines = [
        f"{key.replace('_', ' '):26} {', '.join(f'{k}={v}' for k, v in value.items()) or '-' if isinstance(value, dict) else value}"
        for key, value in facts.items()
    ]
    show(facts, lines, as_json=as_json)


@app.command(epilog=examples("policy check majority", "policy check my_package.rules:Mine --histories 200"))
def check(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Name of an installed policy, or MODULE:CLASS.")],
    parameter: Parameters = None,
    histories: Annotated[int, typer.Option(min=1, help="Random histories per hash seed.")] = 40,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit for each of the eight processes.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Try a policy in child processes: determinism, purity, and what must hold under any policy."""
    from medsync_node import policy_check
    from medsync_node.policies import installed, loaded

    given = list(map(_parameter, parameter or ()))
    if ":" in policy:
        loaded(policy)
    else:
        installed().make(policy, given)
    found = policy_check.check(policy, given, histories=histories, seconds=seconds, told=progress)
    tried = f"{policy}: {found.histories} histories under {found.hash_seeds} hash seeds"
    lines = [f"{tried}: nothing found", "whether it is wise, `medsync simulate` shows"]
    if found.wrong:
        lines = [f"{tried}:", *(f"  {sentence}" for sentence in found.wrong)]
    fields = {
        "policy": policy, "histories": found.histories, "hash_seeds": found.hash_seeds, "passed": not found.wrong,
        "wrong": list(found.wrong),
    }  # fmt: skip
    show(fields, lines, as_json=as_json)
    if found.wrong:
        raise typer.Exit(ExitCode.FAILURE)


@app.command(epilog=examples("policy proposals trial", "policy proposals trial --json"))
def proposals(context: ContextName, home: Home = None, as_json: Json = False) -> None:
    """Show a context's policy, its owner and what waits for votes: proposals, and voters and policies that some voted for."""
    with node(home) as client:
        found = client.governance(context)
    rows = [
        [p.id[:8], p.action, p.about, p.author, ", ".join(p.yes), ", ".join(p.no), p.needed, p.expires, p.mine]
        for p in found.proposals
    ]
    rows += [["-", b.wanted, b.about, "-", ", ".join(b.yes), "-", b.needed, "-", b.mine] for b in found.ballots]
    columns = ["proposal", "action", "about", "author", "yes", "no", "lacking", "until k", "my vote"]
    lines = [f"policy {found.policy} {found.hash[:16]}, owner {found.owner}", *table(columns, rows)]
    lines += [f"passed: {one.action.replace('_', ' ')} {one.about}: it counts from checkpoint {one.counts_from} on" for one in found.passed]
    lines += [f"the voters chose {found.next_policy}: it rules from the next checkpoint on"] if found.next_policy else []
    show(found, lines, as_json=as_json)


@app.command(epilog=examples("policy vote trial 3fa4c210", "policy vote trial 3fa4c210 --no"))
def vote(
    context: ContextName,
    proposal: Annotated[str, typer.Argument(metavar="PROPOSAL", help="Its id, or eight or more digits of it.")],
    no: Annotated[bool, typer.Option("--no", help="Against it.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Vote on a proposal; a vote can't be changed."""
    with node(home) as client:
        done = client.endorse(context, proposal, not no)
    word = "no" if no else "yes"
    if not as_json:
        progress(f"voted {word} on {proposal}")
    show_change(done, "it is in force", "", as_json=as_json)


@app.command(epilog=examples("policy change trial k_of_n --parameter k=3"))
def change(
    context: ContextName, policy: Named, parameter: Parameters = None, home: Home = None, as_json: Json = False
) -> None:
    """Vote, as a voter, for another policy; it rules from the next checkpoint on once a quorum said the same."""
    with node(home) as client:
        done = client.vote_policy(context, policy, dict(map(_parameter, parameter or ())))
    show_change(done, f"{policy} rules", f"to let {policy} rule", as_json=as_json)


@app.command(epilog=examples("policy transfer trial south"))
def transfer(
    context: ContextName,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="An admin of the context.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Hand a context that this member owns over to another admin."""
    with node(home) as client:
        done = client.transfer(context, member)
    show_change(done, f"{member} owns {context}", f"to let {member} own {context}", as_json=as_json)
