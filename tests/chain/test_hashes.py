"""Hashes, addresses and classes against starknet-py's and the standard library's."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from poseidon_py.poseidon_hash import poseidon_hash_many
from starknet_py.hash.address import compute_address
from starknet_py.hash.blake2s import blake2s_hash_many
from starknet_py.hash.selector import get_selector_from_name
from starknet_py.hash.utils import _starknet_keccak, pedersen_hash

from medsync_chain.classes import compiled_class_hash
from medsync_chain.compiling import load_class, own_folder
from medsync_chain.felts import describe, from_hex, short, short_text
from medsync_chain.hashes import blake_many, contract_address, poseidon_many
from medsync_chain.keccak import selector, starknet_keccak
from medsync_chain.sha256 import INITIAL, compress
from medsync_chain.vm.field import FIELD_PRIME
from medsync_chain.vm.pedersen import pedersen

FELTS = st.one_of(
    st.integers(0, FIELD_PRIME - 1), st.sampled_from([0, 1, FIELD_PRIME - 1, 2**63 - 1, 2**63, 2**251])
)


@settings(deadline=None, max_examples=40)
@given(st.lists(FELTS, max_size=9))
def test_lists_are_hashed_as_starknet_py_hashes_them(values: list[int]) -> None:
    assert poseidon_many(values) == poseidon_hash_many(values)
    assert blake_many(values) == blake2s_hash_many(values)


@settings(deadline=None, max_examples=40)
@given(FELTS, FELTS)
def test_pedersen_is_starknet_pys(left: int, right: int) -> None:
    assert pedersen(left, right) == pedersen_hash(left, right)


@pytest.mark.parametrize("length", [0, 1, 135, 136, 137, 272, 1000])
def test_keccak_is_right_around_its_block_length(length: int) -> None:
    data = bytes(index % 256 for index in range(length))
    assert starknet_keccak(data) == _starknet_keccak(data)


def test_selectors_and_addresses_are_starknet_pys() -> None:
    for name in ("transfer", "__execute__", "a_function_with_a_rather_long_name"):
        assert selector(name) == get_selector_from_name(name)
    for calldata in ([], [7], [1, 2, 3]):
        assert contract_address(class_hash=5, salt=6, calldata=calldata, deployer=7) == compute_address(
            class_hash=5, salt=6, constructor_calldata=calldata, deployer_address=7
        )


def test_sha256_compresses_a_block_as_the_standard_library_does() -> None:
    block = b"abc" + b"\x80" + bytes(52) + (24).to_bytes(8, "big")
    words = [int.from_bytes(block[at : at + 4], "big") for at in range(0, 64, 4)]
    digest = b"".join(word.to_bytes(4, "big") for word in compress(INITIAL, words))
    assert digest == hashlib.sha256(b"abc").digest()


@pytest.mark.parametrize("name", ["account", "token", "deployer"])
def test_shipped_classes_have_the_hashes_that_were_written_down_when_they_were_compiled(name: str) -> None:
    written = json.loads((own_folder() / f"{name}.hashes.json").read_text())
    loaded = load_class(own_folder(), name)
    assert loaded.class_hash == int(written["class_hash"], 16)
    assert loaded.compiled_class_hash == int(written["compiled_class_hash_blake2s"], 16)
    assert compiled_class_hash(loaded.casm, poseidon_many) == int(written["compiled_class_hash_poseidon"], 16)
    assert loaded.sierra.charged_by_gas


@pytest.mark.parametrize(
    "text",
    ["", "12", "0x", "0x1_0", "0x 1", "0xg", "-0x1", "0x" + "f" * 64, "0x" + "0" * 70, hex(FIELD_PRIME)],
)
def test_what_is_no_felt_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|large"):
        from_hex(text)


def test_panics_read_as_text_where_they_spell_some() -> None:
    assert short_text(short("BELOW_QUORUM")) == "BELOW_QUORUM"
    assert short_text(0) is None
    assert describe([short("K_TAKEN")]) == "0x4b5f54414b454e ('K_TAKEN')"
    assert describe([1, short("no")]) == "(0x1, 0x6e6f ('no'))"
    assert describe([5] * 100).endswith("… 36 more)")
    broken_text = [0x46A6158A16A947E5916B2A2CA68501A45E93D7110E81AA2D6438B1C57C879A3, 2**200, 1]
    assert describe(broken_text).startswith("(0x46a6158a")
