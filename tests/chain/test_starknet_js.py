"""starknet.js, as it comes from npm, drives `medsync chain run`, hashes a claim and checks a consent proof."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from medsync_bridge.certified import read_certificate
from medsync_protocol.anchor_abi import CLASS_HASH
from medsync_protocol.consent_map import ConsentMap, Status, directive_key, pack_value
from medsync_protocol.ids import Instant
from tests.bridge.chains import LiveChain, embedded
from tests.bridge.test_conformance import standing
from tests.npm import installed

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "js"
STRK = "0x4718f5a0fc34cc1af16a1cdee98ffb20c31f5cd61d6ab07201858f4287c938d"
DIRECTIVE = "ab" * 32

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """starknet.js, installed in a temporary directory."""
    return installed(SOURCES, tmp_path_factory.mktemp("js"))


async def consent_proof(chain: LiveChain, home: Path) -> dict[str, Any]:
    """A proof file for a directive under an accepted checkpoint; posted by an account that the script does not use."""
    key = directive_key(bytes.fromhex(DIRECTIVE))
    value = pack_value(Status.ACTIVE, Instant(1), None)
    held = ConsentMap().put_many({key: value, directive_key(bytes(32)): value})
    async with standing(chain, home, 1) as stand:
        world = await stand.open()
        task = read_certificate(world.certify(consent_root=held.root), world.address)
        await stand.sender.bring_about(task)
    found = held.prove(key)
    assert found.terminal is not None
    statement = {name: getattr(task.following, name) for name in task.following.__dataclass_fields__}
    return {
        "address": str(world.address), "statement": {name: str(n) for name, n in statement.items()},
        "consent": {
            "key": hex(key), "value": hex(found.terminal[1]), "term_key": hex(found.terminal[0]),
            "siblings": [hex(one) for one in found.siblings],
        },
    }  # fmt: skip


async def test_starknet_js_drives_the_chain_unmodified(library: Path, tmp_path: Path) -> None:
    claim = json.loads((ROOT / "protocol" / "vectors" / "rewards.json").read_text("utf-8"))["claim"]
    compiled = ROOT / "contracts" / "compiled"
    with embedded() as chain:
        address, secret = chain.account(0)
        given = {
            "url": chain.url, "account": hex(address), "secret": hex(secret), "token": STRK, "recipient": "0x77",
            "sierra": str(compiled / "anchor.sierra.json"), "casm": str(compiled / "anchor.casm.json"),
            "claim": claim, "proof": await consent_proof(chain, tmp_path),
        }  # fmt: skip
        (tmp_path / "given.json").write_text(json.dumps(given))
        done = subprocess.run(
            ["node", "drive.mjs", str(tmp_path / "given.json")],
            cwd=library, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert int(said["class_hash"], 16) == int(said["deployed_class"], 16) == CLASS_HASH
    assert said["spec"].startswith("0.10") and int(said["chain"], 16) == int.from_bytes(b"MEDSYNC_LOCAL")
    assert said["succeeded"] and said["events"] and said["estimated"] and said["simulated"] == 1
    assert [int(part, 0) for part in said["balance"]] == [123, 0]
    assert said["head"] == ["0", "0"]
    assert said["refusal"] == "UNKNOWN_CONTEXT"
    assert said["unknown_transaction"] == 29
    assert said["block"] == "ACCEPTED_ON_L2" and said["update"] and said["continues"]
    assert int(said["claim"], 16) == int(claim["digest"], 16)
    assert [int(part, 0) for part in said["proof"]] == [1] and int(said["proof_class"], 16) == CLASS_HASH
