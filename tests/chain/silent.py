"""System calls for runs without a chain: every one succeeds and gives nothing. Real ones are the chain's."""

from __future__ import annotations

from medsync_chain.vm.errors import VmError
from medsync_chain.vm.machine import Machine


def silent_syscalls(machine: Machine, pointer: int) -> None:
    raise VmError("this run has no chain to call")
