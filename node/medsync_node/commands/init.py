"""`medsync init`: a new home with keys, settings, and what to do next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import progress, show

if TYPE_CHECKING:
    from medsync_node.home import Home as HomeFiles

app = typer.Typer()


@app.command(
    epilog=examples(
        "init north",
        "init north --home ./north --listen /ip4/127.0.0.1/tcp/4401 --passphrase-from env:NORTH_PASSPHRASE",
        "init north --home ./north --rpc http://127.0.0.1:5050",
        "init north --home ./second --device-of north-keys.json --keys-from env:SAFE_PASSPHRASE",
    )
)
def init(
    name: Annotated[
        str, typer.Argument(help="What this member is called, such as the hospital's short name.")
    ],
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="MULTIADDR", help="Where other members reach this node; repeatable."),
    ] = None,
    rpc: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Starknet JSON-RPC that this node trusts for what is settled."),
    ] = None,
    passphrase_from: Annotated[
        str, typer.Option(metavar="SOURCE", help="Of the key file: env:NAME, file:PATH or prompt.")
    ] = "prompt",
    device_of: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A copy of another home's keys (`key export`): this one is that member's too."),
    ] = None,
    keys_from: Annotated[str, typer.Option(metavar="SOURCE", help="The passphrase of that copy.")] = "prompt",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a new home: the member's and device's keys under a passphrase, and a commented config.toml."""
    from medsync_node import config, key_file
    from medsync_node.home import Home as HomeFiles
    from medsync_node.home import write_private
    from medsync_node.passphrase import absolute_source, check_source, read_passphrase

    files = HomeFiles(home_of(home))
    chosen = {"passphrase_from": json.dumps(absolute_source(check_source(passphrase_from)))}
    if listen:
        chosen["listen"] = json.dumps(listen)
    if rpc is not None:
        chosen["chain.rpc"] = json.dumps(absolute_source(rpc))
    if device_of is None:
        identity = key_file.new_identity(name)
    else:
        first = key_file.unlock(device_of, read_passphrase(keys_from, asked=f"the passphrase of {device_of.name}"))
        identity = key_file.another_device(first)
    config.load(files.path, {}, {"listen": listen, "chain.rpc": rpc})
    files.create()
    key_file.refuse_existing(files.key_file)
    key_file.refuse_orphaning(files.key_file)
    passphrase = read_passphrase(passphrase_from, confirm=True)
    progress("sealing the keys …")
    key_file.create(files.key_file, identity, passphrase)
    if not files.config_file.exists():
        write_private(files.config_file, config.commented(chosen).encode())
    where = "" if home is None else f" --home {home}"
    made = {
        "home": str(files.path),
        "name": identity.name,
        "member": identity.member.hex(),
        "device": identity.device.hex(),
    }
    if device_of is None:
        show(made, _next_steps(made, files, where), as_json=as_json)
        return
    made["certificate"] = identity.certificate().hex()
    show(made, _next_steps_of_a_device(made, where), as_json=as_json)


def _next_steps_of_a_device(made: dict[str, str], where: str) -> list[str]:
    return [
        f"home {made['home']}: another device of {made['name']}",
        f"member {made['member']}",
        "",
        "On the home whose keys were copied, while its daemon runs:",
        f"  medsync member add-device {made['device']} {made['certificate']}",
        "Then here:",
        f"  medsync run{where}                        start the node; it prints `ready`",
        f"  medsync join INVITATION{where}            with the invitation that add-device printed",
        "Destroy the copy of the keys.",
    ]


def _next_steps(made: dict[str, str], files: HomeFiles, where: str) -> list[str]:
    return [
        f"home {made['home']}",
        f"member {made['member']}",
        f"settings {files.config_file}",
        "",
        f"Keep {files.key_file.name} and its passphrase where your backups are: nothing else opens this home.",
        "Next:",
        f"  medsync run{where}                        start the node; it prints `ready`",
        f"  medsync network create NAME{where}        found a network, or",
        f"  medsync join INVITATION{where}            enter one, by what `medsync member invite` printed there",
    ]
