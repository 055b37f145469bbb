"""One encoding per value: what decodes re-encodes to the same bytes, and the rest is Malformed (S8)."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsync_protocol.codec import (
    MAX_DEPTH, pack, unpack, want_array, want_bool, want_bytes, want_int, want_str,
)  # fmt: skip
from medsync_protocol.errors import Malformed
from tests.protocol.strategies import as_tuples, damaged, values


@given(values)
def test_a_value_comes_back(value: Any) -> None:
    assert unpack(pack(value)) == as_tuples(value)


@given(st.binary(max_size=64))
def test_accepted_bytes_encode_back_to_themselves(data: bytes) -> None:
    try:
        value = unpack(data)
    except Malformed:
        return
    assert pack(value) == data


@given(st.data(), values)
def test_damaged_bytes_are_another_value_or_malformed(data: st.DataObject, value: Any) -> None:
    damage = data.draw(damaged(pack(value)))
    try:
        assert pack(unpack(damage)) == damage
    except Malformed:
        return


@pytest.mark.parametrize("value", [1.5, float("nan"), {}, {1: 2}, msgpack.Timestamp(1, 2), msgpack.ExtType(5, b"x")])
def test_types_outside_the_encoding_are_refused_at_any_depth(value: Any) -> None:
    for wrapped in (value, [value], [1, [b"x", value]]):
        with pytest.raises(Malformed):
            unpack(msgpack.packb(wrapped))


def test_nesting_has_a_limit_that_holds_before_the_stack_does() -> None:
    def nested(depth: int) -> bytes:
        return b"\x91" * depth + b"\xc0"

    unpack(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 510, 511, 512, 513, 1023, 1024, 1025, 100_000):
        with pytest.raises(Malformed):
            unpack(nested(depth))


@pytest.mark.parametrize("header", [b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"])
def test_a_claimed_size_reserves_nothing(header: bytes) -> None:
    with pytest.raises(Malformed):
        unpack(header)


@pytest.mark.parametrize(
    ("want", "good", "bad"),
    [
        (lambda v: want_int(v, 1, 5), [1, 5], [0, 6, True, "1", b"1", None]),
        (lambda v: want_bytes(v, 2), [b"ab"], [b"a", b"abc", "ab", None]),
        (lambda v: want_bytes(v, at_most=2), [b"", b"ab"], [b"abc", "ab"]),
        (lambda v: want_str(v, 2), ["", "ab"], ["abc", b"ab", None]),
        (want_bool, [True, False], [0, 1, None]),
        (lambda v: want_array(v, 2), [(1, 2)], [(1,), [1, 2], None]),
        (lambda v: want_array(v, at_most=1), [(), (1,)], [(1, 2)]),
    ],
)
def test_fields_are_what_they_should_be_or_malformed(want: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert want(value) == value
    for value in bad:
        with pytest.raises(Malformed):
            want(value)
