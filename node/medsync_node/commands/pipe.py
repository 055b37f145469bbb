"""Readers that go early (`medsync … | head -1`): no fault of a command, so that its exit code stays and nothing is said.

What is written after they went is dropped. A command without an end asks `reader_gone` and stops.
"""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Pipe(io.FileIO):
    """A descriptor to write to, whoever still reads at its other end."""

    gone = False

    def write(self, data: ReadableBuffer, /) -> int:
        """All of it, or nothing to nobody."""
        if not self.gone:
            try:
                return super().write(data)
            except BrokenPipeError:
                self.gone = True
        return memoryview(data).nbytes


def _tolerant(stream: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False)), encoding=stream.encoding, errors=stream.errors,
        line_buffering=stream is sys.stderr or stream.isatty(),
    )  # fmt: skip


def tolerate_gone_readers() -> None:
    """For this process' stdout and stderr, from now on."""
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr)


def reader_gone() -> bool:
    """Whether nobody reads stdout any more, as far as what was flushed has shown."""
    return bool(getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "gone", False))
