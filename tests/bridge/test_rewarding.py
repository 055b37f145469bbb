"""`medsync reward` against the embedded chain: from a pool to a paid claim, each step by its command, each twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_bridge.certified import read_certificate
from medsync_bridge.commands.reward import STRK
from medsync_bridge.keys import write_secret
from medsync_node.pool_history import read_pool
from medsync_protocol import stark
from medsync_protocol.poseidon import short_string
from medsync_protocol.reward_pool import Pool, Terms
from medsync_protocol.rewards import PayTree, reward_root
from medsync_protocol.transition import Anchor
from tests.bridge.chains import embedded
from tests.bridge.fake_node import FakeNode, context_id
from tests.bridge.test_commands import Command
from tests.bridge.test_conformance import standing
from tests.bridge.world import World

SECRET, OTHER = 4242, 4343
PAYEE = stark.public_key(SECRET)
EARNED: dict[int, int] = {PAYEE: 700, stark.public_key(OTHER): 300}
RECIPIENT = 0x9B9B


@dataclass(slots=True)
class Period:
    """A context on the chain, and a pool for it."""

    command: Command
    world: World
    contract: str
    pool: str

    def __call__(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        words = ["reward", *arguments, "--contract", self.contract]
        return self.command(*words, code=code)

    @property
    def tree(self) -> str:
        return str(self.command.home / "tree.json")

    def pass_time(self, seconds: int) -> None:
        self.command.live.ask("devnet_increaseTime", time=seconds)

    def received(self) -> int:
        found = self.command.live.ask(
            "starknet_call", block_id="latest",
            request={
                "contract_address": STRK, "calldata": [hex(RECIPIENT)],
                "entry_point_selector": "0x35a73cd311a05d46deda634c5ee045db92f811b4e74bca4437fcb5302b7af33",
            },
        )  # fmt: skip
        return int(found[0], 16)


async def post(period: Period, home: Path) -> None:
    """A checkpoint that names the tree."""
    tree = PayTree(EARNED)
    certificate = period.command.node.certify(
        "trial", reward_root=reward_root(int(period.pool, 16), tree.root)
    )
    async with standing(period.command.live, home) as stand:
        await stand.sender.bring_about(read_certificate(certificate, period.world.address))


@pytest.fixture(scope="module")
def period(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Period]:
    home = tmp_path_factory.mktemp("operator")
    node = FakeNode()
    with embedded() as live, node.serving() as url:
        write_secret(home / "account.key", live.account(0)[1])
        write_secret(home / "payee.key", SECRET)
        (home / "tree.json").write_text(
            json.dumps({"earned": {hex(key): str(n) for key, n in EARNED.items()}})
        )
        command = Command(live=live, node=node, url=url, home=home)
        command("contract", "declare", "--poll", "0.05")
        deployed = command("contract", "deploy", "--poll", "0.05")
        chain_id = short_string("MEDSYNC_LOCAL")
        world = World(anchor=Anchor(chain_id=chain_id, contract=int(deployed["contract"], 16)))
        node.worlds["trial"] = world
        command("contract", "register", "trial", "--contract", deployed["contract"], "--poll", "0.05")
        words = ["reward", "pool", "create", str(world.address), "--window-days", "1", "--poll", "0.05"]
        made = command(*words)
        again = command(*words)
        assert made["transaction"] and (again["pool"], again["contract"]) == (made["pool"], made["contract"])
        yield Period(command, world, made["contract"], made["pool"])


def test_a_period_ends_in_a_claimed_balance(period: Period, tmp_path: Path) -> None:
    quick = ("--poll", "0.05")
    funded = period("pool", "fund", period.pool, "--to", "1500", *quick)
    assert funded["transaction"]
    again = period("pool", "fund", period.pool, "--to", "1500", *quick)
    assert again["transaction"] in (None, funded["transaction"])
    trio.run(post, period, tmp_path)
    root = PayTree(EARNED).root

    def proposing(code: int = 0) -> dict[str, Any]:
        words = ("propose", period.pool, context_id("trial"), "--k", "1", "--tree", period.tree)
        return period(*words, *quick, code=code)

    assert proposing()["transaction"]
    waiting = period("pool", "status", period.pool)
    assert (waiting["deposited"], waiting["promised"], waiting["pending"]["sum"]) == ("1500", "0", "1000")
    early = period("activate", period.pool, *quick, code=1)
    assert early["error"]["code"] == "window_open"
    period.pass_time(86_400)
    assert period("activate", period.pool, *quick)["transaction"]
    held = period("pool", "status", period.pool)
    assert (held["promised"], held["pending"], int(held["active_tree"], 16)) == ("1000", None, root.hash)

    payee = hex(PAYEE)
    owed = period("balance", period.pool, "--payee", payee, "--tree", period.tree)
    assert (owed["claimed"], owed["owed"]) == ("0", "700")
    claim = (
        "claim", period.pool, "--tree", period.tree, "--payee-key", f"file:{period.command.home / 'payee.key'}",
        "--to", hex(RECIPIENT), *quick,
    )  # fmt: skip
    assert period(*claim)["paid_up_to"] == "700"
    assert period(*claim)["paid_up_to"] == "700"
    assert period.received() == 700
    paid = period("balance", period.pool, "--payee", payee, "--tree", period.tree)
    assert (paid["claimed"], paid["owed"]) == ("700", "0")
    assert period("pool", "status", period.pool)["balance"] == "800"
    assert_history(period)


def assert_history(period: Period) -> None:
    """What a node reads of it with no more than the chain's events."""
    anchor = period.world.anchor
    terms = Terms(context=period.world.address.context, token=int(STRK, 16), window=86_400)
    pool = Pool(chain_id=anchor.chain_id, contract=int(period.contract, 16), anchor=anchor.contract, terms=terms)
    assert pool.id == int(period.pool, 16)
    found = read_pool(period.command.live.url, pool, {PAYEE: "north"})
    assert [(one.what, one.k, one.amount, one.name) for one in found.steps] == [
        ("deposited", None, "1500", ""), ("proposed", 1, "1000", ""), ("activated", 1, "1000", ""), ("claimed", None, "700", "north"),
    ]  # fmt: skip
    assert (found.trouble, found.total) == ("", 4)
    assert "no released reward pool" in read_pool(period.command.live.url, replace(pool, contract=anchor.contract), {}).trouble
    assert "chain.rpc" in read_pool(None, pool, {}).trouble


def test_a_pool_that_is_not_there_is_said_to_be_so(period: Period) -> None:
    refused = period("pool", "status", "0x77", code=1)
    assert refused["error"]["code"] == "unknown_pool"
    wrong = period.command(
        "reward", "pool", "status", period.pool, "--contract", hex(period.world.anchor.contract), code=1
    )
    assert wrong["error"]["code"] == "not_deployed"


def test_another_tree_than_the_active_one_pays_nothing(period: Period, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"earned": {hex(PAYEE): "900"}}))
    refused = period(
        "claim", period.pool, "--tree", str(other), "--payee-key", f"file:{period.command.home / 'payee.key'}",
        "--to", "0x1", code=1,
    )  # fmt: skip
    assert refused["error"]["code"] == "bad_proof"
    other.write_text("[]")
    period("balance", period.pool, "--payee", hex(PAYEE), "--tree", str(other), code=1)
