"""`medsync key rekey`: new keys for a home whose key file or passphrase somebody else may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.options import Home, Json, examples, home_of, node
from medsync_node.commands.output import progress, show

if TYPE_CHECKING:
    from medsync_client.contexts import Contexts
    from medsync_node.key_file import KeyFileHead

app = typer.Typer()


@app.command(epilog=examples("key rekey", "key rekey --passphrase-from env:NORTH_PASSPHRASE --json", "key rekey --member"))
def rekey(
    member: Annotated[
        bool, typer.Option("--member", help="The member key itself may be known: print what all have to do.")
    ] = False,
    passphrase_from: Annotated[
        str | None, typer.Option("--passphrase-from", metavar="SOURCE", help="Of the key file; else as the settings say.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take a new device and sealing key in two steps: certified now, in force from the daemon's next start on.

    The old device is revoked then, and an admin's node rotates every epoch key. Say it again after an interruption.
    """
    from medsync_node import config, key_file, rekeying
    from medsync_node.home import Home as HomeFiles
    from medsync_node.passphrase import read_passphrase

    files = HomeFiles(home_of(home))
    head = key_file.read_head(files.key_file)
    if member:
        with node(home) as client:
            contexts = client.contexts()
        show({"member": head.member, "steps": list(_member_steps(head, contexts))}, _member_steps(head, contexts), as_json=as_json)
        return
    settings = config.load(files.path, os.environ, {"passphrase_from": passphrase_from})
    passphrase = read_passphrase(settings.passphrase_from)
    with node(home) as client:
        from medsync_client.devices import DeviceAdd

        progress("making new keys …")
        new = rekeying.prepare(files.key_file, passphrase).renewed()
        progress("having the new device known to another member …")
        known_to = 0
        if client.status().network is not None:
            body = DeviceAdd(device=new.device.hex(), certificate=new.certificate().hex())
            known_to = client.add_device(body).known_to
        rekeying.certified(files.key_file, passphrase)
    fields: dict[str, Any] = {
        "member": head.member, "device": new.device.hex(), "before": head.device, "known_to": known_to, "restart": True,
    }  # fmt: skip
    show(fields, _lines(fields), as_json=as_json)


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    yield f"new device {fields['device']}, known to {fields['known_to']} other members"
    yield "Now:"
    yield "  1. stop the daemon and start it again: it takes the new keys over, revokes the old device, renews its sealing key;"
    yield "     an admin's node rotates the epoch key of every context (`medsync status` until then: key exposed)"
    yield "  2. medsync key change-passphrase, if the passphrase may be known"
    yield "  3. medsync backup create: backups made before hold the old keys and must not be put back"
    yield "  4. this member's other devices, if any: init them anew, by `medsync key export` and `init --device-of`"
    yield "If the key file was open to somebody, so was the member key: `medsync key rekey --member` says what is left to do."


def _member_steps(head: KeyFileHead, contexts: Contexts) -> Iterator[str]:
    yield f"The member key {head.member} can't be replaced by its holder: who has it could as well."
    yield "A new member takes its place, by votes of the other admins:"
    yield f"  1. here: medsync key rekey, and a new start: shuts the old device out meanwhile, if {head.name} holds it still"
    yield f"  2. here: medsync init {head.name} --home NEW-HOME, then medsync run --home NEW-HOME"
    yield "  3. another admin: medsync member invite --for NEW-MEMBER-ID; here: medsync join INVITATION --home NEW-HOME"
    for one in contexts.contexts:
        yield f"  4. context {one.name}: another admin: medsync member recover {head.member[:16]} NEW-MEMBER --context {one.name}"
        yield f"     the others: medsync policy proposals {one.name}, then medsync policy vote {one.name} PROPOSAL"
        if one.voters:
            yield f"     {one.quorum} of {one.voters} voters: medsync context voters {one.name} --set …, with NEW-MEMBER for the old one"
    yield f"  5. another admin, once that is settled: medsync member remove {head.member[:16]}"
    yield "What stays with the old member: its place as a home or custodian of subjects (no command moves it: enrol anew those that"
    yield "have no other), its shares of settled reward periods, and what the old key signed before."
