"""The chain as a process: what it prints, how it stops, what survives a kill, who may talk to it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import pytest

from medsync_chain.documents import transaction_document
from medsync_chain.felts import short
from medsync_chain.genesis import Genesis
from medsync_chain.store import Store
from medsync_chain.token import FEE_TOKEN, balance_cell
from tests.chain.process import chain_process, command
from tests.chain.world import CLASSES, World


@pytest.fixture(scope="module")
def url() -> object:
    with chain_process() as running:
        yield running.url


def test_it_describes_itself_and_says_what_it_is_not() -> None:
    with chain_process("--seed", "5", "--accounts", "2") as running:
        about = running.about
        assert about["chain_id"] == "MEDSYNC_LOCAL" and "proves nothing" in about["about"]
        genesis = Genesis(chain_id=short("MEDSYNC_LOCAL"), seed=5, accounts=2)
        expected = [hex(account.address) for account in genesis.predeployed(int(about["account_class"], 16))]
        assert [hex(int(account["address"], 16)) for account in about["accounts"]] == expected
        listed = running.rpc("devnet_getPredeployedAccounts")
        assert [account["address"] for account in listed] == expected
        assert running.rpc("starknet_chainId") == hex(short("MEDSYNC_LOCAL"))
    assert running.process.returncode == 0, "it ends when its standard input does"


def test_people_are_shown_accounts_the_address_and_ready_last() -> None:
    words = [word for word in command("--accounts", "1") if word != "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if line.strip() == "ready":
            break
    process.terminate()
    assert process.wait(30) == 0
    text = "\n".join(lines)
    for piece in (
        "| Account address |  0x",
        "| Private key     |  0x",
        "proves nothing",
        "listening on http://127.0.0.1:",
    ):
        assert piece in text
    assert lines[-1] == "ready"


def test_every_accepted_block_survives_kill_9(tmp_path: Path) -> None:
    """Block after block is accepted by a process that is then killed; the next one has all of them."""
    database = str(tmp_path / "chain.sqlite")
    receipts: dict[str, object] = {}
    world: World | None = None
    for _ in range(3):
        with chain_process("--db", database, "--seed", "7", "--classes", str(CLASSES)) as running:
            for transaction_hash, receipt in receipts.items():
                assert (
                    running.rpc("starknet_getTransactionReceipt", transaction_hash=transaction_hash)
                    == receipt
                )
            assert running.rpc("starknet_blockNumber") == len(receipts)
            world = world or World()
            nonce = int(
                running.rpc(
                    "starknet_getNonce", block_id="latest", contract_address=hex(world.account().address)
                ),
                16,
            )
            for at in range(3):
                sent = _send_transfer(world, running.url, nonce + at)
                receipts[sent] = running.rpc("starknet_getTransactionReceipt", transaction_hash=sent)
            running.kill()
    with chain_process("--db", database) as running:
        assert running.rpc("starknet_blockNumber") == len(receipts) == 9
        latest = running.rpc("starknet_getBlockWithTxHashes", block_id="latest")
        balance = running.rpc(
            "starknet_getStorageAt",
            contract_address=hex(FEE_TOKEN),
            key=hex(balance_cell(0x77)),
            block_id="latest",
        )
        assert balance == hex(9) and latest["new_root"] != "0x0"
        running.rpc("devnet_createBlock")  # computes the tries anew, and checks them against the root on disk
        assert running.rpc("starknet_blockNumber") == 10


def _send_transfer(world: World, url: str, nonce: int) -> str:
    transaction = world.invoke((FEE_TOKEN, "transfer", [0x77, 1, 0]), nonce=nonce)
    document = transaction_document(transaction)
    del document["transaction_hash"]
    body = {"jsonrpc": "2.0", "id": 1, "method": "starknet_addInvokeTransaction", "params": [document]}
    answer = httpx.post(url, json=body, timeout=60).json()
    return str(answer["result"]["transaction_hash"])


def test_one_database_serves_one_process(tmp_path: Path) -> None:
    database = str(tmp_path / "chain.sqlite")
    with chain_process("--db", database):
        second = subprocess.run(
            command("--db", database), capture_output=True, text=True, timeout=60, check=False
        )
    assert second.returncode == 1
    problem = json.loads(second.stdout)["error"]
    assert problem["code"] == "store_problem" and "stop that one" in problem["advice"]


def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database" * 100)
    done = subprocess.run(command("--db", str(file)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "--db" in done.stdout
    assert file.read_text().startswith("not a database")


def test_a_chain_keeps_the_seed_it_was_made_with(tmp_path: Path) -> None:
    database = tmp_path / "chain.sqlite"
    with chain_process("--db", str(database), "--seed", "3"):
        pass
    done = subprocess.run(
        command("--db", str(database), "--seed", "4"), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "seed 3, not 4" in done.stdout
    store = Store(database)
    assert store.fact("seed") == "3"
    store.close()


def test_a_port_in_use_is_said_so(url: str) -> None:
    port = url.rsplit(":", 1)[1]
    words = [port if word == "0" else word for word in command()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "in use" in done.stdout and "--port" in done.stdout


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1"}, 200),
        ({"origin": "http://localhost:8000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_web_pages_of_other_machines_do_not_reach_it(url: str, headers: dict[str, str], status: int) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "starknet_chainId"}
    assert httpx.post(url, json=body, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[" * 100_000, -32700),
        (b"[]", -32600),
        (b"5", -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_nothing"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":{"block_id":"latest"}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":["latest","0x1","0x2"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":["yesterday","0x1"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":["latest","0xzz"]}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_getNonce","params":["latest","0x1"]}', 20),
        (b'{"jsonrpc":"2.0","id":1,"method":"starknet_getClass","params":["latest","0x1"]}', 28),
    ],
)  # fmt: skip
def test_broken_requests_get_the_specifications_codes(url: str, body: bytes, code: int) -> None:
    answer = httpx.post(url, content=body)
    assert answer.status_code == 200 and answer.json()["error"]["code"] == code


def test_a_batch_is_answered_as_one_and_notifications_not_at_all(url: str) -> None:
    one = {"jsonrpc": "2.0", "id": 1, "method": "starknet_blockNumber"}
    answers = httpx.post(
        url, json=[one, {**one, "id": "b"}, {"jsonrpc": "2.0", "method": "starknet_syncing"}]
    ).json()
    assert [answer["id"] for answer in answers] == [1, "b"]
    assert httpx.post(url, json=[one] * 101).json()["error"]["code"] == -32600


def test_bodies_and_methods_have_limits(url: str) -> None:
    assert httpx.post(url, content=b" " * (16 * 1024 * 1024 + 1)).status_code == 413
    assert httpx.put(url, content=b"{}").status_code == 405
    assert httpx.get(url + "/is_alive").status_code == 200
    assert httpx.head(url).status_code == 200
    assert httpx.request("CONNECT", url).status_code == 405
    assert (
        httpx.post(url, content=b"{}", headers={"upgrade": "websocket", "connection": "upgrade"}).status_code
        == 200
    )
    assert httpx.get(url).status_code == 200, "and the next one is served"


def test_an_outage_silences_everything_but_the_knob_that_ends_it() -> None:
    with chain_process() as running:
        assert running.rpc("medsync_setOutage", down=True) is True
        body = {"jsonrpc": "2.0", "id": 1, "method": "starknet_chainId"}
        assert httpx.post(running.url, json=body).status_code == 503
        assert running.rpc("medsync_setOutage", down=False) is False
        assert httpx.post(running.url, json=body).status_code == 200


def test_without_knobs_nobody_turns_any() -> None:
    with chain_process("--no-knobs") as running:
        assert running.rpc("devnet_createBlock")["code"] == -32601
        assert running.rpc("starknet_specVersion") == "0.10.2"


def test_blocks_come_by_themselves_when_asked_to() -> None:
    with chain_process("--block-time", "0.05") as running:
        while running.rpc("starknet_blockNumber") < 2:
            pass  # each question takes a while; the chain seals meanwhile
