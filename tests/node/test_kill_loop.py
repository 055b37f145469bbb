"""kill -9 of any daemon at any moment, while it writes: nothing acknowledged is lost, nothing is written twice."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator

import pytest

from medsync_client import Address, BlockingClient, ClientError
from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.subjects import SubjectEnrol
from medsync_node.testing import Cluster
from medsync_node.testing.cluster import ClusterNode
from medsync_node.verify.export_format import ExportedOperation, decode_line


class Writer:
    """Appends to one node until it dies; every acknowledged operation is kept."""

    def __init__(self, node: ClusterNode, batch: AccessBatch, enough: int) -> None:
        self.acknowledged: list[str] = []
        self.warm = threading.Event()
        self._node, self._batch, self._enough = node, batch, enough
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with BlockingClient(Address.of_home(self._node.home.path)) as client:
            for count in itertools.count(1):
                try:
                    self.acknowledged.append(client.append_accesses("shared", self._batch).op)
                except ClientError:
                    self.warm.set()
                    return
                if count >= self._enough:
                    self.warm.set()

    def join(self) -> None:
        self._thread.join()


def _operations(node: ClusterNode) -> Iterator[str]:
    with node.client.export("shared") as lines:
        for line in lines:
            read = decode_line(line)
            if isinstance(read, ExportedOperation):
                yield read.op_id.hex()


def _kill_in_a_loop(cluster: Cluster, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    nodes = list(cluster)
    subject = nodes[0].client.enrol_subject(
        "shared", SubjectEnrol(custodians=tuple(node.member for node in nodes)), "replicated"
    )
    cluster.converged()
    acknowledged: list[str] = []
    for _ in range(rounds):
        victim, other = rng.sample(nodes, 2)
        writers = []
        for node in (victim, other):
            entry = LoggedAccess(
                half="disclosed", subject=subject.subject, requester=node.member, custodian=node.member,
                purposes=("TREAT",),
            )  # fmt: skip
            writers.append(Writer(node, AccessBatch(entries=(entry,) * 5), enough=rng.randrange(1, 20)))
        writers[0].warm.wait(60)
        cluster.kill(victim.name)
        cluster.stop(other.name)
        for writer in writers:
            writer.join()
            acknowledged += writer.acknowledged
        cluster.start(victim.name, other.name, tied=True)
    cluster.converged()
    assert len(acknowledged) >= rounds
    for node in nodes:
        held = list(_operations(node))
        assert len(held) == len(set(held))
        assert set(acknowledged) <= set(held)
        assert not node.client.status().warnings or all("fork" not in w for w in node.client.status().warnings)


@pytest.mark.cluster(nodes=4)
def test_four_daemons_survive_kills_while_they_write(cluster: Cluster) -> None:
    _kill_in_a_loop(cluster, rounds=2, seed=1)


@pytest.mark.long
@pytest.mark.cluster(nodes=4)
def test_four_daemons_survive_fifty_kills(cluster: Cluster) -> None:
    _kill_in_a_loop(cluster, rounds=50, seed=2)
