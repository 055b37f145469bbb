"""Hostile classes, calldata and recursion end in a revert or a refusal, and the chain goes on."""

from __future__ import annotations

from typing import Any

import pytest

from medsync_chain import costs
from medsync_chain.keccak import selector
from tests.chain.world import World, bounds


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def probe(world: World) -> int:
    return world.probe()


def reverted(world: World, probe: int, function: str, *felts: int) -> str:
    receipt = world.send(world.invoke((probe, function, list(felts))))
    assert receipt.reverted is not None
    return receipt.reverted


def test_calls_nest_fifty_deep(world: World, probe: int) -> None:
    assert world.call(probe, "recurse", costs.MAX_DEPTH - 1) == [costs.MAX_DEPTH - 1]
    assert "deeper than 50" in str(world.call(probe, "recurse", costs.MAX_DEPTH))
    assert "deeper than 50" in reverted(world, probe, "recurse", 10**6)


@pytest.mark.parametrize(
    ("count", "keys", "data", "why"),
    [
        (1, costs.MAX_EVENT_KEYS + 1, 0, "51 keys"),
        (1, 1, costs.MAX_EVENT_DATA + 1, "301 data felts"),
        (costs.MAX_EVENTS + 1, 1, 0, "1001 events"),
    ],
)
def test_events_have_limits(world: World, probe: int, count: int, keys: int, data: int, why: str) -> None:
    assert why in reverted(world, probe, "events", count, keys, data)


def test_events_up_to_the_limits_are_fine(world: World, probe: int) -> None:
    receipt = world.send(world.invoke((probe, "events", [20, costs.MAX_EVENT_KEYS, costs.MAX_EVENT_DATA])))
    assert receipt.reverted is None and len(receipt.events) == 21


def test_gas_ends_an_endless_loop(world: World, probe: int) -> None:
    transaction = world.invoke((probe, "spin", []), limits=bounds(l2_gas=40_000_000))
    receipt = world.send(transaction)
    assert receipt.reverted is not None and "Out of gas" in receipt.reverted
    assert receipt.used.l2_gas == 40_000_000 or receipt.used.l2_gas > 39_000_000


def test_memory_ends_what_gas_would_let_run_on(world: World, probe: int, monkeypatch: Any) -> None:
    monkeypatch.setattr("medsync_chain.execution.MAX_CELLS", 50_000)
    assert "out of memory" in str(world.call(probe, "hoard", 100_000))
    assert world.call(probe, "hoard", 100) == [100]


def test_steps_end_a_call(world: World, probe: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(costs, "MAX_EXECUTE_STEPS", 20_000)
    assert "out of steps" in str(world.call(probe, "spin"))


def test_a_chain_that_refused_much_still_works(world: World, probe: int) -> None:
    assert world.send(world.invoke((probe, "set", [1, 2]))).reverted is None
    assert world.call(probe, "get", 1) == [2]


@pytest.mark.parametrize(
    "calldata",
    [
        [],
        [1],
        [2**250],
        [1, 0x99, 1, 2**64],
        [1, 0x99, 1, 5, 1],
        [2**32 - 1, 0x99, 1, 0],
    ],
)
def test_calldata_that_is_no_list_of_calls_reverts(world: World, calldata: list[int]) -> None:
    from dataclasses import replace

    transaction = world.signed(replace(world.invoke(), calldata=tuple(calldata)), world.account())
    try:
        receipt = world.send(transaction)
    except Exception as refusal:  # the account reads its calldata already when it validates
        assert getattr(refusal, "code", None) == 55
    else:
        assert receipt.reverted is not None


def test_transactions_have_a_largest_size(world: World) -> None:
    document = {
        "type": "INVOKE",
        "version": "0x3",
        "nonce": "0x0",
        "signature": [],
        "sender_address": "0x1",
        "calldata": ["0x1"] * (costs.MAX_CALLDATA + 1),
        "resource_bounds": {
            name: {"max_amount": "0x1", "max_price_per_unit": "0x1"}
            for name in ("l1_gas", "l2_gas", "l1_data_gas")
        },
        "tip": "0x0",
        "paymaster_data": [],
        "account_deployment_data": [],
        "nonce_data_availability_mode": "L1",
        "fee_data_availability_mode": "L1",
    }
    error = world.rpc("starknet_addInvokeTransaction", invoke_transaction=document)
    assert error["code"] == -32602 and "at most 5000" in error["data"]


def test_a_validation_may_not_look_around(world: World, probe: int) -> None:
    """An account whose validation calls another contract is refused; here the probe plays the account's part."""
    from medsync_chain.execution import BlockInfo, Call, Context, TxInfo
    from medsync_chain.state import State
    from medsync_chain.vm.errors import VmError

    context = Context(
        state=State(world.chain.pending.state),
        class_of=world.chain.contract_class,
        block=BlockInfo(number=12_345, timestamp=7_201, sequencer=1),
        tx=TxInfo(),
        validate=True,
    )
    info = context.run(Call(address=probe, selector=selector("info"), calldata=[]), 10**8)
    assert info.result[1:4] == [12_300, 7_200, 0], "rounded, so that validity does not depend on the moment"
    calldata = [world.account().address, selector("public_key"), 0]
    with pytest.raises(VmError, match="may not call other contracts"):
        context.run(Call(address=probe, selector=selector("call"), calldata=calldata), 10**8)
