"""Pictures of the dashboard's pages, from real nodes in a real browser, at a desk's width, a phone's, and as printed. `scripts/screenshots`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.dashboard.world import CHROMIUM, DESKTOP, PAPER, PHONE, World, open_world

PAGES = {
    "overview": "/overview", "context": "/c/shared", "patients": "/c/shared/subjects", "membership": "/c/shared/members",
    "removal": "/c/shared/members/remove?member=south", "consents": "/c/shared/consents?q={subject}",
    "consent": "/c/shared/consents/{consent}", "access": "/c/shared/access?subject={subject}",
    "receipt": "/c/shared/receipts/{receipt}?subject={subject}", "history": "/c/shared/operations",
    "reviews": "/c/shared/reviews?days=7",
    "anchors": "/c/shared/anchors", "members": "/members", "rewards": "/rewards", "audit": "/c/shared/audit",
    "patient": "/c/shared/subjects/{subject}", "accounting": "/c/shared/subjects/{subject}/accounting", "cover": "/c/shared/audit/cover",
}  # fmt: skip


def main(target: Path, *wanted: str) -> None:
    """One PNG for each page and width; those `wanted` only, if any are named, and then of what a screen shows."""
    clip = bool(wanted)
    if CHROMIUM is None:
        sys.exit("screenshots: no Chromium; type: sudo apt-get install chromium")
    target.mkdir(parents=True, exist_ok=True)
    with open_world() as world, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        for width, size in (("desk", DESKTOP), ("phone", PHONE), ("paper", PAPER)):
            for patient in (False, True):
                page = browser.new_context(viewport={"width": size[0], "height": size[1]}).new_page()
                page.goto(world.link(patient=patient))
                page.get_by_role("button", name="Sign in").click()
                for name, path in {"me": "/me"}.items() if patient else PAGES.items():
                    if wanted and name not in wanted:
                        continue
                    page.emulate_media(media="screen")
                    page.goto(world.base + _at(path, world))
                    if name == "members":
                        page.get_by_role("button", name="Make an invitation").click()
                    page.emulate_media(media="print" if width == "paper" else "screen")
                    page.screenshot(path=target / f"{name}-{width}.png", full_page=not clip)
        browser.close()


def _at(path: str, world: World) -> str:
    receipt = "" if world.answer is None else world.answer.receipt_id
    return path.format(subject=world.subject.subject, consent=world.consents[0], receipt=receipt)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
