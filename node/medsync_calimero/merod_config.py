"""merod's `config.toml`: made by `init`, read by `run`, changed by `config` and by merobox; what we don't know is kept."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from medsync_node.home import write_private
from medsync_protocol.errors import OperatorError

AUTH_MODES: Final = ("proxy", "embedded")


class BadMerodConfig(OperatorError):
    """The file can't be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merod:
    """What of it counts here. `listen` (host, port) of the server; `swarm`: multiaddrs over TCP."""

    listen: tuple[str, int]
    swarm: tuple[str, ...]
    auth_mode: str
    policy: str
    rpc: str | None
    announce: tuple[str, ...] = ()


def fresh(server: tuple[str, int], swarm: tuple[str, int], auth_mode: str, boot_nodes: list[str]) -> dict[str, Any]:
    """A new file's content."""
    return {
        "server": {"listen": [f"/ip4/{server[0]}/tcp/{server[1]}"], "auth_mode": auth_mode},
        "swarm": {"listen": [f"/ip4/{swarm[0]}/tcp/{swarm[1]}"]},
        "bootstrap": {"nodes": boot_nodes},
        "discovery": {"mdns": False},
        "medsync": {"policy": "forward_only"},
    }  # fmt: skip


def read(path: Path) -> dict[str, Any]:
    """Raises BadMerodConfig."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadMerodConfig(f"there is no {path.name} for this node", advice="make it with `init`") from error
    except (OSError, ValueError) as error:
        raise BadMerodConfig(f"{path.name} can't be read: {error}", advice="mend it, or make the node anew with `init`") from error


def write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    write_private(path, _dumped(content).encode())


def meant(content: dict[str, Any]) -> Merod:
    """What counts here. Raises BadMerodConfig."""
    server, swarm, ours = (content.get(name, {}) for name in ("server", "swarm", "medsync"))
    over_tcp = tuple(one for one in swarm.get("listen", []) if "/tcp/" in one)
    if not server.get("listen") or not over_tcp:
        raise BadMerodConfig("server.listen or swarm.listen names no TCP address", advice="such as /ip4/127.0.0.1/tcp/2528")
    auth_mode = server.get("auth_mode", "proxy")
    if auth_mode not in AUTH_MODES:
        raise BadMerodConfig(f"server.auth_mode is {auth_mode!r}", advice=f"one of {', '.join(AUTH_MODES)}")
    return Merod(
        listen=_host_port(server["listen"][0]), swarm=over_tcp, auth_mode=auth_mode,
        policy=str(ours.get("policy", "forward_only")), rpc=ours.get("rpc"),
        announce=tuple(ours.get("announce", ())),
    )  # fmt: skip


def changed(content: dict[str, Any], change: str) -> dict[str, Any]:
    """With `a.b=value`; the value is JSON, or else a text. Raises BadMerodConfig."""
    name, equals, text = change.partition("=")
    *tables, key = name.split(".")
    if not equals or not key or not all(tables):
        raise BadMerodConfig(f"{change!r} sets nothing", advice="write NAME=VALUE, such as server.auth_mode=embedded")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    found: dict[str, Any] = json.loads(json.dumps(content))
    table = found
    for part in tables:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise BadMerodConfig(f"{part} is no table", advice="see the file")
    table[key] = value
    return found


def _host_port(multiaddr: str) -> tuple[str, int]:
    parts = multiaddr.split("/")
    if len(parts) < 5 or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp" or not parts[4].isdecimal():
        raise BadMerodConfig(f"server.listen is {multiaddr!r}", advice="such as /ip4/127.0.0.1/tcp/2528")
    return parts[2], int(parts[4])


def _dumped(table: dict[str, Any], head: str = "") -> str:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"[{head}]"] if head and (plain or not table) else []
    lines += [f"{_key(key)} = {json.dumps(value)}" for key, value in plain.items() if value is not None]
    text = "\n".join(lines) + ("\n\n" if lines else "")
    for key, value in table.items():
        if isinstance(value, dict):
            text += _dumped(value, f"{head}.{_key(key)}" if head else _key(key))
    return text


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)
