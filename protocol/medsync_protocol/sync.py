"""Who has what: pushes own operations, answers vectors, repairs gaps, counts acknowledgements (PROTOCOL §6).

A session stands for one connected device. A vector is exact: one round trip tells both sides what to serve. Nothing
here is lost silently: what a peer lacks is served when its vector shows it. What a member may see is serving.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from medsync_protocol import frames
from medsync_protocol.actions import Remove
from medsync_protocol.chains import Vector
from medsync_protocol.crypto import blake2b
from medsync_protocol.effects import Acknowledge, Effect, Misbehaved, Send, Serve
from medsync_protocol.errors import Invalid
from medsync_protocol.frames import FrameKind
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, DeviceId, MemberId, OpId, Place, device_of
from medsync_protocol.kinds import OpKind, Plane
from medsync_protocol.reading import read_action
from medsync_protocol.replica import News, Replica
from medsync_protocol.serving import farewell, is_tentative, needed_keys, redacted_news, takes_from

ANTI_ENTROPY_MS: Final = 3_000  # a random connected member is asked for its vector this often
GAP_ASKS_MS: Final = 200  # a gap asks the peer for its vector at most this often
UNDER_WAY_MS: Final = 2_000  # what is on its way, from us or from whoever should serve it, may take this long to show
NOTICE_EVERY_MS: Final = 3_000  # who is out by something not final is heard this often,
NOTICE_MS: Final = 1_000  # for this long,
MAX_NOTICE_FRAMES: Final = 16  # and with so many frames
PROOFS_EVERY_MS: Final = 15_000  # forks are shown to a peer again after so long: it may not have known us for a member
PULL_MS: Final = 2_000  # missing keys and bodies are asked for this often
MAX_PULLS: Final = 64  # keys or bodies asked for at a time, each from one peer


@dataclass(slots=True)
class Session:
    """One connected device. `sent`: what it has or was sent, per context, once its vector came."""

    peer: DeviceId
    member: MemberId | None = None  # whose device it was when it was last a member's: farewells go there
    greeted: bool = False
    version: int = 0
    sent: dict[ContextId, Vector] = field(default_factory=dict)
    asked_at: dict[ContextId, int] = field(default_factory=dict)
    notices: dict[ContextId, tuple[int, int]] = field(default_factory=dict)
    """Of a context that the peer's member is out of: since when it is heard, and how many frames were."""
    under_way: dict[tuple[ContextId, ChainId], tuple[int, int]] = field(default_factory=dict)
    """Chains being served to it, by us or by others: since when there is no progress, and how much it had then."""
    shown: dict[ContextId, tuple[int, set[OpId | Place]]] = field(default_factory=dict)
    """Operations beside forked chains, and where those part, that it was sent: since when, and which."""


class Sync:
    """Sessions, and the replicas they are about. `member_of` tells whose device a peer is.

    `proof_for` gives the checkpoint up to which someone who is out is shown why, and its cut.
    """

    def __init__(
        self, replicas: Mapping[ContextId, Replica], member_of: Callable[[DeviceId], MemberId | None],
        proof_for: Callable[[Replica, MemberId], tuple[int, Vector]],
    ) -> None:  # fmt: skip
        self._replicas = replicas
        self._member_of = member_of
        self._proof_for = proof_for
        self.sessions: dict[DeviceId, Session] = {}
        self._acked: dict[ContextId, dict[MemberId, Vector]] = {}
        self._next_round = 0
        self._next_pull = 0

    def replicated(self, context: ContextId, chain: ChainId, seq: int) -> set[MemberId]:
        """Other members that acknowledged the operation after their own commit."""
        held = self._acked.get(context, {})
        return {member for member, vector in held.items() if vector.get(chain, 0) > seq}

    def acknowledged(self, context: ContextId) -> Mapping[MemberId, Vector]:
        """What each other member acknowledged."""
        return self._acked.get(context, {})

    def linked(self, replica: Replica) -> list[Session]:
        """Sessions with members of the context, greeted."""
        members = replica.membership.members
        return [s for s in self.sessions.values() if s.greeted and self._member_of(s.peer) in members]

    # -- vectors ----------------------------------------------------------------------------------------------

    def greet(self, session: Session) -> list[Effect]:
        """After both hellos: our vector of every context that the peer's member is in."""
        session.greeted = True
        member = session.member = self._member_of(session.peer)
        return [
            self._vector(session, replica, answer=False)
            for replica in self._replicas.values()
            if replica.context == NETWORK_CONTEXT or member in replica.membership.members
        ]

    def share(self, context: ContextId) -> list[Effect]:
        """A context's membership changed: whoever is in it, connected and not yet in step gets our vector."""
        replica = self._replicas[context]
        return [
            self._vector(session, replica, answer=True)
            for session in self.linked(replica)
            if context not in session.sent
        ]

    def ask(self, session: Session, context: ContextId) -> list[Effect]:
        """An empty vector: send us all that you have of this context."""
        return [Send(session.peer, frames.encode(FrameKind.VECTOR, context, [], False))]

    def _vector(self, session: Session, replica: Replica, *, answer: bool) -> Send:
        fields = frames.vector_fields(replica.vector)
        return Send(session.peer, frames.encode(FrameKind.VECTOR, replica.context, fields, answer))

    def on_vector(
        self, now: int, session: Session, replica: Replica, theirs: Vector, answer: bool
    ) -> list[Effect]:
        """Serve what they lack, ask for what we lack."""
        member = self._member_of(session.peer)
        context = replica.context
        mine = replica.vector
        effects: list[Effect] = []
        if member not in replica.membership.members and not self._founding(replica):
            effects += self._farewell(session, replica, member, theirs)
            return effects + self._hear(now, session, replica, member)
        self.note_ack(session, context, theirs)
        effects += self._serve(now, session, replica, theirs, mine)
        effects += self.proofs(now, session, replica)
        lacking = any(mine.get(chain, 0) < upto for chain, upto in theirs.items())
        if answer or (lacking and not self._asked_lately(session, context, now)):
            effects.append(self._vector(session, replica, answer=False))
        return effects

    def proofs(self, now: int, session: Session, replica: Replica) -> Iterator[Effect]:
        """Both operations of every fork that this peer wasn't shown lately, so that it reaches everyone (S7).

        A vector doesn't tell of them, and whoever came in after a fork may lack what others' operations cite.
        """
        if not replica.branches:
            return
        since, shown = session.shown.get(replica.context, (now, set()))
        if now - since >= PROOFS_EVERY_MS:
            since, shown = now, set()
        session.shown[replica.context] = (since, shown)
        for op_id, wire in replica.branches.items():
            if op_id not in shown:
                shown.add(op_id)
                yield Send(session.peer, frames.ops(replica.context, [wire]))
        for chain, seq in replica.judge.forks.items():
            if (chain, seq) not in shown:
                shown.add((chain, seq))
                yield Serve(session.peer, replica.context, chain, seq, seq + 1)

    def _hear(self, now: int, session: Session, replica: Replica, member: MemberId | None) -> list[Effect]:
        """A removal that is not final must not fulfil itself: ask its target for what we lack, now and then (§3.4)."""
        since, _ = session.notices.get(replica.context, (-NOTICE_EVERY_MS, 0))
        if now - since < NOTICE_EVERY_MS or not is_tentative(replica, member):
            return []
        session.notices[replica.context] = (now, 0)
        return [self._vector(session, replica, answer=False)]

    def _heard(self, now: int, session: Session, context: ContextId) -> bool:
        """Whether a frame of someone who is out is within what it may hand in."""
        since, count = session.notices.get(context, (-NOTICE_MS, 0))
        if now - since >= NOTICE_MS or count >= MAX_NOTICE_FRAMES:
            return False
        session.notices[context] = (since, count + 1)
        return True

    def _founding(self, replica: Replica) -> bool:
        """While we don't see ourselves in it, membership is too incomplete to tell who is not."""
        return replica.context == NETWORK_CONTEXT and replica.role is None and not any(
            removed.member == replica.member for removed in replica.membership.removed
        )

    def _serve(
        self, now: int, session: Session, replica: Replica, theirs: Vector, mine: Vector
    ) -> Iterable[Serve]:
        first, context = replica.genesis_chain, replica.context
        before, sent = session.sent.get(context, {}), dict(theirs)
        session.sent[context] = sent
        for chain in sorted(mine, key=lambda c: (c != first, c)):
            have = theirs.get(chain, 0)
            if have >= mine[chain]:
                session.under_way.pop((context, chain), None)
            elif theirs.get(first, 0) == 0 or self._is_ours_to_serve(now, session, replica, chain, have):
                sent[chain] = mine[chain]
                yield Serve(session.peer, context, chain, have, mine[chain])
            else:
                sent[chain] = max(have, before.get(chain, 0))

    def _is_ours_to_serve(
        self, now: int, session: Session, replica: Replica, chain: ChainId, have: int
    ) -> bool:
        """Not what is under way: vectors cross, and of those that hold a chain one serves it, not all.

        The one who should may not be linked there, as it is here: without progress for UNDER_WAY_MS we serve after all.
        """
        place = (replica.context, chain)
        since, had = session.under_way.get(place, (None, have))
        if since is None:
            session.under_way[place] = (now, have)
            return self._server(session, replica, chain) == replica.identity.device
        session.under_way[place] = (now if had != have else since, have)
        if had != have or now - since < UNDER_WAY_MS:
            return False
        session.under_way[place] = (now, have)
        return True

    def _server(self, session: Session, replica: Replica, chain: ChainId) -> DeviceId:
        others = [other for other in self.linked(replica) if other is not session]
        own, author = replica.identity.device, device_of(chain)
        if author == own or any(other.peer == author for other in others):
            return author
        upto = replica.chains.next_seq(chain)
        acked = self._acked.get(replica.context, {})
        holders = [
            other.peer
            for other in others
            if other.member is not None and acked.get(other.member, {}).get(chain, 0) >= upto
        ]
        return min((own, *holders), key=lambda device: blake2b(chain, device))

    def _farewell(
        self, session: Session, replica: Replica, member: MemberId | None, theirs: Vector
    ) -> Iterable[Serve]:
        """A removed member receives its removal, and what that rests on, with every data entry pruned (§3.4)."""
        if member is None or (upto := farewell(replica, member)) is None:
            return
        for chain, end in self._proof_for(replica, member)[1].items():
            upto[chain] = max(end, upto.get(chain, 0))
        for chain, end in sorted(upto.items()):
            if theirs.get(chain, 0) < end:
                yield Serve(session.peer, replica.context, chain, theirs.get(chain, 0), end)

    def _asked_lately(self, session: Session, context: ContextId, now: int) -> bool:
        if now - session.asked_at.get(context, -GAP_ASKS_MS) < GAP_ASKS_MS:
            return True
        session.asked_at[context] = now
        return False

    def round(self, now: int, choose: int) -> list[Effect]:
        """Anti-entropy: every few seconds one connected device, the `choose`-th, is sent our vectors for its answer."""
        if now < self._next_round or not self.sessions:
            return []
        self._next_round = now + ANTI_ENTROPY_MS
        session = self.sessions[sorted(self.sessions)[choose % len(self.sessions)]]
        member = self._member_of(session.peer)
        return [
            self._vector(session, replica, answer=True)
            for replica in self._replicas.values()
            if session.greeted and member in replica.membership.members
        ]

    # -- operations -------------------------------------------------------------------------------------------

    def on_ops(self, now: int, session: Session, replica: Replica, wires: list[bytes]) -> list[Effect]:
        """Take operations from a member; acknowledge after the commit; ask again when a gap shows."""
        taken = takes_from(replica, self._member_of(session.peer)) or self._founding(replica)
        if not taken and not self._heard(now, session, replica.context):
            return []
        parked = len(replica.parking)
        fresh = len(replica.news)
        effects: list[Effect] = []
        for wire in wires:
            try:
                effects += replica.receive(now, wire)
            except Invalid as error:
                effects.append(Misbehaved(session.peer, f"{type(error).__name__}: {error}"))
        context = replica.context
        sent = session.sent.setdefault(context, {})
        for news in replica.news[fresh:]:
            header = news.operation.header
            if sent.get(header.chain, 0) <= header.seq:
                sent[header.chain] = header.seq + 1
            effects.append(Acknowledge(session.peer, context, header.chain, header.seq + 1))
        if len(replica.parking) > parked and not self._asked_lately(session, context, now):
            effects.append(self._vector(session, replica, answer=True))
        return effects

    def note_ack(self, session: Session, context: ContextId, vector: Vector) -> bool:
        """The peer's member holds this much; True when that is new."""
        member = self._member_of(session.peer)
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
        going = {removed for item in own for removed in _removed_by(item, replica.context)}
        for session in self.sessions.values():
            member = session.member = self._member_of(session.peer) or session.member
            if member is None or not session.greeted:
                continue
            if member in members:
                effects += self._push_to(session, member, replica, own)
            elif member in going:
                shown = [item for item in own if item.operation.header.plane != Plane.DATA]
                effects += self._push_to(session, member, replica, shown)
        return effects

    def _push_to(
        self, session: Session, member: MemberId, replica: Replica, own: list[News]
    ) -> list[Effect]:
        sent = session.sent.get(replica.context)
        if sent is None:
            return []
        effects: list[Effect] = []
        ready: list[bytes] = []
        for item in own:
            header = item.operation.header
            at = sent.get(header.chain, 0)
            if at == header.seq:
                ready.append(redacted_news(replica, member, item))
                sent[header.chain] = header.seq + 1
            elif at < header.seq:
                effects.append(Serve(session.peer, replica.context, header.chain, at, header.seq + 1))
                sent[header.chain] = header.seq + 1
        return [*effects, *(Send(session.peer, frame) for frame in frames.ops_frames(replica.context, ready))]

    # -- what is missing --------------------------------------------------------------------------------------

    def pulls(self, now: int, choose: int) -> list[Effect]:
        """Epoch keys and entries that should be ours, asked of one connected member at a time."""
        if now < self._next_pull:
            return []
        self._next_pull = now + PULL_MS
        effects: list[Effect] = []
        for replica in self._replicas.values():
            sessions = self.linked(replica)
            if not sessions:
                continue
            peer = sessions[choose % len(sessions)].peer
            needed = needed_keys(replica)
            missing = [key_id for key_id in replica.opener.missing_epochs() if key_id in needed]
            newest = replica.membership.usable_key()
            if newest is not None and newest not in replica.ring and replica.role is not None:
                missing.insert(0, newest)
            effects += [
                Send(peer, frames.encode(FrameKind.KEY_PULL, replica.context, key_id))
                for key_id in missing[:MAX_PULLS]
            ]
            for (chain, seq), author in list(replica.opener.wanted.items())[:MAX_PULLS]:
                holders = [s.peer for s in sessions if self._member_of(s.peer) == author] or [peer]
                effects.append(Send(holders[0], frames.encode(FrameKind.BODY, replica.context, chain, seq)))
            if replica.role is not None:
                effects += self._pull_blank(replica, sessions, choose)
        return effects

    def _pull_blank(self, replica: Replica, sessions: list[Session], choose: int) -> Iterator[Effect]:
        """Entries for all that came pruned: of their author, or of whoever has not said that they are gone."""
        opener = replica.opener
        for place, author in list(opener.blank.items())[:MAX_PULLS]:
            told = opener.told_gone(place)
            able = [s.peer for s in sessions if self._member_of(s.peer) not in told]
            holders = [s.peer for s in sessions if self._member_of(s.peer) == author and author not in told]
            if able:
                holder = holders[0] if holders and choose % 2 else able[choose % len(able)]
                if (asked := self._member_of(holder)) is not None:
                    opener.told_lacking(place).discard(asked)  # it may have it by now: only its newest word counts
                yield Send(holder, frames.encode(FrameKind.BODY, replica.context, *place))


def _removed_by(news: News, context: ContextId) -> list[MemberId]:
    header = news.operation.header
    if header.kind != OpKind.REMOVE:
        return []
    action = read_action(header, news.operation.body, context)
    return [action.member] if isinstance(action, Remove) else []
