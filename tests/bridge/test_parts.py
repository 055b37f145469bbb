"""The bridge's small parts: transport, account, reasons, keys, offers, journal, the released class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from starknet_py.hash.sierra_class_hash import compute_sierra_class_hash
from starknet_py.hash.utils import message_signature
from starknet_py.net.account.account import Account as TheirAccount
from starknet_py.net.client_models import Call, EstimatedFee, PriceUnit
from starknet_py.net.models.chains import StarknetChainId
from starknet_py.net.signer.key_pair import KeyPair

from medsync_bridge.account import Account, Declaration, Invocation
from medsync_bridge.client import TrioClient, TrioTransport
from medsync_bridge.errors import BadKey, ChainUnreachable, RpcError
from medsync_bridge.fees import NOTHING, Bound, Offer, offer_for, offer_in
from medsync_bridge.home import open_home, read_home
from medsync_bridge.journal import Journal, JournalInUse, Outcome, Signed, State, open_journal
from medsync_bridge.keys import read_secret, write_secret
from medsync_bridge.reasons import UNREADABLE, decode_reason
from medsync_bridge.released import released_anchor
from medsync_bridge.tasks import checkpoint_name, parse_checkpoint_name
from medsync_protocol.anchor_abi import CLASS_HASH
from medsync_protocol.poseidon import short_string

OFFER = Offer(
    l1_gas=Bound(amount=0, price=7), l1_data_gas=Bound(amount=200, price=11), l2_gas=Bound(amount=10**6, price=10**9),
    tip=0,
)  # fmt: skip
CALL = Call(to_addr=0xA, selector=0xB, calldata=[1, 2, 3])


# transport


def answering(answer: httpx.Response) -> TrioClient:
    return TrioClient("http://model", httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)))


async def test_starknet_py_talks_through_our_transport() -> None:
    """Without it every call would open an aiohttp session, which needs asyncio."""
    client = answering(httpx.Response(200, json={"result": "0x1"}))
    assert isinstance(client._client, TrioTransport)
    assert await client.get_chain_id() == "0x1"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, text="busy"),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"jsonrpc": "2.0"}),
        httpx.Response(200, json={"error": "no"}),
    ],
)
async def test_what_is_no_json_rpc_is_unreachable(answer: httpx.Response) -> None:
    with pytest.raises(ChainUnreachable) as caught:
        await answering(answer).get_chain_id()
    assert caught.value.exit_code == 4 and "--rpc" in caught.value.advice


async def test_an_error_keeps_the_node_s_code_and_words() -> None:
    error = {"code": 54, "message": "too poor", "data": {"balance": "0x0"}}
    with pytest.raises(RpcError, match="too poor") as caught:
        await answering(httpx.Response(200, json={"error": error})).get_chain_id()
    assert (caught.value.rpc_code, caught.value.data) == (54, {"balance": "0x0"})


# account


async def test_an_invocation_is_what_starknet_py_makes_of_the_same_calls() -> None:
    chain = StarknetChainId.SEPOLIA
    client = answering(httpx.Response(200, json={"result": None}))
    theirs = TheirAccount(address=0xACC, client=client, key_pair=KeyPair.from_private_key(0x5EC), chain=chain)
    theirs._cairo_version = 1  # type: ignore[assignment]  # their annotation is only None
    signed = await theirs.sign_invoke_v3([CALL, CALL], nonce=3, resource_bounds=OFFER.bounds, tip=5)
    account = Account(address=0xACC, chain_id=chain.value, secret=0x5EC)
    offer = Offer(l1_gas=OFFER.l1_gas, l1_data_gas=OFFER.l1_data_gas, l2_gas=OFFER.l2_gas, tip=5)
    digest, raw = account.sign(Invocation(calls=(CALL, CALL)), 3, offer)
    assert digest == signed.calculate_hash(chain.value)
    assert [int(x, 16) for x in raw["signature"]] == list(signed.signature)
    assert [int(x, 16) for x in raw["calldata"]] == list(signed.calldata)
    assert offer_in(raw) == offer
    json.dumps(raw)


def test_signatures_are_starknet_py_s() -> None:
    account = Account(address=1, chain_id=2, secret=0x1234)
    assert account.signature(0xABCDEF) == list(message_signature(0xABCDEF, 0x1234))


def test_a_secret_never_shows() -> None:
    assert "4660" not in repr(Account(address=1, chain_id=2, secret=0x1234))


def test_an_estimate_s_transaction_can_not_be_sent() -> None:
    account = Account(address=1, chain_id=2, secret=3)
    simulated = account.simulated(Invocation(calls=(CALL,)), 0)
    assert simulated.version == 3 + 2**128


# the released class


def test_the_released_class_has_the_hash_that_starknet_py_computes() -> None:
    released = released_anchor()
    assert compute_sierra_class_hash(released.sierra()) == released.class_hash == CLASS_HASH


@pytest.mark.parametrize(
    ("version", "blake"), [("0.13.6", False), ("0.14.0", False), ("0.14.1", True), ("0.15.0", True)]
)
def test_the_compiled_class_hash_follows_starknet_s_version(version: str, blake: bool) -> None:
    released = released_anchor()
    assert released.compiled_class_hash(version) == (released.blake2s if blake else released.poseidon)


def test_a_declaration_carries_the_class_and_is_json() -> None:
    released = released_anchor()
    draft = Declaration(sierra=released.sierra(), compiled_class_hash=released.blake2s)
    _, raw = Account(address=1, chain_id=2, secret=3).sign(draft, 0, OFFER)
    assert raw["type"] == "DECLARE" and int(raw["compiled_class_hash"], 16) == released.blake2s
    json.dumps(raw)


# reasons

WORD = hex(short_string("BELOW_QUORUM"))
WRAP = hex(short_string("ENTRYPOINT_FAILED"))


@pytest.mark.parametrize(
    "failure",
    [
        {"revert_error": {"selector": "0x1", "error": {"selector": "0x2", "error": json.dumps([WORD])}}},
        {"transaction_index": 0, "execution_error": {"error": {"error": json.dumps([WORD, WRAP, WRAP])}}},
        {"transaction_index": 0, "execution_error": f"Execution failed. Failure reason: {WORD} ('BELOW_QUORUM')."},
        f"Error in the called contract: ({WRAP} ('ENTRYPOINT_FAILED'), {WORD} ('BELOW_QUORUM'), {WRAP})",
        "Execution failed: 'BELOW_QUORUM'",
    ],
)  # fmt: skip
def test_the_contract_s_word_is_found(failure: Any) -> None:
    assert decode_reason(failure) == "BELOW_QUORUM"


def test_another_contract_s_word_is_found_too() -> None:
    text = json.dumps([hex(short_string("Account: invalid signature")), WRAP])
    assert decode_reason({"revert_error": text}) == "Account: invalid signature"


@pytest.mark.parametrize("failure", ["", None, {}, {"error": {}}, [], 7])
def test_no_reason_says_so(failure: Any) -> None:
    assert decode_reason(failure) == UNREADABLE


def test_a_long_text_is_cut() -> None:
    assert len(decode_reason("out of gas " * 1000)) == 200


# keys


def test_a_secret_is_read_from_a_private_file_or_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "account.key"
    write_secret(path, 0x5EC)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secret(f"file:{path}") == 0x5EC
    monkeypatch.setenv("ACCOUNT_SECRET", " 5ec\n")
    assert read_secret("env:ACCOUNT_SECRET") == 0x5EC
    with pytest.raises(FileExistsError):
        write_secret(path, 1)


def test_keys_in_bad_places_are_refused_without_showing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = tmp_path / "open.key"
    write_secret(open_file, 0x5EC)
    open_file.chmod(0o644)
    monkeypatch.setenv("WRONG", "secret words")
    for source in (
        f"file:{open_file}",
        f"file:{tmp_path / 'none'}",
        "env:WRONG",
        "env:NONE_SUCH",
        "env:",
        "0x5ec",
    ):
        with pytest.raises(BadKey) as caught:
            read_secret(source)
        assert "5ec" not in str(caught.value) and "secret words" not in str(caught.value)
        assert caught.value.advice


# offers


def test_a_raised_offer_is_taken_in_the_place_of_the_one_before() -> None:
    offer = OFFER
    for _ in range(20):
        more = offer.raised()
        assert more.tip * 10 >= offer.tip * 11 and more.tip > offer.tip
        for gas in ("l1_gas", "l1_data_gas", "l2_gas"):
            assert getattr(more, gas).price * 10 >= getattr(offer, gas).price * 11
            assert getattr(more, gas).amount == getattr(offer, gas).amount
        offer = more


def test_an_offer_has_headroom_and_counts_the_tip() -> None:
    estimate = EstimatedFee(
        l1_gas_consumed=0, l1_gas_price=10, l2_gas_consumed=100, l2_gas_price=20, l1_data_gas_consumed=8,
        l1_data_gas_price=4, overall_fee=0, unit=PriceUnit.FRI,
    )  # fmt: skip
    offer = offer_for(estimate, 2)
    assert (offer.l2_gas, offer.l1_data_gas) == (Bound(amount=150, price=30), Bound(amount=12, price=6))
    assert offer.most == 150 * 30 + 12 * 6 + 2 * 150
    assert offer.over(NOTHING) == offer == NOTHING.over(offer)


# journal


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with open_journal(tmp_path / "journal.sqlite") as found:
        yield found


def test_a_journal_is_for_one_chain(journal: Journal) -> None:
    journal.bind(short_string("SN_SEPOLIA"))
    journal.bind(short_string("SN_SEPOLIA"))
    with pytest.raises(JournalInUse, match="about chain SN_SEPOLIA, not SN_MAIN"):
        journal.bind(short_string("SN_MAIN"))


def test_an_errand_that_stopped_stays_so_until_resumed(journal: Journal) -> None:
    journal.begin("a", 1)
    journal.conclude("a", State.STOPPED, reason="K_TAKEN")
    stopped = journal.begin("a", 2)
    assert (stopped.state, stopped.want, stopped.reason) == (State.STOPPED, 1, "K_TAKEN")
    assert journal.resume("b") == 0 and journal.resume("a") == 1
    assert journal.begin("a", 2).state is State.OPEN


def test_all_hashes_of_a_nonce_are_kept_in_order(journal: Journal) -> None:
    journal.begin("a", 1)
    for number in (5, 3, 4):
        journal.record(Signed(hash=number, errand="a", want=1, account=9, nonce=0, raw={"n": number}))
    assert [signed.hash for signed in journal.at_nonce(9, 0)] == [5, 3, 4]
    journal.judge(3, Outcome.SUCCEEDED)
    assert [signed.hash for signed in journal.unjudged("a", 9, below=1)] == [5, 4]
    assert journal.unjudged("a", 9, below=0) == []


def test_another_release_s_journal_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalInUse, match="format 99"), open_journal(path):
        pass


def test_a_home_is_private_has_one_bridge_and_can_be_read_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "bridge"
    with read_home(home) as nothing:
        assert nothing is None
    with open_home(home) as journal:
        journal.begin("a", 1)
        assert home.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in home.iterdir())
        with pytest.raises(JournalInUse), open_home(home):
            pass
        with read_home(home) as beside:
            assert beside is not None and [errand.name for errand in beside.errands()] == ["a"]
    with open_home(home) as again:
        assert again.errand("a") is not None


def test_names_of_checkpoints_can_be_read_back() -> None:
    awaited = parse_checkpoint_name(checkpoint_name(0xC, 0xD, 7))
    assert awaited is not None and (awaited.contract, awaited.context, awaited.k) == (0xC, 0xD, 7)
    assert parse_checkpoint_name("open 0xc 0xd") is None
