"""`medsync member`: who belongs to the network, or to a context with --context, and with which role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from medsync_node.commands.changes import show_change
from medsync_node.commands.options import Home, Json, examples, node
from medsync_node.commands.output import moment, progress, show, table

if TYPE_CHECKING:
    from medsync_client import BlockingClient
    from medsync_client.devices import Device

app = typer.Typer(no_args_is_help=True, help="Invite, list, remove, promote, demote and recover members; their devices.")

RoleName = Literal["reader", "member", "admin"]
MemberName = Annotated[str, typer.Argument(metavar="MEMBER", help="Name or id of the member.")]
InContext = Annotated[
    str | None, typer.Option("--context", metavar="CONTEXT", help="In this context; else in the network.")
]


@app.command(epilog=examples("member invite", "member invite --role admin --hours 2 --json | jq -r .invitation", "join $(medsync member invite --home city) --home lakeside"))
def invite(
    role: Annotated[RoleName, typer.Option(help="What the newcomer may do.")] = "member",
    hours: Annotated[float, typer.Option(min=0.001, help="How long the invitation stands.")] = 168.0,
    for_member: Annotated[
        str | None,
        typer.Option("--for", metavar="MEMBER-ID", help="Only the holder of this member key can use it."),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a signed invitation that lets one member in, once. Stdout is the invitation alone; `invitation` in JSON."""
    from medsync_client.members import InvitationCreate

    body = InvitationCreate(role=role, seconds=max(1, int(hours * 3600)), bound_to=for_member)
    with node(home) as client:
        made = client.invite(body)
    if not as_json:
        progress(f"role {made.role}, until {moment(made.expires)}")
    show(made, [made.invitation], as_json=as_json)


@app.command("list", epilog=examples("member list", "member list --context trial --json"))
def list_members(context: InContext = None, home: Home = None, as_json: Json = False) -> None:
    """List current members."""
    with node(home) as client:
        found = client.members() if context is None else client.context_members(context)
    rows = [[m.name, m.role, m.voter, m.connected or m.me, m.id] for m in found.members]
    show(found, table(["name", "role", "voter", "linked", "member"], rows), as_json=as_json)


@app.command(epilog=examples("member remove lab", "member remove lab --context trial"))
def remove(member: MemberName, context: InContext = None, home: Home = None, as_json: Json = False) -> None:
    """Remove a member; the key rotates in the same operation. Where the policy wants votes, this only proposes it."""
    with node(home) as client:
        _warn_of_quorum(client, context, member)
        done = (
            client.remove_member(member) if context is None else client.remove_from_context(context, member)
        )
    show_change(done, f"removed {member}", f"to remove {member}", as_json=as_json)


def _warn_of_quorum(client: BlockingClient, context: str | None, member: str) -> None:
    """Say beforehand what the removal does to the quorum: voters change only by vote (PROTOCOL §1)."""
    if context is None:
        return
    found = client.voters(context)
    listed = [voter for voter in found.voters if member in (voter.member, voter.name)]
    if listed:
        progress(
            f"{member} is one of {len(found.voters)} voters; {found.quorum} must still sign until the voters "
            f"vote it off: `medsync context voters {context} …`"
        )


@app.command(epilog=examples("member promote south", "member promote south --context trial"))
def promote(
    member: MemberName,
    role: Annotated[RoleName, typer.Option(help="The role to reach.")] = "admin",
    context: InContext = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a member a higher role; where the policy wants votes, propose it."""
    _change(member, role, context, home, as_json)


@app.command(epilog=examples("member demote south --role reader --context trial"))
def demote(
    member: MemberName,
    role: Annotated[RoleName, typer.Option(help="The role to fall to.")] = "member",
    context: InContext = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a member a lower role; where the policy wants votes, propose it."""
    _change(member, role, context, home, as_json)


@app.command(epilog=examples("member devices", "member devices --context trial --json"))
def devices(context: InContext = None, home: Home = None, as_json: Json = False) -> None:
    """List members' devices, what each wrote, and chains that were signed twice."""
    with node(home) as client:
        found = client.devices(context)
    rows = [
        [d.name, d.id[:16], "this one" if d.me else "yes" if d.current else "revoked", *_written(d)]
        for d in found.devices
    ]
    show(found, table(["name", "device", "current", "operations", "forked chains"], rows), as_json=as_json)


def _written(device: Device) -> tuple[int, str]:
    forked = [chain for chain in device.chains if chain.forked_at is not None and not chain.resumed]
    return sum(chain.operations for chain in device.chains), ", ".join(chain.id for chain in forked)


@app.command(
    "add-device", epilog=examples("member add-device 5ee3… 9c1f…", "member add-device 5ee3… 9c1f… --hours 2 --json")
)
def add_device(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="As `medsync init --device-of` printed it.")],
    certificate: Annotated[str, typer.Argument(metavar="CERTIFICATE", help="This member's signature over it, likewise.")],
    hours: Annotated[float, typer.Option(min=0.001, max=720, help="How long its invitation stands.")] = 24.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let another device of this member in everywhere, and print the invitation by which it finds the network."""
    from medsync_client.devices import DeviceAdd

    with node(home) as client:
        progress("adding the device; others must know it before it comes …")
        body = DeviceAdd(device=device, certificate=certificate, seconds=max(1, int(hours * 3600)))
        done = client.add_device(body)
    lines = [f"added in {name}: operation {op}" for name, op in done.operations.items()]
    lines += [f"{done.known_to} other members know it; on the new device's home: medsync join INVITATION", done.invitation or ""]
    show(done, lines, as_json=as_json)


@app.command("revoke-device", epilog=examples("member revoke-device 5ee3963e4a1b"))
def revoke_device(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="One of this member's own, by eight digits or more.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a lost or replaced device of this member everywhere; the member stays."""
    with node(home) as client:
        done = client.revoke_device(device)
    lines = [f"revoked in {name}: operation {op}" for name, op in done.operations.items()]
    show(done, lines, as_json=as_json)


@app.command(epilog=examples("member recover lakeside lakeside-new --context trial"))
def recover(
    lost: Annotated[str, typer.Argument(metavar="LOST", help="The member that lost its key.")],
    renewed: Annotated[str, typer.Argument(metavar="NEW", help="The network member that comes in its place.")],
    context: Annotated[str, typer.Option("--context", metavar="CONTEXT", help="The context.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a new member in the place of one that lost its key; the context's key rotates with it.

    A majority of the admins decides, whatever the policy says of other changes; a sole admin alone.
    """
    with node(home) as client:
        done = client.recover_member(context, lost, renewed)
    show_change(done, f"{renewed} is in the place of {lost}", f"to put {renewed} in the place of {lost}", as_json=as_json)


@app.command(epilog=examples("member resume CHAIN --context trial"))
def resume(
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="A forked chain, see `medsync member devices`.")],
    context: Annotated[str, typer.Option("--context", metavar="CONTEXT", help="The context.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask the other admins to let a chain that was signed twice go on; what is void of it stays void."""
    with node(home) as client:
        done = client.resume_chain(context, chain)
    show_change(done, f"{chain[:16]} goes on", f"that {chain[:16]} goes on", as_json=as_json)


def _change(member: str, role: Any, context: str | None, home: Any, as_json: bool) -> None:
    with node(home) as client:
        if context is None:
            done = client.set_role(member, role)
        else:
            done = client.set_context_role(context, member, role)
    show_change(done, f"{member} is now {role}", f"to make {member} {role}", as_json=as_json)
