"""Runs one entry point of a compiled class: the stack, the loop, the final checks. Syscalls are its caller's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from medsync_chain.vm.blocks import PROGRAM_BASE, RETURN_WORD, translate
from medsync_chain.vm.casm import CasmClass, EntryPoint
from medsync_chain.vm.errors import UnknownCell, VmError
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.hints_state import HintState
from medsync_chain.vm.instruction import Instruction, Opcode, Operand1, Result, decode
from medsync_chain.vm.memory import BUILTINS, SEGMENT_BITS, Memory

__all__ = ["BUILTIN_COSTS", "MAX_CELLS", "Machine", "Outcome"]

BUILTIN_COSTS = (
    4050,
    583,
    4085,
    491,
    230,
    604,
)  # L2 gas of pedersen, bitwise, ec_op, poseidon, add_mod, mul_mod
_PROGRAM, _END_PC, _END_FP, _FIRST_FREE = 1, 2 << SEGMENT_BITS, 3 << SEGMENT_BITS, 4
_END = _END_PC - PROGRAM_BASE
_ARENA_CELLS = 3
_WATCH = 4_096  # steps between two looks at the limits
MAX_CELLS = 4_000_000  # of one run; 150 bytes each
_P = FIELD_PRIME

SystemCall = Callable[["Machine", int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an entry point returned: `data` is its answer, or its panic when `panicked`."""

    panicked: bool
    data: list[int]
    gas_left: int
    steps: int
    builtins: Mapping[str, int]  # instances used, by name


class Machine:
    """One run. `entropy` feeds RandomEcPoint: the same bytes, the same run.

    `max_steps` bounds steps and, in steps, the work of builtins; `max_cells` bounds memory.
    """

    def __init__(
        self,
        casm: CasmClass,
        *,
        system_call: SystemCall,
        entropy: bytes,
        max_steps: int,
        max_cells: int = MAX_CELLS,
    ) -> None:
        self.casm = casm
        self.memory = Memory(max_steps)
        self.deduce = self.memory.deduce
        self.hint_state = HintState()
        self.entropy = entropy
        self.drawn_points = 0
        self.steps = 0
        self._system_call = system_call
        self._max_steps = max_steps
        self._max_cells = max_cells
        self._segments = _FIRST_FREE
        self._boxed: int | None = None

    @property
    def spent(self) -> int:
        """Steps so far, the work of builtins among them."""
        return self.steps + self.memory.work

    def new_segment(self, values: Sequence[int] = ()) -> int:
        """The address of a new segment that starts with these values."""
        base = self._segments << SEGMENT_BITS
        self._segments += 1
        if values:
            self.memory.fill(base, values)
        return base

    def allocate_boxed(self, size: int) -> int:
        """Cells in the one segment that holds all boxes."""
        if self._boxed is None:
            self._boxed = self.new_segment()
        address = self._boxed
        self._boxed += size
        return address

    def system_call(self, pointer: int) -> None:
        """Hands the request at `pointer` to whoever runs this machine."""
        self._system_call(self, pointer)

    def run(self, entry: EntryPoint, calldata: Sequence[int], gas: int) -> Outcome:
        """Raises VmError when the run cannot end properly; a panic is an Outcome."""
        try:
            return self._run(entry, calldata, gas)
        except (ArithmeticError, LookupError, ValueError, TypeError, MemoryError) as error:
            # what a class can provoke in a hint or a builtin: division by zero, a missing cell, a wrong type
            raise VmError(f"the run cannot go on: {error!r}") from error

    def _run(self, entry: EntryPoint, calldata: Sequence[int], gas: int) -> Outcome:
        memory = self.memory
        costs = self.new_segment(BUILTIN_COSTS)
        memory.code = (_PROGRAM, (*self.casm.bytecode, RETURN_WORD, costs))
        bases = [self._builtin_base(name) for name in entry.builtins]
        system = self.new_segment()
        start = self.new_segment(calldata)
        stack = [*bases, gas, system, start, start + len(calldata), _END_FP, _END_PC]
        frame = self.new_segment(stack) + len(stack)
        ap = self._loop(entry.offset, frame)
        flag, data_start, data_end = (memory.read(ap + offset) for offset in (-3, -2, -1))
        results = ap - 5 - len(bases)
        return Outcome(
            panicked=flag != 0,
            data=memory.span(data_start, data_end),
            gas_left=memory.read(ap - 5),
            steps=self.steps,
            builtins={
                name: self._used(name, base, memory.read(results + index))
                for index, (name, base) in enumerate(zip(entry.builtins, bases, strict=True))
            },
        )

    def _builtin_base(self, name: str) -> int:
        if name == "segment_arena":
            return self.new_segment([self.new_segment(), 0, 0]) + _ARENA_CELLS
        base = self.new_segment()
        self.memory.builtins[base >> SEGMENT_BITS] = BUILTINS[name]
        return base

    def _used(self, name: str, base: int, end: int) -> int:
        if end >> SEGMENT_BITS != base >> SEGMENT_BITS:
            raise VmError(f"the {name} pointer left its segment")
        if name == "segment_arena":
            return (end - base) // _ARENA_CELLS
        self.memory.check_builtin(base >> SEGMENT_BITS, end - base)
        return (end - base) // BUILTINS[name].cells

    def _loop(self, pc: int, frame: int) -> int:
        """Runs until the outermost return; gives ap."""
        blocks, cells = self.casm.blocks, self.memory.cells
        ap = fp = frame
        steps = 0
        watch = self._watch(steps)
        try:
            while pc != _END:
                block = blocks.get(pc)
                if block is None:
                    block = blocks[pc] = translate(self.casm, pc)
                pc, ap, fp, count = block(self, cells, ap, fp)
                steps += count
                if steps > watch:
                    watch = self._watch(steps)
        finally:
            self.steps = steps + self.steps
        return ap

    def _watch(self, steps: int) -> int:
        """Looks whether the run is within its limits; gives the number of steps at which to look again."""
        if steps + self.memory.work > self._max_steps:
            raise VmError(f"out of steps: more than {self._max_steps}")
        if len(self.memory.cells) > self._max_cells:
            raise VmError(f"out of memory: more than {self._max_cells} cells")
        return min(self._max_steps, steps + _WATCH)

    def step(self, pc: int, ap: int, fp: int) -> tuple[int, int, int]:
        """One assertion, finding whichever of its operands is unknown. Raises VmError when it can't."""
        code = self.casm.bytecode
        ins = decode(code[pc] if pc < len(code) else RETURN_WORD)
        if ins.opcode is not Opcode.ASSERT_EQ:
            raise VmError(f"an operand at pc {pc} is not known")
        self.steps += 1
        self._settle(pc, ins, ap, fp)
        return pc + ins.size, ap + (1 if ins.ap_update else 0), fp

    def _settle(self, pc: int, ins: Instruction, ap: int, fp: int) -> None:
        dst = (fp if ins.dst_is_fp else ap) + ins.dst_offset
        op0 = (fp if ins.op0_is_fp else ap) + ins.op0_offset
        op1 = self._op1_address(pc, ins, op0, ap, fp)
        result, left, right = self._peek(dst), self._peek(op0), self._peek(op1)
        if ins.result is Result.OP1:
            found, value = (op1, result) if right is None else (dst, right)
        elif left is not None and right is not None:
            found, value = dst, (left + right if ins.result is Result.ADD else left * right) % _P
        elif result is None or (left is None and right is None):
            found, value = dst, None
        else:
            known = right if left is None else left
            found, value = (op0 if left is None else op1), _other(ins, result, known)
        if value is None:
            raise VmError(f"two operands at pc {pc} are not known")
        self.memory.write(found, value)

    def _op1_address(self, pc: int, ins: Instruction, op0: int, ap: int, fp: int) -> int:
        match ins.op1:
            case Operand1.IMMEDIATE:
                return PROGRAM_BASE + pc + 1
            case Operand1.DEREF:
                return self.memory.read(op0) + ins.op1_offset
            case Operand1.FP:
                return fp + ins.op1_offset
            case Operand1.AP:
                return ap + ins.op1_offset

    def _peek(self, address: int) -> int | None:
        try:
            return self.memory.read(address)
        except UnknownCell:
            return None


def _other(ins: Instruction, result: int, known: int | None) -> int | None:
    """The operand that makes `known` the result, or None when there is none."""
    assert known is not None
    if ins.result is Result.ADD:
        return (result - known) % _P
    return None if known == 0 else result * pow(known, -1, _P) % _P
