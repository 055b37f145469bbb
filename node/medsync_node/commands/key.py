"""`medsync key`: the key file's public keys, another passphrase for it, a copy of it to lock away. Renewal: key_rekey.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from medsync_node.commands import key_rekey
from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import progress, show

app = typer.Typer(no_args_is_help=True, help="Show, re-seal, copy and renew this home's keys.")
app.add_typer(key_rekey.app)

NewFrom = Annotated[
    str, typer.Option("--new-from", metavar="SOURCE", help="The new passphrase: env:NAME, file:PATH or prompt.")
]
OldFrom = Annotated[
    str | None,
    typer.Option("--passphrase-from", metavar="SOURCE", help="The present one; else as the settings say."),
]


@app.command("show", epilog=examples("key show", "key show --home north --json"))
def show_key(home: Home = None, as_json: Json = False) -> None:
    """Show the name and public keys; needs no passphrase."""
    from medsync_node import key_file
    from medsync_node.home import Home as HomeFiles

    head = key_file.read_head(HomeFiles(home_of(home)).key_file)
    fields = {"name": head.name, "member": head.member, "device": head.device}
    show(fields, [f"{name} {value}" for name, value in fields.items()], as_json=as_json)


@app.command(
    "change-passphrase",
    epilog=examples("key change-passphrase", "key change-passphrase --new-from file:/run/secrets/new"),
)
def change_passphrase(
    new_from: NewFrom = "prompt", passphrase_from: OldFrom = None, home: Home = None, as_json: Json = False
) -> None:
    """Seal the same keys under another passphrase. Backups made before still open under the old one."""
    from medsync_node import config, key_file
    from medsync_node.home import Home as HomeFiles
    from medsync_node.passphrase import read_passphrase

    files = HomeFiles(home_of(home))
    settings = config.load(files.path, os.environ, {"passphrase_from": passphrase_from})
    key_file.read_head(files.key_file)
    old = read_passphrase(settings.passphrase_from)
    new = read_passphrase(new_from, confirm=True, asked="the new passphrase")
    progress("sealing the keys …")
    key_file.change_passphrase(files.key_file, old, new)
    fields = {"changed": True, "passphrase_from": settings.passphrase_from}
    lines = [
        "The key file has the new passphrase; the running daemon is not concerned.",
        f"Before its next start, let {settings.passphrase_from} give the new one; destroy old copies of the key file.",
    ]
    show(fields, lines, as_json=as_json)


@app.command("export", epilog=examples("key export north-keys.json", "key export safe/keys.json --new-from env:SAFE"))
def export(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the copy, mode 0600.")],
    new_from: NewFrom = "prompt",
    passphrase_from: OldFrom = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Copy the keys under a passphrase of its own, for a safe. Whoever opens it is this member."""
    from medsync_node import config, key_file
    from medsync_node.home import Home as HomeFiles
    from medsync_node.passphrase import read_passphrase

    files = HomeFiles(home_of(home))
    settings = config.load(files.path, os.environ, {"passphrase_from": passphrase_from})
    if target.exists():
        raise typer.BadParameter(f"{target} exists: name a new file")
    identity = key_file.unlock(files.key_file, read_passphrase(settings.passphrase_from))
    new = read_passphrase(new_from, confirm=True, asked="a passphrase for the copy")
    progress("sealing the keys …")
    key_file.create(target, identity, new)
    fields = {"file": str(target), "member": identity.member.hex(), "device": identity.device.hex()}
    lines = [f"{target} holds this member's and device's keys under its own passphrase.", "To use it: as key.json of a home."]
    show(fields, lines, as_json=as_json)
