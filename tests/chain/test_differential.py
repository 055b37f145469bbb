"""The machine against StarkWare's own (cairo-lang 0.13.3), by what `oracle/record.py` wrote down."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medsync_chain.execution import BlockInfo, Call, CallInfo, Context, TxInfo
from medsync_chain.keccak import selector
from medsync_chain.ledger import Ledger
from medsync_chain.state import State
from medsync_chain.vm.casm import CasmClass

ORACLE = Path(__file__).parent / "oracle"
CLASS, CONTRACT = 1, 2
SAME_PRICE = {"range_check_builtin", "range_check96_builtin", "segment_arena_builtin"}  # in 0.13.3 and 0.14.4
REPRICED = {selector(name) for name in ("addresses", "send", "hashes", "eth", "ecdsa")}  # by calls, and ec_op


def _read(name: str) -> Any:
    return json.loads(gzip.decompress((ORACLE / name).read_bytes()))


@pytest.fixture(scope="module")
def lang() -> CasmClass:
    return CasmClass.parse(_read("lang.casm.json.gz"))


def _run(lang: CasmClass, record: dict[str, Any]) -> tuple[CallInfo, Context]:
    state = State(Ledger().at())
    state.declare(CLASS, 1)
    state.set_class(CONTRACT, CLASS)
    known: Any = SimpleNamespace(casm=lang, sierra=SimpleNamespace(charged_by_gas=True))
    context = Context(
        state=state,
        class_of=lambda _: known,
        block=BlockInfo(number=0, timestamp=0, sequencer=0),
        tx=TxInfo(),
    )
    calldata = [int(felt, 16) for felt in record["calldata"]]
    call = Call(address=CONTRACT, selector=int(record["selector"], 16), calldata=calldata)
    return context.run(call, record["initial_gas"]), context


def test_answers_panics_steps_builtins_and_gas_are_those_of_starkwares_machine(lang: CasmClass) -> None:
    records = _read("lang.records.json.gz")
    assert len(records) > 200 and len({record["selector"] for record in records}) == 39
    assert {record["panicked"] for record in records} == {True, False}
    compared = 0
    for record in records:
        info, context = _run(lang, record)
        found = {
            "panicked": info.failed,
            "felts": [hex(felt) for felt in info.result],
            "steps": context.steps,
            "builtins": {f"{name}_builtin": count for name, count in context.builtins.items() if count},
        }
        assert found == {key: record[key] for key in found}, record
        if set(found["builtins"]) <= SAME_PRICE and int(record["selector"], 16) not in REPRICED:
            assert info.gas == record["gas"], record
            compared += 1
    assert compared > 150
