"""New keys for a home: `key rekey`, a second device of a member; the node goes on, and the old keys open nothing new."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_client.contexts import Admission, ContextCreate
from medsync_client.subjects import SubjectEnrol
from medsync_node import cli, key_file
from medsync_node.home import Home
from medsync_protocol.actions import Rotate, decode_action
from medsync_protocol.identity import Identity
from medsync_protocol.operation import decode, open_payload
from medsync_protocol.ports import Standing
from medsync_protocol.replica import Replica
from medsync_protocol.sealing import KeyRing
from tests.node.api_world import LOOPBACK, PASSPHRASE, Party, form, make_home, running, same, until

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASS", PASSPHRASE)
    monkeypatch.setenv("MEDSYNC_PASSPHRASE_FROM", "env:PASS")


async def medsync(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    """A command beside the daemons of this process."""
    capsys.readouterr()
    given = await trio.to_thread.run_sync(partial(cli.run, [*arguments, "--json"]))
    printed = capsys.readouterr()
    assert given == code, printed
    assert PASSPHRASE not in printed.out + printed.err
    found: dict[str, Any] = json.loads(printed.out)
    return found


def trial(party: Party) -> Replica:
    return next(one for one in party.daemon.node.engine.replicas.values() if one.name == "trial")


def opens_newest(identity: Identity, replica: Replica) -> bool:
    """Whether this identity's sealing keys open the box that the newest epoch key was handed out in."""
    key = max(replica.membership.keys.values(), key=lambda one: one.epoch)
    wire = replica.governance_wires[key.op_id]
    operation = decode(wire, network=replica.network, context=replica.context)
    action = decode_action(operation.header.kind, open_payload(operation))
    assert isinstance(action, Rotate)
    gained, _ = KeyRing(*identity.sealing_secrets).learn(action.rotation, identity.member)
    return bool(gained)


async def seen_by(parties: Sequence[Party], subject: str) -> None:
    async def held() -> bool:
        return all(subject in {s.hex() for s in trial(p).application.subject_keys()} for p in parties)  # type: ignore[union-attr]

    await until(held)


async def test_after_a_rekey_the_node_goes_on_and_the_old_keys_open_nothing_new(tmp_path: Path, capsys: Capture) -> None:
    north_home, south_home = make_home(tmp_path, "north"), make_home(tmp_path, "south")
    old = key_file.unlock(south_home.key_file, PASSPHRASE)
    rekey = ("key", "rekey", "--home", str(south_home.path), "--passphrase-from", "env:PASS")
    async with running(north_home) as north:
        async with running(south_home) as south:
            await form([north, south])
            before = await south.client.enrol_subject("trial", SubjectEnrol(), "replicated")
            epoch = trial(north).membership.highest_epoch()
            steps = "\n".join((await medsync(capsys, *rekey[:4], "--member"))["steps"])
            assert f"member recover {old.member.hex()[:16]}" in steps and "context trial" in steps and "2 of 2 voters" in steps
            told = await medsync(capsys, *rekey)
            assert told["known_to"] == 1 and told["before"] == old.device.hex()
            assert (await medsync(capsys, *rekey))["device"] == told["device"], "said again, it goes on with the same keys"
            found = await medsync(capsys, "doctor", "--home", str(south_home.path), code=1)
            assert "rekey_unfinished" in {one["code"] for one in found["findings"]}
            known = trial(north).membership
            assert known.members[old.member].sealing_key == old.sealing_public, "until the new start nothing changed"
        async with running(south_home) as south:
            new = south.daemon.node.identity
            assert (new.member, new.device.hex()) == (old.member, told["device"])

            async def settled() -> bool:
                engine = north.daemon.node.engine
                return all(
                    old.device not in one.membership.devices and one.membership.members[old.member].sealing_key == new.sealing_public
                    for one in engine.replicas.values()
                ) and trial(north).membership.highest_epoch() > epoch

            await until(settled)
            await same([north, south])
            assert north.daemon.node.engine.standing(old.device) is Standing.GUEST
            assert opens_newest(new, trial(north)) and not opens_newest(old, trial(north))
            after = await south.client.enrol_subject("trial", SubjectEnrol(), "replicated")
            await seen_by([north, south], before.subject)
            await seen_by([north, south], after.subject)
    assert key_file.unlock(south_home.key_file, PASSPHRASE) == new
    async with running(south_home) as south:
        await seen_by([south], after.subject)


async def test_a_second_device_comes_by_command_and_writes_for_its_member(tmp_path: Path, capsys: Capture) -> None:
    copy, second = tmp_path / "copy.json", tmp_path / "second"
    async with running(make_home(tmp_path, "north")) as north, running(make_home(tmp_path, "south")) as south:
        await form([north, south])
        shutil.copyfile(tmp_path / "south" / "key.json", copy)
        asked = ("init", "south", "--home", str(second), "--device-of", str(copy), "--keys-from", "env:PASS")
        made = await medsync(capsys, *asked, "--passphrase-from", "env:PASS", "--listen", LOOPBACK)
        assert made["member"] == south.member and made["device"] != south.daemon.node.identity.device.hex()
        add = ("member", "add-device", made["device"], made["certificate"], "--home", str(tmp_path / "south"))
        forged = await medsync(capsys, *add[:3], "00" * 64, *add[4:], code=2)
        assert forged["error"]["code"] == "bad_certificate"
        ticket = await medsync(capsys, *add)
        assert set(ticket["operations"]) == {"hospitals", "trial"} and ticket["known_to"] == 1
        async with running(Home(second)) as other:
            await medsync(capsys, "join", ticket["invitation"], "--home", str(second))
            await until(lambda: _writes(other, "trial"))
            done = await other.client.enrol_subject("trial", SubjectEnrol(), "replicated")
            await seen_by([north, south], done.subject)
            assert trial(north).membership.devices[other.daemon.node.identity.device].hex() == south.member
            await north.client.create_context(ContextCreate(name="later", members=(Admission(member="south"),)))
            await until(lambda: _writes(other, "later"))


async def _writes(party: Party, context: str) -> bool:
    """Whether this device's operations count in a context."""
    device = party.daemon.node.identity.device
    held = [one for one in party.daemon.node.engine.replicas.values() if one.name == context]
    return any(device in one.membership.devices and one.membership.usable_key() in one.ring for one in held)
