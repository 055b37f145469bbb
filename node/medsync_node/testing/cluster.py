"""A cluster: several real nodes on this machine, each `medsync run` in a process and a home of its own.

They form one network and share one context. A node can be stopped, killed and started again, and links between them cut
or slowed (`links.py`); `Cluster.converged` waits for the fact that all running ones hold the same. Used by
`medsync cluster` and by the fixture `cluster`.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

from medsync_client import Address, BlockingClient, ClientError
from medsync_node import config, key_file
from medsync_node.home import Home, write_private
from medsync_node.testing import cluster_file, namespaces
from medsync_node.testing.cluster_file import Means
from medsync_node.testing.faults import Faults, Slow, read_sides
from medsync_node.testing.links import Links, free_port
from medsync_node.testing.waiting import PATIENCE, ClusterFailed, until
from medsync_protocol.errors import OperatorError

NAMES: Final = ("north", "south", "east", "west")  # then node5, node6, …
MAX_NODES: Final = 50  # processes of one machine: each takes about 100 MiB
CONTEXT: Final = "shared"
NETWORK: Final = "cluster"
START_SECONDS: Final = 120.0  # many at once share two cores, and each loads libp2p for seconds
SILENCE_SECONDS: Final = 120.0  # a peer whose packets just stop is given up after 40 s; one under load later
STOP_SECONDS: Final = 15.0  # a node told to stop finishes its requests, then closes its journal
_PASSPHRASE: Final = "passphrase"


@dataclass(slots=True)
class ClusterNode:
    """One node. `process` is set where this program started it; `client` talks to it while it runs."""

    name: str
    home: Home
    process: subprocess.Popen[bytes] | None = None
    client: BlockingClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = BlockingClient(Address.of_home(self.home.path))

    @property
    def log(self) -> Path:
        """What the daemon wrote to stderr and stdout."""
        return self.home.path / "daemon.log"

    @property
    def member(self) -> str:
        """Its member's id in hex."""
        return key_file.read_head(self.home.key_file).member

    def pid(self) -> int | None:
        """The process that runs on this home now; None when none does."""
        if not self.home.lock_file.exists():
            return None
        try:
            with self.home.locked():
                return None
        except OperatorError:
            text = self.home.lock_file.read_text().strip()
            return int(text) if text.isdecimal() else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its daemon, if it runs, and wait until it is gone."""
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, number)
        if self.process is not None:
            self.process.wait(STOP_SECONDS)
        until(lambda: self.pid() is None, f"{self.name} to be gone", STOP_SECONDS)

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_text(errors="replace")[-800:].strip()
        except OSError:
            return ""


class Cluster:
    """See the module. `directory` holds one home per node; an existing cluster there is taken up again.

    `breakable`: links can be cut and slowed, by doors on loopback unless `means` says otherwise; decided when a cluster is
    made.
    """

    def __init__(
        self, directory: Path, *, nodes: int = 4, chain_rpc: str | None = None, breakable: bool = False,
        means: Means = "proxy",
    ) -> None:  # fmt: skip
        if not 1 <= nodes <= MAX_NODES:
            raise OperatorError(f"a cluster has 1 to {MAX_NODES} nodes", advice="choose --nodes accordingly")
        self.directory = directory.absolute()
        self._chain_rpc = chain_rpc
        names = cluster_file.read_nodes(self.directory) or [*NAMES, *(f"node{n}" for n in range(len(NAMES) + 1, MAX_NODES + 1))][:nodes]
        self.nodes = {name: ClusterNode(name, Home(self.directory / name)) for name in names}
        self.links = Links(self.directory, means if breakable else "none")

    def __getitem__(self, name: str) -> ClusterNode:
        return self.nodes[name]

    def __iter__(self) -> Iterator[ClusterNode]:
        return iter(self.nodes.values())

    @staticmethod
    def of(directory: Path) -> Cluster:
        """The cluster that lives in a directory. Raises OperatorError when none does."""
        cluster_file.require(directory)
        return Cluster(directory)

    # -- starting and stopping --------------------------------------------------------------------------------

    def up(self, *, tied: bool = False) -> None:
        """Start every node that does not run, and form the network and the context where there are none.

        `tied`: they stop when this process ends, however it ends. Raises ClusterFailed.
        """
        self._make_homes()
        self.start(*(node.name for node in self if node.pid() is None), tied=tied)
        self._form()

    def _make_homes(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        passphrase = self.directory / _PASSPHRASE
        if not passphrase.exists():
            write_private(passphrase, secrets.token_urlsafe(24).encode())
        for index, node in enumerate(self):
            if node.home.key_file.exists():
                continue
            node.home.create()
            identity = key_file.new_identity(node.name)
            key_file.create(
                node.home.key_file, identity, passphrase.read_text(), cost=key_file.Cost.DEVELOPER
            )
            address, port = ("127.0.0.1", free_port())
            if self.links.means == "namespaces":
                address, port = (namespaces.address_of(index), namespaces.PORT)
            chosen = {
                "listen": json.dumps([f"/ip4/{address}/tcp/{port}"]),
                "passphrase_from": json.dumps(f"file:{passphrase}"),
            }
            if self.links.means == "proxy":
                chosen["announce"] = json.dumps([f"/ip4/127.0.0.1/tcp/{self.links.add_door(node.name, port)}"])
            if self._chain_rpc is not None:
                chosen["chain.rpc"] = json.dumps(self._chain_rpc)
            write_private(node.home.config_file, config.commented(chosen).encode())
        cluster_file.write(self.directory, list(self.nodes), self.links.means)

    def start(self, *names: str, tied: bool = False) -> None:
        """Start these nodes, all at once; returns when each is ready. Raises ClusterFailed."""
        self.links.start(tied=tied)
        waiting = [(self[name], _spawn(self[name], self.links.before(name), tied)) for name in names]
        deadline = time.monotonic() + START_SECONDS
        for node, ready in waiting:
            with ready:
                if not _wait_ready(node, ready, deadline):
                    raise ClusterFailed(
                        f"{node.name} did not start: {node.last_words()}", advice=f"see {node.log}"
                    )

    def stop(self, *names: str) -> None:
        """Have these nodes finish what they do and end."""
        for name in names:
            self[name].signal(signal.SIGTERM)

    def kill(self, *names: str) -> None:
        """End these nodes as a power cut would, as far as the process goes: kill -9."""
        for name in names:
            self[name].signal(signal.SIGKILL)

    def down(self) -> None:
        """Stop every node; homes stay."""
        for node in self:
            pid = node.pid()
            if pid is not None:
                os.kill(pid, signal.SIGTERM)
        for node in self:
            if node.process is not None:
                node.process.wait(STOP_SECONDS)
            until(lambda node=node: node.pid() is None, f"{node.name} to be gone", STOP_SECONDS)  # type: ignore[misc]
            node.client.close()
        self.links.stop()

    # -- breaking ---------------------------------------------------------------------------------------------

    def partition(self, *sides: Iterable[str]) -> None:
        """Cut every link between these sides; returns when no node has one across. Raises ClusterFailed.

        Every node is on one side; what is written on one reaches the others only after `heal`.
        """
        parts = read_sides([" / ".join(",".join(side) for side in sides)], list(self.nodes))
        self.links.set(replace(self.links.faults, sides=parts))
        until(lambda: not self._linked_across(), "no link to be left between the sides", SILENCE_SECONDS)

    def slow(self, name: str, ms: int, percent: float = 0.0) -> None:
        """From now on every link of a node takes `ms` longer each way, and `percent` of what is sent is sent again."""
        faults = self.links.faults
        self.links.set(replace(faults, slow={**faults.slow, self[name].name: Slow(ms, percent)}))

    def heal(self) -> None:
        """End every fault; returns when all running nodes are linked again. Raises ClusterFailed."""
        self.links.set(Faults())
        running = [node.name for node in self.running()]
        pairs = {(one, other) for one in running for other in running if one != other}
        until(lambda: pairs <= self.linked(), "all nodes to be linked again", SILENCE_SECONDS)

    def linked(self) -> set[tuple[str, str]]:
        """(node, other) for every link that a running node says it has."""
        return {
            (node.name, str(peer["name"]))
            for node in self.running()
            for peer in node.client.status().peers
            if peer["connected"]
        }

    def _linked_across(self) -> bool:
        faults = self.links.faults
        return any(faults.apart(one, other) for one, other in self.linked())

    # -- facts ------------------------------------------------------------------------------------------------

    def running(self) -> list[ClusterNode]:
        """Nodes whose daemon runs."""
        return [node for node in self if node.pid() is not None]

    def converged(self, context: str = CONTEXT, seconds: float = PATIENCE) -> None:
        """Return once all running nodes hold the same operations of a context. Raises ClusterFailed."""

        def same() -> bool:
            held = [_held(node, context) for node in self.running()]
            return None not in held and all(one == held[0] for one in held)

        until(same, f"all nodes to hold the same of {context}", seconds)

    def _form(self) -> None:
        nodes = list(self)
        first = nodes[0].client
        if first.status().network is None:
            first.create_network(NETWORK)
        for node in nodes[1:]:
            if node.client.status().network is None:
                node.client.join(first.invite(_open_invitation()).invitation)
        for node in nodes:
            until(lambda node=node: _sees(node, len(nodes)), f"{node.name} to see all members")  # type: ignore[misc]
        if CONTEXT not in {one.name for one in first.contexts().contexts}:
            first.create_context(_shared_context(node.name for node in nodes[1:]))
        self.converged()

    def describe(self) -> dict[str, Any]:
        """What a person or script needs to use it."""
        first = next(iter(self)).client
        return {
            "directory": str(self.directory), "network": first.network().id,
            "context": first.context(CONTEXT).id, "links": self.links.means,
            "nodes": [
                {"name": node.name, "home": str(node.home.path), "pid": node.pid(), "member": node.member}
                for node in self
            ],
        }  # fmt: skip


def _open_invitation() -> Any:
    from medsync_client.members import InvitationCreate

    return InvitationCreate(role="admin", seconds=600)


def _shared_context(members: Iterable[str]) -> Any:
    from medsync_client.contexts import Admission, ContextCreate

    return ContextCreate(name=CONTEXT, members=tuple(Admission(member=one, role="admin") for one in members))


def _sees(node: ClusterNode, count: int) -> bool:
    try:
        return len(node.client.members().members) == count and node.client.network().role is not None
    except ClientError:
        return False


def _held(node: ClusterNode, context: str) -> tuple[str | None, dict[str, int]] | None:
    try:
        found = node.client.context(context)
    except ClientError:
        return None
    return (found.root, found.chains) if found.role is not None else None


def _spawn(node: ClusterNode, before: list[str], tied: bool) -> IO[bytes]:
    """Start its daemon; the pipe says `ready`, or ends when it could not."""
    readable, writable = os.pipe()
    command = [
        *before,
        sys.executable,
        "-m",
        "medsync_node.cli",
        "run",
        "--home",
        str(node.home.path),
        "--ready-fd",
        str(writable),
    ]
    with node.log.open("ab") as log:
        node.process = subprocess.Popen(
            [*command, "--exit-on-eof"] if tied else command, stdout=log, stderr=log,
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL, pass_fds=(writable,), start_new_session=True,
        )  # fmt: skip
    os.close(writable)
    return os.fdopen(readable, "rb")


def _wait_ready(node: ClusterNode, ready: IO[bytes], deadline: float) -> bool:
    import select

    left = max(0.0, deadline - time.monotonic())
    found, _, _ = select.select([ready], [], [], left)
    return bool(found) and ready.read(5) == b"ready"


