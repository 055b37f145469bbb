"""Translates CASM into Python functions, a stretch of instructions at a time. Driving them is `machine.py`'s.

A translated stretch starts at one instruction, follows jumps, calls and returns whose targets are known, and at
a conditional jump goes on along the fall-through. Cells read or written once are kept in local variables: memory
is write-once, so a value never changes. Only integers and the templates of `hints.py` reach the generated source,
never text from a class. An instruction that needs an operand to be *found* (a cell not written yet where the
translation reads one) raises KeyError and is redone by `Machine.step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from medsync_chain.vm.casm import CasmClass, Hint
from medsync_chain.vm.errors import InvalidClass, VmError
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.hints import HINTS, HintKind
from medsync_chain.vm.hints_state import STATEFUL_HINTS
from medsync_chain.vm.instruction import ApUpdate, Instruction, Opcode, Operand1, PcUpdate, Result, decode
from medsync_chain.vm.memory import SEGMENT_BITS

if TYPE_CHECKING:
    from medsync_chain.vm.machine import Machine

__all__ = ["PROGRAM_BASE", "RETURN_WORD", "Block", "translate"]

PROGRAM_BASE = 1 << SEGMENT_BITS
RETURN_WORD = 0x208B7FFF7FFF7FFE  # `ret`, which the loader puts behind every class's code
MAX_INSTRUCTIONS = 48  # of one stretch: beyond it translation costs more than dispatch saves (measured)
_P = FIELD_PRIME

Block = Callable[["Machine", dict[int, int], int, int], tuple[int, int, int, int]]  # → pc, ap, fp, steps
_Key = tuple[bool, int]  # (relative to the frame pointer, offset) at the stretch's start
_ALL_HINTS: Mapping[str, HintKind] = {**HINTS, **STATEFUL_HINTS}


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a generated line comes from: what `step` needs to redo its instruction."""

    pc: int
    ap_delta: int
    frame: int | None
    steps: int
    is_hint: bool


@dataclass(slots=True)
class _Stretch:
    """The translation under way. `frame` is None for the caller's fp, else fp = ap at start + frame."""

    casm: CasmClass
    pc: int
    ap_delta: int = 0
    frame: int | None = None
    steps: int = 0
    names: int = 0
    lines: list[str] = field(default_factory=list)
    marks: list[_Mark] = field(default_factory=list)
    known: dict[_Key, str] = field(default_factory=dict)
    returns: list[tuple[int, int | None]] = field(default_factory=list)  # of calls followed: (pc, frame)
    visited: set[int] = field(default_factory=set)
    constants: dict[str, Any] = field(default_factory=dict)
    in_hint: bool = False

    def emit(self, line: str, depth: int = 0) -> None:
        self.lines.append(" " * (depth + 2) + line)
        self.marks.append(_Mark(self.pc, self.ap_delta, self.frame, self.steps, self.in_hint))

    def name(self) -> str:
        self.names += 1
        return f"v{self.names}"

    def key(self, is_fp: bool, offset: int) -> _Key:
        if not is_fp:
            return False, self.ap_delta + offset
        return (True, offset) if self.frame is None else (False, self.frame + offset)

    def read(self, key: _Key) -> str:
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = self.name()
            self.emit(f"{known}=m[{_address(key)}]")
        return known

    def bind(self, key: _Key, expression: str) -> None:
        """Asserts that the cell equals the expression, writing it if it is new."""
        known = self.known.get(key)
        if known is not None:
            self.emit(f"if {known}!={expression}: fail({self.pc})")
            return
        name = expression
        if not expression.isalnum():
            name = self.name()
            self.emit(f"{name}={expression}")
        self.emit(f"if sd({_address(key)},{name})!={name}: fail({self.pc})")
        self.known[key] = name

    def leave(self, target: str, depth: int = 0) -> None:
        frame = "fp" if self.frame is None else f"ap+{self.frame}"
        self.emit(f"return {target},ap+{self.ap_delta},{frame},{self.steps}", depth)


def translate(casm: CasmClass, start: int) -> Block:
    """The function for the stretch at `start`. Raises InvalidClass for what is no code."""
    stretch = _Stretch(casm=casm, pc=start)
    while _instruction(stretch):
        if stretch.pc in stretch.visited or stretch.steps >= MAX_INSTRUCTIONS:
            stretch.leave(str(stretch.pc))
            break
    return _compile(stretch, start)


def _compile(stretch: _Stretch, start: int) -> Block:
    marks = stretch.marks

    def redo(machine: Machine, ap: int, fp: int, error: KeyError) -> tuple[int, int, int, int]:
        assert error.__traceback__ is not None
        mark = marks[error.__traceback__.tb_lineno - _HEAD_LINES - 1]
        if mark.is_hint:
            raise VmError(f"a hint at pc {mark.pc} needs a value that is not known") from None
        frame = fp if mark.frame is None else ap + mark.frame
        pc, ap, fp = machine.step(mark.pc, ap + mark.ap_delta, frame)
        return pc, ap, fp, mark.steps

    source = "\n".join([*_HEAD, *stretch.lines, *_TAIL])
    scope = {"fail": _fail, "redo": redo, **stretch.constants}
    exec(compile(source, f"<casm {start}>", "exec"), scope)
    block: Block = scope["block"]
    return block


_HEAD = ("def block(vm,m,ap,fp):", " sd=m.setdefault;g=m.get", " try:")
_HEAD_LINES = len(_HEAD)
_TAIL = (" except KeyError as e:", "  return redo(vm,ap,fp,e)")


def _fail(pc: int) -> NoReturn:
    raise VmError(f"an assertion failed at pc {pc}")


def _instruction(stretch: _Stretch) -> bool:
    """Translates one instruction and its hints; False when the stretch ends with it."""
    pc, code = stretch.pc, stretch.casm.bytecode
    stretch.visited.add(pc)
    for number, hint in enumerate(stretch.casm.hints.get(pc, ())):
        stretch.in_hint = True
        _hint(stretch, hint, f"h{pc}_{number}")
    stretch.in_hint = False
    if not 0 <= pc <= len(code):
        raise InvalidClass(f"pc {pc} is outside the code")
    instruction = decode(code[pc] if pc < len(code) else RETURN_WORD)
    immediate = None
    if instruction.op1 is Operand1.IMMEDIATE:
        if pc + 1 >= len(code):
            raise InvalidClass(f"the instruction at pc {pc} lacks its immediate")
        immediate = _signed(code[pc + 1])
    return _TRANSLATORS[instruction.opcode](stretch, instruction, immediate)


def _assert_eq(stretch: _Stretch, ins: Instruction, immediate: int | None) -> bool:
    if ins.pc_update is not PcUpdate.NEXT or ins.ap_update is ApUpdate.ADD_RESULT:
        raise InvalidClass(f"an assertion at pc {stretch.pc} also jumps or moves ap")
    if ins.result is Result.OP1:
        _assert_op1(stretch, ins, immediate)
    elif ins.op1 is Operand1.DEREF:
        stretch.emit("raise KeyError")  # never emitted by Sierra compilers; `step` does it
    else:
        _assert_arithmetic(stretch, ins, immediate)
    return _go_on(stretch, ins)


def _assert_op1(stretch: _Stretch, ins: Instruction, immediate: int | None) -> None:
    dst = stretch.key(ins.dst_is_fp, ins.dst_offset)
    if immediate is not None:
        stretch.bind(dst, str(immediate % _P))
    elif ins.op1 is Operand1.DEREF:
        _assert_pointed(stretch, ins, dst)
    else:
        _assert_copy(stretch, dst, _op1_key(stretch, ins))


def _assert_pointed(stretch: _Stretch, ins: Instruction, dst: _Key) -> None:
    """[dst] = [[op0] + offset]: a load when dst is new, else a store or a check."""
    pointer = stretch.read(stretch.key(ins.op0_is_fp, ins.op0_offset))
    place = f"{pointer}+{ins.op1_offset}" if ins.op1_offset else pointer
    known = stretch.known.get(dst)
    if known is not None:
        stretch.emit(f"if sd({place},{known})!={known}: fail({stretch.pc})")
        return
    name = stretch.known[dst] = stretch.name()
    stretch.emit(f"{name}=g({_address(dst)})")
    stretch.emit(f"if {name} is None:")
    stretch.emit(f"{name}=g({place})", 1)
    stretch.emit(f"if {name} is None: {name}=vm.deduce({place})", 1)
    stretch.emit(f"m[{_address(dst)}]={name}", 1)
    stretch.emit(f"elif sd({place},{name})!={name}: fail({stretch.pc})")


def _assert_copy(stretch: _Stretch, dst: _Key, source: _Key) -> None:
    """[dst] = [source]: whichever is known gives the other."""
    if source in stretch.known:
        stretch.bind(dst, stretch.known[source])
    elif dst in stretch.known:
        stretch.bind(source, stretch.known[dst])
    else:
        name = stretch.name()
        stretch.emit(f"{name}=g({_address(source)})")
        stretch.emit(f"if {name} is None:")
        stretch.emit(f"{name}=m[{_address(dst)}]", 1)
        stretch.emit(f"m[{_address(source)}]={name}", 1)
        stretch.emit(f"elif sd({_address(dst)},{name})!={name}: fail({stretch.pc})")
        stretch.known[dst] = stretch.known[source] = name


def _assert_arithmetic(stretch: _Stretch, ins: Instruction, immediate: int | None) -> None:
    """[dst] = [op0] + or * [op1]. An operand that this instruction allocates is found by subtraction."""
    dst, op0 = stretch.key(ins.dst_is_fp, ins.dst_offset), stretch.key(ins.op0_is_fp, ins.op0_offset)
    op1 = _op1_key(stretch, ins) if immediate is None else None
    fresh = (False, stretch.ap_delta)
    allocates = ins.ap_update is ApUpdate.ADD_ONE and fresh not in stretch.known
    if ins.result is Result.ADD and allocates and op0 == fresh and op1 != fresh:
        other = str(immediate) if op1 is None else stretch.read(op1)
        stretch.bind(op0, f"({stretch.read(dst)}-{_parenthesized(other)})%{_P}")
    elif ins.result is Result.ADD and allocates and op1 is not None and op1 == fresh and op0 != fresh:
        stretch.bind(op1, f"({stretch.read(dst)}-{stretch.read(op0)})%{_P}")
    else:
        left = stretch.read(op0)
        right = str(immediate) if op1 is None else stretch.read(op1)
        sign = "+" if ins.result is Result.ADD else "*"
        stretch.bind(dst, f"({left}{sign}{_parenthesized(right)})%{_P}")


def _call(stretch: _Stretch, ins: Instruction, immediate: int | None) -> bool:
    after, frame = stretch.pc + ins.size, stretch.frame
    caller = "fp" if frame is None else f"ap+{frame}"
    for offset, value in ((0, caller), (1, str(PROGRAM_BASE + after))):
        stretch.emit(f"m[ap+{stretch.ap_delta + offset}]={value}")
    stretch.known[False, stretch.ap_delta + 1] = str(PROGRAM_BASE + after)
    target = None if immediate is None else stretch.pc + immediate
    known_jump = target is not None and ins.pc_update is PcUpdate.RELATIVE
    destination = "" if known_jump else _destination(stretch, ins, immediate)
    stretch.steps += 1
    stretch.ap_delta += 2
    stretch.frame = stretch.ap_delta
    if not known_jump or target is None:
        stretch.leave(destination)
        return False
    stretch.returns.append((after, frame))
    stretch.pc = target
    return True


def _return(stretch: _Stretch, ins: Instruction, immediate: int | None) -> bool:
    stretch.steps += 1
    if stretch.returns:
        stretch.pc, stretch.frame = stretch.returns.pop()
        return True
    assert stretch.frame is None
    stretch.emit(f"return m[fp-1]-{PROGRAM_BASE},ap+{stretch.ap_delta},m[fp-2],{stretch.steps}")
    return False


def _no_operation(stretch: _Stretch, ins: Instruction, immediate: int | None) -> bool:
    """Jumps, conditional jumps and movements of ap."""
    if ins.pc_update is PcUpdate.CONDITIONAL:
        return _conditional(stretch, ins, immediate)
    if ins.pc_update is PcUpdate.NEXT:
        return _move(stretch, ins, immediate)
    destination = _destination(stretch, ins, immediate)
    stretch.steps += 1
    stretch.ap_delta += _ap_growth(ins)
    if immediate is not None and ins.pc_update is PcUpdate.RELATIVE:
        stretch.pc += immediate
        return True
    stretch.leave(destination)
    return False


def _conditional(stretch: _Stretch, ins: Instruction, immediate: int | None) -> bool:
    condition = stretch.read(stretch.key(ins.dst_is_fp, ins.dst_offset))
    destination = _destination(stretch, ins, immediate)
    stretch.steps += 1
    stretch.ap_delta += _ap_growth(ins)
    stretch.emit(f"if {condition}:")
    stretch.leave(destination, 1)
    stretch.pc += ins.size
    return True


def _move(stretch: _Stretch, ins: Instruction, immediate: int | None) -> bool:
    if ins.ap_update is not ApUpdate.ADD_RESULT:
        return _go_on(stretch, ins)
    if immediate is None or ins.result is not Result.OP1:
        raise InvalidClass(f"ap moves by what is no constant at pc {stretch.pc}")
    stretch.steps += 1
    stretch.ap_delta += immediate
    stretch.pc += ins.size
    return True


_TRANSLATORS: Mapping[Opcode, Callable[[_Stretch, Instruction, int | None], bool]] = {
    Opcode.ASSERT_EQ: _assert_eq,
    Opcode.CALL: _call,
    Opcode.RET: _return,
    Opcode.NOP: _no_operation,
}


def _go_on(stretch: _Stretch, ins: Instruction) -> bool:
    stretch.steps += 1
    stretch.ap_delta += _ap_growth(ins)
    stretch.pc += ins.size
    return True


def _ap_growth(ins: Instruction) -> int:
    if ins.ap_update is ApUpdate.ADD_RESULT:
        raise InvalidClass("a jump that also moves ap by its target")
    return int(ins.ap_update is ApUpdate.ADD_ONE)


def _destination(stretch: _Stretch, ins: Instruction, immediate: int | None) -> str:
    """The target of a jump or call, as an expression."""
    if ins.result is not Result.OP1:
        raise InvalidClass(f"a jump to a computed place at pc {stretch.pc}")
    if immediate is not None:
        operand = str(immediate)
    elif ins.op1 is Operand1.DEREF:
        pointer = stretch.read(stretch.key(ins.op0_is_fp, ins.op0_offset))
        operand = f"vm.memory.read({pointer}+{ins.op1_offset})"
    else:
        operand = stretch.read(_op1_key(stretch, ins))
    if ins.pc_update is PcUpdate.ABSOLUTE:
        return f"{operand}-{PROGRAM_BASE}"
    if immediate is not None:
        return str(stretch.pc + immediate)
    return f"({stretch.pc}+{operand})%{_P}"


def _hint(stretch: _Stretch, hint: Hint, name: str) -> None:
    kind = _ALL_HINTS.get(hint[0])
    if kind is None:
        raise InvalidClass(f"unsupported hint {hint[0]} at pc {stretch.pc}")
    operands = hint[1]
    values = [_operand(stretch, operands[field_name]) for field_name in kind.inputs]
    cells = [_cell(stretch, operands[field_name]) for field_name in kind.outputs]
    if kind.template:
        for cell, template in zip(cells, kind.template, strict=True):
            stretch.bind(cell, template.format(*values))
        return
    stretch.constants[name] = kind.run
    call = f"{name}({','.join(['vm', *values])})"
    if not cells:
        stretch.emit(call)
        return
    results = [stretch.name() for _ in cells]
    stretch.emit(f"{','.join(results)},={call}")
    for cell, result in zip(cells, results, strict=True):
        if hint[0] == "U256InvModN":  # one of its cells may stay unwritten
            stretch.emit(
                f"if {result} is not None and sd({_address(cell)},{result})!={result}: fail({stretch.pc})"
            )
        else:
            stretch.bind(cell, result)


def _operand(stretch: _Stretch, operand: Mapping[str, Any]) -> str:
    ((kind, value),) = operand.items()
    match kind:
        case "Immediate":
            return str((int(value, 16) if isinstance(value, str) else int(value)) % _P)
        case "Deref":
            return stretch.read(_cell(stretch, value))
        case "DoubleDeref":
            return f"vm.memory.read({stretch.read(_cell(stretch, value[0]))}+{int(value[1])})"
        case "BinOp" if value["op"] in ("Add", "Mul"):
            sign = "+" if value["op"] == "Add" else "*"
            return f"(({stretch.read(_cell(stretch, value['a']))}{sign}{_operand(stretch, value['b'])})%{_P})"
    raise InvalidClass(f"unsupported operand {kind} of a hint at pc {stretch.pc}")


def _cell(stretch: _Stretch, reference: Mapping[str, Any]) -> _Key:
    return stretch.key(reference["register"] == "FP", int(reference["offset"]))


def _op1_key(stretch: _Stretch, ins: Instruction) -> _Key:
    return stretch.key(ins.op1 is Operand1.FP, ins.op1_offset)


def _address(key: _Key) -> str:
    return f"{'fp' if key[0] else 'ap'}{key[1]:+d}" if key[1] else ("fp" if key[0] else "ap")


def _signed(word: int) -> int:
    """Half the field stands for negative numbers: small ones keep the arithmetic fast."""
    return word if word <= _P // 2 else word - _P


def _parenthesized(expression: str) -> str:
    return f"({expression})" if expression.startswith("-") else expression
