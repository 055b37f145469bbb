"""What one node holds: its contexts with their heartbeats and checkpoints, its address book, sessions and open questions.

What happens to it is engine.py's, frame by frame inbox.py's, by itself routine.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from medsync_protocol.asking import Asking
from medsync_protocol.chains import Vector
from medsync_protocol.checkpoints import Checkpoints
from medsync_protocol.crypto import Entropy
from medsync_protocol.desk import Desk
from medsync_protocol.directory import Directory, member_of
from medsync_protocol.errors import BrokenChain, Refused
from medsync_protocol.heartbeat import HeartbeatBook
from medsync_protocol.identity import Identity
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, DeviceId, MemberId, NetworkId
from medsync_protocol.operation import born, decode_header, op_id_of, split
from medsync_protocol.policy import Policies
from medsync_protocol.ports import Standing
from medsync_protocol.pulse import Pulse
from medsync_protocol.replica import ApplicationFactory, Replica
from medsync_protocol.serving import put_out_at
from medsync_protocol.sync import Sync

MAX_CONTEXTS: Final = 1_000  # held at once: each has its own chains, keys and voters


class Held:
    """See the module. `incarnation` (8 bytes) names this process's chains, `entropy` gives its randomness."""

    def __init__(
        self, identity: Identity, *, incarnation: bytes, entropy: Entropy,
        applications: Mapping[str, ApplicationFactory], policies: Policies | None = None,
    ) -> None:  # fmt: skip
        self.identity = identity
        self.entropy = entropy
        self.network: NetworkId | None = None
        self.addresses: tuple[str, ...] = ()
        self.replicas: dict[ContextId, Replica] = {}
        self.directory = Directory(identity.device)
        self.sync = Sync(self.replicas, self.member_of, self.proof_for)
        self.asking = Asking(self.desk, entropy)
        self.prospects: set[ContextId] = set()
        self._incarnation = incarnation
        self._applications = applications
        self.policies = policies or Policies()
        self._pulses: dict[ContextId, Pulse] = {}
        self._checkpoints: dict[ContextId, Checkpoints] = {}

    # -- reading ----------------------------------------------------------------------------------------------

    def replica(self, context: ContextId) -> Replica:
        """Our copy of a context. Raises Refused."""
        found = self.replicas.get(context)
        if found is None:
            raise Refused(
                "no such context here", code="unknown_context", advice="see `medsync context list`, or sync first"
            )
        return found

    @property
    def net(self) -> Replica | None:
        """The network's own context; None before this home belongs to one."""
        return self.replicas.get(NETWORK_CONTEXT)

    def member_of(self, device: DeviceId) -> MemberId | None:
        """The network member whose device this is."""
        return member_of(self.net, device)

    def proof_for(self, replica: Replica, member: MemberId) -> tuple[int, Vector]:
        """Up to which checkpoint someone who is out is shown why, and that one's cut; (0, {}) before it is accepted."""
        history = self._checkpoints[replica.context].acceptance.history
        k = put_out_at(replica, member, (accepted.cut.vector for accepted in history))
        return (0, {}) if k is None else (k, history[k].cut.vector)

    def peer_of(self, context: ContextId, member: MemberId) -> DeviceId | None:
        """A connected device of a member of the context; None when it has none."""
        replica = self.replicas.get(context)
        linked = [] if replica is None else self.sync.linked(replica)
        return next((s.peer for s in linked if self.member_of(s.peer) == member), None)

    def standing(self, device: DeviceId) -> Standing:
        """What a device may do here: the gate asks at every connection, stream and gossip message."""
        return self.directory.standing(self.net, device)

    def checkpoints(self, context: ContextId) -> Checkpoints:
        """Checkpoints of a context. Raises Refused."""
        self.replica(context)
        return self._checkpoints[context]

    def pulse(self, context: ContextId) -> Pulse:
        """Heartbeats of a context. Raises Refused."""
        self.replica(context)
        return self._pulses[context]

    def book(self, context: ContextId) -> HeartbeatBook:
        """The heartbeats kept of a context's homes."""
        return self.pulse(context).book

    def readable(self, context: ContextId) -> Mapping[Any, int]:
        """Chain → next seq of what is held, readable and judged."""
        return self.replica(context).readable()

    def desk(self, context: ContextId) -> Desk:
        """Consent, access and decisions in a context. Raises Refused when it keeps none."""
        replica = self.replica(context)
        return Desk(replica, self.book(context), replica.readable(), self.entropy)

    # -- contexts ---------------------------------------------------------------------------------------------

    def _open(self, network: NetworkId, context: ContextId, genesis: bytes) -> Replica:
        replica = Replica(
            genesis, network=network, context=context, identity=self.identity, incarnation=self._incarnation,
            applications=self._applications, entropy=self.entropy, policies=self.policies,
        )  # fmt: skip
        if context == NETWORK_CONTEXT:
            self.network = network
        self.replicas[context] = replica
        self._pulses[context] = Pulse(replica)
        self._checkpoints[context] = Checkpoints(replica)
        return replica

    def adopt(self, now: int, wire: bytes) -> Replica | None:
        """Open the context that this genesis founds, if it is one we may hold. Raises Invalid."""
        header_bytes, _, _ = split(wire)
        network, context = born(decode_header(header_bytes), op_id_of(header_bytes))
        if context in self.replicas:
            return self.replicas[context]
        if (context == NETWORK_CONTEXT and self.network is not None) or len(self.replicas) >= MAX_CONTEXTS:
            return None
        if context != NETWORK_CONTEXT and network != self.network:
            raise BrokenChain("the context belongs to another network")
        return self._open(network, context, wire)
