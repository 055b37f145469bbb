"""Records on an append-only disk: whatever is torn or rots, what comes back is an intact prefix; the restart guard."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol.codec import pack
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, ContextId
from medsync_protocol.journal import Guard, IndexRow, OpRecord, Record, Restart, ValueRecord, frame, may_continue, recover, row_crc

contexts = st.binary(min_size=32, max_size=32).map(ContextId)
rows = st.builds(IndexRow, st.integers(0, 4095), st.integers(0, 65535), st.integers(-(2**63), 2**63 - 1))
operations = st.builds(
    OpRecord, contexts, st.binary(min_size=40, max_size=40).map(ChainId), st.integers(0, 2**40), st.integers(0, 2), st.booleans(),
    st.booleans(), st.binary(max_size=40), st.binary(min_size=64, max_size=64), st.binary(max_size=40),
    st.lists(rows, max_size=3).map(tuple), st.booleans(),
)  # fmt: skip
named = st.builds(
    ValueRecord, st.text(max_size=9), contexts, st.binary(max_size=9), st.none() | st.binary(max_size=30), st.booleans()
)
records = st.lists(operations | named, max_size=5)

EXAMPLE: list[Record] = [
    OpRecord(ContextId(b"c" * 32), ChainId(b"h" * 40), 7, 2, True, True, b"header", b"s" * 64, b"body", (IndexRow(3, 5, -9),)),
    ValueRecord("keys", ContextId(b"c" * 32), b"key", b"value", secret=True),
    ValueRecord("keys", ContextId(b"c" * 32), b"key", None),
]  # fmt: skip


@given(records)
def test_what_was_appended_comes_back(written: list[Record]) -> None:
    log = b"".join(map(frame, written))
    assert recover(log) == (written, len(log))


def test_torn_at_every_byte_the_intact_prefix_comes_back() -> None:
    frames = [frame(record) for record in EXAMPLE]
    log = b"".join(frames)
    ends = [sum(map(len, frames[:n])) for n in range(len(frames) + 1)]
    for length in range(len(log) + 1):
        whole = max(n for n, end in enumerate(ends) if end <= length)
        assert recover(log[:length]) == (EXAMPLE[:whole], ends[whole])


def test_a_flipped_bit_ends_the_prefix_before_its_record() -> None:
    frames = [frame(record) for record in EXAMPLE]
    log = b"".join(frames)
    for at in range(len(log) * 8):
        rotten = bytearray(log)
        rotten[at // 8] ^= 1 << at % 8
        hit = max(n for n in range(len(frames)) if sum(map(len, frames[:n])) <= at // 8)
        assert recover(bytes(rotten)) == (EXAMPLE[:hit], sum(map(len, frames[:hit])))


@settings(max_examples=60)
@given(records, st.binary(max_size=60))
def test_garbage_after_the_last_record_is_left_out(written: list[Record], garbage: bytes) -> None:
    log = b"".join(map(frame, written))
    found, length = recover(log + b"\xff" + garbage)
    assert (found, length) == (written, len(log))


def test_a_record_of_no_known_type_is_no_record_of_ours() -> None:
    for value in ([9, b"x"], [], 5, [1, b"x"], [2, 5, bytes(32), b"k", b"v", False], [2, "t", bytes(32), b"k", 5, False]):
        data = pack(value)
        with pytest.raises(Malformed):
            recover(zlib.crc32(data).to_bytes(4, "big") + len(data).to_bytes(4, "big") + data)


def test_a_rows_checksum_covers_everything_it_must_give_back() -> None:
    record = EXAMPLE[0]
    assert isinstance(record, OpRecord)
    changed = [
        replace(record, context=ContextId(b"d" * 32)), replace(record, chain=ChainId(b"i" * 40)), replace(record, seq=8),
        replace(record, plane=1), replace(record, header=b"headers"), replace(record, signature=b"t" * 64), replace(record, body=b"bode"),
    ]  # fmt: skip
    assert len({row_crc(each) for each in [record, *changed]}) == 1 + len(changed)


HELD = Guard(file_identity=b"device and inode", incarnation=b"incarnat", next_seq=10)


@pytest.mark.parametrize(
    ("held", "now", "answer"),
    [
        (HELD, HELD, Restart.CONTINUE),
        (HELD, replace(HELD, next_seq=12), Restart.CONTINUE),
        (HELD, replace(HELD, next_seq=9), Restart.NEW_INCARNATION),
        (HELD, replace(HELD, file_identity=b"a copy"), Restart.NEW_INCARNATION),
        (HELD, replace(HELD, incarnation=b"another."), Restart.NEW_INCARNATION),
        (None, HELD, Restart.NEW_INCARNATION),
    ],
)
def test_only_the_same_file_no_shorter_goes_on_with_its_chain(held: Guard | None, now: Guard, answer: Restart) -> None:
    assert may_continue(held, now) is answer
