"""`medsync-merod`: merod's command line over a node of ours. Node N of home H lives in H/N; its MedSync home is H/N/medsync."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medsync_calimero.compat import SPOKEN
from medsync_protocol.errors import MedSyncError

if TYPE_CHECKING:
    from medsync_calimero.merod_config import Merod

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
PASSPHRASE = "passphrase"
HOME = "medsync"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"merod {SPOKEN} (medsync {installed_version('medsync')})")
        raise typer.Exit


@app.callback()
def main_options(
    context: typer.Context,
    home: Annotated[Path, typer.Option(envvar="CALIMERO_HOME", help="Directory of nodes.")] = Path(".calimero"),
    node: Annotated[str, typer.Option("--node", "--node-name", "-n", envvar="NODE_NAME", help="The node's name.")] = "node1",
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Calimero's merod, answered by MedSync: same engine, keys and checkpoints as `medsync run`."""
    context.obj = home.absolute() / node


@app.command()
def init(
    context: typer.Context,
    server_port: Annotated[int, typer.Option(help="Port of the HTTP surface.")] = 2528,
    swarm_port: Annotated[int, typer.Option(help="Port for other nodes.")] = 2428,
    server_host: Annotated[str, typer.Option(help="Address of the HTTP surface.")] = "127.0.0.1",
    swarm_host: Annotated[str, typer.Option(help="Address for other nodes.")] = "127.0.0.1",
    auth_mode: Annotated[str, typer.Option(help="proxy: no tokens, loopback only; embedded: users and tokens.")] = "proxy",
    boot_nodes: Annotated[list[str] | None, typer.Option(help="Kept; invitations carry addresses here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Accepted: a node that is there is left as it is.")] = False,
) -> None:
    """Make a node: keys under a generated passphrase in a file of mode 0600, and config.toml."""
    from medsync_calimero import breakable, merod_config
    from medsync_node import config, key_file
    from medsync_node.home import Home, write_private

    directory: Path = context.obj
    directory.mkdir(parents=True, exist_ok=True)
    content = merod_config.fresh((server_host, server_port), (swarm_host, swarm_port), auth_mode, boot_nodes or [])
    merod_config.meant(content)
    os.chdir(directory)
    files = Home(Path(HOME))
    if files.key_file.exists():  # merobox calls this before every start
        typer.echo(f"node {directory.name} is there already, in {directory}: nothing was changed")
        return
    files.create()
    passphrase = secrets.token_urlsafe(24)
    write_private(files.path / PASSPHRASE, passphrase.encode())
    key_file.create(files.key_file, key_file.new_identity(directory.name[:64]), passphrase, cost=key_file.Cost.DEVELOPER)
    write_private(files.config_file, config.commented({}).encode())
    cluster = breakable.directory()
    if cluster is not None:
        content["medsync"]["announce"] = [breakable.enter(cluster, directory.name, files.path, swarm_port)]
    merod_config.write(Path("config.toml"), content)
    typer.echo(f"made node {directory.name} in {directory}")


@app.command()
def run(
    context: typer.Context,
    auth_mode: Annotated[str | None, typer.Option(help="Instead of the configured one.")] = None,
) -> None:
    """Run the node until SIGTERM."""
    from medsync_calimero import merod_config

    os.chdir(_existing(context))
    settings = merod_config.meant(merod_config.read(Path("config.toml")))
    _serve(settings, auth_mode or settings.auth_mode)


def _serve(settings: Merod, auth_mode: str) -> None:
    from functools import partial

    from medsync_calimero import breakable
    from medsync_calimero.app import Options
    from medsync_calimero.serving import first_admin, serving
    from medsync_node import config, logs
    from medsync_node.commands.run import serve
    from medsync_node.home import Home

    files = Home(Path(HOME))
    flags = {"listen": list(settings.swarm), "chain.rpc": settings.rpc, "announce": list(settings.announce) or None}
    ours = config.load(files.path, {}, flags)
    logs.configure(ours.log_level, ours.log_format)
    options = Options(embedded=auth_mode == "embedded", admin=first_admin(), policy=settings.policy)
    door = partial(serving, host=settings.listen[0], port=settings.listen[1], options=options)
    with breakable.doors(breakable.directory()):
        serve(files, ours, (files.path / PASSPHRASE).read_text(), door=door)


@app.command("config")
def change(
    context: typer.Context,
    changes: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE …", help="Such as server.auth_mode=embedded.")] = None,
) -> None:
    """Change config.toml; without arguments, print it."""
    from medsync_calimero import merod_config

    path = _existing(context) / "config.toml"
    content = merod_config.read(path)
    for one in changes or []:
        content = merod_config.changed(content, one)
    if changes:
        merod_config.meant(content)
        merod_config.write(path, content)
    else:
        typer.echo(path.read_text("utf-8"), nl=False)


@app.command()
def pause(context: typer.Context) -> None:
    """Hold a running node still, as a stalled machine is: it keeps its links and answers nobody."""
    os.kill(_running(context), signal.SIGSTOP)
    typer.echo("paused; `resume` lets it go on")


@app.command()
def resume(context: typer.Context) -> None:
    """Let a paused node go on; it catches up by itself."""
    os.kill(_running(context), signal.SIGCONT)
    typer.echo("goes on")


def _running(context: typer.Context) -> int:
    from medsync_calimero.merod_config import BadMerodConfig
    from medsync_node.home import Home
    from medsync_protocol.errors import OperatorError

    files = Home(_existing(context) / HOME)
    try:
        with files.locked():
            raise BadMerodConfig("the node does not run", advice="start it with `run`")
    except BadMerodConfig:
        raise
    except OperatorError:  # whoever holds the home wrote its process id
        return int(files.lock_file.read_text())


def _existing(context: typer.Context) -> Path:
    from medsync_calimero.merod_config import BadMerodConfig

    directory: Path = context.obj
    if not (directory / "config.toml").exists():
        raise BadMerodConfig(f"there is no node in {directory}", advice="make it with `init`, or name another by --home and --node")
    return directory


def main() -> None:
    """The console script."""
    try:
        app(standalone_mode=True)
    except MedSyncError as error:
        advice = getattr(error, "advice", "")
        print(f"medsync-merod: {error}" + (f"\n  {advice}" if advice else ""), file=sys.stderr)
        raise SystemExit(1) from error
