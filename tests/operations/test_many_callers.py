"""Callers that hold connections and send nothing, or a byte now and then: the others are answered, and all is given back."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from medsync_node.api import connections, guards, server
from medsync_node.testing import Cluster
from medsync_node.testing.waiting import until as until_so
from tests.node.test_api_serving import local, served

HEAD = b"GET /healthz HTTP/1.1\r\nHost: node\r\n"
WANTED = 10_000
SPARE = 500  # descriptors for everything else


def open_sockets() -> int:
    """How many sockets this process holds."""
    held = 0
    for entry in os.listdir("/proc/self/fd"):
        try:
            held += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
        except FileNotFoundError:
            continue  # the listing's own
    return held


async def test_a_caller_that_closes_is_let_go_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as where:
        before = open_sockets()
        for said in (b"", HEAD, HEAD + b"\r\n") * 20:
            async with await trio.open_unix_socket(str(where.socket)) as stream:
                if said:
                    await stream.send_all(said)
                if said.endswith(b"\r\n\r\n"):
                    await stream.receive_some(4096)
        with trio.fail_after(server.IDLE_SECONDS / 2):
            while open_sockets() > before:
                await trio.sleep(0.01)


async def test_who_sends_a_byte_now_and_then_is_closed_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.5)
    closed: list[bytes] = []

    async def drip(head: bytes) -> None:
        async with await trio.open_unix_socket(str(where.socket)) as stream, trio.open_nursery() as nursery:

            async def listen() -> None:
                try:
                    while await stream.receive_some(4096):
                        pass
                except trio.BrokenResourceError:
                    pass  # reset: closed as well
                closed.append(head)
                nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            await stream.send_all(head)
            try:
                while True:
                    await trio.sleep(0.02)
                    await stream.send_all(b"x")
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await trio.sleep_forever()

    heads = (HEAD + b"A: ", b"POST /size HTTP/1.1\r\nHost: node\r\nContent-Length: 90000\r\n\r\n")
    async with served(tmp_path) as where, local(where) as client:
        async with trio.open_nursery() as nursery:
            for head in heads * 10:
                nursery.start_soon(drip, head)
            for _ in range(20):
                assert (await client.get("/healthz")).json() is True
        assert sorted(closed) == sorted(heads * 10)
        assert (await client.get("/healthz")).json() is True


async def test_where_descriptors_run_short_the_longest_idle_makes_room_and_no_request_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most", lambda: 4)
    async with served(tmp_path) as where, local(where) as client:
        assert (await client.get("/healthz")).json() is True  # keeps its connection, idle
        others = []
        for _ in range(2):  # one after another, so that it is known who is idle longest
            others.append(await trio.open_unix_socket(str(where.socket)))
            await others[-1].send_all(HEAD + b"\r\n")
            assert await others[-1].receive_some(4096)
        busy = await trio.open_unix_socket(str(where.socket))
        await busy.send_all(b"POST /size HTTP/1.1\r\nHost: node\r\nContent-Length: 3\r\n\r\nab")  # a request under way
        assert (await client.get("/healthz")).json() is True  # later idle than all others
        late = await trio.open_unix_socket(str(where.socket))
        with trio.fail_after(10):
            while await others[0].receive_some(4096):
                pass  # the rest of its answer; then the longest idle goes
        assert (await client.get("/healthz")).json() is True
        await busy.send_all(b"c")
        with trio.fail_after(10):
            assert (await busy.receive_some(4096)).startswith(b"HTTP/1.1 200")
        for stream in (busy, late, *others):
            await stream.aclose()


@contextmanager
def idle(path: Path, count: int) -> Iterator[None]:
    """So many connections on which nothing is said."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        yield


@pytest.mark.long
@pytest.mark.cluster(nodes=1)
def test_ten_thousand_idle_connections_keep_nobody_from_being_answered(cluster: Cluster) -> None:
    (north,) = cluster
    count = min(WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE)
    descriptors = Path(f"/proc/{north.pid()}/fd")
    before = len(list(descriptors.iterdir()))
    with idle(north.home.api_socket, count):
        until_so(lambda: len(list(descriptors.iterdir())) >= before + count, "every connection to be taken")
        assert north.client.status().name == "north"
        north.client.rotate("shared")
    until_so(lambda: len(list(descriptors.iterdir())) < before + 10, "every descriptor to be given back")
    assert north.client.ready().ok
