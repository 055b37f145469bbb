"""Homes that older programs wrote are taken up by this one: everything is there, is checked, and goes on being written."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_node import schema
from medsync_node.home import Home
from medsync_node.schema import MIGRATIONS
from tests.node.api_world import Party, running

KEPT = Path(__file__).parents[1] / "homes"
VERSIONS = sorted(int(one.name) for one in KEPT.iterdir() if one.name.isdecimal())


def taken_from(version: int, directory: Path) -> tuple[Home, dict[str, Any]]:
    """A copy of a kept home, with what must be in it."""
    home = Home(directory / "north")
    shutil.copytree(KEPT / str(version), home.path)
    home.path.chmod(0o700)
    facts = json.loads((home.path / "facts.json").read_text())
    for file in home.path.iterdir():
        file.chmod(0o600)
    return home, facts


def version_of(home: Home) -> int:
    with closing(sqlite3.connect(home.journal_file)) as journal:
        found: int = journal.execute("PRAGMA user_version").fetchone()[0]
        return found


def test_a_home_of_every_schema_version_is_kept() -> None:
    assert list(range(1, len(MIGRATIONS) + 1)) == VERSIONS, "run `python -m tests.homes.make` and commit what it makes"


async def holds(north: Party, facts: dict[str, Any]) -> None:
    """Everything that was written then is there now."""
    client = north.client
    assert (await client.network()).id == facts["network"]
    detail = await client.context(facts["context"])
    assert sum(detail.chains.values()) >= facts["operations"]
    (consent,) = (await client.consents("trial", facts["subject"])).consents
    assert consent.id == facts["consent"] and consent.denies and (await client.verify_consent("trial", consent.id)).checks["signature"]
    page = await client.accesses("trial", facts["subject"], half="disclosed")
    assert len(page.entries) == facts["halves"] and all(one.effective and one.unit == "ward 7" for one in page.entries)
    report = await client.verify_audit("trial")
    assert report.ok, report.problems


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_kept_home_opens_with_all_that_was_in_it(tmp_path: Path, version: int) -> None:
    home, facts = taken_from(version, tmp_path)
    assert version_of(home) == version
    async with running(home) as north:
        await holds(north, facts)
        half = LoggedAccess(
            half="disclosed", subject=facts["subject"], requester="north", custodian="north", purposes=("TREAT",), unit="ward 7"
        )
        await north.client.append_accesses("trial", AccessBatch(entries=(half,)))
    async with running(home) as north:
        await holds(north, {**facts, "halves": facts["halves"] + 1})
    assert version_of(home) == len(MIGRATIONS)
    with closing(sqlite3.connect(home.journal_file)) as journal:
        unknown = journal.execute("SELECT count(*) FROM ops WHERE moment < 1000000000000 << 16").fetchone()
        assert unknown == (0,), "the log of an older home is in the order of time, too"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_migration_that_stops_half_way_leaves_the_home_as_it_was(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, facts = taken_from(version, tmp_path)

    def half_way(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE later (n INTEGER)")
        raise sqlite3.OperationalError("the power went")

    journal = sqlite3.connect(home.journal_file, isolation_level=None)
    with closing(journal), pytest.raises(sqlite3.OperationalError):
        schema.prepare(journal, (*MIGRATIONS, half_way))
    assert version_of(home) == len(MIGRATIONS)
    async with running(home) as north:
        await holds(north, facts)
