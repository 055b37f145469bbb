"""What contracts may ask of the chain, and how failures travel: by a class that asks everything (`classes/probe`)."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from medsync_chain.felts import short
from medsync_chain.hashes import contract_address
from medsync_chain.keccak import RATE_WORDS, absorb, selector
from medsync_chain.token import FEE_TOKEN
from tests.chain.world import World

FAILED = short("ENTRYPOINT_FAILED")
NOT_FOUND = short("ENTRYPOINT_NOT_FOUND")


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def probe(world: World) -> int:
    return world.probe()


def _halves(value: int) -> tuple[int, int]:
    return value & (1 << 128) - 1, value >> 128


def test_what_is_written_stays_and_what_fails_leaves_nothing(world: World, probe: int) -> None:
    assert world.send(world.invoke((probe, "set", [1, 2]))).reverted is None
    reverted = world.send(world.invoke((probe, "set", [1, 9]), (probe, "set_then_fail", [1, 3])))
    assert reverted.reverted is not None and "'after writing'" in reverted.reverted
    assert [event.address for event in reverted.events] == [FEE_TOKEN], "only the fee's transfer is left"
    assert world.call(probe, "get", 1) == [2]


def test_a_caught_failure_takes_back_only_the_callee(world: World, probe: int) -> None:
    inner = [probe, selector("set_then_fail"), 2, 5, 6]
    receipt = world.send(
        world.invoke((probe, "set", [5, 1]), (probe, "attempt", inner), (probe, "set", [7, 7]))
    )
    assert receipt.reverted is None
    assert world.call(probe, "get", 5) == [1] and world.call(probe, "get", 7) == [7]
    assert all(event.address != probe for event in receipt.events)


def test_a_caller_learns_why_its_callee_failed(world: World, probe: int) -> None:
    attempt = lambda name, *felts: world.call(probe, "attempt", probe, selector(name), len(felts), *felts)  # noqa: E731
    assert attempt("fail", short("WHY"))[1:] == [short("caught"), short("WHY"), FAILED]
    assert attempt("no_such_function")[1:] == [short("caught"), NOT_FOUND, FAILED]
    assert attempt("get", 404)[1:] == [short("answered"), 0]
    assert attempt("get")[1:-1] == [short("caught"), short("Failed to deserialize param #1")]
    assert attempt("__execute__", 0)[1:] == [short("caught"), short("Invalid argument")]


def test_a_missing_contract_ends_the_whole_transaction(world: World, probe: int) -> None:
    receipt = world.send(world.invoke((probe, "attempt", [0x99, selector("get"), 0])))
    assert receipt.reverted is not None and "0x99 is not deployed" in receipt.reverted.replace("0" * 62, "")


def test_a_library_call_runs_foreign_code_on_own_cells(world: World, probe: int) -> None:
    class_hash = world.chain.history.ledger.at().class_at(probe)
    other = world.deploy(class_hash, 0, salt=77)
    assert (
        world.send(world.invoke((other, "borrow", [class_hash, selector("set"), 2, 8, 80]))).reverted is None
    )
    assert (world.call(other, "get", 8), world.call(probe, "get", 8)) == ([80], [0])
    unknown = world.send(world.invoke((other, "borrow", [0x1234, selector("set"), 2, 8, 81])))
    assert unknown.reverted is not None and "is not declared" in unknown.reverted


def test_a_contract_deploys_another_at_the_address_everyone_computes(world: World, probe: int) -> None:
    class_hash = world.chain.history.ledger.at().class_at(probe)
    for from_zero in (0, 1):
        call = (probe, "deploy", [class_hash, 5, 1, 0, from_zero])
        assert world.send(world.invoke(call)).reverted is None
        expected = contract_address(
            class_hash=class_hash, salt=5, calldata=[0], deployer=0 if from_zero else probe
        )
        assert world.call(probe, "class_of", expected) == [class_hash]
    again = world.send(world.invoke((probe, "deploy", [class_hash, 5, 1, 0, 1])))
    assert again.reverted is not None and "already deployed" in again.reverted
    refused = world.send(world.invoke((probe, "deploy", [class_hash, 6, 1, short("refused"), 1])))
    assert refused.reverted is not None and "refused" in refused.reverted


def test_a_contract_may_change_its_class_to_a_declared_one(world: World, probe: int) -> None:
    class_hash = world.chain.history.ledger.at().class_at(probe)
    changing = world.deploy(class_hash, 0, salt=1234)
    unknown = world.send(world.invoke((changing, "become", [0x1234])))
    assert unknown.reverted is not None and "is not declared" in unknown.reverted
    assert world.send(world.invoke((changing, "become", [world.chain.account_class]))).reverted is None
    assert world.chain.history.block(world.chain.history.latest.number).diff.replaced == {
        changing: world.chain.account_class
    }


def test_a_contract_sees_the_transaction_it_is_in(world: World, probe: int) -> None:
    world.now += 1_000
    transaction = world.invoke((probe, "attempt", [probe, selector("info"), 0]), tip=3)
    trace = world.rpc(
        "starknet_simulateTransactions",
        block_id="pre_confirmed",
        transactions=[_broadcast(transaction)],
        simulation_flags=[],
    )[0]["transaction_trace"]
    found = trace["execute_invocation"]["calls"][0]["calls"][0]["result"][1:]
    account = world.account()
    assert [int(felt, 16) for felt in found] == [
        *(world.chain.pending.info.number, world.now, world.chain.pending.info.sequencer, 3, account.address),
        *(transaction.hash, world.chain.chain_id, transaction.nonce, 3, 3, probe, probe, selector("info")),
    ]


def _broadcast(transaction: Any) -> dict[str, Any]:
    from medsync_chain.documents import transaction_document

    document = transaction_document(transaction)
    del document["transaction_hash"]
    return document


def test_old_block_hashes_can_be_read_and_young_ones_not(world: World, probe: int) -> None:
    while len(world.chain.history) < 13:
        world.chain.seal()
    latest = world.chain.history.latest.number
    assert world.call(probe, "block_hash", latest - 10) == [world.chain.history.headers[latest - 10].hash]
    young = world.call(probe, "block_hash", latest)
    assert hex(short("Block number out of range")) in str(young)


def test_messages_to_ethereum_stand_in_the_receipt(world: World, probe: int) -> None:
    receipt = world.send(world.invoke((probe, "message", [0xE7, 3, 1, 2, 3])))
    assert [(one.sender, one.recipient, list(one.payload)) for one in receipt.messages] == [
        (probe, 0xE7, [1, 2, 3])
    ]
    assert receipt.used.l1_gas > 0


def test_hashes_are_those_of_the_standard_library(world: World, probe: int) -> None:
    value = 0x1234567890ABCDEF << 140
    padded = value.to_bytes(32, "big") + b"\x01" + bytes(RATE_WORDS * 8 - 34) + b"\x80"
    words = [int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8)]
    assert world.call(probe, "keccak", *_halves(value)) == list(_halves(absorb(words)))
    text = b"m" * 100
    pieces = [int.from_bytes(text[at : at + 31], "big") for at in range(0, 93, 31)]
    digest = hashlib.sha256(text).digest()
    assert world.call(probe, "sha256", 3, *pieces, int.from_bytes(text[93:], "big"), 7) == [
        int.from_bytes(digest[at : at + 4], "big") for at in range(0, 32, 4)
    ]


@pytest.mark.parametrize(
    ("function", "curve"), [("secp256k1", ec.SECP256K1()), ("secp256r1", ec.SECP256R1())]
)
def test_keys_are_recovered_from_signatures_over_both_curves(
    world: World, probe: int, function: str, curve: ec.EllipticCurve
) -> None:
    key = ec.derive_private_key(987654321, curve)
    digest = hashlib.sha256(b"message").digest()
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
    public = key.public_key().public_numbers()
    hashed = int.from_bytes(digest, "big")
    found = [
        world.call(probe, function, *_halves(hashed), *_halves(r), *_halves(s), parity) for parity in (0, 1)
    ]
    assert [*_halves(public.x), *_halves(public.y)] in found
    assert world.call(probe, function, *_halves(hashed), *_halves(r), *_halves(0), 0) != found[0]


def test_dictionaries_count(world: World, probe: int) -> None:
    assert world.call(probe, "count_words", 5, 7, 7, 1 << 200, 7, 1 << 200) == [5, 3, 3, 2, 3, 2]
    assert world.call(probe, "count_words", 0) == [0]


def test_a_failing_call_names_every_frame_down_to_the_reason(world: World, probe: int) -> None:
    error = world.call(probe, "call", probe, selector("fail"), 1, short("DEEP"))
    assert (error["code"], error["message"]) == (40, "Contract error")
    outer = error["data"]["revert_error"]
    assert set(outer) == {"contract_address", "class_hash", "selector", "error"}
    assert outer["selector"] == hex(selector("call")) and outer["error"]["selector"] == hex(selector("fail"))
    assert outer["error"]["error"] == f'["{hex(short("DEEP"))}"]'
