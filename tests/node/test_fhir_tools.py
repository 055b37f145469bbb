"""Tools that are not ours: the npm package `fhir` validates what is written in R4; HL7's whole example packages are read."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any, get_args

import pytest

from medsync_client.accesses import AccessRow, AnswerName, HalfName
from medsync_client.consents import Consent, WireActor, WirePeriod, WireRule
from medsync_client.wire import Problem
from medsync_node.fhir.audit_event import Decided, access_event, decision_event
from medsync_node.fhir.capability import capability
from medsync_node.fhir.export import consent_resource
from medsync_node.fhir.outcome import outcome
from tests.node import hl7_examples
from tests.npm import npm

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent / "js"
ANSWERS: tuple[AnswerName, ...] = ("PERMIT", "DENY")
ID, SUBJECT = "12" * 32, "34" * 16

pytestmark = pytest.mark.long


def written() -> list[dict[str, Any]]:
    """One of each shape that is written in R4."""
    lab = WireActor(member="ab" * 32, unit="oncology", user="eve")
    full = WireRule(
        effect="permit", actors=(lab, WireActor(group="tumour board")), purposes=("HRESCH", "TREAT"), types=("Observation",),
        labels=("R", "urn:house|vip"), data_period=WirePeriod(start=1, end=10**12), actions=("access",), obligations=("redact",),
        exceptions=(WireRule(effect="deny", purposes=("HMARKT",)),),
    )  # fmt: skip

    def consent(*rules: WireRule, **changes: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": ID, "subject": SUBJECT, "signer": "56" * 32, "basis": "attested", "number": 1, "base": None, "rules": rules,
            "valid_from": 1, "until": None, "supersedes": (), "evidence": "shelf 4", "signed_at": 1, "status": "active",
            "permits": True, "denies": False,
        }  # fmt: skip
        return consent_resource(Consent(**{**fields, **changes}), "R4", id_=ID, version=ID, name_of=lambda member: "City")

    def row(half: HalfName, answer: AnswerName) -> AccessRow:
        return AccessRow(
            op=ID, index=7, half=half, subject=SUBJECT, requester="ab" * 32, requester_name="Lab", custodian="cd" * 32,
            purposes=("HRESCH",), action="access", outcome=answer, match="78" * 16, time=1_700_000_000_123, effective=True,
        )  # fmt: skip

    decided = Decided(
        op=ID, seq=3, index=1, subject=SUBJECT, requester="ab" * 32, requester_name="Lab", unit=None, user="eve", custodian="cd" * 32,
        custodian_name="City", purposes=("HRESCH",), outcome="DENY", reason="", consents=(ID,), receipt="9a" * 32, time=5,
    )  # fmt: skip
    return [
        consent(full), consent(full, WireRule(effect="deny"), base="permit", until=10**12), consent(base="deny", basis="patient-signed"),
        *(access_event(row(half, answer), 7, "R4") for half in get_args(HalfName) for answer in ANSWERS),
        decision_event(decided, "R4"), capability("R4", "1.0"),
        outcome(422, Problem(code="date", message="no date", advice="give one"), "Consent.dateTime"),
    ]  # fmt: skip


def test_the_npm_validator_finds_no_error_in_what_is_written_in_r4(tmp_path: Path) -> None:
    for source in SOURCES.iterdir():
        shutil.copy(source, tmp_path)
    npm(tmp_path, "install", "--no-audit", "--no-fund", "--no-package-lock")
    resources = written()
    broken = {**resources[0], "status": "bogus", "surprise": 1}
    (tmp_path / "given.json").write_text(json.dumps([*resources, broken]))
    done = subprocess.run(
        ["node", "validate.mjs", "given.json"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *found, bad = json.loads(done.stdout)
    assert not bad["valid"], "the validator looks at nothing"
    told = [(one["resourceType"], result["messages"]) for one, result in zip(resources, found, strict=True) if not result["valid"]]
    assert told == []


def test_the_page_says_what_becomes_of_every_example_of_hl7(tmp_path: Path) -> None:
    page = (ROOT / "node" / "fhir.md").read_text("utf-8")
    listed = page[page.index("| release | example | outcome |") :].splitlines()[2:]
    rows: list[str] = []
    for release, (package, version) in hl7_examples.PACKAGES.items():
        name = npm(tmp_path, "pack", "--silent", f"{package}@{version}").split()[-1]
        with tarfile.open(tmp_path / name) as packed:
            packed.extractall(tmp_path / release, filter="data")
        rows += hl7_examples.table(release, tmp_path / release / "package")
    assert rows == listed
    assert sum("| computed: " in one for one in rows) == 7 and len(rows) == 67
