"""Makes a home to be kept for the test of migrations: `python -m tests.homes.make` writes tests/homes/VERSION.

Once for each version of the journal's schema, with the last program that writes it; kept homes never change.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import trio

from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.consents import DirectiveText, Grant, WireActor, WireRule
from medsync_client.contexts import ContextCreate
from medsync_client.subjects import SubjectEnrol
from medsync_node.schema import MIGRATIONS
from tests.node.api_world import Party, make_home, running

HOMES = Path(__file__).parent
KEPT = ("journal.db", "key.json", "guard")


async def write(north: Party) -> dict[str, object]:
    """A network, a patient, a consent that was attested, ten halves; and what of it must be there ever after."""
    client = north.client
    network = await client.create_network("hospitals")
    await client.create_context(ContextCreate(name="trial"))
    subject = await client.enrol_subject("trial", SubjectEnrol())
    rule = WireRule(effect="deny", actors=(WireActor(member="north"),), purposes=("HMARKT",))
    consent = await client.grant("trial", Grant(attest=DirectiveText(subject=subject.subject, rules=(rule,))))
    half = LoggedAccess(
        half="disclosed", subject=subject.subject, requester="north", custodian="north", purposes=("TREAT",), unit="ward 7"
    )
    await client.append_accesses("trial", AccessBatch(entries=(half,) * 10))
    detail = await client.context("trial")
    return {
        "network": network.id, "context": detail.id, "operations": sum(detail.chains.values()),
        "subject": subject.subject, "consent": consent.id, "halves": 10,
    }  # fmt: skip


async def main() -> None:
    """The home of this program's schema version."""
    target = HOMES / str(len(MIGRATIONS))
    if target.exists():
        raise SystemExit(f"{target.name} is there: kept homes never change")
    with tempfile.TemporaryDirectory() as directory:
        home = make_home(Path(directory), "north")
        async with running(home) as north:
            facts = await write(north)
        target.mkdir()
        for name in KEPT:
            shutil.copy(home.path / name, target / name)
        (target / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    trio.run(main)
