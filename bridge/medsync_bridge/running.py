"""The process behind `medsync bridge run`: from start-up to a clean end. What it does meanwhile is `following.py`'s."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import trio

from medsync_bridge.connecting import connect
from medsync_bridge.following import Follower, News
from medsync_bridge.home import open_home
from medsync_bridge.metrics import BridgeMetrics, serving
from medsync_bridge.settings import Limits, Settings
from medsync_client import Address, Client
from medsync_protocol.errors import MedSyncError

_CHUNK = 4096  # bytes read from a standard input that is only watched for its end


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a run did."""

    posted: int = 0
    adopted: int = 0
    _report: Callable[[News], None] = field(repr=False)

    def take(self, news: News) -> None:
        """Count and pass on."""
        self.posted += news.event == "posted"
        self.adopted += news.event == "adopted"
        self._report(news)


async def run(
    settings: Settings,
    node: Address,
    only: frozenset[str],
    *,
    limits: Limits,
    metrics_port: int | None,
    report: Callable[[News], None],
    ready: Callable[[int, int | None], None],
    exit_on_eof: bool,
) -> Tally:
    """Post checkpoints until a signal, or the end of standard input, says stop. `ready` gets the chain id, and the port
    that metrics are served on, once it can.

    Raises BadKey, JournalInUse, AccountUnusable, WrongKey, PortTaken. An RPC or a node that doesn't answer is waited for.
    """
    tally = Tally(_report=report)
    failure: MedSyncError | None = None
    stops = trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM)
    with open_home(settings.home) as journal, stops as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, signals, nursery.cancel_scope)
            if exit_on_eof:
                nursery.start_soon(_stop_on_eof, nursery.cancel_scope)

            def tell(text: str) -> None:
                report(News(event="progress", message=text))

            try:
                async with (
                    Client(node) as client,
                    connect(settings, journal, tell=tell, patient=True) as bridge,
                ):
                    account = bridge.account
                    follower = Follower(
                        client, bridge.chain, journal, bridge.sender, chain_id=account.chain_id,
                        account=account.address, clock=time.time, limits=limits, only=only, report=tally.take,
                    )  # fmt: skip
                    with ExitStack() as served:
                        port = None
                        if metrics_port is not None:
                            metrics = BridgeMetrics(
                                settings.home, clock=time.time, posted=lambda: tally.posted,
                                troubles=lambda: follower.troubles,
                            )  # fmt: skip
                            port = served.enter_context(serving(metrics, metrics_port))
                        ready(account.chain_id, port)
                        await _follow(follower, settings.poll)
            except MedSyncError as error:
                failure = error  # out of the nursery as it is, not in a group
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return tally


async def _follow(follower: Follower, poll: float) -> None:
    while True:
        await follower.round()
        await trio.sleep(poll)


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


async def _stop_on_eof(scope: trio.CancelScope) -> None:
    """In a thread: a non-blocking standard input would be so for the terminal's other programs, too."""
    read = partial(os.read, sys.stdin.fileno(), _CHUNK)
    while await trio.to_thread.run_sync(read, abandon_on_cancel=True):  # type: ignore[call-arg]  # old stubs
        pass
    scope.cancel()
