"""A disk that is full or read-only while a daemon runs, and at its start: told with advice, nothing lost, gone on from."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from medsync_client import Refused
from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.contexts import ContextCreate
from medsync_client.subjects import SubjectEnrol
from medsync_node import incarnation
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
