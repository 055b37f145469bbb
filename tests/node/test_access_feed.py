"""The access log followed over real HTTP: what the list would say, in order, resumed, refused alike, ended with the token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from medsync_client import Address, BadRequest, Client, NotFound
from medsync_client.accesses import AccessBatch, AccessRow, LoggedAccess
from medsync_client.subjects import SubjectEnrol
from medsync_node import cli
from medsync_node.api.access_feed import PAGE
from medsync_node.token_book import TokenBook
from tests.node.api_world import PATIENCE, Party, form, make_home, running, same

Feed = AsyncIterator[tuple[str, AccessRow]]


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[tuple[Party, Party, Client, str]]:
    """North, the lab, a program that may read north's log over TCP, and a patient."""
    home = make_home(directory, "north")
    async with running(home, {"api.listen": "127.0.0.1:0"}) as north, running(make_home(directory, "lab")) as lab:
        await form([north, lab])
        subject = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        await same([north, lab])
        now = north.daemon.node.now()
        _, token = TokenBook(home.tokens_file).issue(now, "ehr", ["access:read"], now + 3_600_000, 1_000)
        async with Client(Address(url=str(north.daemon.api.url), token=token)) as program:
            yield north, lab, program, subject


def half(subject: str, user: str, half: str = "disclosed") -> LoggedAccess:
    return LoggedAccess(half=half, subject=subject, requester="lab", custodian="north", purposes=("HRESCH",), user=user)  # type: ignore[arg-type]


async def told(feed: Feed, count: int) -> list[tuple[str, AccessRow]]:
    with trio.fail_after(PATIENCE):
        return [await anext(feed) for _ in range(count)]


async def test_what_is_told_is_what_the_list_says_and_it_goes_on_where_it_was_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with world(tmp_path) as (north, lab, program, subject):
        async with program.follow_accesses("trial", subject) as feed:
            [(_, looking)] = await told(feed, 1)
            assert looking.half == "log-read" and looking.requester == north.member, "that it is followed is in the log"
            await north.client.append_accesses("trial", AccessBatch(entries=(half(subject, "a"), half(subject, "b"))))
            await lab.client.append_accesses("trial", AccessBatch(entries=(half(subject, "c", "requested"),)))
            seen = await told(feed, 3)
        assert [row.user for _, row in seen] == ["a", "b", "c"]
        listed = (await north.client.accesses("trial", subject)).entries
        assert [row for _, row in reversed(seen)] == [row for row in listed if row.half != "log-read"]

        # away meanwhile; more than are read at once; a caller that reads late is told all of it
        many = [str(number) for number in range(PAGE + 5)]
        await north.client.append_accesses("trial", AccessBatch(entries=tuple(half(subject, user) for user in many)))
        async with program.follow_accesses("trial", subject, after=seen[0][0], half="disclosed") as feed:
            later = await told(feed, len(many) + 1)
        assert [row.user for _, row in later] == ["b", *many]
        async with program.follow_accesses("trial", subject, after=later[-1][0]) as feed:
            assert {row.half for _, row in await told(feed, 1)} == {"log-read"}

        # from the command line
        home = north.daemon.node.home
        assert home is not None
        words = ["access", "follow", "trial", subject, "--after", later[-3][0], "--half", "disclosed", "--count", "2", "--home", str(home.path)]
        capsys.readouterr()
        assert await trio.to_thread.run_sync(lambda: cli.run([*words, "--ndjson"])) == 0
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(one["id"], one["user"]) for one in lines] == [(at, row.user) for at, row in later[-2:]]
        assert await trio.to_thread.run_sync(lambda: cli.run([*words, "--json"])) == 0
        assert json.loads(capsys.readouterr().out) == {"ok": True, "entries": lines}
        assert await trio.to_thread.run_sync(lambda: cli.run([*words[:-4], *words[-2:], "--json"])) == 2, "without an end"
        assert await trio.to_thread.run_sync(lambda: cli.run(words)) == 0
        assert f"released  {many[-1]}, lab  north  HRESCH  {subject}  {later[-1][0]}" in capsys.readouterr().out

        # of all patients: each one's reading is logged once, and what that adds starts nothing anew
        other = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        async with program.follow_accesses("trial") as feed:
            for user in ("x", "y"):
                await north.client.append_accesses("trial", AccessBatch(entries=(half(other, user),)))
            rows = [row for _, row in await told(feed, 3)]
            assert sorted((row.half, row.user) for row in rows) == [("disclosed", "x"), ("disclosed", "y"), ("log-read", None)]
            assert {row.subject for row in rows} == {other}


async def test_it_refuses_what_the_list_refuses_byte_for_byte_and_ends_with_the_token(tmp_path: Path) -> None:
    async with world(tmp_path) as (north, _, program, subject):
        foreign = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        queries = (
            ("trial", {"subject": "ab" * 16}), ("trial", {"subject": foreign[:-2] + "00"}), ("nowhere", {"subject": subject}), ("nowhere", {}),
            ("trial", {"member": "nobody"}), ("trial", {"half": "whole"}), ("trial", {"subject": subject, "outcome": "MAYBE"}),
        )  # fmt: skip
        async with httpx.AsyncClient(base_url=program.address.base_url, headers=program.address.headers, trust_env=False) as http:
            for context, query in queries:
                listed = await http.get(f"/v1/contexts/{context}/access", params=query)
                followed = await http.get(f"/v1/contexts/{context}/access:stream", params=query)
                assert listed.status_code >= 400 and (listed.status_code, listed.content) == (followed.status_code, followed.content), query
            bare = await http.get("/v1/contexts/trial/access:stream", headers={"Authorization": "Bearer none"})
            assert bare.status_code == 401
        for wrong in ("x", str(2**62), "9" * 30):
            with pytest.raises(BadRequest):
                async with program.follow_accesses("trial", subject, after=wrong):
                    raise AssertionError("not reached")
        with pytest.raises(NotFound):
            async with program.follow_accesses("trial", "ab" * 16):
                raise AssertionError("not reached")

        async with program.follow_accesses("trial", subject) as feed:
            await told(feed, 1)
            home = north.daemon.node.home
            assert home is not None
            TokenBook(home.tokens_file).revoke(north.daemon.node.now(), "ehr")
            await north.client.append_accesses("trial", AccessBatch(entries=(half(subject, "late"),)))
            with trio.fail_after(PATIENCE):
                assert [row async for _, row in feed] == [], "nothing is told once the token ended"
