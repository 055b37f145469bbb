"""Each page and each action in a real browser: signed in with all scopes, with too few, without JavaScript, as a patient."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from medsync_node.api.scopes import SCOPES
from tests.dashboard.conftest import OTHER_NAME, Visitor
from tests.dashboard.world import DESKTOP, PAPER, PHONE, REASON, World

Visit = Callable[..., Visitor]

PAGES = {
    "/overview": "Overview", "/members": "Members", "/rewards": "Rewards", "/c/shared/rewards": "No terms are in force", "/c/shared": "shared",
    "/c/shared/consents": "Consents", "/c/shared/consents?q={subject}": "3 on record", "/c/shared/consents/{consent}": "south may use",
    "/c/shared/access?subject={subject}": "without a counterpart", "/c/shared/receipts/{receipt}?subject={subject}": "the same answer",
    "/c/shared/access?subject={subject}&sessions=1": "entry", "/c/shared/access?subject=&purpose=ETREAT": "dr-haste", "/c/shared/access": "Left empty", "/c/shared/reviews": "Reviews",
    "/c/shared/reviews?days=7": "Glass broken: 1", "/c/shared/operations": "Operations", "/c/shared/anchors": "not anchored", "/c/shared/audit": "Audit",
    "/c/shared/subjects": "Who looked", "/c/shared/members": "Waiting for votes", "/c/shared/members/remove?member=south": "What will happen",
    "/members/role?member=south&role=reader": "What will happen", "/c/shared/members/policy?policy=k_of_n&parameters=k%3D3": "have voted for exactly this one",
    "/c/shared/subjects/{subject}": "Accounting of disclosures", "/c/shared/subjects?subject={subject}": "Accounting of disclosures",
}  # fmt: skip
"""Every page with words that only its contents have."""
NEEDS = {
    "/members": "status", "/c/shared/subjects": "consent:read", "/c/shared/consents?q={subject}": "consent:read", "/c/shared/access?subject={subject}": "access:read",
    "/c/shared/receipts/{receipt}?subject={subject}": "access:read", "/c/shared/subjects/{subject}": "consent:read",
    "/c/shared/reviews?days=1": "access:read", "/c/shared/audit/export": "audit", "/c/shared/anchors/1/proof": "audit", "/c/shared/consents/{consent}/proof": "audit",
}  # fmt: skip
"""Pages that a session without the scope is refused, though it has all others."""


def at(path: str, world: World) -> str:
    assert world.answer is not None
    return path.format(subject=world.subject.subject, consent=world.consents[0], receipt=world.answer.receipt_id)


TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNUSABLE = """() => {
  const all = (wanted) => [...document.querySelectorAll(wanted)], ids = all("[id]").map((one) => one.id);
  const levels = all("main h1, main h2, main h3").map((one) => Number(one.tagName[1]));
  return [
    ...all("input:not([type=hidden]), select, textarea").filter((one) => !one.labels.length).map((one) => "no label: " + one.name),
    ...all("a, button").filter((one) => !one.textContent.trim()).map((one) => "no name: " + one.outerHTML),
    ...all("[tabindex]").filter((one) => one.tabIndex > 0).map((one) => "out of order: " + one.outerHTML),
    ...ids.filter((one, i) => ids.indexOf(one) !== i).map((one) => "twice: " + one),
    ...levels.filter((one, i) => one > (levels[i - 1] ?? 0) + 1).map((one) => "skips to h" + one),
    ...all("th").filter((one) => !one.scope).map((one) => "no scope: " + one.textContent),
    ...(levels.filter((one) => one === 1).length === 1 ? [] : ["not one h1"]),
  ];
}"""


def test_every_page_shows_its_contents_and_fits_a_phone_a_desk_and_paper(world: World, visit: Visit) -> None:
    visitor = visit(size=PHONE)
    for path, words in PAGES.items():
        answered = visitor.go(at(path, world))
        assert answered.status == 200 and words in visitor.text, (path, visitor.text)
        wide = visitor.page.evaluate(TOO_WIDE)
        assert wide <= 0, f"{path} is {wide} px too wide for a phone"
        assert not visitor.page.evaluate(UNUSABLE), path
        visitor.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
        assert visitor.page.evaluate(TOO_WIDE) <= 0, f"{path} is too wide for a desk"
        visitor.page.emulate_media(media="print")
        visitor.page.set_viewport_size({"width": PAPER[0], "height": PAPER[1]})
        assert visitor.page.evaluate(TOO_WIDE) <= 0, f"{path} is too wide for paper"
        visitor.page.emulate_media(media="screen")
        visitor.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})


def test_pages_are_readable_and_searched_without_javascript(world: World, visit: Visit) -> None:
    visitor = visit(javascript=False)
    visitor.go("/c/shared/consents")
    visitor.page.get_by_label("Pseudonym, card").fill(world.subject.card)
    visitor.page.get_by_role("button", name="Look up").click()
    assert "3 on record" in visitor.text and "research (HRESCH)" in visitor.text
    visitor.page.get_by_role("button", name="Sign out").click()
    assert "medsync open" in visitor.text
    assert visitor.go("/overview").status == 401


def test_patients_are_found_by_first_digits_and_lead_to_what_is_about_them(world: World, visit: Visit) -> None:
    visitor, subject = visit(), world.subject.subject
    visitor.go("/c/shared/subjects")
    visitor.page.get_by_label("first digits").fill("0" if subject[0] != "0" else "1")
    visitor.page.get_by_role("button", name="Show").click()
    expect(visitor.page.locator("#found")).to_contain_text("None that begins so")
    visitor.page.get_by_label("first digits").fill(subject[:5].upper())
    visitor.page.get_by_label("of other custodians").check()
    visitor.page.get_by_role("button", name="Show").click()
    expect(visitor.page.locator("#found tbody tr")).to_have_count(1)
    for link, words in (("Who looked", "without a counterpart"), ("of " + subject[:12], "3 on record"), (subject[:12], "Accounting of disclosures")):
        visitor.go(f"/c/shared/subjects?subject={subject[:5]}")
        visitor.page.locator("#found").get_by_role("link", name=link).first.click()
        expect(visitor.page.locator("main")).to_contain_text(words)
    with world.signed_in("status", "consent:read") as small:
        assert "None." in small.get(f"c/shared/subjects?after={subject}").text
        assert [small.get(f"c/shared/subjects?{one}").status_code for one in ("subject=zz", "after=1")] == [422, 422]
        assert subject[:12] in (found := small.get("c/shared/subjects").text) and "Who looked" not in found


def test_the_log_is_filtered_and_a_lone_half_is_told(world: World, visit: Visit) -> None:
    visitor = visit()
    visitor.go(f"/c/shared/access?subject={world.subject.subject}")
    expect(visitor.page.locator("tbody .tag.warn")).to_have_count(1)
    visitor.page.get_by_label("only halves without").check()
    visitor.page.get_by_role("button", name="Show").click()
    expect(visitor.page.locator("#found tbody tr")).to_have_count(1)
    assert "dr-who, ward 7" in visitor.text and "unmatched=1" in visitor.page.url
    visitor.page.get_by_label("in sessions").check()
    visitor.page.get_by_role("button", name="Show").click()
    visitor.page.get_by_text("1 entry").click()
    expect(visitor.page.locator("#found li .tag.warn")).to_be_visible()
    visitor.page.get_by_label("in sessions").uncheck()
    visitor.page.get_by_label("only halves without").uncheck()
    visitor.page.get_by_label("What").select_option("requested")
    visitor.page.get_by_role("button", name="Show").click()
    expect(visitor.page.locator("#found")).not_to_contain_text("dr-who")
    visitor.page.get_by_role("link", name="receipt").first.click()
    expect(visitor.page.get_by_role("status").first).to_contain_text("the same inputs give the same answer")


def test_a_consent_is_revoked_and_an_invitation_made(world: World, visit: Visit) -> None:
    visitor = visit()
    visitor.go(f"/c/shared/consents/{world.consents[2]}")
    visitor.page.get_by_label("The patient asked for it").check()
    visitor.page.get_by_role("button", name="Revoke this consent").click()
    expect(visitor.page.locator("main")).to_contain_text("revoked")
    assert visitor.page.get_by_role("button", name="Revoke").count() == 0
    visitor.go("/members")
    visitor.page.get_by_label("As").select_option("reader")
    visitor.page.get_by_role("button", name="Make an invitation").click()
    assert visitor.page.get_by_label("As text").input_value().startswith("medsync-invite:")
    assert visitor.page.get_by_role("img", name="QR code").is_visible()


def test_broken_glass_is_reviewed_by_who_may_and_from_these_pages_only(world: World, visit: Visit) -> None:
    small = visit(*(set(SCOPES) - {"access:review"}))
    small.go("/c/shared/reviews?days=7")
    assert REASON in small.text and "1 to be reviewed" in small.text and "by north" in small.text
    assert small.page.get_by_role("button", name="Record the review").count() == 0
    glass = world.cluster["north"].client.reviews("shared").glass[0]
    form: dict[str, str | float | bool] = {"outcome": "justified", "csrf": small.page.get_attribute("input[name=csrf]", "value") or ""}
    for sender, sent, told in ((small, form, "access:review"), (visit(), {**form, "csrf": ""}, "not sent from a page")):
        refused = sender.page.request.post(f"{sender.base}/c/shared/reviews/{glass.id}", form=sent)
        assert refused.status == 403 and told in refused.text()
    visitor = visit()
    visitor.go("/c/shared/reviews?days=7")
    visitor.page.get_by_label("It was").select_option("follow-up")
    visitor.page.get_by_label("Note").fill("ask the ward")
    visitor.page.get_by_role("button", name="Record the review").click()
    expect(visitor.page.get_by_role("status")).to_have_text("The review is on record.")
    assert "needs follow-up, ask the ward" in visitor.text and "1 to be reviewed" in visitor.text
    visitor.go(f"/c/shared/subjects/{world.subject.subject}")
    visitor.page.get_by_label("It was").select_option("justified")
    visitor.page.get_by_role("button", name="Record the review").click()
    assert "0 to be reviewed" in visitor.text and "Review it again" in visitor.text
    mine = visit(patient=True)
    assert REASON in mine.text and "justified" in mine.text and mine.page.get_by_role("button", name="Record the review").count() == 0


def test_a_copy_is_checked_and_exported(world: World, visit: Visit) -> None:
    visitor = visit()
    visitor.go("/c/shared/audit")
    visitor.page.get_by_role("button", name="Check it").click()
    expect(visitor.page.get_by_role("status")).to_contain_text("all is as it should be")
    with visitor.page.expect_download() as told:
        visitor.page.get_by_role("link", name="All operations").click()
    lines = told.value.path().read_text().splitlines()
    held = sum(world.cluster["north"].client.context("shared").chains.values())
    assert told.value.suggested_filename.endswith(".ndjson") and len(lines) >= held
    assert all(json.loads(line) for line in lines)


def test_what_happens_shows_without_loading_the_page_again(world: World, visit: Visit) -> None:
    visitor = visit()
    visitor.go("/overview")
    before = visitor.page.inner_text("#seen")
    visitor.page.evaluate("window.same = true")
    visitor.page.get_by_label("Pages of shared").get_by_role("link", name="Consents").focus()
    world.cluster["north"].client.rotate("shared")
    expect(visitor.page.locator("#seen")).not_to_have_text(before)
    assert visitor.page.evaluate("window.same")
    expect(visitor.page.get_by_label("Pages of shared").get_by_role("link", name="Consents")).to_be_focused()  # who goes by keyboard stays


def test_a_session_without_a_scope_is_refused_what_needs_it(world: World, visit: Visit) -> None:
    for scope in sorted(set(NEEDS.values())):
        with world.signed_in(*(set(SCOPES) - {scope})) as http:
            for path in (path for path, needed in NEEDS.items() if needed == scope):
                answered = http.get(at(path, world).lstrip("/"))
                assert answered.status_code == 403 and f"the scope {scope} allows it" in answered.text, path
    small = visit("status", "consent:read")
    small.go(f"/c/shared/consents/{world.consents[0]}")
    assert "south may use" in small.text and small.page.get_by_role("button", name="Revoke").count() == 0
    small.go("/members")
    assert small.page.get_by_role("button", name="Make an invitation").count() == 0
    small.go("/c/shared/audit")
    small.page.get_by_role("button", name="Check it").click()
    assert "the scope audit allows it" in small.text


@pytest.mark.parametrize("made_here", [False, True], ids=["from a file", "made in the browser"])
def test_a_patient_takes_a_consent_back_by_a_key_that_stays_in_the_browser(world: World, visit: Visit, made_here: bool) -> None:
    visitor = visit(patient=True)
    consent = world.consents[1 if made_here else 0]
    form = visitor.page.locator(f"form[data-consent='{consent}']")
    assert "Who looked, and why" in visitor.text and "south may use the data for" in visitor.text
    assert form.get_by_role("button").is_disabled()
    if made_here:
        visitor.page.get_by_role("button", name="Make a key").click()
        expect(visitor.page.locator("#key-state")).to_contain_text("is not on your record yet")
        public = visitor.page.inner_text("#key-state").split()[2]
        from medsync_client.subjects import SubjectKeys

        world.cluster["north"].client.change_keys("shared", world.subject.subject, SubjectKeys(add_patient=(public,)))
        visitor.go("/me")
    else:
        visitor.page.get_by_label("Use the key").set_input_files(world.key_file)
    expect(visitor.page.locator("#key-state")).to_contain_text("can't be taken out of it")
    sent: list[str] = []
    visitor.page.on("request", lambda one: sent.append(one.post_data or "") if one.method == "POST" else None)
    form.get_by_role("button").click()
    expect(form).to_have_count(0)
    found = world.cluster["north"].client.consent("shared", consent)
    assert (found.status, found.reason) == ("not-counted", "revoked")
    seed = json.loads(world.key_file.read_text())["seed"]
    assert len(sent) == 1 and seed not in sent[0]
    assert visitor.go("/overview").status == 403 and visitor.go(f"/c/shared/subjects/{world.subject.subject}").status == 403


def test_where_a_browser_lets_no_key_sign_the_patient_is_sent_to_the_command_line(visit: Visit) -> None:
    visitor = visit(patient=True, host=OTHER_NAME)
    expect(visitor.page.locator("#key-state")).to_contain_text("medsync consent revoke CONTEXT CONSENT --key FILE")
    assert visitor.page.locator("form.revoke button:enabled").count() == 0 and not visitor.page.locator("#key-new").is_visible()
    visitor.troubles = [one for one in visitor.troubles if "Cross-Origin-Opener-Policy" not in one]  # Chromium's note, same cause


def test_the_keyboard_reaches_the_content_and_every_control_is_seen_in_focus(visit: Visit) -> None:
    visitor = visit()
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.textContent") == "To the content"
    visitor.page.keyboard.press("Enter")
    assert visitor.page.evaluate("document.activeElement.id") == "main"
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_by_keyboard_alone_a_key_is_replaced_and_every_stop_is_seen(world: World, visit: Visit) -> None:
    visitor, north = visit(), world.cluster["north"]
    before = north.client.context("shared").epoch

    def reach(name: str) -> None:
        """Press Tab until the focus is there; a control without an outline is no stop."""
        visitor.page.wait_for_load_state()  # with its style sheet, which draws the outlines
        for _ in range(MOST_STOPS):
            visitor.page.keyboard.press("Tab")
            at = visitor.page.evaluate("(({ textContent: t }, { outlineStyle: o, outlineWidth: w }) => [t.trim(), o, w])(document.activeElement, getComputedStyle(document.activeElement))")
            assert at[1:] == ["solid", "3px"] or at[0].startswith("To the content"), at
            if at[0] == name:
                visitor.page.keyboard.press("Enter")
                return
        pytest.fail(f"{name} is not reached")

    visitor.go("/c/shared")
    reach("Members")
    expect(visitor.page.locator("h1")).to_have_text("Members of shared")
    reach("Replace the key …")
    expect(visitor.page.locator("h1")).to_have_text("Replace the key of shared?")
    reach("Replace the key of shared")
    expect(visitor.page.get_by_role("status").first).to_have_text("The key is replaced. It counts from now on.")
    assert north.client.context("shared").epoch == before + 1


MOST_STOPS = 80  # of a page, until something wanted is not there


CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (one) => { for (; one; one = one.parentElement) { const c = rgb(getComputedStyle(one).backgroundColor);
    if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = [];
  const far = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  for (const one of document.querySelectorAll("svg text")) {
    const boxes = [...one.closest("svg").querySelectorAll(".box")].map((box) => rgb(getComputedStyle(box).fill));
    for (const b of [ground(one), ...boxes]) {
      const ratio = far(light(rgb(getComputedStyle(one).fill)), light(b));
      if (ratio < 4.5) low.push(`text ${one.className.baseVal} ${ratio.toFixed(2)}`);
    }
  }
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest("svg") || one.disabled || ![...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    const a = light(rgb(getComputedStyle(one).color)), b = light(ground(one));
    const ratio = far(a, b);
    if (ratio < 4.5) low.push(`${one.tagName} ${one.className} ${ratio.toFixed(2)}`);
  }
  return low;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(world: World, visit: Visit, scheme: str) -> None:
    visitor = visit()
    visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in ("/overview", "/c/shared/access?subject={subject}", "/c/shared/consents/{consent}", "/c/shared/anchors", "/c/shared/members",
                 "/c/shared/members/remove?member=south", "/c/shared/subjects", "/c/shared/operations", "/c/shared/reviews?days=7"):  # fmt: skip
        visitor.go(at(path, world))
        assert not visitor.page.evaluate(CONTRAST), path
