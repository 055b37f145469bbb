"""The cluster: real nodes in processes of their own, killed and started again, as `medsync cluster` and the fixture give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.subjects import SubjectEnrol
from medsync_node import cli
from medsync_node.testing import Cluster
from medsync_protocol.errors import OperatorError


@pytest.mark.cluster(nodes=3)
def test_a_killed_node_comes_back_and_nothing_acknowledged_is_lost(cluster: Cluster) -> None:
    north, south, east = cluster
    subject = south.client.enrol_subject("shared", SubjectEnrol(), "replicated")
    entry = LoggedAccess(
        half="disclosed", subject=subject.subject, requester=south.member, custodian=south.member,
        purposes=("TREAT",),
    )  # fmt: skip
    batch = AccessBatch(entries=(entry,) * 10)
    acknowledged = 0
    for _ in range(2):
        acknowledged += south.client.append_accesses("shared", batch).count
        cluster.kill("south")
        assert [node.name for node in cluster.running()] == ["north", "east"]
        north.client.rotate("shared")
        cluster.start("south", tied=True)
        cluster.converged()
    logged = south.client.accesses("shared", subject.subject, half="disclosed", limit=1000).entries
    assert len(logged) == acknowledged == 20 and all(row.effective for row in logged)
    assert len({name for chain in [east.client.context("shared").chains] for name in chain}) >= 3


def test_the_command_starts_takes_up_and_stops_a_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--dir", str(tmp_path / "c"), "--json")
    try:
        assert cli.run(["cluster", "up", "--nodes", "2", *where]) == 0
        first = json.loads(capsys.readouterr().out)
        assert [one["name"] for one in first["nodes"]] == ["north", "south"]
        assert cli.run(["cluster", "kill", "south", *where]) == 0
        assert cli.run(["cluster", "kill", "west", *where]) == 2
        capsys.readouterr()
        assert cli.run(["cluster", "up", *where]) == 0
        second = json.loads(capsys.readouterr().out)
        assert second["network"] == first["network"] and second["context"] == first["context"]
        assert second["nodes"][0]["pid"] == first["nodes"][0]["pid"]
        assert second["nodes"][1]["pid"] != first["nodes"][1]["pid"]
    finally:
        assert cli.run(["cluster", "down", *where]) == 0
    assert not Cluster.of(tmp_path / "c").running()


def test_where_no_cluster_lives_the_command_says_so(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no cluster lives"):
        Cluster.of(tmp_path)
