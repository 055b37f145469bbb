"""One node in a process of its own: does what the coordinator says on stdin, answers on stdout, a JSON value a line.

Time is CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share.
"""

from __future__ import annotations

import cProfile
import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import trio
import trio.testing

from medsync_node import logs
from medsync_node.api import make_app, serving
from medsync_node.config import ApiConfig, Config
from medsync_node.home import Home
from medsync_node.node import Node
from medsync_node.opening import open_node
from medsync_node.store import Store
from medsync_node.transport.libp2p_transport import Libp2pTransport
from medsync_protocol.access import decode_access
from medsync_protocol.application import Draft
from medsync_protocol.effects import Effect
from medsync_protocol.identity import Identity
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, Instant, MemberId, SubjectRef
from medsync_protocol.journal import OpRecord, Record
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.ports import Standing
from medsync_protocol.replica import Submitted
from scripts.benchmarks.entries import SUBJECTS, EntrySource

IN_FLIGHT: Final = 4  # batches submitted and not yet committed, as of a few connections that write in bulk
PATIENCE: Final = 120.0
PAGE: Final = 4096


class Committed:
    """Counts entries as they become queryable here: after the commit that holds them, from whichever thread."""

    def __init__(self, store: Store) -> None:
        self.entries = 0
        self.singles: list[tuple[str, int, int]] = []
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, trio.Event]] = []
        self._token = trio.lowlevel.current_trio_token()
        self._write = store._write
        store._write = self._counted  # type: ignore[method-assign]

    def _counted(self, records: Sequence[Record]) -> Any:
        written = self._write(records)
        now = time.monotonic_ns()
        with self._lock:
            for record in records:
                if isinstance(record, OpRecord) and record.rows:
                    self.entries += len(record.rows)
                    if len(record.rows) == 1:
                        self.singles.append((record.chain.hex(), record.seq, now))
            done = [event for count, event in self._waiting if count <= self.entries]
            self._waiting = [pair for pair in self._waiting if pair[0] > self.entries]
        for event in done:
            self._token.run_sync_soon(event.set)
        return written

    async def reach(self, count: int) -> int:
        """Wait until that many are there; when that was seen."""
        event = trio.Event()
        with self._lock:
            if self.entries >= count:
                return time.monotonic_ns()
            self._waiting.append((count, event))
        with trio.fail_after(PATIENCE):
            await event.wait()
        return time.monotonic_ns()


class Worker:
    """The commands, by name. `node` runs on the home whose path the process was given."""

    def __init__(self, node: Node, socket: Path) -> None:
        self.node, self.engine = node, node.engine
        self.committed = Committed(node.store)
        self.socket = socket
        self.context = ContextId(bytes(32))
        self.subjects: list[SubjectRef] = []
        self.source: EntrySource | None = None
        self._wanted: Any = None
        self._profile = cProfile.Profile()

    # -- setting up -------------------------------------------------------------------------------------------

    async def found(self) -> str:
        """Found the network; this member."""
        await self.node.perform(lambda now: self.engine.found_network(now, "bench"))
        return self.node.identity.member.hex()

    async def invite(self) -> str:
        """A token for one who joins."""
        return await self.node.perform(lambda now: self.engine.invite(now, Role.MEMBER, now + 600_000, None))

    async def join(self, token: str) -> str:
        """Join by it; this member."""
        await self.node.join(token)
        return self.node.identity.member.hex()

    async def create(self, members: list[str]) -> str:
        """A context of all, in which all read all, as in the peer."""
        named = [MemberId(bytes.fromhex(member)) for member in members]
        await self._until(lambda: len(self.engine.replicas[NETWORK_CONTEXT].membership.members) == len(named))
        own = self.node.identity.member
        admissions = [(member, Role.MEMBER) for member in named if member != own]

        def create(now: int) -> tuple[ContextId, list[Effect]]:
            return self.engine.create_context(
                now, "bench", "medsync", "any_admin", admissions, auditors=named
            )

        self.context = await self.node.perform(create)
        return self.context.hex()

    async def enter(self, context: str, members: int) -> None:
        """Wait until the context is there with all its voters, and every member linked."""
        self.context = ContextId(bytes.fromhex(context))
        await self._until(lambda: self.context in self.engine.replicas)
        replica = self.engine.replicas[self.context]
        await self._until(lambda: len(replica.membership.voters) == members)
        await self._until(lambda: len(self.node.transport.linked()) == members - 1)
        await self._until(lambda: all(self.context in s.sent for s in self.engine.sync.sessions.values()))

    async def enrol(self) -> list[str]:
        """The patients, by this node."""
        drafts: list[Draft] = []
        desk = self.engine.desk(self.context)
        made = []
        members = list(self.engine.replicas[self.context].membership.members)
        for _ in range(SUBJECTS):
            subject, more = desk.enrol(Instant(self.node.now()), custodians=members)
            made.append(subject.hex())
            drafts += more
        await self.node.perform(lambda now: self.engine.submit(now, self.context, drafts))
        return made

    async def know(self, subjects: list[str]) -> None:
        """Wait until the patients are known here."""
        self.subjects = [SubjectRef(bytes.fromhex(subject)) for subject in subjects]
        application = self.engine.desk(self.context).application
        await self._until(lambda: all(subject in application.subject_keys() for subject in self.subjects))
        self.source = EntrySource(self.node.identity.member, self.subjects)
        gc.collect()
        gc.freeze()

    async def enter_alone(self, context: str, subjects: list[str]) -> None:
        """After a restart: what the journal holds is what there is."""
        self.context = ContextId(bytes.fromhex(context))
        await self.know(subjects)

    async def _until(self, fact: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not fact():
                await trio.sleep(0.01)

    # -- workloads --------------------------------------------------------------------------------------------

    async def _submit(self, count: int) -> Submitted:
        assert self.source is not None
        now = self.node.now()
        _, drafts = self.engine.desk(self.context).logged(Instant(now), self.source.make(count, now))
        return await self.node.perform(lambda at: self.engine.submit(at, self.context, drafts))

    async def append(self, count: int, batch: int) -> int:
        """Write entries in batches through `submit`; when it began."""
        began = time.monotonic_ns()
        left = count

        async def lane() -> None:
            nonlocal left
            while left > 0:
                size = min(batch, left)
                left -= size
                await self._submit(size)

        async with trio.open_nursery() as nursery:
            for _ in range(IN_FLIGHT):
                nursery.start_soon(lane)
        return began

    async def one(self) -> tuple[str, int, int]:
        """Write a single entry: its chain and seq, and when it began."""
        began = time.monotonic_ns()
        done = await self._submit(1)
        return done.chain.hex(), done.seq, began

    async def reach(self, count: int) -> int:
        """Wait until this many entries are queryable here; when that was."""
        return await self.committed.reach(count)

    async def singles(self) -> list[tuple[str, int, int]]:
        """Chain, seq and moment of the single entries that came since the last call."""
        found, self.committed.singles = self.committed.singles, []
        return found

    async def count(self) -> int:
        """Entries that became queryable in this run."""
        return self.committed.entries

    async def head(self) -> str:
        """What this node holds, as one hash: equal where all is equal."""
        vector = sorted(
            (chain.hex(), upto) for chain, upto in self.engine.replicas[self.context].vector.items()
        )
        return json.dumps(vector)

    async def query(self) -> int:
        """How many entries the log gives here, each opened and decoded."""
        found, before = 0, None
        while True:
            page = await self.node.log(self.context, (EntryKind.ACCESS,), None, before, PAGE)
            for _, opened, verdict in page:
                decode_access(opened.payload)
                found += verdict.effective
            if len(page) < PAGE:
                return found
            before = page[-1][0]

    async def offline(self) -> None:
        """Lose the network, as a closed lid does."""
        transport = self._transport()
        self._wanted = transport._redialer._wanted
        transport.set_standing(lambda _: Standing.REFUSED)
        transport.set_peers({})
        transport.close_links()
        while transport.linked():
            await trio.sleep(0.01)

    async def online(self) -> int:
        """Come back; when that was."""
        transport = self._transport()
        began = time.monotonic_ns()
        transport.set_standing(self.node.driver._standing)
        transport.set_peers(self._wanted)
        await trio.testing.wait_all_tasks_blocked()
        for device in self._wanted:
            transport._redialer.nudge(device)  # as the peer's harness, which dials at once
        return began

    def _transport(self) -> Libp2pTransport:
        assert isinstance(self.node.transport, Libp2pTransport)
        return self.node.transport

    async def remove(self, member: str) -> None:
        """Remove a member; the key rotates in the same operation."""
        gone = MemberId(bytes.fromhex(member))
        await self.node.perform(lambda now: self.engine.remove(now, self.context, gone))

    async def stats(self) -> dict[str, float]:
        """CPU seconds so far, and peak resident MiB."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {"cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss / 1024}

    async def profile(self, path: str | None) -> None:
        """Begin, or with a path end and keep, a profile of the main thread."""
        if path is None:
            self._profile.enable()
        else:
            self._profile.disable()
            self._profile.dump_stats(path)

    # -- the line protocol ------------------------------------------------------------------------------------

    async def serve(self) -> None:
        """Commands until stdin ends."""
        incoming = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
        buffer = b""
        while data := await incoming.receive_some(65536):
            buffer += data
            while b"\n" in buffer:
                line, buffer = buffer.split(b"\n", 1)
                name, *arguments = json.loads(line)
                say(await getattr(self, name)(*arguments))


def say(value: Any) -> None:
    """A line for the coordinator."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def main(home: Home, name: str, synchronous: str) -> None:
    """Run a node until stdin ends."""
    seed = name.encode().ljust(32, b"\0")
    identity = Identity(member_seed=b"m" + seed[1:], device_seed=b"d" + seed[1:], name=name)
    socket = home.api_socket
    config = Config(
        listen=("/ip4/127.0.0.1/tcp/0",), synchronous=synchronous,
        api=ApiConfig(socket=socket, token_file=home.path / "token"),
    )  # fmt: skip
    logs.configure("warning", "text")
    stopping = trio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(home.locked())
        node = await stack.enter_async_context(open_node(home, identity, config))
        app = make_app(node, stopping=stopping, announce=config.announce)
        await stack.enter_async_context(serving(app, config.api, token=None, stopping=stopping))
        worker = Worker(node, socket)
        say("up")
        await worker.serve()
        stopping.set()


if __name__ == "__main__":
    trio.run(main, Home(Path(sys.argv[1])), sys.argv[2], sys.argv[3])
