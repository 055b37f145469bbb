"""A sign-in that ends while somebody is at work: what was typed is kept, said to be unsent, and sent under the next one."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Visitor
from tests.dashboard.world import World

Visit = Callable[..., Visitor]


def end(visitor: Visitor) -> None:
    """The session ends behind the page's back, as with its token, its eight hours, or a new start of the node."""
    held = {one["name"]: one["value"] for one in visitor.page.context.cookies()}
    csrf = visitor.page.get_attribute("form.leave input[name=csrf]", "value") or ""
    left = httpx.post(visitor.base + "/leave", data={"csrf": csrf}, cookies=held, trust_env=False)
    assert left.status_code == 303


def sign_in_elsewhere(visitor: Visitor, world: World) -> None:
    """In another tab of the same browser."""
    tab = visitor.page.context.new_page()
    tab.goto(world.link())
    tab.get_by_role("button", name="Sign in").click()
    tab.wait_for_url(re.compile("/overview$"))
    tab.close()


def main(page: Page) -> str:
    return page.inner_text("main")


def test_a_form_outlives_its_sign_in_and_is_sent_under_the_next(world: World, visit: Visit) -> None:
    visitor = visit(javascript=False)
    page = visitor.page
    visitor.go("/members")
    page.get_by_label("As").select_option("reader")
    end(visitor)
    page.get_by_role("button", name="Make an invitation").click()
    assert "Nothing was done yet" in visitor.text and "medsync open" in visitor.text and "reader" in visitor.text
    page.get_by_role("button", name="Send it again").click()
    assert "Nothing was done yet" in visitor.text, "nobody has signed in"
    sign_in_elsewhere(visitor, world)
    page.get_by_role("button", name="Send it again").click()
    assert "under an earlier sign-in" in visitor.text and page.get_by_label("As text").count() == 0
    page.get_by_role("button", name="Send it now").click()
    assert "An invitation as reader" in visitor.text and page.get_by_label("As text").input_value().startswith("medsync-invite:")


def test_a_search_is_kept_in_the_address_and_a_live_page_says_that_it_is_over(world: World, visit: Visit) -> None:
    visitor = visit()
    page = visitor.page
    visitor.go("/c/shared/consents")
    page.get_by_label("Pseudonym, card").fill(world.subject.subject)
    end(visitor)
    page.get_by_role("button", name="Look up").click()
    expect(page.locator("main")).to_contain_text("not signed in, or not any more")
    sign_in_elsewhere(visitor, world)
    page.get_by_role("link", name="load this page again").click()
    expect(page.locator("#found")).to_contain_text("on record")
    page.get_by_label("Pseudonym, card").fill("no pseudonym")
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("alert")).to_be_visible()  # what htmx keeps quiet is a page
    visitor.troubles = [one for one in visitor.troubles if "Response Status Error Code 422" not in one]  # htmx's note of the same
    visitor.go("/overview")
    expect(page.locator("#seen")).to_be_visible()
    end(visitor)
    world.cluster["north"].client.rotate("shared")
    expect(page.locator("main")).to_contain_text("not signed in, or not any more")


def test_a_page_that_is_live_no_more_says_so(visit: Visit) -> None:
    visitor = visit()
    visitor.page.route("**/dashboard/live", lambda route: route.abort())
    visitor.go("/overview")
    expect(visitor.page.locator("#stale")).to_contain_text("Not live: the node doesn't answer")
    visitor.page.unroute("**/dashboard/live")
    visitor.go("/overview")
    expect(visitor.page.locator("#stale")).to_be_hidden()
    visitor.troubles.clear()  # the browser's own words for the same


def test_a_form_of_another_site_is_neither_kept_nor_shown_again(world: World) -> None:
    with httpx.Client(base_url=world.base + "/", trust_env=False) as stranger, world.signed_in() as known:
        fields = {"role": "admin", "days": "30"}
        for headers in ({"Origin": "https://evil.example"}, {}):
            asked = stranger.post("members", data=fields, headers=headers)
            assert asked.status_code == 401 and "Nothing was done yet" not in asked.text
            refused = known.post("members", data=fields, headers=headers)
            assert refused.status_code == 403 and "Send it now" not in refused.text and "not sent from a page" in refused.text
        ours = {"Origin": world.base.removesuffix("/dashboard")}
        hostile = known.post("members", data={"role": "\"><script>x</script>", "note": "y" * 10_000}, headers=ours)
        assert hostile.status_code == 403 and "<script>x" not in hostile.text and "y" * 1_001 not in re.sub("<input[^>]*>", "", hostile.text)
