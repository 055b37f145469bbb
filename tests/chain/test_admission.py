"""Which transactions are taken, which are refused with what code, and what the pool does with them meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from medsync_chain.errors import Code, Unacceptable
from medsync_chain.fees import Prices
from medsync_chain.keccak import selector
from medsync_chain.pool import LIFETIME
from medsync_chain.token import FEE_TOKEN, balance_of
from medsync_chain.transactions import QUERY_VERSION, Bound, Bounds, Transaction
from tests.chain.world import World, bounds

PRICE = Prices().l2_gas


@pytest.fixture
def world() -> World:
    return World()


def pay(world: World, amount: int = 1, **options: object) -> Transaction:
    """A transfer to nobody in particular."""
    return world.invoke((FEE_TOKEN, "transfer", [0x77, amount, 0]), **options)  # type: ignore[arg-type]


def refusal(act: Callable[[], object]) -> Unacceptable:
    with pytest.raises(Unacceptable) as caught:
        act()
    return caught.value


def test_a_transfer_moves_money_and_pays_its_fee_to_the_sequencer(world: World) -> None:
    account = world.account()
    before = balance_of(world.chain.pending.state, account.address)
    receipt = world.send(pay(world, 5))
    state = world.chain.pending.state
    assert balance_of(state, 0x77) == 5
    assert balance_of(state, account.address) == before - 5 - receipt.fee
    assert receipt.fee == receipt.used.fee(Prices(), 0) > 0
    assert [event.keys[0] for event in receipt.events] == [selector("Transfer")] * 2
    assert receipt.events[1].keys[2] == world.chain.pending.info.sequencer


def test_a_tip_is_paid_per_unit_of_gas(world: World) -> None:
    plain = world.send(pay(world))
    tipped = world.send(pay(world, tip=1_000))
    assert tipped.fee - tipped.used.fee(Prices(), 0) == 1_000 * tipped.used.l2_gas
    assert plain.fee == plain.used.fee(Prices(), 0)


@pytest.mark.parametrize("nonce", [0, 300])
def test_a_nonce_of_the_past_or_far_ahead_is_52(world: World, nonce: int) -> None:
    world.send(pay(world))
    assert refusal(lambda: world.send(pay(world, nonce=nonce))).code is Code.INVALID_TRANSACTION_NONCE


def test_a_wrong_signature_is_55_and_costs_nothing(world: World) -> None:
    before = balance_of(world.chain.pending.state, world.account().address)
    for signature in ((1, 2), (), (1,), (0, 0)):
        found = refusal(lambda signature=signature: world.send(pay(world, signature=signature)))
        assert found.code is Code.VALIDATION_FAILURE and "signature" in str(found.data)
    assert balance_of(world.chain.pending.state, world.account().address) == before
    assert world.nonce(world.account()) == 0


def test_a_signature_over_other_content_is_55(world: World) -> None:
    signed = world.invoke((FEE_TOKEN, "transfer", [0x77, 1, 0]))
    assert refusal(lambda: world.send(replace(signed, tip=1))).code is Code.VALIDATION_FAILURE


def test_more_than_the_balance_is_54(world: World) -> None:
    greedy = Bounds(l2_gas=Bound(2**60, 2**60), l1_data_gas=bounds().l1_data_gas)
    found = refusal(lambda: world.send(pay(world, limits=greedy)))
    assert found.code is Code.INSUFFICIENT_ACCOUNT_BALANCE and "exceed balance" in str(found.data)


def test_a_price_below_the_blocks_is_65_and_no_gas_is_53(world: World) -> None:
    cheap = refusal(lambda: world.send(pay(world, limits=bounds(l2_price=PRICE - 1))))
    assert cheap.code is Code.FEE_BELOW_MINIMUM
    little = refusal(lambda: world.send(pay(world, limits=bounds(l2_gas=1_000))))
    assert little.code is Code.INSUFFICIENT_RESOURCES_FOR_VALIDATE


def test_too_little_gas_for_the_work_reverts_and_pays_what_was_bid(world: World) -> None:
    world.send(pay(world))  # the first one also pays for a new cell
    needed = world.send(pay(world)).used.l2_gas
    receipt = world.send(pay(world, limits=bounds(l2_gas=needed - 100_000)))
    assert receipt.reverted is not None and "Insufficient max L2Gas" in receipt.reverted
    assert receipt.used.l2_gas <= needed - 100_000
    assert balance_of(world.chain.pending.state, 0x77) == 2
    assert world.nonce(world.account()) == 3


def test_an_account_that_is_not_there_is_20(world: World) -> None:
    stranger = replace(world.account(), address=0x1234)
    found = refusal(lambda: world.send(world.invoke((FEE_TOKEN, "name", []), account=stranger, nonce=0)))
    assert found.code is Code.CONTRACT_NOT_FOUND


def test_a_query_is_only_simulated(world: World) -> None:
    assert (
        refusal(lambda: world.send(replace(pay(world), version=QUERY_VERSION))).code
        is Code.UNSUPPORTED_TX_VERSION
    )


def test_an_account_is_deployed_by_its_own_transaction_once_it_has_money(world: World) -> None:
    transaction = world.deploy_account(world.account(1), salt=4)
    assert refusal(lambda: world.send(transaction)).code is Code.INSUFFICIENT_ACCOUNT_BALANCE
    world.send(world.invoke((FEE_TOKEN, "transfer", [transaction.sender, 10**20, 0])))
    receipt = world.send(transaction)
    assert receipt.contract_address == transaction.sender
    assert world.call(transaction.sender, "public_key") == [world.account(1).public_key]
    assert world.chain.pending.state.nonce(transaction.sender) == 1
    assert refusal(lambda: world.send(transaction)).code is Code.INVALID_TRANSACTION_NONCE


def test_a_new_account_may_send_its_first_transaction_before_it_is_deployed(world: World) -> None:
    deployment = world.deploy_account(world.account(1), salt=5)
    world.send(world.invoke((FEE_TOKEN, "transfer", [deployment.sender, 10**20, 0])))
    world.chain.holding = True
    world.chain.add(deployment)
    new = replace(world.account(1), address=deployment.sender)
    first = world.invoke((FEE_TOKEN, "transfer", [0x77, 9, 0]), account=new, nonce=1)
    world.chain.add(first)
    world.chain.holding = False
    world.chain.drain()
    assert world.receipt(first).reverted is None and balance_of(world.chain.pending.state, 0x77) == 9


def test_the_same_transaction_twice_in_the_pool_is_59_and_after_its_block_52(world: World) -> None:
    world.chain.holding = True
    transaction = pay(world)
    world.chain.add(transaction)
    assert refusal(lambda: world.chain.add(transaction)).code is Code.DUPLICATE_TX
    world.chain.holding = False
    world.chain.drain()
    assert refusal(lambda: world.chain.add(transaction)).code is Code.INVALID_TRANSACTION_NONCE


def test_a_replacement_needs_a_tenth_more_of_tip_and_price(world: World) -> None:
    world.chain.holding = True
    first = pay(world, tip=100, nonce=0)
    world.chain.add(first)
    price = bounds().l2_gas.price
    for tip, raised in ((109, price * 2), (200, price)):
        cheap = pay(world, 2, tip=tip, nonce=0, limits=bounds(l2_price=raised))
        assert refusal(lambda cheap=cheap: world.chain.add(cheap)).code is (
            Code.REPLACEMENT_TRANSACTION_UNDERPRICED
        )
    better = pay(world, 3, tip=110, nonce=0, limits=bounds(l2_price=price * 110 // 100))
    world.chain.add(better)
    assert world.chain.pool.find(first.hash) is None
    world.chain.holding = False
    world.chain.drain()
    assert balance_of(world.chain.pending.state, 0x77) == 3


def test_transactions_wait_for_the_nonces_before_them(world: World) -> None:
    later, first = pay(world, 10, nonce=1), pay(world, 20, nonce=0)
    world.chain.add(later)
    assert world.chain.history.place_of(later.hash) is None and world.chain.pool.find(later.hash) is later
    world.chain.add(first)
    assert world.chain.history.place_of(later.hash) is not None
    assert len(world.chain.pool) == 0


def test_what_waits_too_long_is_forgotten(world: World) -> None:
    world.chain.holding = True
    transaction = pay(world)
    world.chain.add(transaction)
    world.now += LIFETIME + 1
    world.chain.add(pay(world, account=world.account(1)))
    assert world.chain.pool.find(transaction.hash) is None
    world.chain.add(transaction)
    assert world.chain.pool.find(transaction.hash) is not None, "and may be sent again"


def test_a_declared_class_is_51_and_an_unknown_one_56_with_advice(world: World) -> None:
    world.declare_probe()
    assert refusal(world.declare_probe).code is Code.CLASS_ALREADY_DECLARED
    unknown = World()
    unknown.chain._compilations.folders = ()
    found = refusal(unknown.declare_probe)
    assert found.code is Code.COMPILATION_FAILED and "--sierra-compiler" in str(found.data)


def test_what_is_pending_counts_until_the_block_is_sealed(world: World) -> None:
    from medsync_chain.chain import Sealing

    world.chain.sealing = Sealing.ON_DEMAND
    transaction = pay(world)
    world.chain.add(transaction)
    assert refusal(lambda: world.chain.add(transaction)).code is Code.DUPLICATE_TX
    assert world.nonce(world.account()) == 1
    assert (
        world.rpc("starknet_getNonce", block_id="latest", contract_address=hex(world.account().address))
        == "0x0"
    )
    world.chain.seal()
    assert (
        world.rpc("starknet_getNonce", block_id="latest", contract_address=hex(world.account().address))
        == "0x1"
    )
