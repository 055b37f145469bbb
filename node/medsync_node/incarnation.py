"""Which incarnation a starting node writes under: a restored or shortened journal must start a new one (PROTOCOL §1, S6)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from medsync_node.home import Home
from medsync_node.store import Store, Synchronous
from medsync_protocol.engine import Engine
from medsync_protocol.journal import Guard, Restart, may_continue

log = structlog.get_logger()
FACT: Final = "incarnation"
KEEP_SECONDS: Final = 1.0  # between looks: a copy of the journal put back is older than that
INCARNATION_BYTES: Final = 8


@dataclass(slots=True)
class Incarnation:
    """The name that this run's chains carry, and the guard outside the database that watches over it."""

    home: Home
    name: bytes
    identity: bytes
    written: int
    behind: bool = False
    """Whether the guard could not be written last time."""

    @staticmethod
    @contextmanager
    def of(home: Home, store: Store, mode: Synchronous) -> Iterator[Incarnation]:
        """Go on with the incarnation of the last run, or begin a new one where that could use a seq twice."""
        identity = home.journal_identity(survives_power_loss=mode is not Synchronous.NORMAL)
        held, written = store.fact(FACT), store.reader.own_operations()
        guard = Guard(file_identity=identity, incarnation=held or b"", next_seq=written)
        if held is None or may_continue(home.read_guard(), guard) is Restart.NEW_INCARNATION:
            held = os.urandom(INCARNATION_BYTES)
            store.set_fact(FACT, held)
        kept = Incarnation(home, held, identity, written)
        kept.write()
        try:
            yield kept
        finally:
            kept.written = max(kept.written, store.reader.own_operations())
            kept.try_write()

    def write(self) -> None:
        """Put what is known now beside the database."""
        self.home.write_guard(
            Guard(file_identity=self.identity, incarnation=self.name, next_seq=self.written)
        )

    def try_write(self) -> bool:
        """As `write`; False where the disk takes nothing now. What runs goes on: the guard follows when it can."""
        try:
            self.write()
        except OSError as error:
            if not self.behind:
                log.warning("the restart guard can't be written", why=error.strerror)
            self.behind = True
        else:
            self.behind = False
        return not self.behind

    async def keep(self, engine: Engine) -> None:
        """Note from time to time how many own operations there are, for ever."""
        devices = {engine.identity.device, *engine.identity.retired}
        while True:
            await trio.sleep(KEEP_SECONDS)
            count = sum(
                count
                for replica in engine.replicas.values()
                for chain, count in replica.vector.items()
                if chain[:32] in devices
            )
            if count > self.written or self.behind:
                self.written = max(self.written, count)
                await trio.to_thread.run_sync(self.try_write)
