"""The bridge's metrics for Prometheus: read from the journal when somebody scrapes. Names no context but by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from medsync_bridge.errors import PortTaken
from medsync_bridge.home import read_home
from medsync_bridge.journal import State

_SHORT = 16  # digits of a context's id, as in messages


class BridgeMetrics(Collector):
    """Of one bridge's home. `posted` and `troubles` are asked for: they are this run's."""

    def __init__(
        self,
        home: Path,
        *,
        clock: Callable[[], float],
        posted: Callable[[], int],
        troubles: Callable[[], int],
    ) -> None:
        self._home, self._clock, self._posted, self._troubles = home, clock, posted, troubles

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """All families."""
        yield CounterMetricFamily("medsync_bridge_posted", "Checkpoints accepted in this run", self._posted())
        yield GaugeMetricFamily("medsync_bridge_troubles", "Things that fail at present", self._troubles())
        with read_home(self._home) as journal:
            if journal is None:
                return
            stopped = [errand for errand in journal.unfinished() if errand.state is State.STOPPED]
            standings, purse = journal.ledger.standings(), journal.ledger.purse()
        yield GaugeMetricFamily(
            "medsync_bridge_stopped", "Errands that wait for `bridge resume`", len(stopped)
        )
        lag = GaugeMetricFamily(
            "medsync_bridge_lag_checkpoints", "Certified and not accepted", labels=["context"]
        )
        minutes = GaugeMetricFamily(
            "medsync_bridge_lag_minutes", "How long the oldest of them has waited", labels=["context"]
        )
        for one in standings:
            lag.add_metric([one.context[:_SHORT]], one.lag)
            minutes.add_metric([one.context[:_SHORT]], one.lag_minutes(self._clock()))
        yield from (lag, minutes)
        if purse is not None:
            yield GaugeMetricFamily(
                "medsync_bridge_balance_strk", "What the account holds", purse.balance / 10**18
            )
            if purse.posts is not None:
                about = "Checkpoints it pays for at the newest posts' price"
                yield GaugeMetricFamily("medsync_bridge_balance_posts", about, purse.posts)


@contextmanager
def serving(metrics: BridgeMetrics, port: int) -> Iterator[int]:
    """`/metrics` on this machine's loopback for the block; the port, chosen for 0. Raises PortTaken."""
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    except OSError as error:
        raise PortTaken(port) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
