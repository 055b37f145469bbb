"""Tells systemd how the daemon is (sd_notify(3)): ready, reloading, stopping. Nothing where no manager listens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


def notify(environment: Mapping[str, str], *states: str) -> bool:
    """Send states such as READY=1 to $NOTIFY_SOCKET; whether there is one. A manager that is gone is not our trouble."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as made:
        try:
            made.sendto("\n".join(states).encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            return False
    return True


def ready() -> None:
    """The daemon serves."""
    notify(os.environ, "READY=1", f"MAINPID={os.getpid()}")


def reloading() -> None:
    """Settings are being read again; `ready` follows. systemd wants the moment, in µs of the monotonic clock."""
    notify(os.environ, "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    """The daemon is on its way out."""
    notify(os.environ, "STOPPING=1")
