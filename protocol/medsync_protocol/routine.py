"""What an engine does by itself: after events, and as time passes. Pure like everything here: the driver gives the time."""

from __future__ import annotations

from typing import Final

from medsync_protocol import erasing, forks, frames, governance, rekeying
from medsync_protocol.checkpoints import RENEW_MS, Checkpoints
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.crypto import blake2b, seal, unseal
from medsync_protocol.effects import Effect, Expel, Knock, Notify, Persist, Publish, ReadBranch, Send, Topics
from medsync_protocol.errors import Invalid, Refused
from medsync_protocol.frames import FrameKind
from medsync_protocol.held import Held
from medsync_protocol.inbox import vote_frame
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, DeviceId, MemberId
from medsync_protocol.journal import ValueRecord
from medsync_protocol.kinds import Role
from medsync_protocol.membership_state import MembershipState
from medsync_protocol.ports import NOTICE_PROTOCOL
from medsync_protocol.poseidon import Felt, felt_bytes
from medsync_protocol.replica import Replica
from medsync_protocol.sealing import gossip_keys

CHECKPOINT_EVERY_MS: Final = 60_000  # default of the setting `checkpoint.every`: cost on chain against open verdicts
CATCH_UP_MS: Final = 1_000  # certificates and candidates' operations are asked for this often
ANCHOR_ASKS_MS: Final = 5_000  # who doesn't know where a context is opened asks a member this often
MAX_BRANCH_ASKS: Final = 63  # operations of another branch that are asked for at a time
KNOCK_AFTER_MS: Final = 15_000  # without any link for this long, ask a member's door why
FOLLOW_STAGGER_MS: Final = 2_000  # admins remove from contexts who left the network, one after another
HINT_EVERY_MS: Final = 1_000  # gossip hints per context while some member is not linked


class Routine:
    """See the module. `electing`: contexts whose founder still enlarges the voter list to its first members."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self.electing: dict[ContextId, frozenset[MemberId]] = {}
        self._news_since: dict[ContextId, int] = {}
        self._caught_up_at = 0
        self._anchors_asked_at = 0
        self._alone_since: int | None = None
        self._shown_at: dict[ContextId, int] = {}
        self._owed_since: dict[ContextId, int] = {}
        self._outsiders: dict[tuple[ContextId, MemberId], int] = {}
        self._topics: frozenset[bytes] = frozenset()
        self._hinted_at: dict[ContextId, int] = {}
        self._told_removed: set[ContextId] = set()
        self._looked: dict[ContextId, tuple[MembershipState, MembershipState | None]] = {}

    # -- after every event ------------------------------------------------------------------------------------

    def after(self, now: int, effects: list[Effect]) -> list[Effect]:
        """News to send, and what a changed membership asks for."""
        held = self._held
        more: list[Effect] = []
        more += self._flush(now)
        changed = {
            e.context for e in effects if isinstance(e, Notify) and e.what == "membership" and e.context is not None
        }
        for context in sorted(changed):
            more += self._after_membership(now, held.replicas[context])
        forked = {e.context for e in effects if isinstance(e, Notify) and e.what == "fork" and e.context is not None}
        for context in sorted(forked):
            replica = held.replicas[context]
            for session in held.sync.linked(replica):
                more += held.sync.proofs(now, session, replica)
        if any(isinstance(e, Notify) and e.what == "accepted" for e in effects):
            self._news_since.clear()
        if changed or any(isinstance(e, Persist) for e in effects):
            more += held.directory.dial(held.net)
        return [*more, *self._flush(now)]

    def _flush(self, now: int) -> list[Effect]:
        effects: list[Effect] = []
        for replica in self._held.replicas.values():
            if replica.news:
                effects += self._after_news(now, replica)
        return effects

    def _after_news(self, now: int, replica: Replica) -> list[Effect]:
        held, context = self._held, replica.context
        self._news_since.setdefault(context, now)
        places = [(n.operation.header.chain, n.operation.header.seq) for n in replica.news]
        if any(place in replica.labels for place in places):
            held.pulse(context).consents_changed(now)
        effects = held.checkpoints(context).retry(now)
        own = any(news.own for news in replica.news)
        effects += held.sync.push(replica)
        if own:
            effects += self._hint(now, replica)
        return effects

    def _after_membership(self, now: int, replica: Replica) -> list[Effect]:
        held, context = self._held, replica.context
        effects: list[Effect] = []
        if context != NETWORK_CONTEXT:
            effects += governance.announce_voter_key(replica, now)
            effects += self._elect(now, replica)
        effects += held.sync.share(context)
        effects += self._told(replica)
        effects += self.topics()
        if context == NETWORK_CONTEXT:
            effects += self._expel(replica)
        return effects

    def _elect(self, now: int, replica: Replica) -> list[Effect]:
        """The founder's one ballot that makes the first members voters, once all have announced their keys."""
        wanted = self.electing.get(replica.context)
        state = replica.membership
        if wanted is None or not all(member in state.voter_keys for member in wanted):
            return []
        del self.electing[replica.context]
        done: list[Effect] = [Persist((ValueRecord("electing", replica.context, b"", None),), False)]
        if {member for member, _ in state.voters} != {replica.member}:
            return done
        return [*governance.vote_voters(replica, now, wanted)[1], *done]

    def _told(self, replica: Replica) -> list[Effect]:
        """Tell our own users when we learn that we were removed (L5)."""
        removed = any(r.member == replica.member and r.device is None for r in replica.membership.removed)
        if not removed or replica.role is not None:
            self._told_removed.discard(replica.context)
            return []
        if replica.context in self._told_removed:
            return []
        self._told_removed.add(replica.context)
        return [Notify("removed", replica.context)]

    def _expel(self, net: Replica) -> list[Effect]:
        gone = [
            session.peer
            for session in self._held.sync.sessions.values()
            if session.greeted and self._held.member_of(session.peer) is None and net.role is not None
        ]
        return [Expel(peer) for peer in gone]

    def topics(self) -> list[Effect]:
        """Gossip topics of the usable keys: a removal switches at once (PROTOCOL §4)."""
        found = set()
        for replica in self._held.replicas.values():
            state = replica.membership
            for key_id, key in replica.ring.epochs().items():
                if replica.role is not None and state.may_write_under(key_id):
                    found.add(gossip_keys(key)[1])
        if found == self._topics:
            return []
        self._topics = frozenset(found)
        return [Topics(self._topics)]

    # -- hints ------------------------------------------------------------------------------------------------

    def _hint(self, now: int, replica: Replica) -> list[Effect]:
        """While some member is not linked: a sealed note of what we hold, for whoever it reaches over others."""
        state, held = replica.membership, self._held
        linked = {held.member_of(session.peer) for session in held.sync.linked(replica)}
        if linked | {replica.member} >= set(state.members):
            return []
        if now - self._hinted_at.get(replica.context, -HINT_EVERY_MS) < HINT_EVERY_MS:
            return []
        key_id = state.usable_key()
        key = None if key_id is None else replica.ring.key(key_id)
        if key is None:
            return []
        self._hinted_at[replica.context] = now
        sealing, topic = gossip_keys(key)
        note = pack([replica.context, replica.chain, replica.chains.next_seq(replica.chain)])
        return [Publish(topic, seal(sealing, note, nonce=held.entropy("nonce", 24)))]

    def on_hint(self, now: int, topic: bytes, frame: bytes, sender: DeviceId) -> list[Effect]:
        """Somebody has something new: if we lack it, ask a linked member for its vector."""
        held = self._held
        for replica in held.replicas.values():
            for key in replica.ring.epochs().values():
                sealing, mine = gossip_keys(key)
                if mine != topic:
                    continue
                try:
                    context, chain, upto = want_array(unpack(unseal(sealing, frame)), 3)
                    want_bytes(chain, 40), want_int(upto)
                except Invalid:
                    return []
                if context != replica.context or replica.vector.get(chain, 0) >= upto:
                    return []
                return self._ask_vectors(replica)
        return []

    def _ask_vectors(self, replica: Replica) -> list[Effect]:
        fields = frames.vector_fields(replica.vector)
        frame = frames.encode(FrameKind.VECTOR, replica.context, fields, True)
        return [Send(session.peer, frame) for session in self._held.sync.linked(replica)[:1]]

    # -- as time passes ---------------------------------------------------------------------------------------

    def tick(self, now: int) -> list[Effect]:
        """Everything that is due."""
        held = self._held
        choose = int.from_bytes(held.entropy("choice", 4), "big")
        effects = held.sync.round(now, choose) + held.sync.pulls(now, choose) + held.asking.expire(now)
        effects += held.asking.again(now, held.peer_of)
        for context, replica in list(held.replicas.items()):
            effects += replica.due(now)
            effects += self._settle_keys(now, replica)
            if context == NETWORK_CONTEXT:
                if rekeying.exposed(replica):
                    effects += self._rotate_where_owed(now, replica)
                continue
            pulse = held.pulse(context)
            if pulse.due(now):
                effects += pulse.emit(now, [session.peer for session in held.sync.linked(replica)])
            effects += self._propose(now, replica)
            effects += self._show_again(now, replica)
            effects += erasing.due_again(replica)
            effects += erasing.attest(replica, now)
            effects += self._follow_network(now, replica)
            effects += self._rotate_where_owed(now, replica)
        if now - self._caught_up_at >= CATCH_UP_MS:
            self._caught_up_at = now
            effects += self._catch_up(now)
        return [*effects, *self._ask_anchors(now, choose), *self._knock(now, choose)]

    def _ask_anchors(self, now: int, choose: int) -> list[Effect]:
        """A newcomer, or who lost its journal, was not there when the founder told where the context is opened."""
        held = self._held
        if now - self._anchors_asked_at < ANCHOR_ASKS_MS:
            return []
        self._anchors_asked_at = now
        effects: list[Effect] = []
        for context, replica in held.replicas.items():
            sessions = held.sync.linked(replica)
            if context == NETWORK_CONTEXT or not sessions or held.checkpoints(context).anchoring is not None:
                continue
            peer = sessions[choose % len(sessions)].peer
            effects.append(Send(peer, frames.encode(FrameKind.ANCHOR_PULL, context)))
        return effects

    def _propose(self, now: int, replica: Replica) -> list[Effect]:
        """A voter proposes in its turn, once something has been new for the context's interval."""
        checkpoints = self._held.checkpoints(replica.context)
        since = self._news_since.get(replica.context)
        if since is None:
            if checkpoints.has_news():
                self._news_since[replica.context] = now
            return []
        every = replica.genesis.setting("checkpoint.every", CHECKPOINT_EVERY_MS)
        if not checkpoints.turn(now, since + every) or not checkpoints.has_news():
            return []
        try:
            return checkpoints.propose(now)
        except Refused:
            return []

    def _show_again(self, now: int, replica: Replica) -> list[Effect]:
        """A candidate that some refused, because its proposer had no more left then, is shown again when it has one."""
        context = replica.context
        if now - self._shown_at.setdefault(context, now) < RENEW_MS:
            return []
        self._shown_at[context] = now
        tally = self._held.checkpoints(context).favourite()
        if tally is None:
            return []
        k, digest = tally.built.statement.k, tally.built.digest
        shown = [frames.encode(FrameKind.PROPOSAL, context, tally.candidate.encode())]
        shown += [vote_frame(context, k, digest, vote) for vote in tally.votes.values()]
        return [Send(session.peer, frame) for session in self._held.sync.linked(replica) for frame in shown]

    def _catch_up(self, now: int) -> list[Effect]:
        """Certificates that the chain has and we have not; operations that a candidate needs."""
        held = self._held
        effects: list[Effect] = []
        for context, replica in held.replicas.items():
            checkpoints = held.checkpoints(context)
            lacking = checkpoints.lacking()
            if lacking is not None:
                k, digest = lacking
                frame = frames.encode(FrameKind.CERTIFICATE_PULL, context, k, felt_bytes(Felt(digest)))
                effects += [Send(session.peer, frame) for session in held.sync.linked(replica)]
            sessions = held.sync.linked(replica)
            if checkpoints.anchoring is not None and sessions and (unproven := checkpoints.acceptance.unproven()) is not None:
                k, named = unproven
                asked = sessions[now // CATCH_UP_MS % len(sessions)].peer
                effects.append(Send(asked, frames.encode(FrameKind.VOTES_PULL, context, k, felt_bytes(named))))
            if any(not replica.chains.covers(cut) for cut in checkpoints.waits_for()):
                effects += self._ask_vectors(replica)
            effects += self._other_branches(replica, checkpoints)
            effects += checkpoints.retry(now)
        return effects

    def _other_branches(self, replica: Replica, checkpoints: Checkpoints) -> list[Effect]:
        """The chain of blocks accepted a branch that we hold as evidence only, or not: take it, or ask for it."""
        context = replica.context
        effects: list[Effect] = []
        for chain, count, head in checkpoints.other_branches():
            first, wires = forks.branch_to(replica, chain, count, head)
            if wires:
                effects.append(ReadBranch(context, chain, first, replica.chains.next_seq(chain)))
                continue
            lowest = max(replica.chains.final_count(chain), first - MAX_BRANCH_ASKS)
            for seq in range(lowest, first + 1):
                frame = frames.encode(FrameKind.BODY, context, chain, seq)
                effects += [Send(session.peer, frame) for session in self._held.sync.linked(replica)]
        return effects

    def _follow_network(self, now: int, replica: Replica) -> list[Effect]:
        """Whoever is out of the network goes out of the context too: an admin that sees it removes it (PROTOCOL §1)."""
        net = self._held.net
        if net is None or replica.role is not Role.ADMIN:
            return []
        known = {r.member for r in net.membership.removed} - set(net.membership.members)
        admins = sorted(replica.membership.admins() - known)
        effects: list[Effect] = []
        for member in sorted(known & set(replica.membership.members)):
            since = self._outsiders.setdefault((replica.context, member), now)
            rank = sorted(admins, key=lambda a: blake2b(member, a)).index(replica.member)
            if now - since >= rank * FOLLOW_STAGGER_MS:
                try:
                    effects += governance.put_out(replica, now, member, self._held.entropy)
                except Refused as refusal:
                    if refusal.code != "proposed_already":
                        effects.append(Notify("cannot_remove", replica.context, (("why", str(refusal)),)))
        return effects

    def _settle_keys(self, now: int, replica: Replica) -> list[Effect]:
        """Our own keys and devices, wherever the membership changed since we looked."""
        net = self._held.net
        looked = (replica.membership, None if net is None else net.membership)
        before = self._looked.get(replica.context)
        if before is not None and before[0] is looked[0] and before[1] is looked[1]:
            return []
        self._looked[replica.context] = looked
        try:
            return rekeying.settle_keys(net, replica, now)
        except Refused as refusal:
            return [Notify("cannot_rekey", replica.context, (("why", str(refusal)),))]

    def _rotate_where_owed(self, now: int, replica: Replica) -> list[Effect]:
        """A stranger may hold the newest key, or nobody may write: the admins rotate, one after another.

        Under `from_join` too for who was voted in: no key was made for it, and it may pull none of before (decision 21).
        """
        state, context = replica.membership, replica.context
        usable = state.usable_key()
        served = usable is not None and (
            not governance.from_join(replica.genesis) or state.keys[usable].recipients >= state.members.keys()
        )
        if not state.rotation_owed() and not rekeying.exposed(replica) and served:
            self._owed_since.pop(context, None)
            return []
        if replica.role is not Role.ADMIN:
            return []
        since = self._owed_since.setdefault(context, now)
        newest = state.highest_epoch().to_bytes(8, "big")
        rank = sorted(state.admins(), key=lambda a: blake2b(newest, a)).index(replica.member)
        if now - since < (rank + 1) * FOLLOW_STAGGER_MS:
            return []
        del self._owed_since[context]
        return governance.rotate(replica, now, self._held.entropy)[1]

    def _knock(self, now: int, choose: int) -> list[Effect]:
        """Without links for a while, perhaps because we were removed: ask at a member's door (PROTOCOL §3.4)."""
        held, net = self._held, self._held.net
        listed = sorted(held.directory.addresses().items())
        if net is None or held.sync.sessions or not listed or NETWORK_CONTEXT in self._told_removed:
            self._alone_since = None
            return []
        if self._alone_since is None:
            self._alone_since = now
        if now - self._alone_since < KNOCK_AFTER_MS:
            return []
        self._alone_since = now
        _, addresses = listed[choose % len(listed)]
        return [Knock(addresses, NOTICE_PROTOCOL, frames.encode(FrameKind.NOTICE, NETWORK_CONTEXT, []))]

    def replay(self, record: ValueRecord) -> None:
        """Elections under way, from the journal."""
        if record.value is None:
            self.electing.pop(record.context, None)
        else:
            members = want_array(unpack(record.value))
            self.electing[record.context] = frozenset(MemberId(want_bytes(m, 32)) for m in members)
