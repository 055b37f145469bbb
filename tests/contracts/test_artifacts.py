"""The committed artefacts are what the sources compile to, and the packages ship the same bytes."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from starknet_py.common import create_sierra_compiled_contract
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.hash.sierra_class_hash import compute_sierra_class_hash

from medsync_protocol import anchor_abi, reward_pool_abi
from tests.contracts.compiler import CACHE, ROOT, compiler

COMPILED = ROOT / "contracts" / "compiled"
SHIPPED = {
    "medsync_bridge": ["anchor", "reward_pool"],
    "medsync_chain": ["account", "deployer", "token"],
}


def test_the_sources_compile_to_the_committed_bytes() -> None:
    compile_contracts, _ = compiler()
    built = compile_contracts.build(CACHE)
    assert {path for path, data in built.items() if (ROOT / path).read_bytes() != data} == set()
    assert {path.name for path in COMPILED.iterdir()} == {
        path.name for path in built if path.parent == Path("contracts/compiled")
    }


@pytest.mark.parametrize("package", SHIPPED)
def test_packages_ship_the_compiled_bytes(package: str) -> None:
    shipped = resources.files(package) / "artifacts"
    names = [f"{name}.{kind}.json" for name in SHIPPED[package] for kind in ("casm", "hashes", "sierra")]
    assert sorted(entry.name for entry in shipped.iterdir()) == sorted(names)
    for name in names:
        assert (shipped / name).read_bytes() == (COMPILED / name).read_bytes()


@pytest.mark.parametrize("name", sorted(path.name.split(".")[0] for path in COMPILED.glob("*.sierra.json")))
def test_class_hashes_are_those_of_the_classes(name: str) -> None:
    hashes = json.loads((COMPILED / f"{name}.hashes.json").read_text())
    sierra = (COMPILED / f"{name}.sierra.json").read_text()
    assert int(hashes["class_hash"], 16) == compute_sierra_class_hash(create_sierra_compiled_contract(sierra))


@pytest.mark.parametrize(("name", "abi"), [("anchor", anchor_abi), ("reward_pool", reward_pool_abi)])
def test_the_released_class_is_the_compiled_one(name: str, abi: Any) -> None:
    hashes = json.loads((COMPILED / f"{name}.hashes.json").read_text())
    assert int(hashes["class_hash"], 16) == abi.CLASS_HASH


@pytest.mark.parametrize("abi", [anchor_abi, reward_pool_abi])
def test_selectors_are_those_of_the_names(abi: Any) -> None:
    for name, selector in {**abi.ENTRY_POINTS, **abi.EVENTS}.items():
        assert selector == get_selector_from_name(name)


@pytest.mark.parametrize("name", ["anchor", "reward_pool"])
def test_contracts_cannot_be_upgraded(name: str) -> None:
    program = json.loads((COMPILED / f"{name}.sierra.json").read_text())["sierra_program"]
    words = {int(word, 16) for word in program}
    found = {name for name in SYSTEM_CALLS if int.from_bytes(name.encode(), "big") in words}
    assert found == {
        "storage_read_syscall",
        "storage_write_syscall",
        "emit_event_syscall",
        "call_contract_syscall",
    }


SYSTEM_CALLS = (
    "storage_read_syscall", "storage_write_syscall", "emit_event_syscall", "call_contract_syscall",
    "replace_class_syscall", "library_call_syscall", "deploy_syscall", "send_message_to_l1_syscall",
)  # fmt: skip
