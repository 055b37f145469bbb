"""What goes wrong in the virtual machine: never a fault of ours, always of the class or of its input."""

from __future__ import annotations

__all__ = ["InvalidClass", "UnknownCell", "VmError"]


class VmError(Exception):
    """The run cannot go on; on Starknet the whole transaction fails, a calling contract cannot catch it."""


class InvalidClass(VmError):
    """The compiled class itself is malformed or needs what this machine lacks."""


class UnknownCell(VmError):
    """A memory cell was read before it was written."""

    def __init__(self, address: int) -> None:
        self.address = address
        super().__init__(f"unknown memory cell {address >> 32}:{address & 0xFFFFFFFF}")
