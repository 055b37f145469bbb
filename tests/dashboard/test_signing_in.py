"""Who comes in, and what his forms may do: links count once, sessions end, other sites' forms and small scopes are refused."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from medsync_client.errors import ClientError
from medsync_client.links import LinkCreate, PatientPlace
from medsync_client.subjects import SubjectEnrol
from medsync_node.api.scopes import SCOPES
from medsync_node.dashboard.sessions import (
    IDLE_MS,
    LINK_MS,
    MAX_LINKS,
    MAX_SESSIONS,
    PATIENT_SCOPES,
    SESSION_MS,
    Grant,
    Sessions,
)
from medsync_node.dashboard.visit import MAX_FIELDS
from medsync_node.token_book import TokenBook
from medsync_protocol.errors import Refused
from tests.node.api_world import Party, form, make_home, running
from tests.node.test_api_serving import self_signed

ALL = Grant(scopes=frozenset(SCOPES))
FAR = 1 << 52


def sessions(*, in_force: bool = True) -> Sessions:
    return Sessions(lambda token: in_force)


def test_a_link_signs_in_once_and_not_after_ten_minutes() -> None:
    held = sessions()
    code = held.link(0, ALL)
    entered = held.enter(1, code)
    assert entered is not None and held.enter(2, code) is None and held.enter(2, "another") is None
    late = held.link(0, ALL)
    assert held.enter(LINK_MS, late) is None


def test_a_session_ends_with_the_shift_when_left_alone_and_with_its_token() -> None:
    held = sessions()
    entered = held.enter(0, held.link(0, ALL))
    assert entered is not None
    _, cookie = entered
    assert held.find(IDLE_MS - 1, cookie) and held.find(2 * IDLE_MS - 2, cookie)
    assert held.find(3 * IDLE_MS, cookie) is None, "left alone for an hour"
    _, watched = held.enter(0, held.link(0, ALL)) or pytest.fail("no session")
    assert held.find(IDLE_MS - 1, watched, used=False) and held.find(IDLE_MS, watched, used=False) is None, "only the page asked"
    _, busy = held.enter(0, held.link(0, ALL)) or pytest.fail("no session")
    for at in range(0, SESSION_MS, IDLE_MS // 2):
        assert held.find(at, busy)
    assert held.find(SESSION_MS, busy) is None
    gone = sessions(in_force=False)
    assert gone.enter(0, gone.link(0, Grant(scopes=frozenset({"status"}), token="t"))) is None


def test_links_and_sessions_are_bounded() -> None:
    held = sessions()
    codes = [held.link(0, ALL) for _ in range(MAX_LINKS)]
    with pytest.raises(Refused) as caught:
        held.link(1, ALL)
    assert caught.value.advice
    first = held.enter(1, codes[0])
    for _ in range(MAX_SESSIONS):
        held.enter(2, held.link(2, ALL))
    assert first is not None and held.find(3, first[1]) is None, "the one not seen for longest makes room"


@pytest.fixture
async def north(tmp_path: Path) -> AsyncIterator[Party]:
    async with running(make_home(tmp_path, "north"), {"api.listen": "127.0.0.1:0"}) as party:
        await form([party])
        yield party


def browser(party: Party) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=party.daemon.api.url or "", trust_env=False)


async def enter(http: httpx.AsyncClient, url: str) -> httpx.Response:
    code = url.split("code=")[1]
    shown = await http.get(url)
    assert shown.status_code == 200 and code in shown.text and "set-cookie" not in shown.headers
    return await http.post("/dashboard/enter", data={"code": code})


def csrf(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


async def test_cookie_and_headers_keep_scripts_and_other_sites_out(north: Party) -> None:
    async with browser(north) as http:
        entered = await enter(http, (await north.client.open_dashboard(LinkCreate())).url)
        cookie = entered.headers["set-cookie"]
        assert {"HttpOnly", "Path=/dashboard", "SameSite=strict"} <= set(cookie.split("; "))
        page = await http.get("/dashboard/overview")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self'" in policy
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=|https?://", page.text)
        again = await http.post("/dashboard/enter", data={"code": "used"})
        assert again.status_code == 401
    async with browser(north) as stranger:
        for path in ("/dashboard/overview", "/dashboard/live", "/dashboard/c/trial/audit/export", "/dashboard/me"):
            assert (await stranger.get(path)).status_code in (401, 403)
        assert (await stranger.get("/favicon.ico")).status_code == 200, "no sign-in shows as an error in the browser"


async def test_a_form_from_elsewhere_does_nothing(north: Party) -> None:
    async with browser(north) as http:
        await enter(http, (await north.client.open_dashboard(LinkCreate())).url)
        form_ = {"role": "admin", "days": "1", "csrf": csrf(await http.get("/dashboard/members"))}
        for changed, headers in (({"csrf": "x"}, {}), ({}, {"Origin": "https://evil.example"}), ({"csrf": ""}, {})):
            refused = await http.post("/dashboard/members", data={**form_, **changed}, headers=headers)
            assert refused.status_code == 403 and "medsync-invite" not in refused.text
        assert "medsync-invite" in (await http.post("/dashboard/members", data=form_)).text
        assert (await http.post("/dashboard/members", data={**form_, "role": "emperor"})).status_code == 422
        many = {f"field{i}": "x" for i in range(MAX_FIELDS)}
        assert (await http.post("/dashboard/members", data={**form_, **many})).status_code == 422
        assert (await http.post("/dashboard/enter", data={"code": "x", **many})).status_code == 422


async def test_whoever_has_a_token_opens_no_more_than_it_allows_and_no_longer(north: Party) -> None:
    book = TokenBook(north.daemon.node.home.tokens_file)  # type: ignore[union-attr]
    made, token = book.issue(0, "front desk", ["dashboard", "status"], FAR, 100)
    async with browser(north) as http:
        headers = {"Authorization": f"Bearer {token}"}
        more = await http.post("/v1/dashboard/links", json={"scopes": ["govern"]}, headers=headers)
        assert more.status_code == 403 and more.json()["code"] == "scope_missing"
        url = (await http.post("/v1/dashboard/links", json={}, headers=headers)).json()["url"]
        assert (await enter(http, url)).status_code == 303
        assert (await http.get("/dashboard/overview")).status_code == 200
        assert (await http.get("/dashboard/c/trial/access?subject=00")).status_code == 403
        book.revoke(5, made.id)
        assert (await http.get("/dashboard/overview")).status_code == 401


async def test_a_patients_link_opens_that_page_and_nothing_about_anybody_else(north: Party) -> None:
    mine, other = [await north.client.enrol_subject("trial", SubjectEnrol()) for _ in range(2)]
    place = PatientPlace(context="trial", subject=mine.card)
    made = await north.client.open_dashboard(LinkCreate(patient=place))
    assert set(made.scopes) == PATIENT_SCOPES
    async with browser(north) as http:
        await enter(http, made.url)
        page = await http.get("/dashboard/me")
        assert page.status_code == 200 and mine.subject in page.text and other.subject not in page.text
        for path in (f"/dashboard/c/trial/subjects/{other.subject}", "/dashboard/members", "/dashboard/c/trial/consents"):
            assert (await http.get(path)).status_code == 403
        for fields in ({}, {"document": "zz"}, {"document": "90", "signature": "00"}):
            refused = await http.post("/dashboard/me/revoke", data={"csrf": csrf(page), **fields})
            assert refused.status_code == 422 and "--key FILE" in refused.text


async def test_a_link_needs_tcp_known_scopes_and_a_known_patient(north: Party, tmp_path: Path) -> None:
    for body in (LinkCreate(scopes=("everything",)), LinkCreate(patient=PatientPlace(context="trial", subject="00" * 16))):
        with pytest.raises(ClientError) as caught:
            await north.client.open_dashboard(body)
        assert caught.value.advice
    async with running(make_home(tmp_path, "quiet")) as quiet:
        with pytest.raises(ClientError) as caught:
            await quiet.client.open_dashboard(LinkCreate())
        assert caught.value.code == "not_over_tcp" and "api.listen" in caught.value.advice


async def test_a_read_only_node_shows_its_pages_and_changes_nothing(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    async with running(home) as party:
        await party.client.create_network("hospitals")
    async with running(home, {"api.listen": "127.0.0.1:0", "api.read_only": "true"}) as party, browser(party) as http:
        await enter(http, (await party.client.open_dashboard(LinkCreate())).url)
        page = await http.get("/dashboard/members")
        assert "read-only" in page.text and "Make an invitation" not in page.text
        form_ = {"csrf": csrf(page), "role": "member", "days": "1"}
        assert (await http.post("/dashboard/members", data=form_)).status_code == 403


async def test_over_tls_the_cookie_never_travels_in_clear_and_forms_work(tmp_path: Path) -> None:
    certificate, private_key = self_signed(tmp_path)
    settings = {"api.listen": "127.0.0.1:0", "api.certificate": str(certificate), "api.private_key": str(private_key)}
    async with running(make_home(tmp_path, "north"), settings) as party:
        await party.client.create_network("hospitals")
        context = ssl.create_default_context(cafile=str(certificate))
        url = party.daemon.api.url or ""
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=context) as http:
            entered = await enter(http, (await party.client.open_dashboard(LinkCreate())).url)
            assert "Secure" in entered.headers["set-cookie"].split("; ")
            form_ = {"role": "reader", "days": "1", "csrf": csrf(await http.get("/dashboard/members"))}
            made = await http.post("/dashboard/members", data=form_, headers={"Origin": url})
            assert "medsync-invite" in made.text
            plain = await http.post("/dashboard/members", data=form_, headers={"Origin": url.replace("https", "http")})
            assert plain.status_code == 403
