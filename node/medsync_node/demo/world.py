"""The demo's world: three hospitals, a lab and an auditor's node in this process over libp2p, a chain and a bridge beside.

Nodes are driven as people drive them, by the HTTP API over their unix sockets; only to look closer is their inside
looked at. What is done in which order is the steps'.
"""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from medsync_client import Client
from medsync_node import config, key_file, logs
from medsync_node.daemon import Daemon, open_daemon
from medsync_node.demo.chain import Anchoring, Bridge, Chain, open_bridge, open_chain
from medsync_node.demo.paying import Paying
from medsync_node.home import Home, write_private
from medsync_node.node import Node
from medsync_node.patient_key import PatientKey
from medsync_protocol.crypto import blake2b
from medsync_protocol.desk import Desk
from medsync_protocol.errors import OperatorError
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ContextId, MemberId
from medsync_protocol.replica import Replica

FOUNDER, SECOND, THIRD, LAB, AUDITOR = "mercy", "city", "coast", "lab", "auditor"
MIN_NODES: Final = 5
MAX_NODES: Final = 30  # in one process: each costs a fraction of a second of start-up, and sockets
PATIENCE: Final = 30.0  # seconds until a fact that does not come is a failure
LOOK_SECONDS: Final = 0.1  # between looks at a fact that comes without a notice: links, other nodes' states
CONTEXT_NAME: Final = "oncology"


class Stuck(OperatorError):
    """A fact did not come in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the person asked for. `keep`: where everything stays afterwards; None leaves nothing."""

    nodes: int = MIN_NODES
    seed: int = 1
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One institution: its daemon and a client of it."""

    name: str
    daemon: Daemon
    client: Client

    @property
    def node(self) -> Node:
        """Its inside."""
        return self.daemon.node

    @property
    def member(self) -> MemberId:
        """Its member."""
        return self.node.identity.member

    @property
    def home(self) -> Path:
        """Its home directory."""
        assert self.node.home is not None
        return self.node.home.path


@dataclass(slots=True)
class World:
    """See the module. What a later step needs of an earlier one stands in `facts`."""

    options: Options
    directory: Path
    places: Mapping[str, Place]
    chain: Chain
    bridge: Bridge
    anchoring: Anchoring
    paying: Paying
    facts: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    @property
    def hospitals(self) -> list[str]:
        """Names of those that are neither lab nor auditor."""
        return [name for name in self.places if name not in (LAB, AUDITOR)]

    @property
    def context(self) -> ContextId:
        """The context of the story."""
        return ContextId(bytes.fromhex(self.facts["context"]))

    def replica(self, name: str) -> Replica:
        """A node's copy of the context."""
        return self[name].node.engine.replica(self.context)

    def desk(self, name: str) -> Desk:
        """A node's desk in the context, as of now."""
        return self[name].node.engine.desk(self.context)

    def patient(self, name: str) -> PatientKey:
        """A patient's key: it lies with the patient, no node has it."""
        return PatientKey(blake2b(b"medsync demo patient", str(self.options.seed).encode(), name.encode()))

    def turn_clocks(self, seconds: int) -> None:
        """Let all nodes' clocks go on from `seconds` later, at once."""
        for place in self.places.values():
            place.node.driver.now = partial(_later, place.node.driver.now, seconds * 1000)

    async def until(self, name: str, fact: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Return once a fact holds at a node, looked at when something happens there, and often anyway. Raises Stuck."""
        deadline = trio.current_time() + seconds
        while not await self[name].node.wait_for(fact, LOOK_SECONDS):
            if trio.current_time() < deadline:
                continue
            raise Stuck(
                f"{name}: waited {seconds:.0f} s in vain for {what}",
                advice="run it again; if it stays, tell us",
            )

    async def everywhere(self, names: list[str], fact: Callable[[str], bool], what: str) -> None:
        """Return once a fact holds at each of these nodes. Raises Stuck."""
        for name in names:
            await self.until(name, lambda name=name: fact(name), what)  # type: ignore[misc]


def _later(clock: Callable[[], int], millis: int) -> int:
    return clock() + millis


def names_of(nodes: int) -> list[str]:
    """Names of the nodes: five with parts in the story, and more hospitals."""
    return [FOUNDER, SECOND, THIRD, LAB, AUDITOR, *(f"clinic{n}" for n in range(6, nodes + 1))]


@asynccontextmanager
async def open_world(
    options: Options, directory: Path, *, lasting: Callable[[], bool], progress: Callable[[str], None]
) -> AsyncIterator[World]:
    """Everything running; nothing outlives the block but what `lasting` keeps."""
    logs.configure("error", "text")
    async with AsyncExitStack() as stack:
        progress("starting an embedded Starknet, the bridge and the nodes …")
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        nursery.start_soon(trio.to_thread.run_sync, _load_libp2p)
        chain = await stack.enter_async_context(
            open_chain(directory, options.seed, lasting=lasting, hear=lambda text: None)
        )
        bridge = await stack.enter_async_context(open_bridge(chain, directory, lambda text: None))
        anchoring = Anchoring(bridge)
        work = await stack.enter_async_context(trio.open_nursery())
        stack.callback(work.cancel_scope.cancel)
        work.start_soon(anchoring.run)
        errands = await stack.enter_async_context(
            open_bridge(chain.of_account(1), directory, lambda text: None, "payer")
        )
        paying = Paying(errands, anchoring)
        work.start_soon(paying.run)
        passphrase = secrets.token_urlsafe(24)
        write_private(directory / "passphrase", passphrase.encode())
        places = {}
        for name in names_of(options.nodes):
            home, settings = await trio.to_thread.run_sync(_make_home, directory, name, options.seed, passphrase, chain.url)  # fmt: skip
            daemon = await stack.enter_async_context(open_daemon(home, settings, passphrase))
            client = await stack.enter_async_context(Client(daemon.address))
            places[name] = Place(name, daemon, client)
            progress(f"{name} listens on {', '.join(daemon.node.transport.addresses)}")
        yield World(options, directory, places, chain, bridge, anchoring, paying)


def _load_libp2p() -> None:
    """Seconds of processor time: spent while the chain starts."""
    importlib.import_module("medsync_node.transport.libp2p_transport")


def _make_home(
    directory: Path, name: str, seed: int, passphrase: str, rpc: str
) -> tuple[Home, config.Config]:
    home = Home(directory / name)
    home.create()
    member_seed = blake2b(b"medsync demo member", str(seed).encode(), name.encode())
    identity = Identity(member_seed=member_seed, device_seed=os.urandom(32), name=name)
    key_file.create(home.key_file, identity, passphrase, cost=key_file.Cost.DEVELOPER)
    chosen = {
        "listen": '["/ip4/127.0.0.1/tcp/0"]', "passphrase_from": f'"file:{directory / "passphrase"}"',
        "chain.rpc": f'"{rpc}"', "log.level": '"error"',
    }  # fmt: skip
    write_private(home.config_file, config.commented(chosen).encode())
    return home, config.load(home.path, {}, {})
