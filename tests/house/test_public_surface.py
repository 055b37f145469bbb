"""What others may rely on, pinned: a change here is a change for them and belongs into the CHANGELOG."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from medsync_node.cli import registered

SURFACE = {
    "medsync_client": [
        "Address", "BadRequest", "BlockingClient", "Client", "ClientError", "Denied", "NodeFault", "NotFound", "Refused", "Unauthorised",
        "Unreachable",
    ],
    "medsync_node.testing": ["Cluster", "ClusterNode"],
    "medsync_sim": ["Result", "Sweep", "run", "sweep"],
}  # fmt: skip
COMMANDS = {
    "access", "audit", "bridge", "chain", "cluster", "consent", "context", "contract", "demo", "init", "join", "member",
    "network", "policy", "run", "simulate", "status", "subject", "verify",
}  # fmt: skip


@pytest.mark.parametrize("module", SURFACE)
def test_a_package_offers_what_it_says_and_nothing_else(module: str) -> None:
    found = importlib.import_module(module)
    assert sorted(found.__all__) == SURFACE[module]
    assert all(getattr(found, name).__doc__ for name in found.__all__)


def test_every_command_that_the_project_registers_is_there_and_none_was_lost() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(project["entry-points"]["medsync.commands"])
    assert named >= COMMANDS
    assert registered().keys() >= named, "set up again: scripts/setup --test"


@pytest.mark.parametrize("point", sorted(entry_points(group="medsync.commands")), ids=lambda point: point.name)
def test_every_command_loads_and_says_what_it_does(point: object) -> None:
    app = point.load()  # type: ignore[attr-defined]
    helps = [app.info.help, *(command.help or (command.callback.__doc__ or "") for command in app.registered_commands)]
    assert any(helps), point
