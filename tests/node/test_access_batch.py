"""Batches of the access log name what may not stand; the log is filtered by each of its dimensions, of one subject or of all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medsync_client import BadRequest, ClientError, NotFound
from medsync_client.accesses import AccessBatch, LoggedAccess
from medsync_client.subjects import SubjectEnrol
from tests.node.api_world import form, parties


async def test_a_bad_entry_is_named_and_none_or_the_others_are_stored(tmp_path: Path) -> None:
    async with parties(tmp_path, "north", "lab") as (north, lab):
        await form([north, lab])
        first = (await north.client.enrol_subject("trial", SubjectEnrol())).subject
        second = (await north.client.enrol_subject("trial", SubjectEnrol())).subject

        def entry(subject: str, purpose: str, time: int, requester: str = "lab") -> LoggedAccess:
            return LoggedAccess(
                half="disclosed", subject=subject, requester=requester, custodian="north", purposes=(purpose,), time=time
            )

        good = entry(first, "TREAT", 100), entry(second, "HRESCH", 200), entry(second, "TREAT", 300)
        unknown, stranger = entry(first, "WHIM", 1), entry(first, "TREAT", 1, "nobody")
        absent, other = entry(os.urandom(16).hex(), "TREAT", 1), LoggedAccess(
            half="requested", subject=first, requester="lab", custodian="north", purposes=("TREAT",)
        )  # fmt: skip
        for bad, code in ((unknown, "unknown_purpose"), (stranger, "unknown_member"), (absent, "unknown_subject"), (other, "other_half")):
            with pytest.raises(ClientError) as caught:
                await north.client.append_accesses("trial", AccessBatch(entries=(*good, bad)))
            assert caught.value.code == code and "entry 3: " in str(caught.value) and "none is stored" in str(caught.value)
        assert (await north.client.accesses("trial", half="disclosed")).entries == ()
        with pytest.raises(BadRequest, match="entry 0"):
            await north.client.append_accesses("trial", AccessBatch(entries=(unknown,)), partial=True)
        done = await north.client.append_accesses("trial", AccessBatch(entries=(good[0], unknown, *good[1:], stranger)), partial=True)
        assert (done.count, done.stored) == (3, (0, 2, 3))
        assert [(one.index, one.problem.code) for one in done.refused] == [(1, "unknown_purpose"), (4, "unknown_member")]

        async def times(**wanted: object) -> list[int]:
            return [one.time for one in (await north.client.accesses("trial", half="disclosed", **wanted)).entries]  # type: ignore[arg-type]

        assert await times() == [300, 200, 100]
        assert await times(purpose="TREAT") == [300, 100]
        assert await times(since=200, until=300) == [200]
        assert await times(subject=second, purpose="HRESCH") == [200]
        assert await times(member="lab", outcome="PERMIT") == [300, 200, 100]
        assert await times(outcome="DENY") == []
        reads = (await north.client.accesses("trial", second, half="log-read")).entries
        assert {one.subject for one in reads} == {second} and len(reads) >= 4  # each page of all was logged for it, too
        with pytest.raises(NotFound):
            await north.client.accesses("trial", os.urandom(16).hex())
