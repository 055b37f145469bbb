"""Looking back at decisions: receipts re-computed and explained from what a replica holds, views as of a past time.

The answer is `decision.py`'s, the explanation `explaining.py`'s; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.decision import DecisionView
from medsync_protocol.errors import BadSignature, Invalid, Refused
from medsync_protocol.explaining import Explanation, explain
from medsync_protocol.ids import ChainId, DeviceId, Instant, MemberId, SubjectRef
from medsync_protocol.receipt import (
    Receipt,
    ReceiptEntry,
    Recomputed,
    ViewRecord,
    decode_view,
    recompute,
    request_of,
    verify_receipt,
)

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica


class Review:
    """See the module. `readable`: chain → next seq of what the replica holds, could open and has judged."""

    def __init__(
        self, replica: Replica, application: MedSyncApplication, readable: Mapping[ChainId, int]
    ) -> None:
        self._replica, self._application, self._readable = replica, application, readable

    def devices(self) -> dict[DeviceId, MemberId]:
        """Every device that some member had, removed ones' too: their heartbeats stand in old receipts."""
        state = self._replica.membership
        ever = {card.device: member for member, card in state.cards.items()}
        ever |= {removed.device: removed.member for removed in state.removed if removed.device is not None}
        return {**ever, **{device: member for device, (member, _) in state.certificates.items()}, **state.devices}

    def recompute(self, entry: ReceiptEntry) -> Recomputed:
        """Decide again on the inputs that a receipt names, as far as they are held here.

        What was changed on its way is told from what is gone: inputs are erased only where their subject was.
        """
        try:
            request = request_of(entry)
            record = decode_view(entry.view) if entry.view else None
            if record is not None and record.id != entry.receipt.view_id:
                return _signed_or(entry.receipt, Recomputed.OTHER_INPUTS)
            if request is None and entry.request:
                return _signed_or(entry.receipt, Recomputed.OTHER_REQUEST)
            if self._application.hidden(entry.receipt.subject):
                return recompute(entry.receipt, None, None)
            if request is None or record is None:  # whoever handed it over left them out: nobody erased them
                return _signed_or(entry.receipt, Recomputed.INPUTS_MISSING)
            if not self._holds(record):
                return _signed_or(entry.receipt, Recomputed.INPUTS_MISSING)
            view = self._application.view_at(request.subject, record, self.devices())
        except Invalid:
            return _signed_or(entry.receipt, Recomputed.OTHER_INPUTS)
        return recompute(entry.receipt, request, view)

    def explain_receipt(self, entry: ReceiptEntry) -> Explanation:
        """Why a receipt says what it says, by the view that it was decided on. Raises Refused where that isn't held."""
        outcome = self.recompute(entry)
        request = request_of(entry) if outcome is Recomputed.MATCHES else None
        if request is None:
            raise Refused(
                f"the receipt can't be explained: {outcome.value}", code="not_recomputed",
                advice="see `medsync receipt verify`",
            )  # fmt: skip
        view = self._application.view_at(request.subject, decode_view(entry.view), self.devices())
        return explain(view, request, entry.receipt.time, entry.receipt.decision)

    def view_until(self, subject: SubjectRef, at: Instant, heard: ReceiptEntry | None = None) -> DecisionView:
        """What was written until `at` (ms UTC, by its authors' clocks), as it is judged today.

        Heartbeats are not kept. `heard`: a receipt about the subject, decided at `at` or before it and held with its view, whose
        heartbeats are taken; its signer had then read all that they cover. Raises Invalid when one of them doesn't hold.
        """
        known = None if heard is None else self._proven(subject, at, heard)
        chains = self._replica.chains
        held = {
            chain: sum(1 for seq in range(count) if chains.slot(chain, seq).hlc >> 16 <= at)
            for chain, count in self._readable.items()
        }
        record = ViewRecord(
            vector=tuple(
                (chain, count, chains.slot(chain, count - 1).op_id) for chain, count in sorted(held.items()) if count
            ),
            k=0, heartbeats=() if known is None else known.heartbeats, home_sets=() if known is None else known.home_sets,
            clock_offset=None,
        )  # fmt: skip
        return self._application.view_at(subject, record, self.devices())

    def _proven(self, subject: SubjectRef, at: Instant, heard: ReceiptEntry) -> ViewRecord | None:
        """The view that a receipt was decided on, where its heartbeats prove anything of `at`. Raises Invalid."""
        if heard.receipt.subject != subject or heard.receipt.time > at or not heard.view:
            return None
        verify_receipt(heard.receipt)
        record = decode_view(heard.view)
        return record if record.id == heard.receipt.view_id and self._holds(record) else None

    def _holds(self, record: ViewRecord) -> bool:
        chains = self._replica.chains
        return all(
            self._readable.get(chain, 0) >= count and chains.slot(chain, count - 1).op_id == head
            for chain, count, head in record.vector
        )


def _signed_or(receipt: Receipt, otherwise: Recomputed) -> Recomputed:
    try:
        verify_receipt(receipt)
    except BadSignature:
        return Recomputed.BAD_SIGNATURE
    return otherwise
