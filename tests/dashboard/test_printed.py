"""What is handed out on paper, printed to PDF by a real Chromium and read again: pages, totals, flags, and who is not named."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.subjects import SubjectEnrol
from medsync_node import cli
from tests.dashboard.conftest import Visitor
from tests.dashboard.world import World

Visit = Callable[..., Visitor]
KINDS = (
    "AllergyIntolerance", "Condition", "DiagnosticReport", "DocumentReference", "Encounter", "FamilyMemberHistory", "ImagingStudy",
    "Immunization", "MedicationAdministration", "MedicationRequest", "Observation", "Procedure", "QuestionnaireResponse", "Specimen",
)  # fmt: skip
PURPOSES = ("HRESCH", "DSRCH", "PUBHLTH", "HMARKT", "HQUALIMP")  # the last is operations, and so exempt
DAY = 86_400_000
LINES, REPEATS = len(KINDS) * (len(PURPOSES) - 1), 2


def printed(page: Page, target: Path, paper: str = "A4") -> list[str]:
    """The text of each page of the PDF; kept where MEDSYNC_PRINTED names a folder, to be looked at."""
    page.pdf(path=target, format=paper, prefer_css_page_size=False)
    kept = os.environ.get("MEDSYNC_PRINTED")
    if kept:
        (Path(kept) / f"{target.stem}-{paper}.pdf").write_bytes(target.read_bytes())
    return [" ".join(one.extract_text().split()) for one in PdfReader(target).pages]


def numbered(pages: list[str]) -> bool:
    return all(f"Page {number} of {len(pages)}" in text for number, text in enumerate(pages, 1))


def with_disclosures(world: World) -> str:
    """A patient of whose data north released every kind for every purpose, each of them three times, a day between."""
    north, south = world.cluster["north"], world.cluster["south"]
    subject = north.client.enrol_subject("shared", SubjectEnrol()).subject
    entries = tuple(
        LoggedAccess(
            half="disclosed", subject=subject, requester=south.member, custodian=north.member, purposes=(purpose,), types=(kind,),
            time=1_700_000_000_000 + number * DAY,
        )
        for purpose in PURPOSES for kind in KINDS for number in range(1 + REPEATS)
    )  # fmt: skip
    north.client.append_accesses("shared", AccessBatch(entries=entries))
    return subject


def test_an_accounting_fills_several_pages_and_its_totals_are_right(
    world: World, visit: Visit, chromium: Browser, tmp_path: Path
) -> None:
    subject = with_disclosures(world)
    visitor = visit()
    visitor.go(f"/c/shared/subjects/{subject}")
    visitor.page.get_by_role("button", name="Make a sheet").click()
    visitor.page.wait_for_url(re.compile("accounting"))
    total = LINES * (1 + REPEATS)
    for paper in ("A4", "Letter"):
        pages = printed(visitor.page, tmp_path / "accounting.pdf", paper)
        whole = " ".join(pages)
        assert len(pages) in (3, 4) and numbered(pages), (paper, len(pages))  # by the fonts of the machine
        assert all(f"Accounting of disclosures · patient {subject}" in text and "First, last" in text for text in pages)
        assert f"{total} in {LINES} lines, the first on 2023-11-14 22:13:20 UTC, the last on 2023-11-16 22:13:20 UTC" in whole
        assert f"Total {total}" in pages[-1] and f"south {total} Total {total}" in pages[0]
        assert f"research (HRESCH) {len(KINDS) * 3}" in whole and "HQUALIMP" not in whole, "operations are exempt"
        rows = re.findall(r"(\d+) 2023-11-14 22:13:20 UTC to 2023-11-16 22:13:20 UTC 3 south north", whole)
        assert [int(one) for one in rows] == list(range(1, LINES + 1)), "no line is cut off or lost between pages"
        assert "Not complete" not in whole
    assert visitor.page.locator("script").count() == 0

    visitor.go(f"/c/shared/subjects/{subject}")
    visitor.page.get_by_label("Suspended for").select_option("south")
    visitor.page.get_by_role("button", name="Make a sheet").click()
    visitor.page.wait_for_url(re.compile("accounting.*suspend"))
    assert "part of this accounting is suspended" in visitor.text and "south" not in visitor.text

    # what the patient's own signature authorised is counted and left out
    visitor.go(f"/c/shared/subjects/{world.subject.subject}/accounting")
    (page_,) = printed(visitor.page, tmp_path / "authorised.pdf")
    assert "Left out: 1 that the patient's own signature authorised" in page_ and "1 in 1 line, " in page_
    assert "glass broken" in page_ and "research (HRESCH)" not in page_

    # the command line writes the same sheet; who is suspended is not named on it, and it says that something is missing
    home = world.cluster["north"].home.path
    target = tmp_path / "suspended.html"
    words = ["accounting", "shared", subject, "--suspend", "south", "--from", "2023-11-01", "--html", str(target), "--home", str(home)]
    assert cli.run([*words, "--json"]) == 0 and target.stat().st_mode & 0o777 == 0o600
    page = chromium.new_page()
    page.goto(target.as_uri())
    pages = printed(page, tmp_path / "suspended.pdf")
    assert len(pages) == 1 and numbered(pages) and "part of this accounting is suspended" in pages[0]
    assert "south" not in pages[0] and "Nothing in this period" in pages[0] and "from 2023-11-01 00:00:00 UTC" in pages[0]
    page.close()


def test_the_cover_of_an_export_counts_what_is_in_the_file(
    world: World, visit: Visit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    visitor = visit()
    visitor.go("/c/shared/audit")
    with visitor.page.expect_download() as told:
        visitor.page.get_by_role("link", name="All operations").click()
    file = told.value.path()
    held = sum(world.cluster["north"].client.context("shared").chains.values())
    visitor.page.get_by_role("link", name="A cover to print").click()
    visitor.page.wait_for_url(re.compile("cover$"))
    pages = printed(visitor.page, tmp_path / "cover.pdf")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(pages) <= 2 and numbered(pages), len(pages)
    assert all(chain[:16] in "".join(pages) for chain in world.cluster["north"].client.context("shared").chains)
    assert digest in pages[0] and f"{held:,} operations with" in pages[0] and f"Total {held:,}" in pages[0]
    assert "No checkpoint was accepted" in pages[0] and "not anchored" in pages[0] and "medsync verify ADDRESS" in pages[0]
    assert f"{file.stat().st_size:,} bytes" in pages[0] and "access" in pages[0] and "directive 3 0" in pages[0]

    # the same from a file, without a node; and written beside it by the command that exports
    out, home = tmp_path / "trial.ndjson", world.cluster["north"].home.path
    assert cli.run(["audit", "export", "shared", "--to", str(out), "--html", str(tmp_path / "cover.html"), "--home", str(home), "--json"]) == 0
    capsys.readouterr()
    assert cli.run(["audit", "cover", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert (found["sha256"], found["operations"], found["checkpoint"]) == (digest, found["not_final"], None)
    assert digest in (tmp_path / "cover.html").read_text()
