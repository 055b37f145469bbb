"""Hypothesis strategies that several protocol tests share: values of the encoding, hostile bytes, felts."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from medsync_protocol.poseidon import FIELD_PRIME

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=80) | st.text(max_size=40)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=6), max_leaves=30)
felts = st.integers(0, FIELD_PRIME - 1)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with a few bytes changed, cut out, doubled or put in."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(made) - 1)))
        match draw(st.integers(0, 3)):
            case 0 if made:
                made[at] = draw(st.integers(0, 255))
            case 1:
                del made[at : at + draw(st.integers(1, 8))]
            case 2:
                made[at:at] = made[at : at + 8]
            case _:
                made[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(made)


def as_tuples(value: Any) -> Any:
    """Lists as the decoder gives them."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value
