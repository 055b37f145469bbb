"""Sessions of the access log: a partition by person, patient and purpose into quarters of an hour, whatever the order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from medsync_client.accesses import AccessRow
from medsync_node.access_sessions import SESSION_MS, rolled_up

QUARTER = 15 * 60_000
TIMES = st.one_of(st.integers(0, 4 * QUARTER), st.sampled_from([0, QUARTER - 1, QUARTER, QUARTER + 1, 2 * QUARTER]))


def row(time: int, op: int = 0, **changes: object) -> AccessRow:
    fields = {
        "op": f"{op:064x}", "index": 0, "half": "disclosed", "subject": "11" * 16, "requester": "22" * 32, "user": "eve",
        "custodian": "33" * 32, "purposes": ("TREAT",), "action": "access", "outcome": "PERMIT", "match": "00" * 16, "time": time,
        "effective": True,
    }  # fmt: skip
    return AccessRow.model_validate({**fields, **changes})


@st.composite
def logs(draw: st.DrawFn) -> list[AccessRow]:
    def one(number: int) -> AccessRow:
        return row(
            draw(TIMES), number, subject=draw(st.sampled_from(["11" * 16, "12" * 16])), user=draw(st.sampled_from(["eve", "dan", None])),
            purposes=draw(st.sampled_from([("TREAT",), ("HRESCH", "TREAT")])), half=draw(st.sampled_from(["disclosed", "refused"])),
            effective=draw(st.booleans()), requester=draw(st.sampled_from(["22" * 32, "23" * 32])),
        )  # fmt: skip

    return [one(number) for number in range(draw(st.integers(0, 25)))]


def common(one: AccessRow) -> tuple[object, ...]:
    return one.subject, one.requester, one.unit, one.user, one.purposes, one.effective


@given(logs(), st.randoms(use_true_random=False))
def test_sessions_part_the_log_into_quarters_of_an_hour_of_one_person_patient_and_purpose(entries: list[AccessRow], random: object) -> None:
    found = rolled_up(entries)
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rolled_up(shuffled) == found, "order of delivery doesn't matter"
    key = lambda one: one.op  # noqa: E731
    assert sorted((one for session in found for one in session.entries), key=key) == sorted(entries, key=key), "each entry once, unchanged"
    assert [session.last for session in found] == sorted((session.last for session in found), reverse=True)
    for session in found:
        assert len({common(one) for one in session.entries}) == 1
        assert session.first == min(one.time for one in session.entries) and session.last == max(one.time for one in session.entries)
        assert session.last - session.first < SESSION_MS == QUARTER
        assert sum(count for _, _, count in session.told) == len(session.entries)
    for kind in {common(one) for one in entries}:
        mine = sorted(session.first for session in found if common(session.one) == kind)
        assert all(later - earlier >= QUARTER for earlier, later in pairwise(mine)), "none could have been in the one before"


def test_a_session_ends_a_quarter_of_an_hour_after_it_began() -> None:
    found = rolled_up([row(0, 1), row(QUARTER - 1, 2), row(QUARTER, 3), row(5, 4, user="dan"), row(6, 5, half="refused", outcome="DENY")])
    assert [(session.one.user, session.first, [one.time for one in session.entries]) for session in found] == [
        ("eve", QUARTER, [QUARTER]), ("eve", 0, [QUARTER - 1, 6, 0]), ("dan", 5, [5]),
    ]  # fmt: skip
    assert found[1].told == (("disclosed", "PERMIT", 2), ("refused", "DENY", 1)) and found[1].custodians == ("333333333333",)
