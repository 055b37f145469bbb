"""Links between real nodes are cut and slowed for real: what passes, what doesn't, and what the commands refuse."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import typer

from medsync_client.subjects import SubjectEnrol
from medsync_node import cli
from medsync_node.commands.cluster import means
from medsync_node.testing import Cluster, control, namespaces
from medsync_node.testing.dialled import process_of
from medsync_node.testing.doors import Door, Doors
from medsync_node.testing.faults import Faults, Slow, read_sides, read_slow
from medsync_node.testing.switch import Switch
from medsync_protocol.errors import OperatorError

PAGE = (Path(__file__).parents[2] / "node" / "README.md").read_text().split("## Develop\n")[1]
NODES = ("north", "south", "east")


@pytest.mark.cluster(nodes=3, breakable=True)
def test_a_partition_keeps_what_is_written_on_one_side_from_the_other_until_it_heals(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--dir", str(cluster.directory), "--json")
    assert cli.run(["cluster", "partition", "north,south", "/", "east", *where]) == 0
    assert json.loads(capsys.readouterr().out)["sides"] == [["north", "south"], ["east"]]
    north, south, east = cluster
    patient = north.client.enrol_subject("shared", SubjectEnrol(), "replicated")  # south acknowledges it
    alone = east.client.enrol_subject("shared", SubjectEnrol())
    assert cluster.linked() == {("north", "south"), ("south", "north")}
    held = {node.name: node.client.context("shared").chains for node in cluster}
    assert held["north"] == held["south"] != held["east"]
    assert cli.run(["cluster", "ps", *where]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["faults"]["sides"] == [["north", "south"], ["east"]] and told["nodes"][2]["linked"] == []
    assert cli.run(["cluster", "heal", *where]) == 0
    cluster.converged()
    assert east.client.subject("shared", patient.subject) and south.client.subject("shared", alone.subject)
    assert cli.run(["cluster", "slow", "east", "40ms", "5%", *where]) == 0
    assert cluster.links.faults.slow == {"east": Slow(40, 5.0)}
    east.client.rotate("shared")
    cluster.converged()


@pytest.mark.long
def test_the_commands_of_the_page_work_as_they_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    section = PAGE.split("```")[1]
    lines = [line.split(" #")[0].strip() for line in section.splitlines()[1:]]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    try:
        for line in filter(None, lines):
            assert cli.run(line.split()[1:]) == 0, (line, capfd.readouterr().err)
            if "logs" in line:
                assert "told to stop" in capfd.readouterr().out
            if "shell" in line:
                assert "south" in capfd.readouterr().out
    finally:
        capfd.readouterr()
        Cluster.of(tmp_path / "medsync-cluster").down()


@pytest.mark.long
def test_the_test_that_the_page_shows_passes(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(PAGE.split("```python\n")[1].split("```")[0])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"], cwd=tmp_path, capture_output=True,
        text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_who_dialled_is_found_among_processes() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as caller:
            ports = caller.getsockname()[1], listener.getsockname()[1]
            assert process_of(*ports, [1, os.getpid()]) == os.getpid()
            assert process_of(*ports, [os.getppid()]) is None
        assert process_of(1, 2, [os.getpid()]) is None


async def test_a_slow_link_delays_each_way_and_a_cut_one_ends(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(str(os.getpid()))

    async def echo(stream: trio.SocketStream) -> None:
        async for chunk in stream:
            await stream.send_all(chunk)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, echo, 0, host="127.0.0.1"))
        behind = listeners[0].socket.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        mine = Door("south", 0, 0, tmp_path / "lock")  # this process is south, and dials north
        door = Door("north", port, behind, tmp_path / "nobody")
        doors = Doors((mine, door), faults=Faults(slow={"north": Slow(60)}))
        await nursery.start(partial(trio.serve_tcp, partial(doors.pass_on, door), port, host="127.0.0.1"))
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        begun = trio.current_time()
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello" and trio.current_time() - begun >= 0.12
        assert doors.set(Faults(sides=(frozenset({"east"}), frozenset({"north"})))) == 0, "south is on no side"
        assert doors.set(Faults(sides=(frozenset({"south"}), frozenset({"north"})))) == 1
        assert await stream.receive_some() == b""
        again = await trio.open_tcp_stream("127.0.0.1", port)
        assert await again.receive_some() == b"", "and no new one passes"
        nursery.cancel_scope.cancel()


def test_sides_and_delays_are_read() -> None:
    assert read_sides(["north,south", "/", "east"], NODES) == (frozenset({"north", "south"}), frozenset({"east"}))
    assert len(read_sides(["north/south/east"], NODES)) == 3
    assert read_slow("200ms", "5%") == Slow(200, 5.0) and read_slow("1.5s") == Slow(1500)
    faults = Faults(sides=read_sides(["north / south,east"], NODES), slow={"north": Slow(5), "east": Slow(7, 1.0)})
    assert faults.apart("north", "east") and not faults.apart("south", "east") and not faults.apart("", "east")
    assert faults.between("east", "north") == Slow(12, 1.0) and Faults.of(faults.fields()) == faults


@pytest.mark.parametrize(
    "words", ["north / south", "north,south,east", "north,north / south,east", "/ north,south,east", "north,west / south,east"]
)
def test_sides_that_leave_a_question_are_refused(words: str) -> None:
    with pytest.raises(OperatorError) as caught:
        read_sides([words], NODES)
    assert caught.value.advice


@pytest.mark.parametrize(("delay", "loss"), [("fast", "0%"), ("200", "0%"), ("2ms", "lots"), ("61s", "0%"), ("1ms", "100%")])
def test_what_is_no_delay_is_refused(delay: str, loss: str) -> None:
    with pytest.raises(OperatorError) as caught:
        read_slow(delay, loss)
    assert caught.value.advice


def test_a_cluster_without_doors_says_that_its_links_cannot_be_broken(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="be broken"):
        Cluster(tmp_path, nodes=2).partition(["north"], ["south"])


def _no_namespaces() -> str:
    return namespaces.obstacle() or ""


@pytest.mark.skipif(bool(_no_namespaces()), reason=f"no network namespaces here: {_no_namespaces()}")
@pytest.mark.long  # a real partition is silent: nodes give a peer up after 40 s
def test_in_network_namespaces_packets_are_cut_lost_and_late_and_nothing_is_left_behind(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path_factory.mktemp("c")
    where = ("--dir", str(directory), "--json")

    def medsync(*words: str) -> dict[str, Any]:
        assert cli.run(["cluster", *words, *where]) == 0, capsys.readouterr().err
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    try:
        assert medsync("up", "--nodes", "3", "--links", "namespaces")["links"] == "namespaces"
        cluster = Cluster.of(directory)
        north, south, east = cluster
        assert {Path(f"/proc/{node.pid()}/ns/net").readlink() for node in cluster}.isdisjoint({Path("/proc/self/ns/net").readlink()})
        assert len({Path(f"/proc/{node.pid()}/ns/net").readlink() for node in cluster}) == 3
        medsync("partition", "north,south", "/", "east")
        patient = north.client.enrol_subject("shared", SubjectEnrol(), "replicated")
        assert cluster.linked() == {("north", "south"), ("south", "north")}
        assert medsync("ps")["faults"]["sides"] == [["north", "south"], ["east"]]
        os.kill(int((directory / "doors.pid").read_text()), signal.SIGKILL)  # the wire itself dies
        medsync("kill", "south", "--restart")  # and comes back with the next start, whole
        medsync("heal")
        medsync("slow", "east", "40ms", "5%")
        cluster.converged()
        assert east.client.subject("shared", patient.subject) and south.client.subject("shared", patient.subject)
        os.kill(int((directory / "doors.pid").read_text()), signal.SIGKILL)
    finally:
        medsync("down")
    assert namespaces.remove(directory) == [], "`down` removed them, whoever was killed"


def test_the_switch_passes_packets_on_late_or_not_at_all() -> None:
    north, south, address = *os.pipe2(os.O_NONBLOCK), namespaces.address_of
    names = {bytes(map(int, address(index).split("."))): name for index, name in enumerate(("north", "south"))}
    switch = Switch({"north": south, "south": south}, names)
    to_south = b"\x45" + bytes(11) + bytes(map(int, address(0).split("."))) + bytes(map(int, address(1).split(".")))
    switch.take(to_south, 0.0)
    assert os.read(north, 100) == to_south
    switch.set(Faults(slow={"south": Slow(200)}))
    switch.take(to_south, 5.0)
    assert [due for due, *_ in switch.late] == [5.2]
    switch.set(Faults(sides=(frozenset({"north"}), frozenset({"south"}))))
    for packet in (to_south, to_south[:16] + bytes(4), b"\x60" + to_south[1:], b""):
        switch.take(packet, 5.0)
    assert len(switch.late) == 1 and switch.dropped == 2
    with pytest.raises(BlockingIOError):
        os.read(north, 100)
    os.close(north), os.close(south)


async def test_what_links_pass_ends_with_the_clusters_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LOOK_SECONDS", 0.01)
    readable, writable = os.pipe()
    with trio.fail_after(60):
        async with control.controlled(tmp_path, Doors(()), writable) as nursery:

            async def remove() -> None:
                assert await trio.to_thread.run_sync(os.read, readable, 5) == b"ready"
                (tmp_path / control.SOCKET).unlink()

            nursery.start_soon(remove)
    os.close(readable)


def test_without_root_the_command_says_why_links_pass_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert means("auto", None) == ("proxy", "network namespaces want root")
    with pytest.raises(typer.BadParameter, match="want root"):
        means("namespaces", None)
    monkeypatch.setattr(namespaces, "obstacle", lambda: None)
    assert means("auto", None) == ("namespaces", "")
    assert means("auto", "http://127.0.0.1:5050/rpc")[0] == "proxy" == means("proxy", None)[0]
