"""Tokens: each allows what its scopes name, at its rate, until it ends or is revoked; read-only mode refuses writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from medsync_client.contexts import ContextCreate
from medsync_node import cli
from medsync_node.api.app import make_app
from medsync_node.api.guards import PAGES, WITHOUT_TOKEN, Bucket
from medsync_node.api.scopes import ROUTES, SCOPES, route_of
from medsync_node.token_book import TokenBook
from medsync_protocol.errors import OperatorError
from tests.node.api_world import Party, make_home, running

FAR = 1 << 52


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    while not hasattr(app, "openapi"):
        app = app._app  # the guards around it
    for path, methods in app.openapi()["paths"].items():
        yield from ((method.upper(), path) for method in methods)


async def test_the_table_has_every_route(tmp_path: Path) -> None:
    import trio

    async with running(make_home(tmp_path, "north")) as north:
        served = set(routes_of(make_app(north.daemon.node, stopping=trio.Event())))
    listed = {(route.method, route.path) for route in ROUTES}
    assert {one for one in served if one[1] not in WITHOUT_TOKEN and not one[1].startswith(PAGES)} <= listed
    assert {route.scope for route in ROUTES} == set(SCOPES)
    for route in ROUTES:
        assert route_of(route.method, re.sub(r"\{\w+\}", "x1", route.path)) == route
    assert route_of("GET", "/v1/contexts/a/b/c/d") is None


async def ask(north: Party, token: str | None, method: str, path: str) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=north.daemon.api.url or "", headers=headers, trust_env=False) as http:
        return await http.request(method, path)


async def test_each_scope_opens_its_routes_and_no_other(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    book = TokenBook(home.tokens_file)
    async with running(home, {"api.listen": "127.0.0.1:0"}) as north:
        tokens = {scope: book.issue(0, scope, [scope], FAR, 10_000)[1] for scope in SCOPES}
        http = httpx.AsyncClient(base_url=north.daemon.api.url or "", trust_env=False)  # one connection: the table is long
        for route in ROUTES:
            path = re.sub(r"\{\w+\}", "nothing", route.path)
            for scope, token in tokens.items():
                if scope == route.scope and path == "/v1/events":
                    continue  # would stream for ever; that it is allowed is the guard's, and it asks the same table
                if scope != route.scope and scope not in ("status", "govern"):
                    continue  # two wrong ones are enough
                answered = await http.request(route.method, path, headers={"Authorization": f"Bearer {token}"})
                allowed = answered.status_code not in (401, 403) or "scope_missing" not in answered.text
                assert allowed == (scope == route.scope), (route, scope, answered.text)
        await http.aclose()
        assert (await ask(north, tokens["status"], "GET", "/v1/no/such/path")).status_code == 403


async def test_a_revoked_an_expired_and_an_unknown_token_are_refused_at_once(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    book = TokenBook(home.tokens_file)
    async with running(home, {"api.listen": "127.0.0.1:0"}) as north:
        made, token = book.issue(0, "monitor", ["status"], FAR, 100)
        _, ended = book.issue(0, "old", ["status"], 1, 100)
        assert (await ask(north, token, "GET", "/v1/status")).status_code == 200
        TokenBook(home.tokens_file).revoke(5, made.id)  # as another process would
        for wrong in (token, ended, "medsync-" + "x" * 43, None):
            answered = await ask(north, wrong, "GET", "/v1/status")
            assert answered.status_code == 401 and answered.json()["advice"]
        assert (await ask(north, north.daemon.token, "GET", "/v1/status")).status_code == 200
        assert token not in home.tokens_file.read_text()
        home.tokens_file.chmod(0o644)  # whoever could write it could issue himself one
        assert (await ask(north, token, "GET", "/v1/status")).status_code == 503


async def test_a_token_that_is_revoked_while_it_follows_events_sees_no_more_of_them(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    book = TokenBook(home.tokens_file)
    async with running(home, {"api.listen": "127.0.0.1:0"}) as north:
        made, token = book.issue(0, "wall", ["events"], FAR, 100)
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=north.daemon.api.url or "", headers=headers, trust_env=False) as http,
            http.stream("GET", "/v1/events") as answered,
        ):
            assert answered.status_code == 200
            lines = answered.aiter_lines()
            assert await anext(lines) == ": connected"
            await north.client.create_network("hospitals")
            seen = [await anext(lines) for _ in range(2)]
            assert any("membership" in line for line in seen), seen
            book.revoke(5, made.id)
            await north.client.create_context(ContextCreate(name="trial"))
            rest = [line async for line in lines]  # ends: the next event closes the stream in its stead
        trial = (await north.client.contexts()).contexts[0].id
        assert not any(trial in line for line in rest)


async def test_a_token_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    home = make_home(tmp_path, "north")
    async with running(home, {"api.listen": "127.0.0.1:0"}) as north:
        slow, fast = (TokenBook(home.tokens_file).issue(0, name, ["status"], FAR, rate)[1] for name, rate in (("a", 1), ("b", 9999)))
        answers = [await ask(north, slow, "GET", "/v1/members") for _ in range(20)]
        told = [one for one in answers if one.status_code == 429]
        assert told and int(told[0].headers["Retry-After"]) >= 1 and told[0].json()["advice"]
        assert (await ask(north, fast, "GET", "/v1/status")).status_code == 200


def test_a_bucket_gives_its_rate_and_no_more() -> None:
    bucket = Bucket(5)
    assert [bucket.take(0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(0.0) == pytest.approx(0.2)
    assert bucket.take(0.2) == 0.0
    assert sum(bucket.take(100.0) == 0 for _ in range(9)) == 5


async def test_a_read_only_node_refuses_writes_on_the_socket_too(tmp_path: Path) -> None:
    from medsync_client.errors import Refused

    home = make_home(tmp_path, "north")
    async with running(home) as north:
        await north.client.create_network("hospitals")
    async with running(home, {"api.read_only": "true"}) as north:
        assert (await north.client.status()).network
        with pytest.raises(Refused) as caught:
            await north.client.create_network("others")
        assert caught.value.code == "read_only"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda book: book.issue(0, "x", ["root"], FAR, 1), lambda book: book.issue(0, "x", [], FAR, 1),
        lambda book: book.issue(5, "x", ["status"], 5, 1), lambda book: book.issue(0, "", ["status"], FAR, 1),
        lambda book: book.issue(0, "x", ["status"], FAR, 0), lambda book: book.revoke(0, "nobody"),
    ],
)  # fmt: skip
def test_what_makes_no_token_is_told(tmp_path: Path, wrong: Callable[[TokenBook], object]) -> None:
    with pytest.raises(OperatorError) as caught:
        wrong(TokenBook(tmp_path / "tokens.json"))
    assert caught.value.advice and not (tmp_path / "tokens.json").exists()


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def medsync(*arguments: str, code: int = 0) -> dict[str, Any]:
        assert cli.run([*arguments, "--json"]) == code
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    home = make_home(tmp_path, "north")
    at = ("--home", str(home.path))
    made = medsync("token", "create", "ehr", "--scope", "consent:read", "--expires", "12h", *at)
    assert made["token"].startswith("medsync-") and home.tokens_file.stat().st_mode & 0o777 == 0o600
    assert [one["state"] for one in medsync("token", "list", *at)["tokens"]] == ["valid"]
    short = medsync("token", "create", "brief", "--scope", "consent:read", "--expires", "30s", *at)
    assert made["expires"] - 12 * 3_600_000 + 30_000 <= short["expires"] < made["expires"]
    medsync("token", "revoke", "brief", *at)
    medsync("token", "revoke", "ehr", *at)
    listed = medsync("token", "list", *at)
    assert [one["state"] for one in listed["tokens"]] == ["revoked", "revoked"] and made["token"] not in json.dumps(listed)
    assert medsync("token", "create", "x", "--scope", "status", "--expires", "soon", *at, code=2)
    assert medsync("token", "scopes")["scopes"] == dict(SCOPES)
