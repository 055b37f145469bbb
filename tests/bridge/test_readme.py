"""What bridge/README.md tells people to type is typed here, in its order, and what it names exists."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

from medsync_bridge.home import JOURNAL
from medsync_bridge.journal import open_journal
from medsync_bridge.metrics import BridgeMetrics
from medsync_node.cli import registered
from medsync_protocol.poseidon import short_string
from medsync_protocol.transition import Anchor
from tests.bridge.test_commands import Command, command
from tests.bridge.world import World

__all__ = ["command"]  # the fixture

README = (Path(__file__).parents[2] / "bridge" / "README.md").read_text("utf-8")


def test_the_bridge_is_set_up_as_it_says(command: Command) -> None:
    found = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert found is not None
    lines = [shlex.split(line, comments=True) for line in found[1].splitlines()]
    exported = {word.split("=")[0] for word in lines[0][1:]}
    assert exported <= set(command.environment)
    contract = "0x0"
    for words in lines[1:]:
        assert words[0] == "medsync"
        arguments = [contract if word == "CONTRACT" else word for word in words[1:]]
        if arguments[:2] == ["bridge", "run"]:
            with command.bridge(*arguments[2:]) as process:
                assert process.stdout is not None
                assert json.loads(process.stdout.readline())["metrics"].startswith("http://127.0.0.1:")
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 0
            continue
        if arguments[0] == "contract":
            arguments += ["--poll", "0.05"]
        answer = command(*arguments)
        assert answer["ok"]
        if arguments[:2] == ["contract", "deploy"]:
            contract = answer["contract"]
            anchor = Anchor(chain_id=short_string("MEDSYNC_LOCAL"), contract=int(contract, 16))
            command.node.worlds["trial"] = World(anchor=anchor)


def test_every_metric_is_named_and_every_named_one_exists(tmp_path: Path) -> None:
    with open_journal(tmp_path / JOURNAL) as journal:
        journal.ledger.look("c", "c", signed=1, accepted=0, now=0)
        journal.ledger.paid(1)
        journal.ledger.hold(1, 1)
    metrics = BridgeMetrics(tmp_path, clock=lambda: 0, posted=lambda: 0, troubles=lambda: 0)
    exist = {family.name for family in metrics.collect()}
    named = {name.removesuffix("_total") for name in re.findall(r"`(medsync_bridge_\w+)`", README)}
    assert named == exist


def test_every_command_that_it_names_exists() -> None:
    assert set(re.findall(r"`medsync ([a-z]+)", README)) <= set(registered())
