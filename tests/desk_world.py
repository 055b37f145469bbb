"""A context of real replicas for tests of what members do with consents: no network, operations handed over at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from medsync_protocol.access import Request, make_request
from medsync_protocol.actions import Admit, Genesis, MemberCard, encode_action
from medsync_protocol.application import Draft
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.decision import settings_of
from medsync_protocol.desk import Desk
from medsync_protocol.heartbeat import HeartbeatBook, make_heartbeat
from medsync_protocol.identity import Identity
from medsync_protocol.ids import ChainId, ContextId, Instant, KeyId, MemberId, NetworkId, OpId, SubjectRef
from medsync_protocol.kinds import Plane, Role
from medsync_protocol.operation import NO_OP, UNBORN, Header, build
from medsync_protocol.replica import Replica
from medsync_protocol.sealing import make_rotation, wrap_key

NETWORK = NetworkId(b"N" * 32)
NOW = Instant(1_800_000_000_000)
MINUTE = 60_000
DAY = 24 * 60 * MINUTE


class Draw:
    """Entropy that repeats from run to run."""

    def __init__(self, name: str) -> None:
        self._name, self._count = name.encode(), 0

    def __call__(self, label: str, size: int) -> bytes:
        self._count += 1
        return blake2b(self._name, label.encode(), self._count.to_bytes(8, "big"), size=64)[:size]


def seed(name: str) -> bytes:
    """A patient's 32-byte seed."""
    return blake2b(b"patient", name.encode())


def key(name: str) -> bytes:
    """A patient's public key."""
    return signing_public(seed(name))


def _identity(name: str) -> Identity:
    return Identity(member_seed=blake2b(b"member", name.encode()), device_seed=blake2b(b"device", name.encode()), name=name)  # fmt: skip


def _card(identity: Identity) -> MemberCard:
    return MemberCard(
        member=identity.member, device=identity.device, certificate=identity.certificate(),
        sealing_key=identity.sealing_public, name=identity.name,
    )  # fmt: skip


@dataclass
class Place:
    """One member's copy."""

    replica: Replica
    book: HeartbeatBook = field(default_factory=HeartbeatBook)
    hidden: dict[ChainId, int] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        """Its desk; `hidden` lowers what is readable."""
        readable = {
            chain: min(count, self.hidden.get(chain, count)) for chain, count in self.replica.vector.items()
        }
        return Desk(self.replica, self.book, readable, self.replica._entropy)

    @property
    def member(self) -> MemberId:
        """Its member."""
        return self.replica.member


class Context:
    """Mercy, City and Coast (admin, members), Lab (member) and an auditor (reader), in one context."""

    def __init__(self, settings: dict[str, int | str] | None = None) -> None:
        names = {"mercy": Role.ADMIN, "city": Role.MEMBER, "coast": Role.MEMBER, "lab": Role.MEMBER, "auditor": Role.READER}  # fmt: skip
        self.clock = NOW
        identities = {name: _identity(name) for name in names}
        first = identities["mercy"]
        draw = Draw("genesis")
        epoch_key = draw("epoch", 32)
        rotation = make_rotation(
            epoch=1,
            key=epoch_key,
            recipients={first.member: first.sealing_public},
            previous=None,
            entropy=draw,
        )
        action = Genesis(
            name="trial", application="medsync", policy="any_admin", founder=_card(first), rotation=rotation,
            settings=tuple(sorted((settings or {}).items())),
        )  # fmt: skip
        kind, payload = encode_action(action)
        header = Header(
            network=NETWORK, context=ContextId(UNBORN), plane=Plane.MEMBERSHIP, chain=ChainId(first.device + b"mercy   "),
            seq=0, prev=NO_OP, membership_heads=(), seen_k=0, seen_root=bytes(32), key_id=KeyId(bytes(32)),
            hlc=NOW << 16, kind=kind, entries_root=bytes(32), count=1,
        )  # fmt: skip
        genesis = build(header, draw("nonce", 24), [(b"", payload)], first.device_seed)
        self.id = ContextId(genesis.op_id)
        self.places = {
            name: Place(
                Replica(
                    genesis.wire, network=NETWORK, context=self.id, identity=identity,
                    incarnation=name.ljust(8).encode(), entropy=Draw(name),
                    applications={"medsync": lambda n, c, g: MedSyncApplication(n, c, settings_of(dict(g.settings)))},
                )
            )
            for name, identity in identities.items()
        }  # fmt: skip
        for place in self.places.values():
            place.replica.receive(NOW, genesis.wire)
        mercy = self["mercy"].replica
        for name in list(names)[1:]:
            identity = identities[name]
            wrap = wrap_key(epoch_key, identity.sealing_public, draw)
            mercy.act(
                self.clock, Admit(card=_card(identity), role=names[name], key_id=rotation.key_id, wrap=wrap)
            )
        self.wires: dict[OpId, bytes] = {}
        self.spread()

    def __getitem__(self, name: str) -> Place:
        return self.places[name]

    def spread(self, *without: str) -> None:
        """Hand what each replica took on to all others, except those named, which then miss it."""
        for giver in self.places.values():
            news, giver.replica.news[:] = list(giver.replica.news), []
            for one in news:
                self.wires[one.operation.op_id] = one.operation.wire
                for name, taker in self.places.items():
                    if one.own and taker is not giver and name not in without:
                        taker.replica.receive(self.clock, one.operation.wire)

    def write(self, name: str, drafts: Sequence[Draft], *without: str) -> OpId:
        """Submit at one place and hand it on."""
        done, _ = self[name].replica.submit(self.clock, drafts)
        self.spread(*without)
        return done.op_id

    def deliver(self, op_id: OpId, name: str) -> None:
        """Hand over what one missed."""
        self[name].replica.receive(self.clock, self.wires[op_id])

    def beat(self, *names: str) -> None:
        """Heartbeats of these members' homes, heard by all."""
        for name in names:
            replica = self[name].replica
            one = make_heartbeat(
                NETWORK, self.id, replica.member, device=replica.identity.device, device_seed=replica.identity.device_seed,
                time=self.clock, vector=replica.vector,
            )  # fmt: skip
            for place in self.places.values():
                place.book.take(one, self.clock)

    def enrol(self, name: str = "mercy", *, homes: Sequence[str] = ("mercy", "city", "coast"), custodians: Sequence[str] = ("city",), keys: Sequence[str] = ("ann",)) -> SubjectRef:  # fmt: skip
        """A subject, by default Ann with three homes and two custodians."""
        subject, drafts = self[name].desk.enrol(
            self.clock, custodians=[self[n].member for n in custodians], homes=[self[n].member for n in homes],
            patient_keys=[key(n) for n in keys], delegate_keys=[key("guardian")],
        )  # fmt: skip
        self.write(name, drafts)
        return subject

    def request(self, subject: SubjectRef, requester: str = "lab", purposes: tuple[str, ...] = ("HRESCH",), **more: Any) -> Request:  # fmt: skip
        """The lab asks for research."""
        return make_request(
            NETWORK, self.id, subject, self[requester].member, purposes=purposes, action="access", time=self.clock,
            salt=b"request salt 16b", **more,
        )  # fmt: skip
