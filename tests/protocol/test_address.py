"""A context's public address as people and programs write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.address import ChainAddress, chain_name, parse_address, parse_chain
from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import FIELD_PRIME, short_string

felts = st.integers(1, FIELD_PRIME - 1)


@given(chain=felts, contract=st.integers(1, 2**251 - 257), context=felts)
def test_an_address_reads_back_as_it_was_written(chain: int, contract: int, context: int) -> None:
    address = ChainAddress(chain_id=chain, contract=contract, context=context)
    assert parse_address(str(address)) == address


def test_a_named_chain_is_written_by_its_name() -> None:
    address = ChainAddress(chain_id=short_string("MEDSYNC_LOCAL"), contract=0x1F, context=2)
    assert str(address) == f"starknet:MEDSYNC_LOCAL/0x{0x1F:064x}/0x{2:064x}"
    assert parse_address("starknet:MEDSYNC_LOCAL/0x1f/0x2") == address


def test_a_chain_id_that_is_no_name_is_written_in_hex() -> None:
    assert chain_name(1) == "0x1"
    assert parse_chain("0x1") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "starknet:",
        "bitcoin:SN_MAIN/0x1/0x2",
        "starknet:SN_MAIN/0x1",
        "starknet:SN_MAIN/0x1/0x2/0x3",
        "starknet:/0x1/0x2",
        "starknet:SN MAIN/0x1/0x2",
        "starknet:SN_MAIN/1/0x2",
        "starknet:SN_MAIN/0x/0x2",
        "starknet:SN_MAIN/0x0/0x2",
        "starknet:SN_MAIN/0x1/0x-2",
        "starknet:SN_MAIN/0x1/" + hex(FIELD_PRIME),
        "starknet:SN_MAIN/" + hex(2**251) + "/0x2",
        "starknet:" + "A" * 32 + "/0x1/0x2",
    ],
)
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_address(text)
