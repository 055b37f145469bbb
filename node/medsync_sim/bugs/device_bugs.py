"""Planted bugs of devices and of members whose key was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from medsync_protocol.actions import DeviceRevoke, Rekey
from medsync_protocol.ids import device_of
from medsync_protocol.membership_draft import Draft
from medsync_protocol.membership_judging import Judging, Roots
from medsync_protocol.membership_state import Removed
from medsync_protocol.verdicts import Judge
from medsync_sim.bugs.planting import Patch, PlantedBug


def _data_counts() -> list[Patch]:
    stands = Removed.stands

    def kept(self: Removed, chain: Any, seq: int) -> bool:
        return self.device is not None or stands(self, chain, seq)

    return [(Removed, "stands", kept)]


def _acts_count() -> list[Patch]:
    return [(Judging, "_revokes", lambda self, i: False)]


class _Anybody(dict[Any, Any]):
    """Every device is the author's."""

    def __init__(self, author: Any) -> None:
        self._author = author

    def get(self, device: Any, default: Any = None) -> Any:
        return self._author


def _uncertified() -> list[Patch]:
    missing, under = Roots.missing, Judge._under

    def trusting(self: Roots, node: Any, author: Any) -> Any:
        self._devices[device_of(node.chain)] = tuple(range(node.past.bit_length()))
        return missing(self, node, author)

    def believing(self: Judge, chain: Any, seq: int, slot: Any, verdict: Any, author: Any, state: Any, **more: Any) -> Any:
        return under(self, chain, seq, slot, verdict, author, replace(state, devices=_Anybody(author)), **more)

    return [(Roots, "missing", trusting), (Judge, "_under", believing)]


def _expels() -> list[Patch]:
    apply = Draft.apply

    def harsh(self: Draft, op_id: Any, generation: int, action: Any, author: Any) -> None:
        apply(self, op_id, generation, action, author)
        if isinstance(action, DeviceRevoke):
            self.drop(Removed(op_id=op_id, member=author, cut_off=action.cut_off, at=self.k))

    return [(Draft, "apply", harsh)]


def _lost_key_stays() -> list[Patch]:
    rekey = Draft._rekey

    def forgetful(self: Draft, op_id: Any, author: Any, action: Rekey) -> None:
        before, removed = dict(self.members), self.removed
        rekey(self, op_id, author, action)
        self.members.setdefault(action.member, before[action.member])
        self.removed = removed

    return [(Draft, "_rekey", forgetful)]


PLANTED: Final = (
    PlantedBug(name="revoked-device-counts", about="Data of a revoked device counts, beyond the cut-off too.", scenario="devices", patches=_data_counts),
    PlantedBug(name="revoked-device-acts", about="What a revoked device does to the membership counts (a real one).", scenario="devices", patches=_acts_count),
    PlantedBug(name="uncertified-device", about="Who certified a device is not asked once it wrote (a real one).", scenario="devices", patches=_uncertified),
    PlantedBug(name="revocation-expels", about="Whoever revokes a device is put out with it.", scenario="devices", patches=_expels),
    PlantedBug(name="lost-key-stays", about="Whose lost key was replaced stays a member beside the new one.", scenario="devices", patches=_lost_key_stays),
)  # fmt: skip
