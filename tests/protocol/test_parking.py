"""What can't be judged yet waits with its reason, within bounds, and is given out once."""

from __future__ import annotations

from typing import Any

import pytest

from medsync_protocol import parking
from medsync_protocol.ids import ChainId, OpId
from medsync_protocol.operation import PROTOCOL_VERSION
from medsync_protocol.parking import MAX_AHEAD_MS, TIME, UPDATE, Parked, ParkingLot, obstacle
from tests.protocol.histories import History
from tests.protocol.test_operation import CHAIN, header

NOW = 1_800_000_000_000
HISTORY = History()
HEAD = HISTORY.found("ann")
FOLD = HISTORY.fold()


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({}, None),
        ({"hlc": NOW + MAX_AHEAD_MS << 16}, None),
        ({"hlc": NOW + MAX_AHEAD_MS + 1 << 16}, (Parked.FUTURE, TIME)),
        ({"seq": 6}, (Parked.GAP, (CHAIN, 5))),
        ({"membership_heads": (OpId(b"?" * 32),)}, (Parked.ANCESTRY, b"?" * 32)),
        ({"version": PROTOCOL_VERSION + 1}, (Parked.VERSION, UPDATE)),
        ({"version": PROTOCOL_VERSION + 1, "seq": 6}, (Parked.VERSION, UPDATE)),
    ],
)
def test_an_operation_waits_for_the_first_thing_it_lacks(changed: dict[str, Any], answer: Any) -> None:
    fields = {"seq": 5, "hlc": NOW << 16, "membership_heads": (HEAD,), **changed}
    assert obstacle(header(**fields), NOW, 5, FOLD) == answer


def place(number: int) -> tuple[ChainId, int, OpId]:
    """One of many."""
    return CHAIN, number, OpId(number.to_bytes(32, "big"))


def test_what_waited_is_given_out_once_and_in_order() -> None:
    lot = ParkingLot()
    for number in (3, 1, 2, 1):
        lot.park(place(number), bytes([number]), Parked.FUTURE, TIME)
    lot.park(place(9), b"9", Parked.VERSION, UPDATE)
    assert lot.waits_for(TIME) and len(lot) == 4
    assert [wire for _, wire in lot.release(TIME)] == [b"\3", b"\1", b"\2"]
    assert lot.release(TIME) == [] and not lot.waits_for(TIME)
    assert lot.reasons() == [(CHAIN, 9, Parked.VERSION)]


def test_neither_many_nor_large_ones_take_more_than_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "MAX_PARKED", 5)
    monkeypatch.setattr(parking, "MAX_PARKED_BYTES", 100)
    lot = ParkingLot()
    for number in range(10):
        lot.park(place(number), bytes(10), Parked.GAP, number)
    assert len(lot) == 5
    lot.release(0)
    lot.park(place(20), bytes(61), Parked.GAP, 20)
    assert len(lot) == 4, "too large beside the forty bytes that wait"
    lot.park(place(21), bytes(60), Parked.GAP, 21)
    assert len(lot) == 5
    assert all(reason is Parked.GAP for _, _, reason in lot.reasons())
