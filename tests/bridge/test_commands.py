"""`medsync contract` and `medsync bridge` against the embedded chain and a fake node over HTTP."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from medsync_bridge.keys import write_secret
from medsync_protocol.anchor_abi import CLASS_HASH
from medsync_protocol.poseidon import short_string
from medsync_node import cli
from medsync_protocol.transition import Anchor
from tests.bridge.chains import MEDSYNC, LiveChain, embedded, running
from tests.bridge.fake_node import FakeNode, context_id
from tests.bridge.world import World

CHAIN_ID = short_string("MEDSYNC_LOCAL")


@dataclass(slots=True, kw_only=True)
class Command:
    """`medsync …` with the options that all of these tests need."""

    live: LiveChain
    node: FakeNode
    url: str
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        address, _ = self.live.account(0)
        return {
            **os.environ, "MEDSYNC_RPC": self.live.url, "MEDSYNC_ACCOUNT": hex(address),
            "MEDSYNC_ACCOUNT_KEY": f"file:{self.home / 'account.key'}", "MEDSYNC_HOME": self.url,
            "MEDSYNC_BRIDGE_HOME": str(self.home / "bridge"),
        }  # fmt: skip

    def __call__(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Its one JSON object; in this process, which has loaded what takes seconds to load."""
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            assert cli.run([*arguments, "--json"]) == code, out.getvalue()
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    @contextmanager
    def bridge(self, *options: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
        """`medsync bridge run`, started."""
        command = [*MEDSYNC, "bridge", "run", "--poll", "0.05", "--json", *options]
        with running(command, env=self.environment, stderr=subprocess.PIPE, **how) as process:
            yield process


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    home = tmp_path_factory.mktemp("operator")
    node = FakeNode()
    with embedded() as live, node.serving() as url:
        write_secret(home / "account.key", live.account(0)[1])
        yield Command(live=live, node=node, url=url, home=home)


@pytest.fixture(scope="module")
def world(command: Command) -> World:
    """A context that `contract declare|deploy|register` put on the chain."""
    declared = command("contract", "declare", "--poll", "0.05")
    assert int(declared["class_hash"], 16) == CLASS_HASH and declared["transaction"]
    deployed = command("contract", "deploy", "--poll", "0.05")
    world = World(anchor=Anchor(chain_id=CHAIN_ID, contract=int(deployed["contract"], 16)))
    command.node.worlds["trial"] = world
    registered = command(
        "contract", "register", "trial", "--contract", deployed["contract"], "--poll", "0.05"
    )
    assert registered["ok"] and registered["address"] == str(world.address)
    return world


def test_registering_tells_the_node_where_and_in_which_block(command: Command, world: World) -> None:
    (registration,) = command.node.registrations
    assert int(registration.contract, 16) == world.anchor.contract
    assert registration.opening == world.opening()
    events = command.live.ask(
        "starknet_getEvents",
        filter={
            "address": hex(world.anchor.contract), "chunk_size": 10,
            "from_block": {"block_number": registration.block}, "to_block": {"block_number": registration.block},
        },
    )  # fmt: skip
    assert [int(event["keys"][1], 16) for event in events["events"]] == [world.context] * 2


def test_registering_again_costs_nothing(command: Command, world: World) -> None:
    first = command.node.registrations[0]
    again = command("contract", "register", "trial", "--contract", hex(world.anchor.contract))
    assert again["address"] == str(world.address)
    assert command.node.registrations[-1] == first


def test_registering_where_no_anchor_stands_says_what_to_do(command: Command, world: World) -> None:
    refused = command("contract", "register", "trial", "--contract", "0xdead", code=1)
    assert refused["error"]["code"] == "not_deployed" and "contract deploy" in refused["error"]["advice"]


def test_a_running_bridge_posts_what_is_certified_and_stops_on_ctrl_c(command: Command, world: World) -> None:
    with command.bridge("--metrics-port", "0") as process:
        assert process.stdout is not None and process.stderr is not None
        started = json.loads(process.stdout.readline())
        assert next_event(process.stderr)["event"] == "ready"
        refused = command("bridge", "run", code=1)
        assert "another bridge works in this home" in refused["error"]["message"]
        for k in (1, 2):
            certificate = command.node.certify("trial")
            news = next_event(process.stderr)
            assert (news["event"], news["k"], news["context"]) == ("posted", k, context_id("trial"))
            assert int(news["digest"], 16) == int(certificate.digest, 16)
            receipt = command.live.ask(
                "starknet_getTransactionReceipt", transaction_hash=hex(int(news["transaction"], 16))
            )
            assert receipt["execution_status"] == "SUCCEEDED"
        scraped = httpx.get(started["metrics"], trust_env=False).text
        assert "medsync_bridge_posted_total 2.0" in scraped and "medsync_bridge_lag_checkpoints{" in scraped
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        last = next_event(process.stderr)
        assert (last["event"], last["posted"], last["adopted"]) == ("stopped", 2, 0)
    status = command("bridge", "status")
    (trial,) = status["contexts"]
    assert (trial["name"], trial["lag"]) == ("trial", trial["signed"] - trial["accepted"])
    assert status["money"]["posts"] > 1_000 and status["alerts"] == []
    assert [errand["state"] for errand in status["errands"]] == ["done", "done"]


def test_it_writes_ready_where_it_is_told_and_ends_with_its_parent(command: Command, world: World) -> None:
    read, write = os.pipe()
    with command.bridge("--exit-on-eof", "--ready-fd", str(write), pass_fds=(write,)) as process:
        os.close(write)
        with os.fdopen(read) as ready:
            assert ready.read() == "ready\n"
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0
        process.stdin = None


def test_the_doctor_finds_a_sound_stand_and_a_wrong_key(command: Command, world: World) -> None:
    well = command("bridge", "doctor")
    assert well["ok"] and all(check["ok"] for check in well["checks"])
    assert {check["name"] for check in well["checks"]} == {
        "journal", "key", "chain", "clock", "class", "account", "balance", "node", "context trial"
    }  # fmt: skip
    found = {check["name"]: check["found"] for check in well["checks"]}
    assert found["class"] == f"{CLASS_HASH:#066x} is declared, Sierra 1.7.0"
    assert found["chain"].startswith("MEDSYNC_LOCAL, block ") and found["chain"].endswith("JSON-RPC 0.10.2")
    other = command.live.account(3)[0]
    ill = command("bridge", "doctor", "--account", hex(other), code=1)
    assert [check["name"] for check in ill["checks"] if not check["ok"]] == ["account"]


def test_a_key_in_the_wrong_place_is_advised(command: Command) -> None:
    refused = command("contract", "declare", "--key", "env:NO_SUCH_NAME", code=1)
    assert "NO_SUCH_NAME is not set" in refused["error"]["message"]
    assert "env:NAME or --key file:PATH" in refused["error"]["advice"]


def test_a_chain_that_is_down_is_advised(command: Command) -> None:
    refused = command("contract", "declare", "--rpc", "http://127.0.0.1:9", code=4)
    assert "does not answer" in refused["error"]["message"]


def test_loading_the_commands_loads_no_starknet_py() -> None:
    code = (
        "import sys, medsync_bridge.commands.bridge, medsync_bridge.commands.contract\n"
        "print([name for name in ('starknet_py', 'trio', 'httpx', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def next_event(stream: IO[str]) -> dict[str, Any]:
    """The next line that says more than that it waits."""
    for line in stream:
        event: dict[str, Any] = json.loads(line)
        if event.get("event") != "progress":
            return event
    raise AssertionError("the bridge ended without a word")
