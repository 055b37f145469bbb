"""Whatever is sent as parameters gets an answer or a refusal, never a fault of ours (error -32603)."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from medsync_chain.chain import Sealing
from medsync_chain.compiling import own_folder
from medsync_chain.documents import transaction_document
from medsync_chain.fees import Prices
from medsync_chain.keccak import selector
from medsync_chain.token import FEE_TOKEN
from tests.chain.world import CLASSES, World

INTERNAL = -32603
ROUNDS = 1_500
JUNK: list[Any] = [
    None, True, False, -1, 0, 1, 2**64, 1.5, "", "0x", "0x1", "0x" + "f" * 64, "latest", "pre_confirmed", "é" * 70, [], {},
    [[]], [None], ["0x1"] * 3, {"block_number": 0}, {"block_number": -1}, {"block_number": True}, {"block_hash": None},
    {"block_number": 10**30}, "l1_accepted", {"type": "INVOKE"},
]  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def requests(world: World) -> dict[str, dict[str, Any]]:
    """One good request of each kind."""
    invoke = transaction_document(world.invoke((FEE_TOKEN, "transfer", [1, 1, 0])))
    del invoke["transaction_hash"]
    deploy = transaction_document(world.deploy_account(world.account(), 1))
    del deploy["transaction_hash"]
    sierra = json.loads((own_folder() / "deployer.sierra.json").read_text())
    declare = {
        **{key: value for key, value in invoke.items() if key != "calldata"},
        "type": "DECLARE",
        "compiled_class_hash": "0x1",
        "contract_class": {**sierra, "abi": "[]"},
    }
    call = {"contract_address": hex(FEE_TOKEN), "entry_point_selector": hex(selector("name")), "calldata": []}
    keys = {"contract_address": hex(FEE_TOKEN), "storage_keys": ["0x1"]}
    return {
        "starknet_addInvokeTransaction": {"invoke_transaction": invoke},
        "starknet_addDeployAccountTransaction": {"deploy_account_transaction": deploy},
        "starknet_addDeclareTransaction": {"declare_transaction": declare},
        "starknet_estimateFee": {"request": [invoke], "simulation_flags": [], "block_id": "latest"},
        "starknet_simulateTransactions": {
            "block_id": "latest", "transactions": [invoke], "simulation_flags": ["SKIP_VALIDATE"]
        },
        "starknet_call": {"request": call, "block_id": "latest"},
        "starknet_getEvents": {
            "filter": {"from_block": {"block_number": 0}, "to_block": "latest", "keys": [["0x1"]], "chunk_size": 5,
                       "address": "0x1", "continuation_token": "0-0-0"}
        },
        "starknet_getStorageAt": {"contract_address": "0x1", "key": "0x1", "block_id": "latest", "response_flags": []},
        "starknet_getStorageProof": {
            "block_id": "latest", "class_hashes": ["0x1"], "contract_addresses": ["0x1"], "contracts_storage_keys": [keys]
        },
        "starknet_getTransactionByBlockIdAndIndex": {"block_id": "latest", "index": 0},
        "starknet_getTransactionReceipt": {"transaction_hash": "0x1"},
        "starknet_getClassAt": {"block_id": "latest", "contract_address": "0x1"},
        "starknet_getStateUpdate": {"block_id": "latest"},
        "devnet_mint": {"address": "0x1", "amount": 1, "unit": "FRI"},
        "devnet_setGasPrice": {"l2_gas_price_fri": 10**9, "generate_block": False},
        "devnet_acceptOnL1": {"starting_block_id": "latest"},
        "devnet_abortBlocks": {"starting_block_id": "latest"},
        "devnet_increaseTime": {"time": 1},
        "medsync_sealBlocks": {"when": "transaction"},
        "medsync_setLifetime": {"seconds": 300},
    }  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All places in a document where something could be put instead; of long lists only the first ones."""
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 3)):
            found += places(value[index], (*path, index))
    return found


def spoiled(document: Any, path: tuple[Any, ...], junk: Any, drop: bool) -> Any:
    if not path:
        return junk
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    if drop and isinstance(inner, dict):
        del inner[path[-1]]
    else:
        inner[path[-1]] = copy.deepcopy(junk)
    return changed


def test_spoiled_requests_never_make_a_fault_of_ours(world: World) -> None:
    chance = random.Random(20)
    good = requests(world)
    for _ in range(ROUNDS):
        method = chance.choice(sorted(good))
        path = chance.choice(places(good[method]))
        document = spoiled(good[method], path, chance.choice(JUNK), drop=chance.random() < 0.2)
        if not isinstance(document, dict):
            continue
        answer = world.rpc(method, **document)
        code = answer.get("code") if isinstance(answer, dict) else None
        assert code != INTERNAL, (method, path, answer)
    world.chain.set_prices(Prices())
    world.chain.sealing = Sealing.EACH_TRANSACTION
    assert world.send(world.invoke((FEE_TOKEN, "transfer", [1, 1, 0]))).reverted is None


def test_a_class_that_is_spoiled_is_refused(world: World) -> None:
    chance = random.Random(21)
    good = json.loads((CLASSES / "probe.sierra.json").read_text())
    base = requests(world)["starknet_addDeclareTransaction"]["declare_transaction"]
    for path in places({key: good[key] for key in good if key != "abi"}):
        spoilt = spoiled(good, path, chance.choice(JUNK), drop=False)
        answer = world.rpc(
            "starknet_addDeclareTransaction", declare_transaction={**base, "contract_class": spoilt}
        )
        assert answer["code"] in (-32602, 51, 55, 56, 57, 60), answer
