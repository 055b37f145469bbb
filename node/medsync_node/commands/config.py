"""`medsync config`: what this node's settings are and where each comes from; set one, checked before it is written."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from medsync_node.commands.options import Home, Json, examples, home_of
from medsync_node.commands.output import show, table

app = typer.Typer(no_args_is_help=True, help="Show and change settings.")

RELOADED = ("log.level",)  # by SIGHUP; every other one by a new start


@app.command("show", epilog=examples("config show", "config show --home north --json"))
def show_config(home: Home = None, as_json: Json = False) -> None:
    """Show every setting in force: from the environment, from config.toml, or the default."""
    from medsync_node import config

    path = home_of(home)
    config.load(path, os.environ, {})
    rows = [[name, _shown(value), origin, about] for name, value, origin, about in config.in_force(path, os.environ)]
    fields = {name: {"value": value, "from": origin} for name, value, origin, _ in config.in_force(path, os.environ)}
    show({"home": str(path), "settings": fields}, table(["setting", "value", "from", "what it is"], rows), as_json=as_json)


def _shown(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


@app.command(
    "set",
    epilog=examples(
        "config set log.level debug",
        "config set listen /ip4/0.0.0.0/tcp/4404,/ip6/::/tcp/4404",
        "config set chain.rpc --default",
    ),
)
def set_config(
    name: Annotated[str, typer.Argument(metavar="SETTING", help="As `config show` names it.")],
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Several addresses with commas.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Back to the default.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write one setting into config.toml; nothing is written unless the whole would load."""
    import tempfile
    from pathlib import Path

    from medsync_node import config
    from medsync_node.home import Home as HomeFiles
    from medsync_node.home import write_private
    from medsync_node.passphrase import absolute_source
    from medsync_node.settings_file import toml_value, with_setting

    if default == (value is not None):
        raise typer.BadParameter("give a VALUE, or --default")
    files = HomeFiles(home_of(home))
    files.require()
    config.require_known(name)
    if value is not None and name in config.SECRET_SETTINGS:
        value = absolute_source(value)
    text = files.config_file.read_text() if files.config_file.exists() else config.commented({})
    changed = with_setting(text, name, None if value is None else toml_value(name, value))
    with tempfile.TemporaryDirectory() as scratch:  # the whole must load before the old file goes
        (Path(scratch) / "config.toml").write_text(changed)
        config.load(Path(scratch), {}, {})
    write_private(files.config_file, changed.encode())
    how = "kill -HUP the daemon, or `systemctl reload medsync`" if name in RELOADED else "start the daemon again"
    fields = {"setting": name, "value": value, "reload": name in RELOADED}
    show(fields, [f"{name} is {'the default' if value is None else value}", f"To use it: {how}."], as_json=as_json)
