"""Compiled classes with words and hints changed at random: every run ends in an answer or in a VmError, within its bounds."""

from __future__ import annotations

import copy
import json
import random
from types import SimpleNamespace
from typing import Any

from medsync_chain import costs
from medsync_chain.execution import BlockInfo, Call, Context, TxInfo
from medsync_chain.keccak import selector
from medsync_chain.ledger import Ledger
from medsync_chain.state import State
from medsync_chain.vm.casm import CasmClass
from medsync_chain.vm.errors import VmError
from medsync_chain.vm.field import FIELD_PRIME
from tests.chain.world import CLASSES

ROUNDS = 25
CALLS = [
    ("set", [1, 2]),
    ("events", [2, 2, 2]),
    ("count_words", [3, 1, 2, 1]),
    ("recurse", [2]),
    ("keccak", [5, 6]),
    ("info", []),
]


def spoil(document: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    changed = {**document, "bytecode": list(document["bytecode"]), "hints": copy.copy(document["hints"])}
    for _ in range(chance.randint(1, 40)):
        at = chance.randrange(len(changed["bytecode"]))
        word = int(changed["bytecode"][at], 16)
        choice = chance.randrange(4)
        if choice == 0:
            word ^= 1 << chance.randrange(64)
        elif choice == 1:
            word = int(changed["bytecode"][chance.randrange(len(changed["bytecode"]))], 16)
        elif choice == 2:
            word = chance.choice([0, 1, FIELD_PRIME - 1, 2**128, 2**32])
        else:
            where = chance.randrange(len(changed["hints"]))
            other = changed["hints"][chance.randrange(len(changed["hints"]))]
            changed["hints"][where] = [changed["hints"][where][0], other[1]]
        changed["bytecode"][at] = hex(word % FIELD_PRIME)
    return changed


def test_spoiled_code_ends_properly(monkeypatch: Any) -> None:
    monkeypatch.setattr(costs, "MAX_EXECUTE_STEPS", 20_000)
    chance = random.Random(3)
    document = json.loads((CLASSES / "probe.casm.json").read_text())
    ended = {"answered": 0, "panicked": 0, "broke": 0}
    for _ in range(ROUNDS):
        casm = CasmClass.parse(spoil(document, chance))
        known: Any = SimpleNamespace(casm=casm, sierra=SimpleNamespace(charged_by_gas=True))
        for name, calldata in CALLS:
            state = State(Ledger().at())
            state.declare(1, 1)
            state.set_class(2, 1)
            context = Context(
                state=state,
                class_of=lambda _, known=known: known,
                block=BlockInfo(number=20, timestamp=0, sequencer=0),
                tx=TxInfo(),
            )
            try:
                info = context.run(Call(address=2, selector=selector(name), calldata=calldata), 10**9)
                ended["panicked" if info.failed else "answered"] += 1
            except VmError:
                ended["broke"] += 1
            assert context.work < 4 * costs.MAX_EXECUTE_STEPS
    assert sum(ended.values()) == ROUNDS * len(CALLS) and all(ended.values()), ended
