"""A disk that is full or turns read-only while a daemon runs, and at its start: told with advice, nothing lost, gone on from."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from medsync_client import Refused
from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.contexts import ContextCreate
from medsync_client.subjects import SubjectEnrol
from medsync_node import incarnation
from medsync_node.doctor.examination import examine
from medsync_node.home import Home
from medsync_protocol.errors import OperatorError
from tests.node.api_world import make_home, running, until

MOUNT = ("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own."""
    point = tmp_path / "disk"
    point.mkdir()
    if shutil.which("mount") is None or subprocess.run([*MOUNT, str(point)], capture_output=True).returncode:
        pytest.skip("reason: may not mount a small file system here (needs root)")
    yield point
    subprocess.run(["umount", str(point)], check=True)


async def test_on_a_full_disk_the_daemon_stays_up_says_so_and_goes_on_when_there_is_room(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "KEEP_SECONDS", 0.01)  # the guard, too, is written again and again
    home, ballast = make_home(disk, "north"), disk / "ballast"
    async with running(home) as north:
        await north.client.create_network("hospitals")
        await north.client.create_context(ContextCreate(name="trial"))
        subject = await north.client.enrol_subject("trial", SubjectEnrol())
        entry = LoggedAccess(
            half="disclosed", subject=subject.subject, requester="north", custodian="north", purposes=("TREAT",)
        )
        batch, acknowledged = AccessBatch(entries=(entry,) * 50), 0
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(64 * 1024))
        with pytest.raises(Refused) as caught:
            for _ in range(200):
                acknowledged += (await north.client.append_accesses("trial", batch)).count
        assert caught.value.code == "disk_full" and caught.value.advice
        assert any("disk is full" in warning for warning in (await north.client.status()).warnings)
        assert await north.client.subject("trial", subject.subject) == subject
        ballast.unlink()

        async def room() -> bool:
            return not any("disk is full" in warning for warning in (await north.client.status()).warnings)

        await until(room)
        acknowledged += (await north.client.append_accesses("trial", batch)).count
    async with running(home) as north:
        page = await north.client.accesses("trial", subject.subject, half="disclosed", limit=1000)
        assert len(page.entries) >= min(acknowledged, 1000) and (await north.client.verify_audit("trial")).ok


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """A disk of 16 MiB at `disk`: "break" has Linux shut it as after an error, "mend" mounts it anew."""
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    image.touch()
    os.truncate(image, 16 << 20)
    mount = ["mount", "-o", "loop,errors=remount-ro", str(image), str(point)]
    if shutil.which("mkfs.ext4") is None or subprocess.run(["mkfs.ext4", "-q", str(image)]).returncode:
        pytest.skip("reason: no mkfs.ext4 here")
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("reason: may not mount an image here (needs root and a loop device)")

    def change(to: str) -> None:
        if to == "break":
            subprocess.run(["mount", "-o", "remount,abort", str(point)], check=True)
        else:
            subprocess.run(["umount", str(point)], check=True)
            subprocess.run(mount, check=True)

    yield change
    subprocess.run(["umount", str(point)], check=True)


async def test_a_disk_that_turns_read_only_in_use_is_told_reads_go_on_and_nothing_is_lost(
    failing: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incarnation, "KEEP_SECONDS", 0.01)
    home = make_home(tmp_path / "disk", "north")
    async with running(home) as north:
        await north.client.create_network("hospitals")
        await north.client.create_context(ContextCreate(name="trial"))
        subject = await north.client.enrol_subject("trial", SubjectEnrol())
        failing("break")
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await north.client.enrol_subject("trial", SubjectEnrol())
            assert caught.value.code == "disk_read_only" and "dmesg" in caught.value.advice
        assert any("disk is read-only" in warning and "dmesg" in warning for warning in (await north.client.status()).warnings)
        assert await north.client.subject("trial", subject.subject) == subject
        found = await trio.to_thread.run_sync(lambda: examine(home, {}))
        assert found.running and {one.code for one in found.findings} >= {"disk_read_only", "daemon"}
        with pytest.raises(Refused) as waiting:
            await north.client.ready()
        assert "disk" in str(waiting.value)
    failing("mend")
    async with running(home) as north:
        assert await north.client.subject("trial", subject.subject) == subject
        assert (await north.client.verify_audit("trial")).ok
        assert (await north.client.enrol_subject("trial", SubjectEnrol())).subject != subject.subject


async def test_no_daemon_starts_on_a_read_only_disk_and_none_is_harmed(disk: Path, tmp_path: Path) -> None:
    home, seen = make_home(disk, "north"), tmp_path / "seen"
    async with running(home) as north:
        await north.client.create_network("hospitals")
        await north.client.create_context(ContextCreate(name="trial"))
    seen.mkdir()
    subprocess.run(["mount", "--bind", str(disk), str(seen)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(seen)], check=True)
        with pytest.raises(OperatorError) as failed:
            async with running(Home(seen / "north")):
                raise AssertionError("it must not start")
        assert "read-only" in str(failed.value).lower() and failed.value.advice
    finally:
        subprocess.run(["umount", str(seen)], check=True)
    async with running(home) as north:
        assert len((await north.client.contexts()).contexts) == 1
