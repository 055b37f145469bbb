"""Who has what: pushes own operations, answers vectors, repairs gaps, counts acknowledgements (PROTOCOL §6).

A session stands for one connected device. A vector is exact: one round trip tells both sides what to serve. Nothing
here is lost silently: what a peer lacks is served when its vector shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from medsync_protocol import frames
from medsync_protocol.actions import Remove
from medsync_protocol.chains import Vector
from medsync_protocol.effects import Acknowledge, Effect, Misbehaved, Send, Serve
from medsync_protocol.errors import Invalid
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, DeviceId, MemberId
from medsync_protocol.kinds import OpKind, Plane
from medsync_protocol.operation import Operation, open_payload
from medsync_protocol.replica import News, Replica, read_action

ANTI_ENTROPY_MS: Final = 3_000  # a random connected member is asked for its vector this often
MAX_GAP_ASKS_MS: Final = 200  # a gap asks the peer for its vector at most this often


@dataclass(slots=True)
class Session:
    """One connected device. `sent`: what it has or was sent, per context, once its vector came."""

    peer: DeviceId
    greeted: bool = False
    sent: dict[ContextId, Vector] = field(default_factory=dict)
    acked: dict[ContextId, Vector] = field(default_factory=dict)
    asked_at: dict[ContextId, int] = field(default_factory=dict)


class Sync:
    """Sessions, and the replicas they are about."""

    def __init__(self, replicas: dict[ContextId, Replica], member: MemberId) -> None:
        self._replicas = replicas
        self._me = member
        self.sessions: dict[DeviceId, Session] = {}
        self.prospects: set[ContextId] = set()
        self._acked: dict[ContextId, dict[MemberId, Vector]] = {}
        self._next_round = 0

    def member_of(self, peer: DeviceId) -> MemberId | None:
        """The network member whose device this is."""
        network = self._replicas.get(NETWORK_CONTEXT)
        return None if network is None else network.membership.devices.get(peer)

    def replicated(self, context: ContextId, chain: ChainId, seq: int) -> set[MemberId]:
        """Other members that acknowledged the operation after their own commit."""
        return {member for member, vector in self._acked.get(context, {}).items() if vector.get(chain, 0) > seq}

    def behind(self, context: ContextId) -> Mapping[MemberId, Vector]:
        """What each other member acknowledged."""
        return self._acked.get(context, {})

    # -- vectors ----------------------------------------------------------------------------------------------

    def greet(self, session: Session) -> list[Effect]:
        """After both hellos: our vector of every context that the peer's member is in."""
        session.greeted = True
        member = self.member_of(session.peer)
        shared = [r for r in self._replicas.values() if member in r.membership.members or r.context == NETWORK_CONTEXT]
        return [self._vector(session, replica, answer=False) for replica in shared]

    def share(self, context: ContextId) -> list[Effect]:
        """A context's membership changed: whoever is in it and connected now gets our vector."""
        replica = self._replicas[context]
        return [
            self._vector(session, replica, answer=True)
            for session in self.sessions.values()
            if session.greeted and context not in session.sent and self.member_of(session.peer) in replica.membership.members
        ]

    def _vector(self, session: Session, replica: Replica, *, answer: bool) -> Send:
        fields = frames.vector_fields(replica.vector)
        return Send(session.peer, frames.encode(FrameKind.VECTOR, replica.context, fields, answer))

    def on_vector(self, session: Session, context: ContextId, theirs: Vector, answer: bool) -> list[Effect]:
        """Serve what they lack, ask for what we lack."""
        replica = self._replicas.get(context)
        if replica is None:
            if context in self.prospects or len(self.prospects) >= MAX_PROSPECTS:
                return []
            self.prospects.add(context)
            return [Send(session.peer, frames.encode(FrameKind.VECTOR, context, [], False))]
        member = self.member_of(session.peer)
        if member not in replica.membership.members:
            return self._farewell(session, replica, member, theirs)
        mine = replica.vector
        session.sent[context] = dict(theirs)
        self.note_ack(session, context, theirs)
        effects: list[Effect] = list(self._serve(session, replica, theirs, mine))
        if answer or any(mine.get(chain, 0) < upto for chain, upto in theirs.items()) and not answer and theirs:
            if answer or not self._asked_lately(session, context, None):
                effects.append(self._vector(session, replica, answer=False))
        return effects

    def _serve(self, session: Session, replica: Replica, theirs: Vector, mine: Vector) -> Iterable[Serve]:
        first = replica.genesis_chain
        for chain in sorted(mine, key=lambda c: (c != first, c)):
            have = theirs.get(chain, 0)
            if have < mine[chain]:
                session.sent[replica.context][chain] = mine[chain]
                yield Serve(session.peer, replica.context, chain, have, mine[chain])

    def _farewell(self, session: Session, replica: Replica, member: MemberId | None, theirs: Vector) -> list[Effect]:
        """A removed member receives its removal, and what that rests on, with every data entry pruned (§3.4)."""
        upto = replica.farewell(member) if member is not None else None
        if upto is None:
            return []
        if all(theirs.get(chain, 0) >= end for chain, end in upto.items()):
            return []
        return [
            Serve(session.peer, replica.context, chain, theirs.get(chain, 0), end)
            for chain, end in sorted(upto.items())
            if theirs.get(chain, 0) < end
        ]

    def _asked_lately(self, session: Session, context: ContextId, now: int | None) -> bool:
        if now is None:
            return False
        if now - session.asked_at.get(context, -MAX_GAP_ASKS_MS) < MAX_GAP_ASKS_MS:
            return True
        session.asked_at[context] = now
        return False

    def round(self, now: int, choose: int) -> list[Effect]:
        """Anti-entropy: every few seconds one connected device, the `choose`-th, is sent our vectors for its answer."""
        if now < self._next_round or not self.sessions:
            return []
        self._next_round = now + ANTI_ENTROPY_MS
        session = self.sessions[sorted(self.sessions)[choose % len(self.sessions)]]
        member = self.member_of(session.peer)
        return [
            self._vector(session, replica, answer=True)
            for replica in self._replicas.values()
            if session.greeted and member in replica.membership.members
        ]

    # -- operations -------------------------------------------------------------------------------------------

    def on_ops(self, now: int, session: Session, context: ContextId, wires: list[bytes]) -> list[Effect]:
        """Take operations from a member; acknowledge after the commit; ask again when a gap shows."""
        replica = self._replicas.get(context)
        if replica is None:
            return []
        if not replica.takes_from(self.member_of(session.peer)):
            return []
        parked = len(replica.parked())
        effects: list[Effect] = []
        for wire in wires:
            try:
                effects += replica.receive(now, wire)
            except Invalid as error:
                effects.append(Misbehaved(session.peer, f"{type(error).__name__}: {error}"))
        sent = session.sent.setdefault(context, {})
        for news in replica.news:
            header = news.operation.header
            sent[header.chain] = max(sent.get(header.chain, 0), header.seq + 1)
            if not news.own:
                effects.append(Acknowledge(session.peer, context, header.chain, header.seq + 1))
        if len(replica.parked()) > parked and not self._asked_lately(session, context, now):
            effects.append(self._vector(session, replica, answer=True))
        return effects

    def note_ack(self, session: Session, context: ContextId, vector: Vector) -> bool:
        """The peer's member holds this much; True when that is new."""
        member = self.member_of(session.peer)
        if member is None:
            return False
        known = self._acked.setdefault(context, {}).setdefault(member, {})
        new = False
        for chain, upto in vector.items():
            if known.get(chain, 0) < upto:
                known[chain] = upto
                new = True
        return new

    def push(self, replica: Replica) -> list[Effect]:
        """Send own news to every member that is in step; serve it to those that are not."""
        news, replica.news = replica.news, []
        own = [item for item in news if item.own]
        if not own:
            return []
        effects: list[Effect] = []
        members = replica.membership.members
        going = {member for item in own for member in _removed_by(item, replica.context)}
        for session in self.sessions.values():
            member = self.member_of(session.peer)
            if member is not None and (member in members or member in going) and session.greeted:
                effects += self._push_to(session, member, replica, own)
        return effects

    def _push_to(self, session: Session, member: MemberId, replica: Replica, own: list[News]) -> list[Effect]:
        sent = session.sent.get(replica.context)
        if sent is None:
            return []
        effects: list[Effect] = []
        ready: list[bytes] = []
        for item in own:
            header = item.operation.header
            at = sent.get(header.chain, 0)
            if at == header.seq:
                ready.append(_redacted(replica, member, item.operation))
                sent[header.chain] = header.seq + 1
            elif at < header.seq:
                effects.append(Serve(session.peer, replica.context, header.chain, at, header.seq + 1))
                sent[header.chain] = header.seq + 1
        return [*effects, Send(session.peer, frames.ops(replica.context, ready))] if ready else effects


MAX_PROSPECTS: Final = 64  # contexts a peer may name that we don't hold yet


def _redacted(replica: Replica, member: MemberId, operation: Operation) -> bytes:
    wire = operation.wire
    return wire if operation.header.plane != Plane.DATA else replica.redacted(member, wire)


def _removed_by(news: News, context: ContextId) -> list[MemberId]:
    header = news.operation.header
    if header.kind != OpKind.REMOVE:
        return []
    action = read_action(header.kind, open_payload(news.operation), context)
    return [action.member] if isinstance(action, Remove) else []
