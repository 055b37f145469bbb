"""The embedded chain's own contracts on their compiled code: account, fee token, deployer."""

from __future__ import annotations

import pytest

from medsync_chain.hashes import contract_address
from medsync_chain.keccak import selector
from medsync_chain.vm.pedersen import pedersen
from medsync_protocol.poseidon import short_string
from medsync_protocol.stark import CURVE_ORDER, public_key, sign
from tests.contracts.stage import TX_HASH, Reverted, Stage, compiled

SECRET = 4711
ACCOUNT, TOKEN, DEPLOYER, OWNER, BOB, EVE = 0xACC, 0x70C, 0xDE9, 0xA11CE, 0xB0B, 0xE5E
VALIDATED = short_string("VALID")
SNIP_5 = 0x3F918D17E5EE77373B56385708F855659A07F75997F365CF87748628532A055
SNIP_6 = 0x2CECCEF7F994940B3962A6C67E0BA4FCD37DF7D131417C604F91E03CAECC1CD
SUPPLY = 10**9
UNLIMITED = 2**256 - 1


def u256(number: int) -> list[int]:
    return [number & 2**128 - 1, number >> 128]


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.deploy("account", ACCOUNT, [public_key(SECRET)])
    stage.deploy("deployer", DEPLOYER)
    token = [short_string("Starknet Token"), short_string("STRK"), 18, *u256(SUPPLY), OWNER]
    stage.deploy("token", TOKEN, token)
    return stage


# -- account ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "arguments"),
    [("__validate__", [0]), ("__validate_declare__", [5]), ("__validate_deploy__", [5, 6, 7])],
)
def test_an_account_takes_what_its_key_signed(stage: Stage, function: str, arguments: list[int]) -> None:
    stage.signature = sign(TX_HASH, SECRET)
    assert stage.call(ACCOUNT, function, arguments).data == [VALIDATED]
    r, s = stage.signature
    for spoilt in [
        (),
        (r,),
        (r, s, 1),
        (r, s + 1),
        (s, r),
        (0, s),
        (r, 0),
        sign(TX_HASH + 1, SECRET),
        sign(TX_HASH, 9),
    ]:
        stage.signature = spoilt
        with pytest.raises(Reverted, match="Account: invalid signature"):
            stage.call(ACCOUNT, function, arguments)


def test_an_account_does_what_its_transaction_says_in_order(stage: Stage) -> None:
    stage.call(TOKEN, "transfer", [ACCOUNT, *u256(100)], caller=OWNER)
    calls = [TOKEN, selector("transfer"), 3, BOB, *u256(30), TOKEN, selector("balance_of"), 1, ACCOUNT]
    answer = stage.call(ACCOUNT, "__execute__", [2, *calls], caller=0)
    assert answer.data == [2, 1, 1, 2, *u256(70)]
    assert len(answer.events) == 1


def test_one_failing_call_undoes_all(stage: Stage) -> None:
    stage.call(TOKEN, "transfer", [ACCOUNT, *u256(100)], caller=OWNER)
    transfer = [TOKEN, selector("transfer"), 3, BOB]
    before = stage.storage
    with pytest.raises(Reverted, match="ERC20: insufficient balance"):
        stage.call(ACCOUNT, "__execute__", [2, *transfer, *u256(60), *transfer, *u256(60)], caller=0)
    assert stage.storage == before


def test_nobody_makes_an_account_execute_but_its_own_transaction(stage: Stage) -> None:
    with pytest.raises(Reverted, match="Account: invalid caller"):
        stage.call(ACCOUNT, "__execute__", [0], caller=EVE)


@pytest.mark.parametrize(
    ("version", "accepted"), [(0, False), (1, False), (3, True), (2**128 + 3, True), (4, False)]
)
def test_transactions_of_version_3_and_their_simulation_only(
    stage: Stage, version: int, accepted: bool
) -> None:
    stage.version = version
    if accepted:
        assert stage.call(ACCOUNT, "__execute__", [0], caller=0).data == [0]
    else:
        with pytest.raises(Reverted, match="Account: invalid tx version"):
            stage.call(ACCOUNT, "__execute__", [0], caller=0)


def test_an_account_answers_about_signatures_and_interfaces(stage: Stage) -> None:
    r, s = sign(99, SECRET)
    assert stage.call(ACCOUNT, "is_valid_signature", [99, 2, r, s]).data == [VALIDATED]
    assert stage.call(ACCOUNT, "is_valid_signature", [99, 2, r, CURVE_ORDER - s]).data == [VALIDATED]
    assert stage.call(ACCOUNT, "is_valid_signature", [98, 2, r, s]).data == [0]
    assert stage.call(ACCOUNT, "public_key").data == [public_key(SECRET)]
    assert [stage.call(ACCOUNT, "supports_interface", [name]).data for name in (SNIP_5, SNIP_6, 1)] == [
        [1],
        [1],
        [0],
    ]


# -- token --------------------------------------------------------------------------------------------------------


def balance(stage: Stage, holder: int) -> int:
    low, high = stage.call(TOKEN, "balance_of", [holder]).data
    return low | high << 128


def test_the_whole_supply_is_the_recipients(stage: Stage) -> None:
    assert balance(stage, OWNER) == SUPPLY
    assert stage.call(TOKEN, "total_supply").data == stage.call(TOKEN, "totalSupply").data == u256(SUPPLY)
    assert stage.call(TOKEN, "decimals").data == [18]
    transfer = stage.events[0]
    assert (list(transfer.keys), list(transfer.data)) == ([selector("Transfer"), 0, OWNER], u256(SUPPLY))


def test_a_transfer_moves_and_tells(stage: Stage) -> None:
    answer = stage.call(TOKEN, "transfer", [BOB, *u256(7)], caller=OWNER)
    assert (balance(stage, OWNER), balance(stage, BOB)) == (SUPPLY - 7, 7)
    (event,) = answer.events
    assert (list(event.keys), list(event.data)) == ([selector("Transfer"), OWNER, BOB], u256(7))
    assert stage.call(TOKEN, "balanceOf", [BOB]).data == u256(7)


def test_a_transfer_to_oneself_makes_nothing(stage: Stage) -> None:
    stage.call(TOKEN, "transfer", [OWNER, *u256(7)], caller=OWNER)
    assert balance(stage, OWNER) == SUPPLY


def test_nobody_spends_more_than_he_has_or_burns(stage: Stage) -> None:
    with pytest.raises(Reverted, match="insufficient balance"):
        stage.call(TOKEN, "transfer", [BOB, *u256(SUPPLY + 1)], caller=OWNER)
    with pytest.raises(Reverted, match="transfer to 0"):
        stage.call(TOKEN, "transfer", [0, *u256(1)], caller=OWNER)


@pytest.mark.parametrize("function", ["transfer_from", "transferFrom"])
def test_an_allowance_is_used_up(stage: Stage, function: str) -> None:
    stage.call(TOKEN, "approve", [EVE, *u256(50)], caller=OWNER)
    stage.call(TOKEN, function, [OWNER, BOB, *u256(20)], caller=EVE)
    assert stage.call(TOKEN, "allowance", [OWNER, EVE]).data == u256(30)
    with pytest.raises(Reverted, match="insufficient allowance"):
        stage.call(TOKEN, function, [OWNER, BOB, *u256(31)], caller=EVE)
    with pytest.raises(Reverted, match="insufficient allowance"):
        stage.call(TOKEN, function, [BOB, EVE, *u256(1)], caller=EVE)


def test_an_unlimited_allowance_stays(stage: Stage) -> None:
    stage.call(TOKEN, "approve", [EVE, *u256(UNLIMITED)], caller=OWNER)
    stage.call(TOKEN, "transfer_from", [OWNER, BOB, *u256(20)], caller=EVE)
    assert stage.call(TOKEN, "allowance", [OWNER, EVE]).data == u256(UNLIMITED)


# -- deployer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["deployContract", "deploy_contract"])
@pytest.mark.parametrize("unique", [False, True])
def test_a_contract_stands_where_clients_compute_it(stage: Stage, function: str, unique: bool) -> None:
    class_hash = compiled("account").class_hash
    answer = stage.call(DEPLOYER, function, [class_hash, 77, int(unique), 1, 5], caller=BOB)
    address = contract_address(
        class_hash=class_hash,
        salt=pedersen(BOB, 77) if unique else 77,
        calldata=[5],
        deployer=DEPLOYER if unique else 0,
    )
    assert answer.data == [address]
    assert stage.call(address, "public_key").data == [5]
    (event,) = answer.events
    assert list(event.keys) == [selector("ContractDeployed")]
    assert list(event.data) == [address, BOB, int(unique), class_hash, 1, 5, 77]
    with pytest.raises(Reverted):
        stage.call(DEPLOYER, function, [class_hash, 77, int(unique), 1, 5], caller=BOB)
