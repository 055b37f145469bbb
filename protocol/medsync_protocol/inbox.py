"""What members and guests send, kind by kind: the frame's fields are read here, the rest is done where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from medsync_protocol import erasing, frames, governance
from medsync_protocol.anchoring import Anchoring
from medsync_protocol.candidate import Candidate
from medsync_protocol.certificate import vote_fields, want_vote
from medsync_protocol.codec import want_array, want_bool, want_bytes, want_int, want_str
from medsync_protocol.effects import Effect, Notify, Send, Serve
from medsync_protocol.differences import Account
from medsync_protocol.errors import BadSignature, Malformed, Refused
from medsync_protocol.frames import FrameKind
from medsync_protocol.held import Held
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, DeviceId, KeyId, MemberId, short
from medsync_protocol.joining import accepted_reply, check_invitation, read_request
from medsync_protocol.kinds import Plane, Role
from medsync_protocol.learning import take_key
from medsync_protocol.operation import PROTOCOL_VERSION, decode_header, split
from medsync_protocol.ports import MAX_GUEST_FRAME
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of
from medsync_protocol.replica import Replica
from medsync_protocol.sealing import wrap_key
from medsync_protocol.serving import may_have_key, needed_keys
from medsync_protocol.statement import Vote
from medsync_protocol.sync import Session

MAX_PROSPECTS: Final = 64  # contexts that peers named and whose genesis has not come yet
NOTICE_EVERY_MS: Final = 1_000  # a removed member hands in operations at most this often
MAX_REFUSED: Final = 1_000  # contexts not followed for their policy that were shown already
MAX_REFUSAL: Final = 512  # characters of a peer's reason
MAX_NOTICERS: Final = 1_000  # guests whose last notice is remembered

Fields = tuple[Any, ...]


class Inbox:
    """Takes frames for one held. Every method raises Invalid for what no honest peer sends."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._noticed: dict[DeviceId, int] = {}
        self._refused: set[tuple[DeviceId, ContextId]] = set()
        self._plain: Mapping[int, Callable[[int, Session, Fields], list[Effect]]] = {
            FrameKind.HELLO: self._hello,
            FrameKind.ADDRESSES: self._addresses,
            FrameKind.POLICY: self._policy_differs,
        }
        self._in_context: Mapping[int, Callable[[int, Session, Replica, Fields], list[Effect]]] = {
            FrameKind.VECTOR: self._vector,
            FrameKind.OPS: self._ops,
            FrameKind.ACK: self._ack,
            FrameKind.BODY: self._body,
            FrameKind.GONE: self._gone,
            FrameKind.LACKING: self._lacking,
            FrameKind.ACCOUNT_PULL: self._account_pull,
            FrameKind.ACCOUNT: self._account,
            FrameKind.KEY_PULL: self._key_pull,
            FrameKind.KEY_PUSH: self._key_push,
            FrameKind.HEARTBEAT: self._heartbeat,
            FrameKind.HEARTBEAT_PULL: self._heartbeat_pull,
            FrameKind.PROPOSAL: self._proposal,
            FrameKind.VOTE: self._vote,
            FrameKind.CERTIFICATE: self._certificate,
            FrameKind.CERTIFICATE_PULL: self._certificate_pull,
            FrameKind.VOTES_PULL: self._votes_pull,
            FrameKind.ASK: self._ask,
            FrameKind.ANSWER: self._answer,
            FrameKind.ANCHOR: self._anchor,
            FrameKind.ANCHOR_PULL: self._anchor_pull,
        }

    def take(self, now: int, session: Session, frame: bytes) -> list[Effect]:
        """A frame from a linked device. Unknown kinds are passed over: a newer peer may know more."""
        kind, fields = frames.decode(frame)
        plain = self._plain.get(kind)
        if plain is not None:
            return plain(now, session, fields)
        handle = self._in_context.get(kind)
        if handle is None or not session.version:
            return []
        if not fields:
            raise Malformed("a frame without its context")
        context = frames.want_context(fields[0])
        replica = self._held.replicas.get(context)
        if replica is None:
            return self._unknown_context(now, session, kind, context, fields)
        return handle(now, session, replica, fields[1:])

    def _unknown_context(
        self, now: int, session: Session, kind: int, context: ContextId, fields: Fields
    ) -> list[Effect]:
        """A vector of a context we don't hold: ask for all of it; its genesis, when it comes, opens it.

        Who has just joined may not know yet that the peer is a member: it hears of the context again.
        """
        held = self._held
        if held.member_of(session.peer) is None:
            return []
        if kind == FrameKind.VECTOR and len(held.prospects) < MAX_PROSPECTS:
            held.prospects.add(context)
            return held.sync.ask(session, context)
        if kind != FrameKind.OPS or context not in held.prospects:
            return []
        _, wires = frames.want_ops(fields)
        if not wires:
            return []
        try:
            replica = held.adopt(now, wires[0])
        except Refused as refusal:
            return self._refuse_policy(session, context, refusal)
        if replica is None or replica.context != context:
            return []
        held.prospects.discard(context)
        return held.sync.on_ops(now, session, replica, wires)

    def _refuse_policy(self, session: Session, context: ContextId, refusal: Refused) -> list[Effect]:
        """A context whose membership policy this node has not, or another of the name: both sides show it."""
        if (session.peer, context) in self._refused:
            return []
        if len(self._refused) >= MAX_REFUSED:
            self._refused.clear()
        self._refused.add((session.peer, context))
        said = (("code", refusal.code), ("why", str(refusal)), ("advice", refusal.advice))
        frame = frames.encode(FrameKind.POLICY, context, refusal.code, str(refusal)[:MAX_REFUSAL])
        return [Notify("policy_differs", context, said), Send(session.peer, frame)]

    def _policy_differs(self, now: int, session: Session, fields: Fields) -> list[Effect]:
        """A peer can't follow a context of ours: its membership policy is another one there."""
        context, code, why = want_array(fields, 3)
        said = (("code", want_str(code, 64)), ("why", want_str(why, MAX_REFUSAL)), ("peer", short(session.peer)))
        named = frames.want_context(context)
        if named not in self._held.replicas:
            return []
        return [Notify("policy_differs", named, said)]

    # -- sessions ---------------------------------------------------------------------------------------------

    def _hello(self, now: int, session: Session, fields: Fields) -> list[Effect]:
        low, high, network, addresses = frames.want_hello(fields)
        held = self._held
        if not low <= PROTOCOL_VERSION <= high:
            said = (("peer", session.peer), ("ours", PROTOCOL_VERSION), ("theirs", f"{low} to {high}"))
            return [Notify("version_mismatch", None, said)]
        if network != held.network:
            raise Malformed("the peer belongs to another network")
        if session.version:
            return []
        session.version = PROTOCOL_VERSION
        effects = held.directory.learn({session.peer: addresses})
        effects += held.sync.greet(session)
        effects.append(Send(session.peer, held.directory.frame()))
        member = held.member_of(session.peer)
        for context, replica in held.replicas.items():
            if member in replica.membership.members:
                effects += self.greetings(session, context)
        return effects

    def greetings(self, session: Session, context: ContextId) -> list[Effect]:
        """What a member of a context is told when its link comes up: anchor, heartbeats, candidates with votes."""
        held, peer = self._held, session.peer
        checkpoints = held.checkpoints(context)
        effects: list[Effect] = [Send(peer, frame) for frame in held.pulse(context).newest()]
        if checkpoints.anchoring is not None:
            effects.append(
                Send(peer, frames.encode(FrameKind.ANCHOR, context, checkpoints.anchoring.encode()))
            )
        for digest, tally in checkpoints.tallies.items():
            effects.append(
                Send(peer, frames.encode(FrameKind.PROPOSAL, context, tally.candidate.encode()))
            )
            k = tally.candidate.statement.k
            effects += [Send(peer, vote_frame(context, k, digest, v)) for v in tally.votes.values()]
        return effects

    def _addresses(self, now: int, session: Session, fields: Fields) -> list[Effect]:
        return self._held.directory.learn(frames.want_directory(fields), hearsay=True)

    # -- operations -------------------------------------------------------------------------------------------

    def _vector(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        vector, answer = want_array(fields, 2)
        return self._held.sync.on_vector(
            now, session, replica, frames.want_vector(vector), want_bool(answer)
        )

    def _ops(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        _, wires = frames.want_ops((replica.context, *fields))
        return self._held.sync.on_ops(now, session, replica, wires)

    def _ack(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        (vector,) = want_array(fields, 1)
        new = self._held.sync.note_ack(session, replica.context, frames.want_vector(vector))
        return [Notify("replicated", replica.context)] if new else []

    def _body(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """An entry that should be theirs to read came to them pruned: serve the operation as they may have it."""
        chain, seq = want_array(fields, 2)
        place = (ChainId(want_bytes(chain, 40)), want_int(seq))
        if not self._inside(session, replica) or replica.chains.next_seq(place[0]) <= place[1]:
            return []
        effects: list[Effect] = [Serve(session.peer, replica.context, place[0], place[1], place[1] + 1)]
        if place in replica.opener.gone:
            effects.append(Send(session.peer, frames.encode(FrameKind.GONE, replica.context, *place)))
        elif place in replica.opener.blank:
            effects.append(Send(session.peer, frames.encode(FrameKind.LACKING, replica.context, *place)))
        return effects

    def _gone(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """An entry that we lack was destroyed at the peer."""
        return self._told(session, replica, fields, lacking=False)

    def _lacking(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """An entry that we lack came pruned to the peer, too."""
        return self._told(session, replica, fields, lacking=True)

    def _told(self, session: Session, replica: Replica, fields: Fields, *, lacking: bool) -> list[Effect]:
        chain, seq = want_array(fields, 2)
        member = self._held.member_of(session.peer)
        if member is None or member not in replica.membership.members:
            return []
        place = (ChainId(want_bytes(chain, 40)), want_int(seq))
        return erasing.told_gone(replica, member, place, lacking=lacking)

    def _inside(self, session: Session, replica: Replica) -> bool:
        return self._held.member_of(session.peer) in replica.membership.members

    def _key_pull(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """A key for a current member; anyone else gets the same silence as for an unknown key (PROTOCOL §4)."""
        (name,) = want_array(fields, 1)
        key_id = KeyId(want_bytes(name, 32))
        member = self._held.member_of(session.peer)
        standing = None if member is None else replica.membership.members.get(member)
        key = replica.ring.key(key_id)
        if member is None or standing is None or key is None or not self._may_read(replica, member, key_id):
            return []
        box = wrap_key(key, standing.sealing_key, self._held.entropy)
        return [Send(session.peer, frames.encode(FrameKind.KEY_PUSH, replica.context, key_id, box))]

    @staticmethod
    def _may_read(replica: Replica, member: MemberId, key_id: KeyId) -> bool:
        """Under `from_join` a member is given the keys that were made for it, and none of before."""
        if not may_have_key(replica, member, key_id):
            return False
        if not governance.from_join(replica.genesis):
            return True
        known = replica.membership.keys.get(key_id)
        return known is not None and member in known.recipients

    def _key_push(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        name, box = want_array(fields, 2)
        key_id = KeyId(want_bytes(name, 32))
        if key_id not in needed_keys(replica):
            return []
        return take_key(replica, key_id, want_bytes(box, at_most=256))

    # -- heartbeats, checkpoints, questions -------------------------------------------------------------------

    def _heartbeat(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        (data,) = want_array(fields, 1)
        return self._held.pulse(replica.context).take(now, session.peer, want_bytes(data))

    def _heartbeat_pull(
        self, now: int, session: Session, replica: Replica, fields: Fields
    ) -> list[Effect]:
        if not self._inside(session, replica):
            return []
        return [Send(session.peer, frame) for frame in self._held.pulse(replica.context).newest()]

    def _proposal(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        (data,) = want_array(fields, 1)
        candidate = Candidate.decode(want_bytes(data))
        proposer = self._held.member_of(session.peer)
        replica.suspected.update(replica.chains.differing(candidate.cut.heads))
        return self._held.checkpoints(replica.context).take_candidate(now, proposer, candidate)

    def _vote(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        k, digest, vote = want_array(fields, 3)
        checkpoints = self._held.checkpoints(replica.context)
        return checkpoints.take_vote(want_int(k), felt_of(want_bytes(digest, 32)), want_vote(vote))

    def _account_pull(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """A candidate differs at a member: what this node makes of it, if it agrees here."""
        (named,) = want_array(fields, 1)
        digest = felt_of(want_bytes(named, 32))
        account = self._held.checkpoints(replica.context).account(digest)
        if account is None or not self._inside(session, replica):
            return []
        frame = frames.encode(FrameKind.ACCOUNT, replica.context, felt_bytes(digest), *account.fields())
        return [Send(session.peer, frame)]

    def _account(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """What a member makes of a candidate that differs here."""
        named, verdicts, parts = want_array(fields, 3)
        member = self._held.member_of(session.peer)
        if member is None or member not in replica.membership.members:
            return []
        account = Account.parse(verdicts, parts)
        return self._held.checkpoints(replica.context).take_account(felt_of(want_bytes(named, 32)), account, member)

    def _certificate_pull(
        self, now: int, session: Session, replica: Replica, fields: Fields
    ) -> list[Effect]:
        """Someone saw a digest on chain that it does not know: the candidate behind it, for members."""
        number, digest = want_array(fields, 2)
        k, wanted = want_int(number), felt_of(want_bytes(digest, 32))
        checkpoints = self._held.checkpoints(replica.context)
        tally = checkpoints.tallies.get(wanted)
        found = checkpoints.certificate(k)
        candidate = tally.candidate if tally is not None else None
        if candidate is None and found is not None and found.digest == wanted:
            candidate = found.candidate
        if candidate is None or not (self._inside(session, replica) or self._is_shown(session, replica, k)):
            return []
        frame = frames.encode(FrameKind.CERTIFICATE, replica.context, candidate.encode())
        return [Send(session.peer, frame)]

    def _votes_pull(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        """Someone learnt from the chain alone that a checkpoint was accepted: who signed it, for members."""
        number, digest = want_array(fields, 2)
        k, wanted = want_int(number), felt_of(want_bytes(digest, 32))
        found = self._held.checkpoints(replica.context).certificate(k)
        if found is None or found.digest != wanted or not found.is_complete or not self._inside(session, replica):
            return []
        return [Send(session.peer, vote_frame(replica.context, k, found.digest, vote)) for vote in found.votes]

    def _is_shown(self, session: Session, replica: Replica, k: int) -> bool:
        """Whether it is someone who is out, and the checkpoint part of the proof of that."""
        member = self._held.member_of(session.peer)
        return member is not None and k <= self._held.proof_for(replica, member)[0]

    def _certificate(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        (data,) = want_array(fields, 1)
        candidate = Candidate.decode(want_bytes(data))
        checkpoints = self._held.checkpoints(replica.context)
        lacking = checkpoints.lacking()
        if lacking is None or checkpoints.acceptance.contract.digest(candidate.statement) != lacking[1]:
            return []
        return checkpoints.take_candidate(now, None, candidate)

    def _ask(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        member = self._held.member_of(session.peer)
        if member is None or member not in replica.membership.members:
            return []
        return self._held.asking.on_ask(now, replica, session.peer, member, want_array(fields, 3))

    def _answer(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        member = self._held.member_of(session.peer)
        if member is None:
            return []
        return self._held.asking.on_answer(now, replica, member, want_array(fields, 3))

    def _anchor(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        (data,) = want_array(fields, 1)
        anchoring = Anchoring.decode(want_bytes(data))
        checkpoints = self._held.checkpoints(replica.context)
        if checkpoints.anchoring is not None:
            return []
        try:
            return checkpoints.acceptance.anchor(anchoring)
        except Malformed:
            return []  # of members whose operations are perhaps not here yet: it is asked for again

    def _anchor_pull(self, now: int, session: Session, replica: Replica, fields: Fields) -> list[Effect]:
        anchoring = self._held.checkpoints(replica.context).anchoring
        if anchoring is None or not (self._inside(session, replica) or self._is_shown(session, replica, 1)):
            return []
        return [Send(session.peer, frames.encode(FrameKind.ANCHOR, replica.context, anchoring.encode()))]

    # -- guests -----------------------------------------------------------------------------------------------

    def join(self, now: int, peer: DeviceId, frame: bytes) -> tuple[bytes, list[Effect]]:
        """An invited device asks to be admitted. Raises Refused with words for it."""
        held = self._held
        invitation, card, addresses = read_request(frame, peer)
        net = held.net
        ours = net is not None and net.membership.devices.get(peer) == net.member == card.member
        if net is None or not (ours or net.role is Role.ADMIN):
            raise Refused(
                "this node can't admit anyone", code="not_an_admin", advice="ask another admin to invite"
            )
        state = net.membership
        used = state.invitations.get(invitation.invitation)
        check_invitation(
            invitation, card, network=net.network, admitter=net.member, used=used, now=now
        )
        effects: list[Effect] = held.directory.learn({peer: addresses})
        if used is None and not ours:
            effects += governance.admit(
                net, now, card, invitation.role, held.entropy, invitation.invitation
            )[1]
        listed = {**held.directory.addresses(), held.identity.device: held.addresses}
        return accepted_reply(net.network, net.genesis_wire, listed), effects

    def notice(self, now: int, peer: DeviceId, frame: bytes) -> tuple[bytes, list[Effect]]:
        """A removed member hands in membership operations and receives its removal (PROTOCOL §3.4)."""
        net = self._held.net
        last = self._noticed.get(peer)
        if net is None or (last is not None and now - last < NOTICE_EVERY_MS):
            raise Refused("too often", code="rate_limited", advice="try again in a second")
        if len(self._noticed) >= MAX_NOTICERS:
            self._noticed.clear()
        self._noticed[peer] = now
        kind, fields = frames.decode(frame)
        if kind != FrameKind.NOTICE:
            raise Malformed("not a notice")
        context, wires = frames.want_ops(fields)
        if context != NETWORK_CONTEXT:
            raise Malformed("a notice is about the network")
        effects: list[Effect] = []
        for wire in wires:
            if decode_header(split(wire)[0]).plane == Plane.MEMBERSHIP:
                effects += net.receive(now, wire)
        return frames.ops(NETWORK_CONTEXT, self._farewell_to(net, peer)), effects

    def _farewell_to(self, net: Replica, peer: DeviceId) -> list[bytes]:
        owners: dict[DeviceId, MemberId] = {c.device: m for m, c in net.membership.cards.items()}
        member = owners.get(peer)
        removals = [r.op_id for r in net.membership.removed if r.member == member]
        shown, size = [], 0
        for op_id in net.fold.closure(removals):
            wire = net.governance_wires[op_id]
            size += len(wire)
            if size < MAX_GUEST_FRAME - 1024:
                shown.append(wire)
        return shown

    def farewell(self, now: int, reply: bytes) -> list[Effect]:
        """What a knock was answered with: operations of the network's membership, our removal perhaps among them."""
        kind, fields = frames.decode(reply)
        net = self._held.net
        if kind != FrameKind.OPS or net is None:
            return []
        _, wires = frames.want_ops(fields)
        effects: list[Effect] = []
        for wire in wires:
            try:
                effects += net.receive(now, wire)
            except BadSignature:
                continue
        return effects


def vote_frame(context: ContextId, k: int, digest: Felt, vote: Vote) -> bytes:
    """A vote on its way."""
    return frames.encode(FrameKind.VOTE, context, k, felt_bytes(digest), vote_fields(vote))
