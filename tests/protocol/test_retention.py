"""Monthly retention keys: rows of the log outlive their subject and end with their month, unless somebody holds it (§8)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from medsync_protocol import erasing
from medsync_protocol.access import decode_access
from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.candidate import Cut
from medsync_protocol.effects import Persist, Reread
from medsync_protocol.erasure import LegalHold, hold_draft
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ContextId, NetworkId, OpId, SubjectRef
from medsync_protocol.journal import OpRecord
from medsync_protocol.kinds import EntryKind
from medsync_protocol.operation import decode_body, split
from medsync_protocol.retention import MONTH_ENDED, MonthKey, book_of, decode_month_key, month_of, month_text
from medsync_protocol.settled_cuts import SettledCuts
from tests.desk_world import NETWORK, NOW, Context
from tests.protocol.test_erasure import ordered

DAY = 86_400_000
FOLDER = Path(__file__).resolve().parents[2] / "protocol"
MONTHS = 12


def context() -> Context:
    """One whose rows are kept for a year."""
    return Context({"retention.months": MONTHS})


def decided(made: Context, subject: SubjectRef, name: str = "mercy") -> OpId:
    """A decision with its receipt and its half of the log; the operation."""
    request = made.request(subject)
    return made.write(name, made[name].desk.decide(made.clock, request)[1])


def rows(made: Context, name: str) -> list[OpenedEntry]:
    """Halves of the log that this member can open."""
    replica = made[name].replica
    opened = [entry for wire in made.wires.values() for entry in replica.open(wire)]
    return [entry for entry in opened if entry is not None and entry.kind == EntryKind.ACCESS]


def settle(made: Context, name: str, time: int) -> list[object]:
    """All that this member holds is settled at this time (seconds); what follows, with what is read again."""
    replica = made[name].replica
    vector = dict(replica.vector)
    cut = Cut(tuple((chain, count, OpId(bytes(32))) for chain, count in sorted(vector.items())))
    settled = SimpleNamespace(cut=cut, statement=SimpleNamespace(not_before=time))
    replica.application.set_final(vector)  # type: ignore[union-attr]
    replica.application.cuts = SettledCuts([SimpleNamespace(cut=Cut()), settled], 1)  # type: ignore[union-attr, list-item]
    effects: list[object] = list(erasing.due(replica))
    for effect in [one for one in effects if isinstance(one, Reread)]:
        effects += replica.reread(made.wires[replica.chains.slot(effect.chain, effect.seq).op_id])
    return effects


def pruned(made: Context, name: str, op_id: OpId) -> list[bool]:
    """Of each entry of an operation whether it is gone, once it was read again."""
    found = [r for e in made[name].replica.reread(made.wires[op_id]) if isinstance(e, Persist) for r in e.records]
    (record,) = [r for r in found if isinstance(r, OpRecord)]
    return [entry.pruned for entry in decode_body(record.body).entries]


def end_of(month: int) -> int:
    """The first second after a month has been kept."""
    book = book_of(NETWORK, context().id, MONTHS)
    assert book is not None
    return book.ends(month)


def test_months_are_those_of_the_calendar_in_utc() -> None:
    assert month_text(month_of(NOW)) == "2027-01"
    assert month_text(month_of(end_of(month_of(NOW)) * 1000)) == "2028-02"
    assert month_text(month_of(end_of(month_of(NOW)) * 1000 - 1)) == "2028-01", "a month is kept for twelve whole ones"
    assert book_of(NETWORK, context().id, 0) is None, "by default rows go with their subject"


def test_the_vector_holds() -> None:
    vector = json.loads((FOLDER / "vectors" / "retention.json").read_text("utf-8"))
    made = decode_month_key(bytes.fromhex(vector["payload"]))
    assert made.encode().hex() == vector["payload"] and (made.month, month_text(made.month)) == (vector["month"], vector["text"])
    assert made.ref(NetworkId(b"\x11" * 32), ContextId(b"\x22" * 32)).hex() == vector["ref"]
    for payload in vector["refused"].values():
        with pytest.raises(Malformed):
            decode_month_key(bytes.fromhex(payload))


def test_a_months_key_comes_along_with_its_first_row_and_not_again() -> None:
    made = context()
    subject = made.enrol()
    first, second = decided(made, subject), decided(made, subject)
    counts = [len(decode_body(_body(made, op_id)).entries) for op_id in (first, second)]
    assert counts == [3, 2], "receipt, row, and the first time the key"
    made.clock += 31 * DAY  # type: ignore[assignment]
    assert len(decode_body(_body(made, decided(made, subject))).entries) == 3, "another month, another key"
    for entry in rows(made, "lab"):
        assert entry.subject == subject == decode_access(entry.payload).subject and entry.kept_by is not None


def test_rows_outlive_their_subject_and_receipts_do_not() -> None:
    made = context()
    subject = made.enrol()
    op_id = decided(made, subject)
    ordered(made, subject)
    settle(made, "mercy", NOW // 1000)
    assert subject in made["mercy"].replica.erased.closed
    assert pruned(made, "mercy", op_id) == [True, False, False], "the receipt went; row and key stay"
    (row,) = rows(made, "mercy")
    assert row.subject == subject


def test_a_month_ends_by_the_time_of_a_settled_checkpoint_and_takes_rows_and_key() -> None:
    made = context()
    op_id = decided(made, made.enrol())
    end = end_of(month_of(NOW))
    assert not settle(made, "mercy", end - 1)
    effects = settle(made, "mercy", end)
    replica = made["mercy"].replica
    assert replica.retention is not None and not replica.retention.held() and list(replica.erased.closed.values()) == [MONTH_ENDED]
    assert pruned(made, "mercy", op_id) == [False, True, True], "the receipt stays with its subject"
    assert rows(made, "mercy") == [] and rows(made, "lab"), "each by itself"
    assert not erasing.attest(replica, NOW), "nobody attests what the calendar orders"
    assert effects and not settle(made, "mercy", end + 1)


def test_whoever_carries_a_months_key_again_brings_nothing_back() -> None:
    made = context()
    decided(made, made.enrol())
    (held,) = made["lab"].replica.retention.held().values()  # type: ignore[union-attr]
    settle(made, "city", end_of(month_of(NOW)))
    again = made.write("mercy", [Draft(kind=EntryKind.MONTH_KEY, payload=held.encode())])
    assert not made["city"].replica.retention.held() and pruned(made, "city", again) == [True]  # type: ignore[union-attr]


def test_a_hold_keeps_a_month_until_its_release_is_settled() -> None:
    made = context()
    decided(made, made.enrol())
    (ref,) = made["lab"].replica.retention.held()  # type: ignore[union-attr]
    hold = made.write("city", [hold_draft(LegalHold(subject=ref, reason="case 12/3"))])
    end = end_of(month_of(NOW))
    assert not settle(made, "mercy", end)
    before = dict(made["mercy"].replica.vector)
    made.write("city", [hold_draft(LegalHold(subject=ref, releases=hold))])
    made["mercy"].replica.application.erasure.changed = True  # type: ignore[union-attr]
    assert not erasing.due_again(made["mercy"].replica) and before != made["mercy"].replica.vector
    assert settle(made, "mercy", end)


@pytest.mark.parametrize("name", ["lab", "city"])
def test_a_key_in_another_members_name_counts_for_nothing(name: str) -> None:
    made = context()
    forged = MonthKey(member=made["mercy"].member, month=month_of(NOW), key=bytes(32))
    assert decode_month_key(forged.encode()) == forged
    made.write(name, [Draft(kind=EntryKind.MONTH_KEY, payload=forged.encode()), Draft(kind=EntryKind.MONTH_KEY, payload=b"x")])
    assert not made["mercy"].replica.retention.held()  # type: ignore[union-attr]


def _body(made: Context, op_id: OpId) -> bytes:
    return split(made.wires[op_id])[2]
