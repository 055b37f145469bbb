"""Blocks: when they are sealed, what they commit to, taking them back, time, events page by page."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from medsync_chain.blocks import Receipt
from medsync_chain.chain import Sealing
from medsync_chain.commitments import block_hash
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.felts import short
from medsync_chain.hashes import poseidon_many
from medsync_chain.keccak import selector
from medsync_chain.token import FEE_TOKEN, balance_cell, balance_of
from medsync_chain.transactions import Transaction
from medsync_chain.tries import StateTries
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.pedersen import pedersen
from tests.chain.world import GENESIS_TIME, World


@pytest.fixture
def world() -> World:
    return World()


def pay(world: World, amount: int = 1, to: int = 0x77) -> Transaction:
    transaction = world.invoke((FEE_TOKEN, "transfer", [to, amount, 0]))
    world.chain.add(transaction)
    return transaction


def test_each_transaction_gets_its_block_and_blocks_form_a_chain(world: World) -> None:
    for amount in (1, 2, 3):
        pay(world, amount)
    headers = world.chain.history.headers
    assert [header.number for header in headers] == [0, 1, 2, 3]
    assert all(new.parent_hash == old.hash for old, new in pairwise(headers))
    assert all(block_hash(header) == header.hash for header in headers)
    assert len({header.root for header in headers}) == 4


def test_a_blocks_hash_covers_its_parts(world: World) -> None:
    pay(world)
    header = world.chain.history.latest
    changed = [
        replace(header, root=1),
        replace(header, timestamp=header.timestamp + 1),
        replace(header, parent_hash=1),
        replace(header, event_count=9),
        replace(header, commitments=replace(header.commitments, events=1)),
        replace(header, commitments=replace(header.commitments, receipts=1)),
        replace(header, commitments=replace(header.commitments, transactions=1)),
        replace(header, commitments=replace(header.commitments, state_diff=1)),
    ]
    assert len({header.hash, *map(block_hash, changed)}) == len(changed) + 1


def test_the_root_is_that_of_the_whole_state(world: World) -> None:
    pay(world)
    world.declare_probe()
    ledger = world.chain.history.ledger
    assert StateTries().updated(ledger.everything(), ledger.at()).root == world.chain.history.latest.root


def test_on_demand_many_transactions_share_a_block(world: World) -> None:
    world.chain.sealing = Sealing.ON_DEMAND
    sent = [pay(world, amount) for amount in (1, 2, 3)]
    assert len(world.chain.history) == 1
    status = world.rpc("starknet_getTransactionStatus", transaction_hash=hex(sent[0].hash))
    assert status == {"finality_status": "PRE_CONFIRMED", "execution_status": "SUCCEEDED"}
    header = world.chain.seal()
    assert (header.transaction_count, header.event_count) == (3, 6)
    block = world.rpc("starknet_getBlockWithTxHashes", block_id="latest")
    assert block["transactions"] == [hex(transaction.hash) for transaction in sent]


def test_an_old_state_can_be_asked(world: World) -> None:
    for _ in range(3):
        pay(world, 10)
    balances = [world.call(FEE_TOKEN, "balance_of", 0x77, block={"block_number": n})[0] for n in range(4)]
    assert balances == [0, 10, 20, 30]
    nonces = [
        world.rpc(
            "starknet_getNonce", block_id={"block_number": n}, contract_address=hex(world.account().address)
        )
        for n in range(4)
    ]
    assert nonces == ["0x0", "0x1", "0x2", "0x3"]


def test_aborted_blocks_take_everything_with_them(world: World) -> None:
    first, second = pay(world, 10), pay(world, 20)
    gone = world.chain.history.latest.hash
    third = pay(world, 30)
    aborted = world.rpc("devnet_abortBlocks", starting_block_id={"block_number": 2})
    assert aborted["aborted"][-1] == hex(gone) and len(aborted["aborted"]) == 2
    assert world.rpc("starknet_getTransactionReceipt", transaction_hash=hex(second.hash))["code"] == 29
    assert world.rpc("starknet_getTransactionStatus", transaction_hash=hex(third.hash))["code"] == 29
    assert world.rpc("starknet_getBlockWithTxs", block_id={"block_hash": hex(gone)})["code"] == 24
    assert world.rpc("starknet_getBlockWithTxs", block_id={"block_number": 2})["code"] == 24
    assert balance_of(world.chain.pending.state, 0x77) == 10
    world.chain.add(second)
    assert balance_of(world.chain.pending.state, 0x77) == 30, "and may come again"
    assert world.chain.history.place_of(first.hash) == (1, 0)


def test_what_is_accepted_on_l1_cannot_be_aborted(world: World) -> None:
    pay(world)
    pay(world)
    assert world.rpc("starknet_getBlockWithTxs", block_id="l1_accepted")["code"] == 24
    assert len(world.rpc("devnet_acceptOnL1", starting_block_id={"block_number": 1})["accepted"]) == 2
    assert world.rpc("starknet_getBlockWithTxs", block_id="l1_accepted")["block_number"] == 1
    assert world.rpc("starknet_getBlockWithTxs", block_id={"block_number": 1})["status"] == "ACCEPTED_ON_L1"
    assert world.rpc("starknet_getBlockWithTxs", block_id="latest")["status"] == "ACCEPTED_ON_L2"
    with pytest.raises(Unacceptable) as caught:
        world.chain.abort(1)
    assert caught.value.code is Code.UNEXPECTED_ERROR
    world.chain.abort(2)
    assert world.rpc("devnet_acceptOnL1", starting_block_id="latest")["accepted"] == []


def test_genesis_cannot_be_aborted(world: World) -> None:
    assert world.rpc("devnet_abortBlocks", starting_block_id={"block_number": 0})["code"] == 24


def test_time_is_the_clocks_and_moves_only_forward(world: World) -> None:
    assert world.chain.history.latest.timestamp == GENESIS_TIME
    world.now += 50
    pay(world)
    assert world.chain.history.latest.timestamp == GENESIS_TIME + 50
    assert world.rpc("devnet_increaseTime", time=3_600)["timestamp_increased_by"] == 3_600
    assert world.chain.history.latest.timestamp == GENESIS_TIME + 3_650
    moved = world.rpc("devnet_setTime", time=GENESIS_TIME + 10_000)
    assert moved["block_timestamp"] == GENESIS_TIME + 10_000
    world.rpc("devnet_setTime", time=5)
    assert world.chain.history.latest.timestamp == GENESIS_TIME + 10_000


def test_events_come_in_pages_that_neither_miss_nor_repeat(world: World) -> None:
    probe = world.probe()
    for _ in range(3):
        assert world.send(world.invoke((probe, "events", [7, 2, 1]))).reverted is None
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        chunk = world.rpc("starknet_getEvents", filter={"address": hex(probe), "chunk_size": 4, **token})
        pages.append([f"{event['block_number']}/{event['event_index']}" for event in chunk["events"]])
        if "continuation_token" not in chunk:
            break
        token = {"continuation_token": chunk["continuation_token"]}
    found = [place for page in pages for place in page]
    assert [len(page) for page in pages] == [4, 4, 4, 4, 4, 1]
    assert len(set(found)) == len(found) == 21


def test_events_are_filtered_by_contract_keys_and_blocks(world: World) -> None:
    pay(world, 1, to=0x71)
    pay(world, 2, to=0x72)
    transfer, account = hex(selector("Transfer")), hex(world.account().address)

    def found(**filters: object) -> list[int]:
        chunk = world.rpc("starknet_getEvents", filter={"chunk_size": 100, **filters})
        return [int(event["keys"][2], 16) for event in chunk["events"]]

    sequencer = world.chain.pending.info.sequencer
    assert found(keys=[[transfer], [account]]) == [0x71, sequencer, 0x72, sequencer]
    assert found(keys=[[transfer], [], ["0x71", "0x72"]]) == [0x71, 0x72]
    assert found(keys=[[], [], ["0x72"]], address=hex(FEE_TOKEN)) == [0x72]
    assert found(address="0x1234") == []
    assert found(from_block={"block_number": 2}, keys=[[], [], [], []]) == [0x72, sequencer]
    assert found(to_block={"block_number": 1}) == [0x71, sequencer]
    assert found(from_block={"block_number": 50}) == []


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"chunk_size": 0}, -32602),
        ({}, -32602),
        ({"chunk_size": 10**9}, 31),
        ({"chunk_size": 5, "continuation_token": "x"}, 33),
        ({"chunk_size": 5, "continuation_token": "1-2-²"}, 33),
        ({"chunk_size": 5, "keys": [["0x1"] * 2_000]}, 34),
        ({"chunk_size": 5, "keys": "0x1"}, -32602),
        ({"chunk_size": 5, "from_block": {"block_hash": "0x1"}}, 24),
    ],
)
def test_a_bad_filter_is_told_what_is_wrong(world: World, filters: dict[str, object], code: int) -> None:
    assert world.rpc("starknet_getEvents", filter=filters)["code"] == code


def test_a_proof_leads_from_a_cell_to_the_root_in_the_header(world: World) -> None:
    pay(world, 41)
    cell = balance_cell(0x77)
    proof = world.rpc(
        "starknet_getStorageProof",
        block_id="latest",
        contract_addresses=[hex(FEE_TOKEN)],
        contracts_storage_keys=[{"contract_address": hex(FEE_TOKEN), "storage_keys": [hex(cell)]}],
    )
    leaf = {name: int(felt, 16) for name, felt in proof["contracts_proof"]["contract_leaves_data"][0].items()}
    assert walk(proof["contracts_storage_proofs"][0], leaf["storage_root"], cell) == 41
    state_hash = pedersen(pedersen(pedersen(leaf["class_hash"], leaf["storage_root"]), leaf["nonce"]), 0)
    roots = {name: int(felt, 16) for name, felt in proof["global_roots"].items()}
    assert walk(proof["contracts_proof"]["nodes"], roots["contracts_tree_root"], FEE_TOKEN) == state_hash
    state = [short("STARKNET_STATE_V0"), roots["contracts_tree_root"], roots["classes_tree_root"]]
    assert poseidon_many(state) == world.chain.history.latest.root
    old = world.rpc("starknet_getStorageProof", block_id={"block_number": 0})
    assert old["code"] == 42


def walk(nodes: list[dict[str, Any]], root: int, key: int) -> int:
    """Follows a key down from a root through nodes whose hashes it checks; the leaf."""
    known = {int(entry["node_hash"], 16): entry["node"] for entry in nodes}
    height, at = 251, root
    while height:
        node = known[at]
        if "left" in node:
            left, right = int(node["left"], 16), int(node["right"], 16)
            assert pedersen(left, right) == at
            height -= 1
            at = right if key >> height & 1 else left
        else:
            child, path, length = int(node["child"], 16), int(node["path"], 16), node["length"]
            assert (pedersen(child, path) + length) % FIELD_PRIME == at
            height -= length
            assert key >> height & ((1 << length) - 1) == path
            at = child
    return at


def test_a_block_run_again_does_the_same(world: World) -> None:
    probe = world.probe()
    world.chain.sealing = Sealing.ON_DEMAND
    paid = pay(world, 5)
    world.chain.add(world.invoke((probe, "set_then_fail", [1, 3])))
    waiting = world.rpc("starknet_traceTransaction", transaction_hash=hex(paid.hash))
    number = world.chain.seal().number
    world.chain.seal()
    included = world.chain.history.block(number).included
    again = [Receipt.of(executed) for executed in world.chain.replay(number)]
    assert again == [one.receipt for one in included]
    traces = world.rpc("starknet_traceBlockTransactions", block_id={"block_number": number})
    assert traces[0]["trace_root"] == waiting
    assert "after writing" in traces[1]["trace_root"]["execute_invocation"]["revert_reason"]
    assert world.rpc("starknet_traceTransaction", transaction_hash="0x1")["code"] == 29


def test_minted_money_comes_from_the_bank(world: World) -> None:
    answer = world.rpc("devnet_mint", address="0x999", amount=5, unit="FRI")
    assert answer["new_balance"] == "5"
    assert world.call(FEE_TOKEN, "balance_of", 0x999) == [5, 0]
    supply = world.call(FEE_TOKEN, "total_supply")
    assert supply[0] | supply[1] << 128 == 10**28
