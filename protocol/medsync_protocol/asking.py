"""Questions from member to member: a requester asks a custodian to decide, the custodian answers with a receipt (PROTOCOL §7).

The decision is the desk's. The answer leaves only after the receipt and both halves' drafts are durable: whoever
performs effects keeps their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from medsync_protocol import frames
from medsync_protocol.access import Request, decode_request, encode_request
from medsync_protocol.codec import pack, unpack, want_array, want_bool, want_bytes, want_str
from medsync_protocol.crypto import Entropy
from medsync_protocol.desk import Desk
from medsync_protocol.effects import Effect, Notify, Send
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import ContextId, DeviceId, Instant, MemberId
from medsync_protocol.receipt import ReceiptEntry, decode_receipt, encode_receipt
from medsync_protocol.replica import Replica

ASK_TIMEOUT_MS: Final = 30_000  # a custodian that commits on a busy disk answers well within
ASK_AGAIN_MS: Final = 3_000  # a question whose link broke is put again; the custodian answers it once
MAX_GIVEN: Final = 1_000  # answers kept to be given again: those of the last minutes
MAX_OPEN: Final = 10_000  # questions under way
DECIDE: Final = "decide"

DeskOf = Callable[[ContextId], Desk]


@dataclass(frozen=True, slots=True)
class _Open:
    context: ContextId
    custodian: MemberId
    request: Request
    asked_at: int
    frame: bytes


class Asking:
    """Questions under way, ours and others'."""

    def __init__(self, desk: DeskOf, entropy: Entropy) -> None:
        self._desk = desk
        self._entropy = entropy
        self._open: dict[bytes, _Open] = {}
        self._again_at: dict[bytes, int] = {}
        self._given: dict[tuple[MemberId, bytes], bytes] = {}
        self.answers: dict[bytes, ReceiptEntry | Refused] = {}
        """What came of our questions, until `take_answer`."""

    def ask(
        self, now: int, replica: Replica, custodian: MemberId, request: Request, peer: DeviceId | None
    ) -> tuple[bytes, list[Effect]]:
        """Put a request to a custodian at `peer`, or decide it here when we are that custodian. Raises Refused."""
        name = self._entropy("question", 16)
        if custodian == replica.member:
            entry, drafts = self._desk(replica.context).decide(Instant(now), request)
            effects = replica.submit(now, drafts)[1]
            return name, [*effects, *self._answered(now, replica, name, request, entry)]
        if peer is None:
            raise Refused(
                "the custodian's node is not connected", code="custodian_unreachable",
                advice="try again when it is, or ask another custodian of the record",
            )  # fmt: skip
        if len(self._open) >= MAX_OPEN:
            raise Refused("too many questions are under way", code="busy", advice="try again in a moment")
        frame = frames.encode(FrameKind.ASK, replica.context, name, DECIDE, encode_request(request))
        self._open[name] = _Open(replica.context, custodian, request, now, frame)
        self._again_at[name] = now + ASK_AGAIN_MS
        return name, [Send(peer, frame)]

    def take_answer(self, name: bytes) -> ReceiptEntry | Refused | None:
        """The answer to a question, once."""
        return self.answers.pop(name, None)

    def on_ask(
        self, now: int, replica: Replica, peer: DeviceId, member: MemberId, fields: tuple[Any, ...]
    ) -> list[Effect]:
        """Decide a member's request and answer it. Raises Malformed."""
        name, method, payload = fields
        given = self._given.get((member, want_bytes(name, 16)))
        if given is not None:
            return [Send(peer, given)]
        try:
            if want_str(method, 32) != DECIDE:
                raise Refused("an unknown method", code="unknown_method", advice="update this node")
            request = decode_request(want_bytes(payload))
            if request.requester != member:
                raise Refused(
                    "a request is put by its requester", code="not_permitted", advice="ask in your own name"
                )
            entry, drafts = self._desk(replica.context).decide(Instant(now), request)
            effects = replica.submit(now, drafts)[1]
        except Refused as refusal:
            answer = pack([refusal.code, str(refusal), refusal.advice])
            return [Send(peer, frames.encode(FrameKind.ANSWER, replica.context, name, False, answer))]
        answered = frames.encode(FrameKind.ANSWER, replica.context, name, True, encode_receipt(entry))
        if len(self._given) >= MAX_GIVEN:
            del self._given[next(iter(self._given))]
        self._given[member, name] = answered
        return [*effects, Send(peer, answered)]

    def on_answer(
        self, now: int, replica: Replica, member: MemberId, fields: tuple[Any, ...]
    ) -> list[Effect]:
        """A custodian's answer to a question of ours: log our half, tell who asked. Raises Malformed."""
        name, given, payload = fields
        asked = self._open.get(want_bytes(name, 16))
        if asked is None or asked.custodian != member or asked.context != replica.context:
            return []
        del self._open[name], self._again_at[name]
        if not want_bool(given):
            code, message, advice = (
                want_str(part, 1024) for part in want_array(unpack(want_bytes(payload)), 3)
            )
            return self._close(name, replica, Refused(message, code=code, advice=advice))
        try:
            return self._answered(now, replica, name, asked.request, decode_receipt(want_bytes(payload)))
        except (Refused, Malformed) as error:
            refusal = error if isinstance(error, Refused) else _unreadable()
            return self._close(name, replica, refusal)

    def _answered(
        self, now: int, replica: Replica, name: bytes, request: Request, entry: ReceiptEntry
    ) -> list[Effect]:
        _, drafts = self._desk(replica.context).requested(Instant(now), request, entry)
        return [*replica.submit(now, drafts)[1], *self._close(name, replica, entry)]

    def _close(self, name: bytes, replica: Replica, answer: ReceiptEntry | Refused) -> list[Effect]:
        self.answers[name] = answer
        return [Notify("answer", replica.context, (("request", name),))]

    def again(self, now: int, peer_of: Callable[[ContextId, MemberId], DeviceId | None]) -> list[Effect]:
        """Questions that are open for a while, put again to wherever the custodian is connected now."""
        effects: list[Effect] = []
        for name, due in list(self._again_at.items()):
            asked = self._open[name]
            peer = peer_of(asked.context, asked.custodian) if now >= due else None
            if peer is not None:
                self._again_at[name] = now + ASK_AGAIN_MS
                effects.append(Send(peer, asked.frame))
        return effects

    def expire(self, now: int) -> list[Effect]:
        """Questions that nobody answered in time."""
        effects: list[Effect] = []
        late = [name for name, asked in self._open.items() if now - asked.asked_at > ASK_TIMEOUT_MS]
        for name in late:
            asked = self._open.pop(name)
            del self._again_at[name]
            self.answers[name] = Refused(
                "the custodian did not answer in time", code="custodian_timeout",
                advice="nothing was released; try again, or ask another custodian",
            )  # fmt: skip
            effects.append(Notify("answer", asked.context, (("request", name),)))
        return effects


def _unreadable() -> Refused:
    return Refused(
        "the custodian's answer can't be read", code="bad_receipt", advice="its node may be of another version"
    )
