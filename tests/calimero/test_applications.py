"""Applications of a group: bounds, failures that change nothing, one result in any order; the worked example of the docs."""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from medsync_protocol.application import OpenedEntry
from medsync_protocol.applications import App, Call, CallFailed, Method, State
from medsync_protocol.applications import running
from medsync_protocol.applications.kv_store import KvStore
from medsync_protocol.capabilities import Capability
from medsync_protocol.group import GroupApplication, instance_id
from medsync_protocol.group_record import Record, What
from medsync_protocol.ids import ChainId, MemberId, OpId
from medsync_protocol.kinds import EntryKind, Role, Verdict

ADMIN, MEMBER = MemberId(b"a" * 32), MemberId(b"m" * 32)
GUIDE = Path(__file__).resolve().parents[2] / "protocol" / "writing-an-application.md"


def entry(number: int, record: Record, author: MemberId = ADMIN, clock: int | None = None) -> OpenedEntry:
    return OpenedEntry(
        op_id=OpId(number.to_bytes(32, "big")), index=0, kind=EntryKind.NOTE, payload=record.encode(), subject=None,
        author=author, chain=ChainId(bytes(40)), seq=number, hlc=number if clock is None else clock,
    )  # fmt: skip


def group(*apps: App) -> GroupApplication:
    made = GroupApplication({app.name: app for app in (KvStore(), *apps)})
    made.role_of = lambda entry: Role.ADMIN if entry.author == ADMIN else Role.MEMBER
    return made


MADE = Record(What.CREATE, b"", "kv_store", "")
KV = instance_id((1).to_bytes(32, "big"), 0)


def call(method: str, **arguments: Any) -> Record:
    return Record(What.CALL, KV, method, json.dumps(arguments))


def test_the_last_writer_wins_and_events_say_what_happened() -> None:
    ours = group()
    ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
    follower = ours.follow(lambda: None)
    for number, record in enumerate((call("set", key="a", value="1"), call("set", key="a", value="2"), call("remove", key="a")), 2):
        ours.fold(entry(number, record, MEMBER), Verdict.EFFECTIVE)
    assert [kind for told in follower.emitted() for kind, _ in told.events] == ["Inserted", "Updated", "Removed"]
    assert ours.ask(KV, "get", {"key": "a"}).output is None
    assert ours.ask(KV, "get_result", {"key": "a"}).error == {"kind": "NotFound", "data": "a"}
    ours.fold(entry(9, call("remove", key="a"), MEMBER, clock=3), Verdict.VOID_KEY)
    assert follower.emitted() == []


def test_of_a_removal_and_a_setting_at_one_instant_the_setting_stays() -> None:
    for first, second in itertools.permutations((5, 6)):
        ours = group()
        ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
        ours.fold(entry(first, call("set", key="a", value="1"), clock=9), Verdict.EFFECTIVE)
        ours.fold(entry(second, call("remove", key="a"), clock=9), Verdict.EFFECTIVE)
        assert ours.ask(KV, "get", {"key": "a"}).output == "1"


def test_any_order_with_repeats_and_changed_verdicts_gives_one_state() -> None:
    rng = random.Random(7)
    entries = [entry(1, MADE)]
    for number in range(2, 40):
        key, value = rng.choice("abc"), str(number)
        made = rng.choice([call("set", key=key, value=value), call("remove", key=key), call("clear")])
        entries.append(entry(number, made, rng.choice([ADMIN, MEMBER]), clock=rng.randrange(2, 30)))
    void = {one.seq for one in rng.sample(entries[1:], 5)}
    seen = set()
    for _ in range(30):
        ours = group()
        for one in rng.sample(entries * 2, len(entries) * 2):
            ours.fold(one, rng.choice([Verdict.EFFECTIVE, Verdict.VOID_KEY]))
            if rng.random() < 0.2:
                ours.ask(KV, "len", {})
        for one in rng.sample(entries, len(entries)):
            ours.fold(one, Verdict.VOID_KEY if one.seq in void else Verdict.EFFECTIVE)
        seen.add((ours.state_hash(KV), ours.table_hash()))
    assert len(seen) == 1


def test_what_comes_later_than_can_be_undone_is_put_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsync_protocol.timeline.MAX_UNDO", 3)
    ours = group()
    ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
    for number in range(3, 12):
        ours.fold(entry(number, call("set", key="a", value=str(number))), Verdict.EFFECTIVE)
        assert ours.ask(KV, "get", {"key": "a"}).output == str(number)
    ours.fold(entry(2, call("set", key="b", value="late")), Verdict.EFFECTIVE)
    assert ours.ask(KV, "entries", {}).output == {"a": "11", "b": "late"}


class Naughty(App):
    name = "naughty"
    abi = {method: Method(method, changes=True) for method in ("loop", "fill", "shout", "fall", "refuse")}  # noqa: RUF012

    def fold(self, state: State, call: Call) -> None:
        state["touched"] = True
        if call.method == "loop":
            while True:
                pass
        for number in range(10_000):
            if call.method == "fill":
                state[str(number)] = "x" * 1_000
            elif call.method == "shout":
                call.emit("Shout", number)
        if call.method == "refuse":
            raise CallFailed({"kind": "No"})
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("method", "words"),
    [("loop", "200000 lines"), ("fill", "262144"), ("shout", "64 events"), ("fall", "ZeroDivisionError"), ("refuse", "No"), ("none", "MethodNotFound")],
)
def test_what_goes_too_far_fails_and_changes_nothing(method: str, words: str) -> None:
    held = {"kept": "1"}
    outcome = running.call(Naughty(), held, Call(method=method, arguments={}, author="", time=0, clock=0))
    assert outcome.failed and words in json.dumps(outcome.error)
    assert outcome.written is None and not outcome.events and held == {"kept": "1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1]", "no JSON object"), ("{", "no JSON"), ("1" * 200_000, "longer"), ('{"key":1,"value":"x"}', "is a string"), ('{"key":"a"}', "needs"), ('{"key":"a","value":"b","c":1}', "no argument")],
)
def test_arguments_that_are_none_are_refused(text: str, words: str) -> None:
    ours = group()
    ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
    outcome = ours.trial(Record(What.CALL, KV, "set", text), ADMIN, Role.ADMIN, 5)
    assert outcome.failed and words in str(outcome.error)


def test_capabilities_count_in_the_order_of_records() -> None:
    ours = group()
    ours.fold(entry(3, MADE, MEMBER), Verdict.EFFECTIVE)
    assert ours.instances() == {}
    given = Record(What.PUT, b"", f"capabilities/{MEMBER.hex()}", str(int(Capability.CREATE_CONTEXT)))
    ours.fold(entry(2, given, MEMBER), Verdict.EFFECTIVE)
    assert ours.instances() == {}, "nobody gives capabilities to itself"
    ours.fold(entry(1, given, ADMIN), Verdict.EFFECTIVE)
    assert len(ours.instances()) == 1
    assert ours.capabilities(MEMBER, Role.MEMBER) == Capability.CREATE_CONTEXT
    assert ours.capabilities(MEMBER, Role.READER) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("subgroup/" + "0" * 64, {"visibility": "open"}), ("subgroup/x", None), ("blob/" + "0" * 64, {"size": 1, "pieces": [["x", 1]]}),
     ("capabilities", "all"), ("capabilities", True), ("metadata", {"name": 1, "data": {}}), ("instance/" + "0" * 64, ["kv_store", "", ""]), ("anything", 1)],
)  # fmt: skip
def test_nothing_without_meaning_stands_in_a_groups_table_even_if_an_admin_wrote_it(key: str, value: Any) -> None:
    ours = group()
    ours.fold(entry(1, Record(What.PUT, b"", key, json.dumps(value))), Verdict.EFFECTIVE)
    assert ours.table_hash() == group().table_hash()


def test_a_role_that_turned_out_another_changes_what_its_holder_did() -> None:
    ours = group()
    ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
    assert len(ours.instances()) == 1
    ours.role_of = lambda entry: Role.MEMBER
    ours.reconsider()
    assert ours.instances() == {}


def test_a_trial_is_later_than_what_is_held() -> None:
    ours = group()
    ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
    ours.fold(entry(2, call("set", key="a", value="ahead"), clock=1 << 40), Verdict.EFFECTIVE)
    assert ours.trial(call("remove", key="a"), ADMIN, Role.ADMIN, 5).output == "ahead"


def test_only_its_creator_or_an_admin_deletes_an_instance() -> None:
    ours = group()
    ours.fold(entry(1, MADE), Verdict.EFFECTIVE)
    gone = Record(What.DELETE, KV, "", "")
    assert ours.trial(gone, MEMBER, Role.MEMBER, 5).failed
    ours.fold(entry(2, call("set", key="a", value="1")), Verdict.EFFECTIVE)
    ours.fold(entry(3, gone), Verdict.EFFECTIVE)
    assert ours.instances() == {} and ours.state_hash(KV) == group().state_hash(KV)


def test_the_guides_example_does_what_it_says() -> None:
    found = re.search(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None and len(found[1].splitlines()) <= 45
    space: dict[str, Any] = {"__name__": "polls"}
    exec(found[1], space)
    polls = space["Polls"]()
    ours = group(polls)
    ours.fold(entry(1, Record(What.CREATE, b"", "polls", '{"question":"tea?"}')), Verdict.EFFECTIVE)
    vote = Record(What.CALL, KV, "vote", '{"choice":"yes"}')
    ours.fold(entry(2, vote, ADMIN), Verdict.EFFECTIVE)
    ours.fold(entry(3, vote, MEMBER), Verdict.EFFECTIVE)
    assert ours.ask(KV, "question", {}).output == "tea?"
    assert ours.ask(KV, "tally", {}).output == {"yes": 2}
    ours.fold(entry(4, Record(What.CALL, KV, "close", "{}")), Verdict.EFFECTIVE)
    assert ours.trial(vote, MEMBER, Role.MEMBER, 9).error == "the poll is closed"
