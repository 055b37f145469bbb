"""One examination of a home: asks the daemon if one runs, then runs every check and says what could not be checked."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medsync_client import Address, BlockingClient
from medsync_client.errors import ClientError
from medsync_client.status import Status
from medsync_node import config
from medsync_node.doctor.chain import check_anchors, check_chain
from medsync_node.doctor.daemon import check_daemon
from medsync_node.doctor.files import check_files, check_space
from medsync_node.doctor.finding import Examined, Finding, Findings, NotChecked
from medsync_node.doctor.journal import check_journal
from medsync_node.doctor.keys import check_key_file
from medsync_node.doctor.network import check_peers, check_ports, check_tls
from medsync_node.home import Home

LEAST_FREE: Final = 1 << 30  # bytes: weeks of a mid-sized hospital's log, time to react

CHECKS: Final[Mapping[str, Callable[[Examined], Findings]]] = {
    "file modes and owners": check_files,
    "disk space": check_space,
    "key file": check_key_file,
    "journal": check_journal,
    "ports": check_ports,
    "TLS files": check_tls,
    "chain RPC": check_chain,
    "anchors on the chain": check_anchors,
    "running daemon": check_daemon,
    "links": check_peers,
}
"""In the order in which they are run and shown, after the settings."""

_NEED_SETTINGS: Final[Mapping[str, frozenset[str]]] = {
    "ports": frozenset({"listen", "api.listen"}), "TLS files": frozenset({"api.certificate", "api.private_key"}),
    "chain RPC": frozenset({"chain.rpc"}),
    "anchors on the chain": frozenset({"chain.rpc"}),
}  # fmt: skip
_NEED_DAEMON: Final = frozenset({"running daemon"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`checked` and `skipped` name checks; `skipped` with the reason. `notices` are choices, and no faults."""

    running: bool
    findings: tuple[Finding, ...]
    notices: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: Mapping[str, str]


def examine(
    home: Home, environment: Mapping[str, str], *, least_free: int = LEAST_FREE, thorough: bool = True,
    now: int | None = None,
) -> Diagnosis:  # fmt: skip
    """Look at everything. Raises OperatorError when there is no home."""
    home.require()
    read = config.readable(home.path, environment)
    findings, settings = [Finding.of("config", error) for error in read.problems], read.config
    running = _is_locked(home.lock_file)
    socket = home.api_socket if settings is None else settings.api.socket
    examined = Examined(
        home=home, environment=environment, config=settings, running=running,
        status=_ask(socket) if running else None, now=time.time_ns() // 1_000_000 if now is None else now,
        least_free=least_free, thorough=thorough,
    )  # fmt: skip
    checked, skipped = ["settings"], {}
    for name, check in CHECKS.items():
        wanted = _NEED_SETTINGS.get(name, frozenset())
        if settings is None and wanted:
            skipped[name] = "the settings can't be read"
        elif wanted & read.bad:
            skipped[name] = f"{' and '.join(sorted(wanted & read.bad))} can't be used"
        elif examined.status is None and name in _NEED_DAEMON:
            skipped[name] = "no daemon answers"
        else:
            try:
                findings += check(examined)
                checked.append(name)
            except NotChecked as error:
                skipped[name] = str(error)
    return Diagnosis(
        running=running, findings=tuple(one for one in findings if not one.chosen),
        notices=tuple(one for one in findings if one.chosen), checked=tuple(checked), skipped=skipped,
    )  # fmt: skip


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # for writing nobody opens it on a read-only disk
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _ask(socket: Path) -> Status | None:
    try:
        with BlockingClient(Address(socket=socket)) as client:
            return client.status()
    except ClientError:
        return None
