"""One node's protocol as a whole: what it holds, whom it speaks with, what it does when something happens (DESIGN §3).

Pure: events and time in, effects out, in the order in which a driver must perform them. `Persist` before anything
that leaves. Commands return (result, effects) and raise Refused; what members send never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from medsync_protocol import erasing, forks, frames, governance, joining
from medsync_protocol.access import Request
from medsync_protocol.anchoring import Anchoring, Opening, sign_opening
from medsync_protocol.application import Draft
from medsync_protocol.candidate import Built, Plan
from medsync_protocol.codec import pack
from medsync_protocol.crypto import Entropy
from medsync_protocol.effects import Effect, Misbehaved, Notify, Persist, Send
from medsync_protocol.errors import Invalid, Malformed, Refused
from medsync_protocol.frames import FrameKind
from medsync_protocol.held import Held
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ChainId, ContextId, DeviceId, MemberId, NetworkId, OpId
from medsync_protocol.inbox import Inbox, vote_frame
from medsync_protocol.journal import Kept, OpRecord, ValueRecord
from medsync_protocol.kinds import Role
from medsync_protocol.operation import born, decode_header, op_id_of
from medsync_protocol.policy import Policies
from medsync_protocol.poseidon import felt_bytes
from medsync_protocol.ports import JOIN_PROTOCOL, NOTICE_PROTOCOL
from medsync_protocol.replica import ApplicationFactory, Replica, Submitted
from medsync_protocol.routine import Routine
from medsync_protocol.serving import redacted
from medsync_protocol.sync import Session
from medsync_protocol.transition import Anchor

T = TypeVar("T")
NO_APPLICATION: Final = ""  # the network's own context folds nothing


class Engine(Held):
    """See the module. `incarnation` (8 bytes) names this process's chains, `entropy` gives its randomness."""

    def __init__(
        self, identity: Identity, *, incarnation: bytes, entropy: Entropy,
        applications: Mapping[str, ApplicationFactory], policies: Policies | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            identity, incarnation=incarnation, entropy=entropy, applications=applications, policies=policies
        )
        self._again: list[Effect] = []  # of erasures that a restart cut short
        self._inbox = Inbox(self)
        self._routine = Routine(self)

    # -- restart ----------------------------------------------------------------------------------------------

    def replay(self, record: Kept) -> None:
        """Take a record from the journal, in order. Asks nothing and sends nothing."""
        if isinstance(record, OpRecord):
            self._replay_op(record)
        elif record.table == "address":
            self.directory.replay(record)
        elif record.table == "epoch_key" and record.value is not None:
            self.replicas[record.context].ring.take(record.value)
        elif record.table in ("erased", "erased_at"):
            self._again += erasing.replay(self.replicas[record.context], record)
        elif record.table == "electing":
            self._routine.replay(record)
        elif record.table == "fork":
            forks.replay(self.replicas[record.context], record)
        elif record.context in self._checkpoints:
            self._checkpoints[record.context].replay(record)

    def _replay_op(self, record: OpRecord) -> None:
        replica = self.replicas.get(record.context)
        if replica is None:
            wire = pack([record.header, record.signature, record.body])
            network = born(decode_header(record.header), op_id_of(record.header))[0]
            replica = self._open(network, record.context, wire)
        replica.replay(record)

    def restored(self, now: int) -> list[Effect]:
        """After the last record."""
        effects: list[Effect] = [*self._again]
        self._again = []
        for context, replica in self.replicas.items():
            effects += replica.restored()
            effects += self._checkpoints[context].restored(now)
        return [*effects, *self.directory.dial(self.net), *self._routine.topics()]

    # -- what happens -----------------------------------------------------------------------------------------

    def connected(self, now: int, peer: DeviceId) -> list[Effect]:
        """A link is up: greet it."""
        self.sync.sessions[peer] = Session(peer)
        if self.network is None:
            return []
        return [Send(peer, frames.hello(self.network, self.addresses))]

    def disconnected(self, now: int, peer: DeviceId) -> list[Effect]:
        """A link is gone, and with it what was queued on it: the next vector shows what is lacking."""
        self.sync.sessions.pop(peer, None)
        return []

    def frame_received(self, now: int, peer: DeviceId, frame: bytes) -> list[Effect]:
        """A frame from a linked device. Never raises for what a peer sent: it is counted against it."""
        session = self.sync.sessions.get(peer)
        if session is None:
            return []
        try:
            effects = self._inbox.take(now, session, frame)
        except Invalid as error:
            return [Misbehaved(peer, f"{type(error).__name__}: {error}")]
        return self._and_after(now, effects + self._ask_for_branches(peer))

    def _ask_for_branches(self, peer: DeviceId) -> list[Effect]:
        """Where the peer must hold another operation than we do: that one is the proof of a fork."""
        effects: list[Effect] = []
        for context, replica in self.replicas.items():
            places, replica.suspected = replica.suspected, set()
            for chain, seq in sorted(places):
                if seq >= 0:
                    effects.append(Send(peer, frames.encode(FrameKind.BODY, context, chain, seq)))
        return effects

    def gossip_received(self, now: int, topic: bytes, frame: bytes, sender: DeviceId) -> list[Effect]:
        """A hint that somebody has something new."""
        return self._routine.on_hint(now, topic, frame, sender)

    def guest(self, now: int, peer: DeviceId, protocol: str, frame: bytes) -> tuple[bytes, list[Effect]]:
        """A stranger's or removed member's question: (answer, effects to perform before it leaves)."""
        try:
            if protocol == JOIN_PROTOCOL:
                answer, effects = self._inbox.join(now, peer, frame)
            elif protocol == NOTICE_PROTOCOL:
                answer, effects = self._inbox.notice(now, peer, frame)
            else:
                raise Malformed("no such guest protocol")
        except Refused as refusal:
            return joining.refused_reply(refusal), []
        except Invalid as error:
            unread = Refused(f"the question can't be read: {error}", code="malformed", advice="update the node")
            return joining.refused_reply(unread), []
        return answer, self._and_after(now, effects)

    def answered(self, now: int, protocol: str, reply: bytes) -> list[Effect]:
        """An answer to a `Knock`."""
        try:
            effects = self._inbox.farewell(now, reply)
        except Invalid:
            return []
        return self._and_after(now, effects)

    def reread(self, now: int, context: ContextId, wire: bytes, offered: bytes = b"") -> list[Effect]:
        """A held operation, read again because a key or a body arrived."""
        try:
            return self._and_after(now, self.replica(context).reread(wire, offered))
        except Invalid as error:
            return [Notify("unreadable", context, (("why", str(error)),))]

    def take(self, now: int, context: ContextId, wire: bytes) -> list[Effect]:
        """An operation that came by no link: handed over in a file, or read from an export. Raises Invalid, Refused."""
        return self._and_after(now, self.replica(context).receive(now, wire))

    def branch_read(self, now: int, context: ContextId, chain: ChainId, wires: Sequence[bytes]) -> list[Effect]:
        """What is held of a forked chain whose other branch was accepted."""
        replica, checkpoints = self.replica(context), self._checkpoints[context]
        effects: list[Effect] = []
        for other, count, head in checkpoints.other_branches():
            if other == chain:
                effects = forks.switch(replica, chain, count, head, wires)
                break
        return self._and_after(now, effects + checkpoints.retry(now))

    def evaluated(self, now: int, context: ContextId, plan: Plan, built: Built) -> list[Effect]:
        """A plan was hashed: send what came of it to the members that are connected."""
        replica = self.replica(context)
        outcome = self._checkpoints[context].built(plan, built)
        effects = list(outcome.effects)
        peers = [session.peer for session in self.sync.linked(replica)]
        if outcome.differs is not None:
            frame = frames.encode(FrameKind.ACCOUNT_PULL, context, felt_bytes(outcome.differs))
            effects += [Send(peer, frame) for peer in peers]
        if outcome.candidate is not None:
            frame = frames.encode(FrameKind.PROPOSAL, context, outcome.candidate.encode())
            effects += [Send(peer, frame) for peer in peers]
        if outcome.vote is not None and outcome.digest is not None:
            frame = vote_frame(context, plan.head.k + 1, outcome.digest, outcome.vote)
            effects += [Send(peer, frame) for peer in peers]
        return self._and_after(now, effects)

    def observe(self, now: int, context: ContextId, k: int, digest: int, settled: bool) -> list[Effect]:
        """What the chain reader saw at (context, k); digest 0 when nothing stands there."""
        return self._and_after(now, self.checkpoints(context).observe(k, digest, settled))

    def tick(self, now: int) -> list[Effect]:
        """Time passed: several times a second is enough."""
        return self._and_after(now, self._routine.tick(now))

    def _and_after(self, now: int, effects: list[Effect]) -> list[Effect]:
        """What every event may have caused beside: news to send, links to keep, candidates that can be built now."""
        return [*effects, *self._routine.after(now, effects)]

    def redacted(self, context: ContextId, peer: DeviceId, wires: Iterable[bytes]) -> list[bytes]:
        """Held operations as the peer's member may have them: what `Serve` sends."""
        replica, member = self.replicas.get(context), self.member_of(peer)
        if replica is None:
            return []
        nobody = MemberId(bytes(32))
        return [redacted(replica, member or nobody, wire) for wire in wires]

    # -- commands ---------------------------------------------------------------------------------------------

    def _did(self, now: int, written: tuple[T, list[Effect]]) -> tuple[T, list[Effect]]:
        result, effects = written
        return result, self._and_after(now, effects)

    def found_network(self, now: int, name: str) -> tuple[NetworkId, list[Effect]]:
        """Found a network; this member is its first admin. Raises Refused when this home belongs to one."""
        if self.network is not None:
            raise Refused("this home belongs to a network already", code="has_network", advice="use another home")
        replica, effects = self._found(now, None, name, NO_APPLICATION, "any_admin", (), {})
        return replica.network, self._and_after(now, effects)

    def _found(
        self, now: int, network: NetworkId | None, name: str, application: str, policy: str,
        auditors: Iterable[MemberId], settings: Mapping[str, int | str],
    ) -> tuple[Replica, list[Effect]]:  # fmt: skip
        wire = governance.genesis(
            self.identity, self._incarnation, now, network=network, name=name, application=application,
            policy=policy, auditors=auditors, settings=self.policies.settings(policy, settings), entropy=self.entropy,
        )  # fmt: skip
        replica = self.adopt(now, wire)
        assert replica is not None, "a new genesis founds a new context"
        return replica, replica.receive(now, wire, own=True)

    def create_context(
        self, now: int, name: str, application: str, policy: str, admissions: Sequence[tuple[MemberId, Role]],
        auditors: Iterable[MemberId] = (), settings: Mapping[str, int | str] | None = None,
    ) -> tuple[ContextId, list[Effect]]:  # fmt: skip
        """Found a context with these members of the network; those that may write become its first voters.

        Under a policy that wants votes some are only proposed: they are no first voters, for whom the others would wait.
        """
        net = self._member_net()
        if application not in self._applications:
            raise Refused(
                f"no application {application!r}", code="unknown_application",
                advice=f"one of {', '.join(sorted(self._applications))}",
            )  # fmt: skip
        cards = [(self._card(net, member), role) for member, role in admissions if member != net.member]
        replica, effects = self._found(
            now, net.network, name, application, policy, auditors, settings or {}
        )
        effects += governance.announce_voter_key(replica, now)
        effects += governance.vote_voters(replica, now, [replica.member])[1]
        for card, role in cards:
            effects += governance.admit(replica, now, card, role, self.entropy)[1]
        inside = replica.membership.members
        writers = sorted(card.member for card, role in cards if role >= Role.MEMBER and card.member in inside)
        if writers:
            record = ValueRecord("electing", replica.context, b"", pack([replica.member, *writers]))
            self._routine.electing[replica.context] = frozenset((replica.member, *writers))
            effects.append(Persist((record,), False))
        return replica.context, self._and_after(now, effects)

    def _member_net(self) -> Replica:
        net = self.net
        if net is None or net.role is None:
            raise Refused(
                "this home belongs to no network", code="no_network",
                advice="`medsync network create` founds one, `medsync join` enters one by invitation",
            )  # fmt: skip
        return net

    def _card(self, net: Replica, member: MemberId) -> Any:
        card = net.membership.cards.get(member)
        if card is None or member not in net.membership.members:
            raise Refused("no such member of the network", code="unknown_member", advice="see `medsync member list`")
        return card

    def invite(
        self, now: int, role: Role, expires: int, bound_to: MemberId | None, addresses: Sequence[str] = ()
    ) -> tuple[str, list[Effect]]:
        """A signed one-time invitation that only this node honours. Raises Refused without the authority to admit."""
        net = self._member_net()
        if net.role is not Role.ADMIN:
            raise Refused("only an admin admits members", code="not_permitted", advice="ask an admin to invite")
        invitation = joining.Invitation(
            network=net.network, invitation=self.entropy("invitation", 16), role=role, expires=expires,
            bound_to=bound_to, admitter=net.member, device=self.identity.device,
            addresses=tuple(addresses) or self.addresses,
        )  # fmt: skip
        return invitation.token(self.identity), []

    def welcome(self, now: int, device: DeviceId, expires: int, addresses: Sequence[str] = ()) -> tuple[str, list[Effect]]:
        """An invitation by which a device that this member certified finds the network. Raises Refused."""
        net = self._member_net()
        if net.membership.devices.get(device) != net.member:
            raise Refused("no such device of this member", code="unknown_device", advice="add it first")
        ticket = joining.Invitation(
            network=net.network, invitation=self.entropy("invitation", 16), role=Role.READER, expires=expires,
            bound_to=net.member, admitter=net.member, device=self.identity.device,
            addresses=tuple(addresses) or self.addresses,
        )  # fmt: skip
        return ticket.token(self.identity), []

    def join_request(self, now: int, token: str) -> joining.JoinRequest:
        """What to ask of the inviting node. Raises Refused for a token that can't be used."""
        if self.network is not None:
            raise Refused("this home belongs to a network already", code="has_network", advice="use another home")
        return joining.join_request(token, self.identity, self.addresses, now)

    def joined(self, now: int, reply: bytes, expected: NetworkId) -> tuple[NetworkId, list[Effect]]:
        """The inviting node's answer. Raises Refused with its words, Invalid for anything but an answer."""
        network, genesis, directory = joining.read_reply(reply)
        if network != expected:
            raise Malformed("the node answers for another network than the invitation's")
        replica = self.adopt(now, genesis)
        if replica is None or replica.network != network:
            raise Malformed("the genesis is not the network's")
        effects = replica.receive(now, genesis) + self.directory.learn(directory)
        return network, self._and_after(now, effects)

    def admit(self, now: int, context: ContextId, member: MemberId, role: Role) -> tuple[OpId, list[Effect]]:
        """Admit a member of the network to a context."""
        card = self._card(self._member_net(), member)
        return self._did(now, governance.admit(self.replica(context), now, card, role, self.entropy))

    def remove(self, now: int, context: ContextId, member: MemberId) -> tuple[OpId, list[Effect]]:
        """Remove a member; the key rotates in the same operation. From the network: contexts follow."""
        return self._did(now, governance.remove(self.replica(context), now, member, self.entropy))

    def set_role(self, now: int, context: ContextId, member: MemberId, role: Role) -> tuple[OpId, list[Effect]]:
        """Promote or demote."""
        return self._did(now, governance.set_role(self.replica(context), now, member, role))

    def leave(self, now: int, context: ContextId) -> tuple[OpId, list[Effect]]:
        """Leave oneself."""
        return self._did(now, governance.leave(self.replica(context), now))

    def rotate(self, now: int, context: ContextId) -> tuple[OpId, list[Effect]]:
        """A new epoch key."""
        return self._did(now, governance.rotate(self.replica(context), now, self.entropy))

    def vote_voters(
        self, now: int, context: ContextId, members: Sequence[MemberId]
    ) -> tuple[OpId, list[Effect]]:
        """Vote for a voter list."""
        return self._did(now, governance.vote_voters(self.replica(context), now, members))

    def endorse(
        self, now: int, context: ContextId, proposal: OpId, yes: bool = True
    ) -> tuple[OpId, list[Effect]]:
        """Vote on an open proposal."""
        return self._did(now, governance.endorse(self.replica(context), now, proposal, yes=yes))

    def vote_policy(
        self, now: int, context: ContextId, name: str, parameters: Mapping[str, int | str]
    ) -> tuple[OpId, list[Effect]]:
        """Vote for another membership policy."""
        written = governance.vote_policy(self.replica(context), now, name, parameters, self.policies)
        return self._did(now, written)

    def transfer(self, now: int, context: ContextId, heir: MemberId) -> tuple[OpId, list[Effect]]:
        """Hand a context over to another admin."""
        return self._did(now, governance.transfer(self.replica(context), now, heir))

    def recover(
        self, now: int, context: ContextId, lost: MemberId, renewed: MemberId
    ) -> tuple[OpId, list[Effect]]:
        """Put a member of the network in the place of one that lost its key: the other admins vote."""
        card = self._card(self._member_net(), renewed)
        return self._did(now, governance.recover(self.replica(context), now, lost, card, self.entropy))

    def resume(self, now: int, context: ContextId, chain: ChainId) -> tuple[OpId, list[Effect]]:
        """Let a forked chain go on: the admins vote."""
        return self._did(now, governance.resume(self.replica(context), now, chain))

    def add_device(
        self, now: int, context: ContextId, device: DeviceId, certificate: bytes
    ) -> tuple[OpId, list[Effect]]:
        """Another device of this member."""
        return self._did(now, governance.add_device(self.replica(context), now, device, certificate))

    def revoke_device(self, now: int, context: ContextId, device: DeviceId) -> tuple[OpId, list[Effect]]:
        """A device of this member goes, the member stays."""
        return self._did(now, governance.revoke_device(self.replica(context), now, device))

    def submit(self, now: int, context: ContextId, drafts: Sequence[Draft]) -> tuple[Submitted, list[Effect]]:
        """Write a batch of entries as one operation."""
        return self._did(now, self.replica(context).submit(now, drafts))

    def ask(
        self, now: int, context: ContextId, custodian: MemberId, request: Request
    ) -> tuple[bytes, list[Effect]]:
        """Ask a custodian for a decision; the answer comes as Notify("answer") and lies in `asking.answers`."""
        peer = self.peer_of(context, custodian)
        return self._did(now, self.asking.ask(now, self.replica(context), custodian, request, peer))

    def propose(self, now: int, context: ContextId) -> tuple[int, list[Effect]]:
        """Propose a checkpoint now. Raises Refused. The k that is being made."""
        checkpoints = self.checkpoints(context)
        effects = checkpoints.propose(now)
        return checkpoints.accepted + 1, self._and_after(now, effects)

    def opening(
        self, now: int, context: ContextId, anchor: Anchor, verifier: int, recovery_delay: int
    ) -> tuple[Opening, list[Effect]]:
        """Sign the opening of a context on a contract. Raises Refused for anyone but its founder."""
        replica = self.replica(context)
        if replica.genesis.founder.member != replica.member:
            raise Refused(
                "only the founder opens a context on chain", code="not_founder", advice="ask the founder's node"
            )
        genesis = replica.chains.slot(replica.genesis_chain, 0).op_id
        secret = self.identity.stark_secret(context)
        signers = replica.membership.voters
        opening = sign_opening(
            secret, anchor=anchor, genesis=genesis, signers=signers, verifier=verifier, recovery_delay=recovery_delay
        )  # fmt: skip
        return opening, []

    def register_anchor(
        self, now: int, context: ContextId, opening: Opening, block: int
    ) -> tuple[None, list[Effect]]:
        """The context is open on chain: keep where, and tell the members. Raises Invalid for a false opening."""
        anchoring = Anchoring(opening=opening, block=block)
        effects = self.checkpoints(context).acceptance.anchor(anchoring)
        frame = frames.encode(FrameKind.ANCHOR, context, anchoring.encode())
        replica = self.replica(context)
        effects += [Send(session.peer, frame) for session in self.sync.linked(replica)]
        return None, self._and_after(now, effects)
