"""The classes that this release ships (`artifacts/`), as a declaration needs it.

Compiling is `scripts/compile-contracts`'s. The CASM stays out: a node makes its own of the Sierra, and only its
hash is sent; starknet-py's schema refuses the negative immediates in newer compilers' hints (STARKNET §5).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from starknet_py.common import create_sierra_compiled_contract
from starknet_py.net.client_models import SierraContractClass

_BLAKE_SINCE: Final = (0, 14, 1)  # Starknet hashes compiled classes with BLAKE2s from this version on


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A class by the name of its artefacts, with its hashes, all felts; the class itself is read when asked for."""

    name: str
    class_hash: int
    blake2s: int
    poseidon: int

    def sierra(self) -> SierraContractClass:
        """The class as a declare transaction carries it."""
        text = _read(f"{self.name}.sierra.json")
        return create_sierra_compiled_contract(text).convert_to_sierra_contract_class()

    def compiled_class_hash(self, starknet_version: str) -> int:
        """The compiled class hash that a declaration names under this version of Starknet."""
        return self.blake2s if _parts(starknet_version) >= _BLAKE_SINCE else self.poseidon


def released_anchor() -> Released:
    """The anchor of this release."""
    return _released("anchor")


def released_pool() -> Released:
    """The reward pool of this release."""
    return _released("reward_pool")


def _released(name: str) -> Released:
    hashes = json.loads(_read(f"{name}.hashes.json"))
    return Released(
        name=name,
        class_hash=int(hashes["class_hash"], 16),
        blake2s=int(hashes["compiled_class_hash_blake2s"], 16),
        poseidon=int(hashes["compiled_class_hash_poseidon"], 16),
    )


def _read(name: str) -> str:
    return files("medsync_bridge").joinpath("artifacts", name).read_text()


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
