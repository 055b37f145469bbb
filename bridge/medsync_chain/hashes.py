"""Starknet's hashes over lists of felts, and contract addresses. Keccak is `keccak.py`'s, Pedersen the machine's."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2s

from poseidon_py.c_bindings import hades_permutation

from medsync_chain.felts import short
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.pedersen import pedersen_many

__all__ = ["ADDRESS_LIMIT", "blake_many", "contract_address", "poseidon_many", "poseidon_pair"]

ADDRESS_LIMIT = 2**251 - 256
_CONTRACT_PREFIX = short("STARKNET_CONTRACT_ADDRESS")
_SMALL = 1 << 63  # below it a felt takes two words
_BIG_MARK = 1 << 255


def poseidon_many(values: Sequence[int]) -> int:
    """Poseidon over a list (Starknet's documentation, "Hash functions", Poseidon array hashing)."""
    padded = [*values, 1]
    if len(padded) % 2:
        padded.append(0)
    state = [0, 0, 0]
    for at in range(0, len(padded), 2):
        state = list(
            hades_permutation(
                [(state[0] + padded[at]) % FIELD_PRIME, (state[1] + padded[at + 1]) % FIELD_PRIME, state[2]]
            )
        )
    return int(state[0])


def poseidon_pair(left: int, right: int) -> int:
    """Poseidon of two felts, as tries hash them."""
    return int(hades_permutation([left, right, 2])[0])


def blake_many(values: Sequence[int]) -> int:
    """BLAKE2s over a list: how compiled classes are hashed since Starknet 0.14.1 (SNIP-34)."""
    data = bytearray()
    for value in values:
        encoded = value.to_bytes(8, "big") if value < _SMALL else (value | _BIG_MARK).to_bytes(32, "big")
        for at in range(0, len(encoded), 4):
            data += encoded[at : at + 4][::-1]
    return int.from_bytes(blake2s(data).digest(), "little") % FIELD_PRIME


def contract_address(*, class_hash: int, salt: int, calldata: Sequence[int], deployer: int) -> int:
    """Where a deployment puts the contract."""
    parts = [_CONTRACT_PREFIX, deployer, salt, class_hash, pedersen_many(calldata)]
    return pedersen_many(parts) % ADDRESS_LIMIT
