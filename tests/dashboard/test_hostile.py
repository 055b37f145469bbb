"""What others may write into names, reasons and notes stays text, on its own line and inside the page."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.contexts import ContextCreate
from medsync_client.glass import GlassBreak
from medsync_client.subjects import SubjectEnrol
from tests.dashboard.conftest import Visitor
from tests.dashboard.test_pages import TOO_WIDE
from tests.dashboard.world import DESKTOP, PAPER, PHONE, World

Visit = Callable[..., Visitor]

MARKUP = "<img src=x onerror=window.hit=1><script>window.hit=1</script>"
NAME = (MARKUP + "W" * 128)[:128]
REASON = (MARKUP + "\u05d0\u05d1\u05d2 " + "M" * 512)[:512]
USER, UNIT = "<svg/onload=window.hit=1>" + "Q" * 39, "a\u202e\u2066gnp.exe\x07" + "{{ 7*7 }}"


def test_hostile_texts_stay_texts_and_break_no_page(world: World, visit: Visit) -> None:
    north = world.cluster["north"]
    made = north.client.create_context(ContextCreate(name=NAME, settings={"implicit": 3}))
    subject = north.client.enrol_subject(made.id, SubjectEnrol()).subject
    other = LoggedAccess(
        half="disclosed", subject=subject, requester=north.member, custodian=north.member, purposes=("TREAT",), unit=UNIT, user=USER
    )
    north.client.append_accesses(made.id, AccessBatch(entries=(other,)))
    north.client.break_glass(made.id, GlassBreak(subject=subject, reason=REASON, user=USER, unit=UNIT))
    here, visitor = f"/c/{made.id}", visit(size=PHONE)
    for path in ("/overview", here, f"{here}/access?subject=", f"{here}/access?subject=&sessions=1", f"{here}/reviews?days=7", f"{here}/members",
                 f"{here}/members/leave", f"{here}/subjects/{subject}", f"{here}/subjects/{subject}/accounting?mode=all", f"{here}/audit/cover", f"{here}/anchors", "/members", f"{here}/consents?q=%3Cb%3E{'z' * 9_000}"):  # fmt: skip
        visitor.go(path)
        for size in (PHONE, DESKTOP, PAPER):
            visitor.page.set_viewport_size({"width": size[0], "height": size[1]})
            assert visitor.page.evaluate(TOO_WIDE) <= 0, (path, size)
        assert "window.hit" in visitor.page.content() or path in ("/members", "/audit"), path
        assert visitor.page.evaluate("window.hit === undefined && !document.querySelector('main img, main script, main b, main svg[onload]')"), path
        assert not {"\u202e", "\u2066", "\x07"} & set(visitor.page.content()), path
    visitor.go(f"{here}/reviews?days=7")
    expect(visitor.page.locator("tbody tr").first).to_contain_text("\u2068" + REASON[:60])
    assert "{{ 7*7 }}" in visitor.text
    assert visitor.page.locator(".place strong").inner_text() == NAME[:40] + "…"
