"""Devices and lost keys through the API: who has which device, and a new member in the place of one that lost its key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from medsync_client import BadRequest, NotFound, Refused
from medsync_client.contexts import Admission, ContextCreate
from medsync_client.members import InvitationCreate
from medsync_client.subjects import SubjectEnrol, SubjectMove
from medsync_node import cli
from tests.node.api_world import Party, parties, until
from tests.node.test_api import refused


async def _formed(everyone: list[Party]) -> None:
    """A context `trial` of north and south, admins, and east; west is in the network only."""
    north = everyone[0]
    await north.client.create_network("hospitals")
    for other in everyone[1:]:
        await other.client.join((await north.client.invite(InvitationCreate())).invitation)

    async def known() -> bool:
        return len((await north.client.members()).members) == len(everyone)

    await until(known)
    members = (Admission(member="south", role="admin"), Admission(member="east", role="member"))
    await north.client.create_context(ContextCreate(name="trial", members=members))

    async def held() -> bool:
        listed = [(await party.client.contexts()).contexts for party in everyone[1:3]]
        return all(any(c.name == "trial" and c.role for c in contexts) for contexts in listed)

    await until(held)


async def test_a_member_that_lost_its_key_is_replaced_by_vote_and_in_records_and_devices_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with parties(tmp_path, "north", "south", "east", "west") as everyone:
        north, south, _, west = everyone
        await _formed(everyone)
        listed = (await north.client.devices()).devices
        assert [(d.name, d.current, d.me) for d in listed] == [
            ("east", True, False), ("north", True, True), ("south", True, False), ("west", True, False)
        ]  # fmt: skip
        own = next(d for d in listed if d.me)
        enrolments = (SubjectEnrol(custodians=("east",), homes=("east", "north")), SubjectEnrol(homes=("east",)), SubjectEnrol())
        kept, housed, others = [(await north.client.enrol_subject("trial", one)).subject for one in enrolments]
        await refused(north.client.revoke_device(own.id), Refused, "own_device")
        await refused(north.client.revoke_device(listed[0].id), Refused, "unknown_device")
        await refused(north.client.revoke_device("00" * 32), NotFound, "unknown_device")
        await refused(north.client.resume_chain("trial", own.chains[0].id), NotFound, "unknown_chain")
        ahead = await north.client.outlook("trial", "recover", "east", renewed="west")
        assert (ahead.ruling, ahead.needed, ahead.electors) == ("votes", 1, ("south",)) and ahead.held > 0
        assert "member already" in (await north.client.outlook("trial", "recover", "east", renewed="south")).reason
        await refused(north.client.outlook("trial", "recover", "east"), BadRequest, "member_missing")
        await refused(north.client.outlook("trial", "resume", chain=own.chains[0].id), NotFound, "unknown_chain")
        await north.client.recover_member("trial", "east", "west")

        async def asked() -> bool:
            return [p.about for p in (await south.client.governance("trial")).proposals] == ["west in the place of east"]

        await until(asked)
        (proposal,) = (await south.client.governance("trial")).proposals
        await south.client.endorse("trial", proposal.id)

        async def replaced() -> bool:
            contexts = (await west.client.contexts()).contexts
            return any(c.name == "trial" and c.role == "member" for c in contexts)

        await until(replaced)
        assert {m.name for m in (await south.client.context_members("trial")).members} == {"north", "south", "west"}
        shown = {d.name: d for d in (await south.client.devices("trial")).devices}
        assert shown["west"].current and not shown["east"].current
        assert shown["north"].chains[0].operations > 0 and shown["north"].chains[0].forked_at is None

        async def knows() -> bool:
            return any(m.name == "west" for m in (await north.client.context_members("trial")).members)

        await until(knows)
        move = ["subject", "move", "trial", "--from", "east", "--to", "west", "--home", str(tmp_path / "north")]
        assert await trio.to_thread.run_sync(lambda: cli.run([*move, "--all", "--json"])) == 0
        assert sorted(json.loads(capsys.readouterr().out)["moved"]) == sorted([kept, housed])
        moved = await north.client.subject("trial", kept)
        assert set(moved.custodians) == {north.member, west.member} and moved.revision == 1
        east = everyone[2].member
        assert set(moved.homes) == {north.member, west.member, east}, "the homes before are asked until the new ones are settled"
        again = SubjectMove(leaving="east", entering="west")
        await refused(north.client.move_subject("trial", others, again), Refused, "no_part")
        await refused(south.client.move_subject("trial", kept, again), Refused, "not_custodian")
        assert await trio.to_thread.run_sync(lambda: cli.run([*move])) == 2, "one record, or all"
