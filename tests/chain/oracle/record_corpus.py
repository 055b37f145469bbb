"""Records what starknet-devnet answers to calls of many classes, for `test_corpus.py`. Not a test; runs by hand.

    PATH="$(dirname "$(scripts/devnet --print-path)"):$PATH" python -m tests.chain.oracle.record_corpus CLASSES RECORDS.json.gz

CLASSES holds NAME.sierra.json and NAME.casm.json, as `tests/chain/js/dump.mjs` lays them down. Each class is declared and
deployed with made-up arguments, and each of its functions called with made-up calldata; RECORDS gets, per class that could
be deployed, its address, the arguments, and per call the selector, the calldata and the felts it gave or panicked with.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import trio
from starknet_py.common import create_sierra_compiled_contract
from starknet_py.hash.address import compute_address
from starknet_py.net.client_models import Call, SierraContractClass

from medsync_bridge.account import Declaration, Invocation
from medsync_bridge.errors import RpcError
from medsync_bridge.fees import Bound, Offer
from medsync_bridge.tasks import _DEPLOY, UNIVERSAL_DEPLOYER
from medsync_chain.classes import ContractClass, SierraClass
from medsync_chain.keccak import selector
from tests.bridge.chains import LiveChain, devnet
from tests.bridge.test_conformance import Stand, standing

ENOUGH = Offer(
    l1_gas=Bound(amount=10**5, price=10**10), l1_data_gas=Bound(amount=10**6, price=10**10),
    l2_gas=Bound(amount=10**9, price=10**10), tip=0,
)  # fmt: skip
CALLS = 3  # of each function
DEPLOYMENTS = 8  # tries, before a class is left out
DISTANT = re.compile(r"::(ByteArray|Bytes|Array|Span)\b")


def with_abi_as_text(path: Path) -> str:
    """A class as it is declared: its hash is of the ABI's text, spaced as Python spaces it."""
    sierra = json.loads(path.read_text())
    return json.dumps({**sierra, "abi": json.dumps(sierra["abi"])})


def functions(abi: list[dict[str, Any]]) -> list[dict[str, Any]]:
    inner = [item for entry in abi if entry["type"] == "interface" for item in entry["items"]]
    return [entry for entry in [*abi, *inner] if entry["type"] == "function"]


def arguments(inputs: list[dict[str, Any]], chance: random.Random) -> list[int]:
    """Felts that fit most types: what doesn't fit panics, which is an answer, too."""
    felts: list[int] = []
    for one in inputs:
        kind = one["type"]
        if kind.endswith("::u256"):
            felts += [chance.choice([0, 1, 7, 2**127]), chance.choice([0, 0, 1])]
        elif DISTANT.search(kind):
            felts += [0, 0, 0] if kind.endswith("ByteArray") else [0]
        else:
            felts.append(chance.choice([0, 1, 2, 7, 1234, 2**64, 2**128, 2**251]))
    return felts


def felts_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What a call gave: `felts`, and whether it panicked."""
    if "result" in answer:
        return {"panicked": False, "felts": answer["result"]}
    error = answer["error"]
    if error["code"] != 40:
        return {"panicked": True, "felts": None, "code": error["code"]}
    found = error["data"]["revert_error"]
    while isinstance(found, dict):
        found = found["error"]
    return {"panicked": True, "felts": re.findall(r"0x[0-9a-f]+", found), "text": found}


async def send(stand: Stand, draft: Any) -> bool:
    """Whether it was accepted and did not revert."""
    nonce = await stand.chain.nonce(stand.account.address)
    digest, raw = stand.account.sign(draft, nonce, ENOUGH)
    try:
        await stand.chain.send(raw)
    except RpcError as error:
        print(error.rpc_code, str(error.data)[-200:], file=sys.stderr)
        return False
    standing_now = await stand.chain.standing(digest)
    return standing_now is not None and standing_now.reason is None


async def record(live: LiveChain, classes: Path, home: Path) -> list[dict[str, Any]]:
    chance, seen, records = random.Random(7), set(), []
    async with standing(live, home) as stand:
        for path in sorted(classes.glob("*.sierra.json")):
            name = path.name.removesuffix(".sierra.json")
            text = with_abi_as_text(path)
            known = ContractClass.of(
                SierraClass.parse(json.loads(text)), json.loads((classes / f"{name}.casm.json").read_text())
            )
            if known.class_hash in seen:
                continue
            seen.add(known.class_hash)
            sierra: SierraContractClass = create_sierra_compiled_contract(
                text
            ).convert_to_sierra_contract_class()
            await send(stand, Declaration(sierra=sierra, compiled_class_hash=known.compiled_class_hash))
            abi = json.loads(json.loads(text)["abi"])
            made: list[dict[str, Any]] = next(
                (entry["inputs"] for entry in abi if entry["type"] == "constructor"), []
            )
            for _ in range(DEPLOYMENTS):
                given = arguments(made, chance)
                call = Call(
                    to_addr=UNIVERSAL_DEPLOYER,
                    selector=_DEPLOY,
                    calldata=[known.class_hash, 0, 0, len(given), *given],
                )
                if await send(stand, Invocation(calls=(call,))):
                    break
            else:
                print(f"{name}: no arguments of ours deploy it", file=sys.stderr)
                continue
            address = compute_address(
                class_hash=known.class_hash, constructor_calldata=given, salt=0, deployer_address=0
            )
            calls = []
            for function in functions(abi):
                for _ in range(CALLS):
                    felts = arguments(function["inputs"], chance)
                    answer = ask(live, address, selector(function["name"]), felts)
                    calls.append(
                        {
                            "function": function["name"],
                            "calldata": [hex(felt) for felt in felts],
                            **felts_of(answer),
                        }
                    )
            records.append(
                {
                    "name": name, "class_hash": hex(known.class_hash), "address": hex(address),
                    "arguments": [hex(felt) for felt in given], "calls": calls,
                }
            )  # fmt: skip
            print(f"{name}: {len(calls)} calls", file=sys.stderr)
    return records


def ask(live: LiveChain, address: int, name: int, felts: list[int]) -> dict[str, Any]:
    """The whole answer to a call."""
    request = {
        "contract_address": hex(address), "entry_point_selector": hex(name), "calldata": [hex(felt) for felt in felts]
    }  # fmt: skip
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "starknet_call",
        "params": {"request": request, "block_id": "latest"},
    }
    found: dict[str, Any] = httpx.post(live.url, json=body, timeout=60).json()
    return found


def main() -> None:
    classes, target = map(Path, sys.argv[1:])
    with devnet() as live, tempfile.TemporaryDirectory() as home:
        records = trio.run(record, live, classes, Path(home))
    target.write_bytes(gzip.compress(json.dumps(records).encode(), mtime=0))


if __name__ == "__main__":
    main()
