"""A daemon whose disk fills up: it says so, acknowledges nothing it did not record, and goes on by itself."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import pytest

from medsync_client import Refused
from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.subjects import SubjectEnrol
from medsync_node.testing import Cluster, ClusterNode

ROOM = 300_000  # bytes that each file of the daemon may still grow
BATCH = 100
PATIENCE = 60.0


def limit(node: ClusterNode, size: int) -> None:
    """Let no file of the daemon grow beyond `size`, as a full disk would."""
    pid = node.pid()
    assert pid is not None
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def largest_file(node: ClusterNode) -> int:
    return max(path.stat().st_size for path in node.home.path.iterdir() if path.is_file())


def eventually(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline, "it never came"


@pytest.mark.cluster(nodes=1)
def test_a_full_disk_is_told_loses_nothing_acknowledged_and_heals_by_itself(cluster: Cluster) -> None:
    (north,) = cluster
    client = north.client
    subject = client.enrol_subject("shared", SubjectEnrol())
    entry = LoggedAccess(
        half="disclosed", subject=subject.subject, requester=north.member, custodian=north.member,
        purposes=("TREAT",),
    )  # fmt: skip
    batch = AccessBatch(entries=(entry,) * BATCH)
    limit(north, largest_file(north) + ROOM)
    acknowledged = 0
    with pytest.raises(Refused) as caught:
        for _ in range(1000):
            acknowledged += client.append_accesses("shared", batch).count
    assert caught.value.code == "disk_full" and "free space" in caught.value.advice
    assert acknowledged > 0
    with pytest.raises(Refused) as waiting:
        client.ready()
    assert waiting.value.code == "not_ready" and "space" in str(waiting.value)
    assert any("disk is full" in warning for warning in client.status().warnings)
    with pytest.raises(Refused):
        client.append_accesses("shared", batch)
    assert client.subject("shared", subject.subject) == subject  # reading goes on

    limit(north, resource.RLIM_INFINITY)
    eventually(lambda: not any("disk is full" in warning for warning in client.status().warnings))
    assert client.ready().ok
    acknowledged += client.append_accesses("shared", batch).count
    north.client.verify_audit("shared")
    cluster.kill("north")
    cluster.start("north", tied=True)
    logged, cursor = 0, None
    while True:
        page = client.accesses("shared", subject.subject, half="disclosed", limit=1000, cursor=cursor)
        logged, cursor = logged + len(page.entries), page.next
        if cursor is None:
            break
    # The batch that met the full disk was refused, and is recorded once there is space: more than acknowledged is fine.
    assert acknowledged <= logged <= acknowledged + BATCH
    assert client.verify_audit("shared").ok
