"""The faults that merobox skips without Docker, by `medsync cluster` on nodes of medsync-merod: cut, slowed, healed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.benchmarks.calimero import Merod, agree, put_value
from tests.calimero.merobox import free_range

BIN = Path(sys.executable).parent


@pytest.mark.long
def test_a_cut_link_lets_nodes_differ_and_a_healed_one_lets_them_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = tmp_path / "cluster"
    monkeypatch.setenv("MEDSYNC_CLUSTER", str(cluster))

    def faults(*arguments: str) -> None:
        command = [str(BIN / "medsync"), "cluster", *arguments, "--dir", str(cluster)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    first = free_range(2)
    nodes = [Merod(tmp_path / name, name, swarm=first + number) for number, name in enumerate(("north", "south"))]
    north, south = nodes
    try:
        application = north.post("install-dev-application", {"path": "kv_store.wasm"})["applicationId"]
        namespace = north.post("namespaces", {"applicationId": application})["namespaceId"]
        context = north.post("contexts", {"applicationId": application, "groupId": namespace})["contextId"]
        south.post(f"namespaces/{namespace}/join", {"invitation": north.post(f"namespaces/{namespace}/invite", {})["invitation"]})
        agree(north, south, context)
        faults("partition", "north / south")
        put_value(north.client, context, "a")
        put_value(south.client, context, "b")
        assert north.state(context) != south.state(context)
        faults("heal")
        agree(north, south, context)
        faults("slow", "south", "50ms", "5%")
        put_value(north.client, context, "c")
        agree(north, south, context)
    finally:
        for node in nodes:
            node.stop()
