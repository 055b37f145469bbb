"""Classes that others compiled (npm's @hyperlane-xyz/starknet-core): all load, and calls give what starknet-devnet gave.

`oracle/record_corpus.py` wrote that down, by starknet-devnet 0.10.1. For development only: needs node and npm.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


from medsync_bridge.tasks import UNIVERSAL_DEPLOYER
from medsync_chain.vm.blocks import translate
from medsync_chain.vm.casm import CasmClass
from medsync_chain.vm.errors import InvalidClass
from medsync_chain.vm.instruction import decode
from tests.contracts.stage import Reverted, Stage, compiled
from tests.npm import QUIET, npm

HERE = Path(__file__).parent
RECORDS = json.loads(gzip.decompress((HERE / "oracle" / "corpus.records.json.gz").read_bytes()))
PACKAGE = "@hyperlane-xyz/starknet-core@34.0.0"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME.sierra.json and NAME.casm.json of every class."""
    directory = tmp_path_factory.mktemp("corpus")
    shutil.copy(HERE / "js" / "dump.mjs", directory)
    npm(directory, "install", *QUIET, "--no-save", "--omit=dev", "--ignore-scripts", PACKAGE)
    classes = directory / "classes"
    classes.mkdir()
    subprocess.run(["node", "dump.mjs", str(classes)], cwd=directory, check=True)
    for path in classes.glob("*.sierra.json"):
        sierra = json.loads(path.read_text())
        path.write_text(json.dumps({**sierra, "abi": json.dumps(sierra["abi"])}))
    return classes


@pytest.mark.long
def test_every_class_loads_and_every_function_of_it_is_translated(corpus: Path) -> None:
    names = [path.name.removesuffix(".casm.json") for path in corpus.glob("*.casm.json")]
    hints: set[str] = set()
    for name in names:
        casm = CasmClass.parse(json.loads((corpus / f"{name}.casm.json").read_bytes()))
        hints |= {hint[0] for listed in casm.hints.values() for hint in listed}
        starts = {entry.offset for entries in casm.entry_points.values() for entry in entries}
        for start in (*starts, *casm.hints):
            translate(casm, start)
    assert len(names) == 97 and len(hints) == 13


@pytest.mark.long
def test_calls_give_what_another_engine_gave(corpus: Path) -> None:
    results = panics = 0
    for record in RECORDS:
        stage = Stage()
        stage.version = 0  # of a call that is no transaction's
        known = compiled(record["name"], corpus)
        assert hex(known.class_hash) == record["class_hash"]
        address = int(record["address"], 16)
        stage.deploy(record["name"], address, felts(record["arguments"]), corpus, UNIVERSAL_DEPLOYER)
        for call in record["calls"]:
            mark = stage.state.mark()
            try:
                answer: Any = stage.call(address, call["function"], felts(call["calldata"]), caller=0)
                found = (False, answer.data)
                results += 1
            except Reverted as error:
                found = (True, error.data or error.text)
                panics += 1
            stage.state.undo(mark)
            assert found == (call["panicked"], told(call)), (record["name"], call)
    assert results > 200 and panics > 200


def test_a_hint_that_is_unknown_is_named() -> None:
    document = {
        "prime": "0x800000000000011000000000000000000000000000000000000000000000001", "bytecode": ["0x208b7fff7fff7ffe"],
        "hints": [[0, [{"EvalCircuit": {}}]]], "entry_points_by_type": {"EXTERNAL": [], "L1_HANDLER": [], "CONSTRUCTOR": []},
    }  # fmt: skip
    with pytest.raises(InvalidClass, match="unsupported hint EvalCircuit"):
        translate(CasmClass.parse(document), 0)


def told(call: dict[str, Any]) -> list[int] | str:
    """What the other engine gave; its words where it gave no felts."""
    words: str = call.get("text", "0x").strip()
    return felts(call["felts"]) if words.startswith(("[", "0x")) else words


@pytest.mark.parametrize(
    ("bits", "name"), [(1, "Blake2s"), (2, "Blake2s, last block"), (3, "QM31"), (5, "number 5")]
)
def test_an_instruction_beyond_the_first_sixty_three_bits_is_named(bits: int, name: str) -> None:
    with pytest.raises(InvalidClass, match=f"unsupported opcode extension {name}"):
        decode(0x208B7FFF7FFF7FFE | bits << 63)


def felts(listed: list[str]) -> list[int]:
    return [int(one, 16) for one in listed]
