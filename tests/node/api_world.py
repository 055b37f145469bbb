"""Daemons in one process for the API's tests: real libp2p on loopback, real homes, a client on each socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from medsync_client import Client
from medsync_client.contexts import Admission, ContextCreate, ContextDetail
from medsync_client.members import InvitationCreate
from medsync_node import config, key_file
from medsync_node.daemon import Daemon, open_daemon
from medsync_node.home import Home

PASSPHRASE = "correct horse battery"
PATIENCE = 60.0  # seconds until a fact that does not come fails the test
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def make_home(directory: Path, name: str) -> Home:
    """A home with keys, cheap to open."""
    home = Home(directory / name)
    home.create()
    identity = key_file.new_identity(name)
    key_file.create(home.key_file, identity, PASSPHRASE, cost=key_file.Cost.DEVELOPER)
    return home


@dataclass(frozen=True, slots=True)
class Party:
    """One running daemon with a client on its socket."""

    name: str
    daemon: Daemon
    client: Client

    @property
    def member(self) -> str:
        return self.daemon.node.identity.member.hex()


@asynccontextmanager
async def running(home: Home, flags: dict[str, Any] | None = None) -> AsyncIterator[Party]:
    """The daemon of a home, until the block ends."""
    settings = config.load(home.path, {}, {"listen": LOOPBACK, **(flags or {})})
    async with open_daemon(home, settings, PASSPHRASE) as daemon, Client(daemon.address) as client:
        yield Party(home.path.name, daemon, client)


@asynccontextmanager
async def parties(directory: Path, *names: str) -> AsyncIterator[list[Party]]:
    """Daemons of new homes."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(running(make_home(directory, name))) for name in names]
        yield opened


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    """Return as soon as the fact holds."""
    with trio.fail_after(PATIENCE):
        while not await fact():
            await trio.sleep(0.02)


async def form(everyone: list[Party], **settings: int | str) -> ContextDetail:
    """One network of all, founded by the first, and the context `trial` that all hold with the same operations."""
    first, *others = everyone
    await first.client.create_network("hospitals")
    for other in others:
        await other.client.join((await first.client.invite(InvitationCreate())).invitation)

    async def all_seen() -> bool:
        return all([len((await one.client.members()).members) == len(everyone) for one in everyone])

    await until(all_seen)
    members = tuple(Admission(member=one.name) for one in others)
    made = await first.client.create_context(ContextCreate(name="trial", members=members, settings=settings))
    await same(everyone)
    return made


async def same(everyone: list[Party]) -> None:
    """Return once all hold the same operations of `trial`, and each is in it."""

    async def equal() -> bool:
        held = []
        for one in everyone:
            found = [c for c in (await one.client.contexts()).contexts if c.name == "trial" and c.role]
            if not found:
                return False
            detail = await one.client.context("trial")
            held.append((detail.root, detail.chains))
        return all(one == held[0] for one in held)

    await until(equal)
