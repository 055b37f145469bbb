"""The machine on broken and hostile code: every run ends, in an answer or in a VmError."""

from __future__ import annotations

from typing import Any

import pytest

from medsync_chain.vm.casm import CasmClass, EntryPointType
from medsync_chain.vm.curve import SECP256K1, SECP256R1, STARK
from medsync_chain.vm.errors import InvalidClass, UnknownCell, VmError
from medsync_chain.vm.field import FIELD_PRIME, square_root
from medsync_chain.vm.instruction import decode
from medsync_chain.vm.machine import Machine
from medsync_chain.vm.memory import BUILTINS, Memory
from tests.chain.silent import silent_syscalls

RETURN = 0x208B7FFF7FFF7FFE
JUMP_TO_ITSELF = 0x10780017FFF7FFF  # jmp rel, with an immediate
ONE_STEP = (JUMP_TO_ITSELF, 0)


def document(words: tuple[int, ...], **changes: Any) -> dict[str, Any]:
    entry = {"selector": "0x1", "offset": 0, "builtins": []}
    return {
        "prime": hex(FIELD_PRIME),
        "bytecode": [hex(word) for word in words],
        "hints": [],
        "entry_points_by_type": {"EXTERNAL": [entry], "L1_HANDLER": [], "CONSTRUCTOR": []},
        **changes,
    }


def run(words: tuple[int, ...], max_steps: int = 1_000, **changes: Any) -> Any:
    casm = CasmClass.parse(document(words, **changes))
    entry = casm.entry_point(EntryPointType.EXTERNAL, 1)
    assert entry is not None
    machine = Machine(casm, system_call=silent_syscalls, entropy=b"", max_steps=max_steps)
    return machine.run(entry, [], 10_000)


def test_an_endless_loop_runs_out_of_steps() -> None:
    with pytest.raises(VmError, match="out of steps"):
        run(ONE_STEP)


def test_a_return_without_an_answer_is_no_answer() -> None:
    with pytest.raises(VmError):
        run((RETURN,))


@pytest.mark.parametrize("word", [0, 1 << 63, FIELD_PRIME - 1, 0xFFFF7FFF7FFF7FFF])
def test_what_is_no_instruction_is_refused(word: int) -> None:
    with pytest.raises(VmError):
        run((word,))


def test_code_that_leaves_its_bounds_is_refused() -> None:
    with pytest.raises(VmError):
        run((JUMP_TO_ITSELF, 1_000))
    with pytest.raises(VmError):
        run((JUMP_TO_ITSELF,))
    with pytest.raises(VmError):
        run((JUMP_TO_ITSELF, FIELD_PRIME - 5))


@pytest.mark.parametrize(
    "changes",
    [
        {"prime": "0x7"},
        {"bytecode": []},
        {"bytecode": [hex(FIELD_PRIME)]},
        {"bytecode": ["0x1"] * 81_921},
        {"bytecode": "text"},
        {"entry_points_by_type": {}},
        {"hints": [[0, [{"A": {}, "B": {}}]]]},
        {"hints": 5},
    ],
)
def test_what_is_no_compiled_class_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidClass):
        CasmClass.parse(document((RETURN,), **changes))


@pytest.mark.parametrize(
    "hint",
    [
        {"OpenTheDoor": {}},
        {"TestLessThan": {"lhs": {"Immediate": "0x1"}}},
        {"TestLessThan": {"lhs": {"Oops": 1}, "rhs": {"Immediate": "0x1"}, "dst": {"register": "AP", "offset": 0}}},
        {"AllocSegment": {"dst": {"register": "AP", "offset": "__import__('os')"}}},
        {"DivMod": {"lhs": {"Immediate": "0x1"}, "rhs": {"Immediate": "0x0"}, **{
            name: {"register": "AP", "offset": at} for at, name in enumerate(("quotient", "remainder"))}}},
        {"DebugPrint": {"start": {"Immediate": "0x5"}, "end": {"Immediate": "0x1"}}},
    ],
)  # fmt: skip
def test_hints_are_a_closed_list_and_never_code(hint: dict[str, Any]) -> None:
    with pytest.raises(VmError):
        run(ONE_STEP, hints=[[0, [hint]]])


def test_a_builtin_this_machine_lacks_is_named() -> None:
    entry = {"selector": "0x1", "offset": 0, "builtins": ["teleport"]}
    points = {"EXTERNAL": [entry], "L1_HANDLER": [], "CONSTRUCTOR": []}
    with pytest.raises(InvalidClass, match="teleport"):
        CasmClass.parse(document((RETURN,), entry_points_by_type=points))


def test_memory_is_written_once() -> None:
    memory = Memory(max_work=1)
    memory.write(1 << 32, 5)
    memory.write(1 << 32, 5)
    with pytest.raises(VmError, match="written twice"):
        memory.write(1 << 32, 6)
    with pytest.raises(UnknownCell):
        memory.read(2 << 32)
    with pytest.raises(VmError, match="span"):
        memory.span(1 << 32, 1 << 40)


def test_builtins_compute_their_outputs_and_check_foreign_ones() -> None:
    memory = Memory(max_work=10_000)
    memory.builtins = {1: BUILTINS["bitwise"], 2: BUILTINS["range_check"], 3: BUILTINS["ec_op"]}
    base = 1 << 32
    memory.fill(base, [0b1100, 0b1010])
    assert [memory.read(base + offset) for offset in (2, 3, 4)] == [0b1000, 0b0110, 0b1110]
    memory.fill(base + 5, [1, 1, 0, 0, 1])
    with pytest.raises(VmError, match="asserted"):
        memory.check_builtin(1, 10)
    memory.write(2 << 32, 1 << 128)
    with pytest.raises(VmError, match="128 bits"):
        memory.check_builtin(2, 1)
    memory.fill(3 << 32, [1, 2, 3, 4, 5])
    with pytest.raises(VmError, match="not on the curve"):
        memory.read((3 << 32) + 5)


def test_the_work_of_builtins_is_bounded_too() -> None:
    memory = Memory(max_work=3 * BUILTINS["pedersen"].work)
    memory.builtins = {1: BUILTINS["pedersen"]}
    for at in range(0, 9, 3):
        memory.fill((1 << 32) + at, [at, 1])
        memory.read((1 << 32) + at + 2)
    memory.fill((1 << 32) + 9, [9, 1])
    with pytest.raises(VmError, match="too much work"):
        memory.read((1 << 32) + 11)


def test_curves_add_and_multiply_as_groups_do() -> None:
    for curve in (STARK, SECP256K1, SECP256R1):
        x = next(x for x in range(1, 50) if square_root(x**3 + curve.a * x + curve.b, curve.prime))
        y = square_root(x**3 + curve.a * x + curve.b, curve.prime)
        assert y is not None and curve.holds((x, y))
        point = (x, y)
        assert curve.multiply(point, curve.order) is None
        assert curve.multiply(point, curve.order + 1) == point
        assert curve.add(point, (x, curve.prime - y)) is None
        assert curve.multiply(point, 5) == curve.add(curve.multiply(point, 3), curve.multiply(point, 2))


def test_roots_exist_for_squares_only() -> None:
    for value in (0, 1, 2, 3, 1234567, FIELD_PRIME - 1):
        root = square_root(value * value)
        assert root is not None and root in (value, FIELD_PRIME - value)
    assert square_root(3) is None


def test_offsets_are_signed() -> None:
    instruction = decode(RETURN)
    assert (instruction.dst_offset, instruction.op1_offset, instruction.size) == (-2, -1, 1)
