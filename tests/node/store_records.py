"""Records for the tests of the store: deterministic, with the shape of real ones."""

from __future__ import annotations

import hashlib
from typing import Any

from medsync_protocol.ids import ChainId, ContextId
from medsync_protocol.journal import IndexRow, OpRecord
from medsync_protocol.kinds import Plane

KEY = b"k" * 32
CONTEXT, OTHER = ContextId(b"C" * 32), ContextId(b"D" * 32)
ACCESS, RECEIPT = 5, 6


def noise(*words: Any, size: int = 200) -> bytes:
    """Bytes that depend on the words and don't compress."""
    return hashlib.shake_256(repr(words).encode()).digest(size)


def chain(number: int) -> ChainId:
    """One of many chains."""
    return ChainId(number.to_bytes(40, "big"))


def op(seq: int, *, of: int = 0, context: ContextId = CONTEXT, rows: tuple[tuple[int, int, int], ...] = (), **changed: Any) -> OpRecord:
    """The operation at seq of a chain; `rows` are (index, kind, subject tag)."""
    fields: dict[str, Any] = {
        "context": context, "chain": chain(of), "seq": seq, "plane": int(Plane.DATA), "folds": False, "own": of == 0,
        "header": noise("header", of, seq), "signature": noise("signature", of, seq, size=64), "body": noise("body", of, seq),
        "rows": tuple(IndexRow(*row) for row in rows),
    }  # fmt: skip
    return OpRecord(**{**fields, **changed})
