"""Contract classes: what is declared (Sierra), what runs (CASM), and their hashes.

Where a Sierra class's CASM comes from is `compiling.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medsync_chain.errors import Unacceptable
from medsync_chain.felts import from_hex, short
from medsync_chain.hashes import blake_many, poseidon_many
from medsync_chain.keccak import starknet_keccak
from medsync_chain.vm.casm import CasmClass, EntryPointType

__all__ = ["ContractClass", "SierraClass", "compiled_class_hash"]

MAX_CLASS_BYTES = 4_089_446  # of a declared class's JSON; Starknet's limit, error 57
MAX_SIERRA_FELTS = 81_920  # of a program; Starknet's limit
_KINDS = ("EXTERNAL", "L1_HANDLER", "CONSTRUCTOR")  # in the order they are hashed
_CLASS_KEYS = {"sierra_program", "contract_class_version", "entry_points_by_type", "abi"}
_SIERRA_GAS_SINCE = (1, 7, 0)  # older programs are charged by steps (blockifier's versioned constants)
_COMPILED_PREFIX = short("COMPILED_CLASS_V1")

Hash = Callable[[Sequence[int]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SierraClass:
    """A class as a declare transaction carries it. `document` is its JSON-RPC form."""

    class_hash: int
    program: tuple[int, ...]
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> SierraClass:
        """From its JSON-RPC form. Raises Unacceptable (error 57 or a malformed class)."""
        try:
            kept = {key: document[key] for key in _CLASS_KEYS}
            if len(json.dumps(kept)) > MAX_CLASS_BYTES:
                raise Unacceptable.class_too_large(MAX_CLASS_BYTES)
            program = tuple(from_hex(word) for word in kept["sierra_program"])
            if not 3 < len(program) <= MAX_SIERRA_FELTS:
                raise Unacceptable.class_too_large(MAX_SIERRA_FELTS)
            entry_points = kept["entry_points_by_type"]
            hashes = [_entry_points_hash(entry_points[kind]) for kind in _KINDS]
            version = short("CONTRACT_CLASS_V" + kept["contract_class_version"])
            abi_hash = starknet_keccak(kept["abi"].encode())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unacceptable.malformed(f"not a Sierra class: {error!r}") from error
        class_hash = poseidon_many([version, *hashes, abi_hash, poseidon_many(program)])
        return cls(class_hash=class_hash, program=program, document=kept)

    @property
    def charged_by_gas(self) -> bool:
        """True when the program counts its own gas; the first three felts are its Sierra version."""
        return self.program[:3] >= _SIERRA_GAS_SINCE


def _entry_points_hash(entries: Sequence[Mapping[str, Any]]) -> int:
    return poseidon_many(
        [felt for entry in entries for felt in (from_hex(entry["selector"]), int(entry["function_idx"]))]
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContractClass:
    """A Sierra class with what its compiler made of it."""

    sierra: SierraClass
    casm: CasmClass
    casm_document: Mapping[str, Any]
    compiled_class_hash: int

    @classmethod
    def of(cls, sierra: SierraClass, casm_document: Mapping[str, Any]) -> ContractClass:
        """Raises InvalidClass when the compiled form is malformed."""
        casm = CasmClass.parse(casm_document)
        return cls(
            sierra=sierra,
            casm=casm,
            casm_document=casm_document,
            compiled_class_hash=compiled_class_hash(casm),
        )

    @property
    def class_hash(self) -> int:
        """The hash it is declared and deployed under."""
        return self.sierra.class_hash


def compiled_class_hash(casm: CasmClass, hash_many: Hash = blake_many) -> int:
    """The hash a declare transaction names: BLAKE2s since Starknet 0.14.1, Poseidon before."""
    kinds = (EntryPointType.EXTERNAL, EntryPointType.L1_HANDLER, EntryPointType.CONSTRUCTOR)
    entry_points = [
        hash_many(
            [
                felt
                for entry in casm.entry_points[kind]
                for felt in (
                    entry.selector,
                    entry.offset,
                    hash_many([short(builtin) for builtin in entry.builtins]),
                )
            ]
        )
        for kind in kinds
    ]
    return hash_many([_COMPILED_PREFIX, *entry_points, _bytecode_hash(casm, hash_many)])


def _bytecode_hash(casm: CasmClass, hash_many: Hash) -> int:
    if casm.segment_lengths is None:
        return hash_many(casm.bytecode)
    digest, end = _segment_hash(casm.bytecode, 0, casm.segment_lengths, hash_many)
    if end != len(casm.bytecode):
        raise Unacceptable.malformed("the bytecode's segments do not cover it")
    return digest


def _segment_hash(code: Sequence[int], start: int, lengths: Any, hash_many: Hash) -> tuple[int, int]:
    """The hash of a segment and the place behind it."""
    if isinstance(lengths, int):
        return hash_many(code[start : start + lengths]), start + lengths
    parts: list[int] = []
    for inner in lengths:
        digest, end = _segment_hash(code, start, inner, hash_many)
        parts += [end - start, digest]
        start = end
    return hash_many(parts) + 1, start
