"""What only the running daemon knows: its version against ours, the members' clocks, operations of a later protocol."""

from __future__ import annotations

from importlib.metadata import version

from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.doctor.journal import SKEW_MS
from medsync_protocol.parking import Parked


def check_daemon(examined: Examined) -> Findings:
    """Nothing where no daemon answers."""
    status = examined.status
    if status is None:
        return
    ours = version("medsync")
    if status.version != ours:
        yield Finding(
            code="version_skew", what=f"the daemon runs version {status.version}, installed is {ours}",
            advice="start the daemon again: it goes on under the installed version",
        )  # fmt: skip
    for context in status.contexts:
        offset = context.get("clock_offset_ms")
        if isinstance(offset, int) and abs(offset) > SKEW_MS:
            yield Finding(
                code="clock", what=f"this machine's clock is {abs(offset) // 1000} s off the members' heartbeats",
                advice="set it (timedatectl; chronyc makestep): until then decisions answer INDETERMINATE",
            )  # fmt: skip
        if Parked.VERSION.value in context.get("waits_for", ()):
            yield Finding(
                code="version_skew", what=f"members of {context.get('name')} write a later protocol version",
                advice="install a newer medsync and start the daemon again; what they wrote waits here",
            )  # fmt: skip
    for warning in status.warnings:
        yield Finding(code="daemon", what=warning, advice="see `medsync status`")
    for notice in status.notices:
        yield Finding(code=notice.code, what=notice.what, advice=notice.advice, chosen=True)
