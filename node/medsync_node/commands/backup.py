"""`medsync backup`: a home in one file, made while the daemon writes; checked; put back under a new incarnation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import moment, progress, show

if TYPE_CHECKING:
    from medsync_node.backup.archive import Manifest

app = typer.Typer(no_args_is_help=True, help="Make, check and restore backups of a home.")

Existing = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="What `backup create` made.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="FILE", exists=True, dir_okay=False, help="For a backup made --without-key."),
]


@app.command(
    epilog=examples("backup create north-monday.backup", "backup create /mnt/safe/north.backup --without-key --json")
)
def create(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, mode 0600.")],
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Leave the key file out; keep a copy of it elsewhere.")
    ] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Copy one moment of the home: journal, key file, settings. The daemon may run, and isn't held up."""
    from medsync_node.backup import making
    from medsync_node.home import Home as HomeFiles

    progress("copying and checking …")
    made = making.create(HomeFiles(home_of(home)), target.absolute(), with_key=not without_key)
    lines = [f"{target} holds {made.operations} operations of {made.name}.", "Tokens and TLS files are not in it."]
    if without_key:
        lines.append("Nor is the key file: without a copy of it this backup opens for nobody.")
    show({"file": str(target), **_fields(made)}, lines, as_json=as_json)


@app.command(
    epilog=examples("backup verify north-monday.backup", "backup verify north.backup --passphrase-from env:PASSPHRASE")
)
def verify(
    archive: Existing,
    passphrase_from: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Open its secrets too: env:NAME, file:PATH or prompt.")
    ] = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Unpack a backup in a temporary place and read every byte and row of it; with a passphrase, as a start would."""
    from medsync_node.backup import making
    from medsync_node.passphrase import read_passphrase

    passphrase = None if passphrase_from is None else read_passphrase(passphrase_from, asked="the backup's passphrase")
    found = making.verify(archive, passphrase=passphrase, keys=key_file)
    made = found.manifest
    lines = [f"whole: {found.operations} operations of {made.name}, made {moment(made.created)} by {made.medsync}"]
    lines.append(
        "its secrets were not tried: give --passphrase-from" if found.opened is None
        else f"the passphrase opens it; all {found.opened} records can be read"
    )  # fmt: skip
    show({**_fields(made), "opened": found.opened is not None}, lines, as_json=as_json)


@app.command(epilog=examples("backup restore north-monday.backup --home north", "backup restore FILE --replace --json"))
def restore(
    archive: Existing,
    replace: Annotated[
        bool, typer.Option("--replace", help="Instead of the home that stands there, which is kept beside.")
    ] = False,
    key_file: KeyFile = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put a backup back as a home, whole or not at all. It goes on under a new incarnation and fetches what it missed."""
    from medsync_node.backup import restoring
    from medsync_node.home import Home as HomeFiles

    progress("unpacking and checking …")
    path = home_of(home)
    done = restoring.restore(archive, HomeFiles(path), replace=replace, keys=key_file)
    made = done.manifest
    lines = [f"{path} is {made.name} as of {moment(made.created)}, with {made.operations} operations.", f"Start it: `medsync run{f' --home {home}' if home else ''}`."]
    if done.before is not None:
        lines.append(f"The home that stood there is {done.before.name}: delete it once all is well, and never run both.")
    fields = {"home": str(path), "before": None if done.before is None else str(done.before), **_fields(made)}
    show(fields, lines, as_json=as_json)


def _fields(made: Manifest) -> dict[str, Any]:
    return {
        "name": made.name, "member": made.member, "device": made.device, "created": made.created,
        "operations": made.operations, "files": {name: size for name, (size, _) in made.files.items()},
    }  # fmt: skip
