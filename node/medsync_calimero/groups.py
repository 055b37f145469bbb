"""Finds groups and instances by their ids among what a node holds, and writes records into them.

A namespace and a restricted subgroup are contexts of ours that run `group`; an open subgroup is a row in its parent's
table; an instance is a Calimero context. The application `medsync` has contexts of its own that follow their group.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from medsync_calimero.answers import Answered, CallError
from medsync_calimero.encodings import b58
from medsync_protocol.application import Draft
from medsync_protocol.applications.running import Outcome
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Refused
from medsync_protocol.group import GroupApplication, group_of
from medsync_protocol.group_record import MAX_TEXT, Record, What
from medsync_protocol.ids import ContextId, MemberId
from medsync_protocol.kinds import EntryKind, Role
from medsync_protocol.replica import Submitted

if TYPE_CHECKING:
    from medsync_node.node import Node
    from medsync_protocol.effects import Effect
    from medsync_protocol.replica import Replica

GROUP: Final = "group"
MEDSYNC: Final = "medsync"
ROOT: Final = "calimero.root"  # setting of a genesis: 1 for a namespace
TARGET: Final = "calimero.target"  # the application that a group was made for
OF_GROUP: Final = "calimero.group"  # the group that a `medsync` context follows, hex
SUBGROUP: Final = "subgroup/"
DELETED: Final = "deleted"
KEY_SECONDS: Final = 20.0  # for a new key after somebody left: below the clients' 30 seconds
ROLES: Final = {"Admin": Role.ADMIN, "Member": Role.MEMBER, "ReadOnly": Role.READER}
ROLE_NAMES: Final = {role: name for name, role in ROLES.items()}


def role_named(name: object) -> Role:
    """Raises Answered 400."""
    if name == "ReadOnlyTee":
        raise Answered(400, "the role ReadOnlyTee needs a trusted execution environment, and none stands behind this node")
    if name not in ROLES:
        raise Answered(400, f"a role is one of {', '.join(ROLES)}")
    return ROLES[str(name)]


def application_id(name: str) -> bytes:
    """The id that stands for an application of this name."""
    return blake2b(b"medsync/application/1", name.encode())


@dataclass(frozen=True, slots=True)
class Group:
    """A group as found. `open_id`: empty unless it is an open subgroup of the group that `replica` keeps."""

    replica: Replica
    application: GroupApplication
    open_id: bytes = b""

    @property
    def id(self) -> bytes:
        """32 bytes."""
        return self.open_id or self.replica.context

    @property
    def is_root(self) -> bool:
        """Whether it is a namespace."""
        return not self.open_id and self.replica.genesis.setting(ROOT, 0) == 1

    @property
    def target(self) -> str:
        """The application that it was made for."""
        return str(dict(self.replica.genesis.settings).get(TARGET, ""))

    def key(self, kind: str, about: bytes | None = None) -> str:
        """Where something of this group stands in its replica's table."""
        if about is not None:
            return f"{kind}/{about.hex()}"
        return f"{kind}/group/{self.open_id.hex()}" if self.open_id else kind


@dataclass(frozen=True, slots=True)
class Instance:
    """A Calimero context as found. `replica`: where its calls are written; for `medsync` that is its own context."""

    group: Group
    id: bytes
    application: str
    replica: Replica


class Groups:
    """One node's."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.me: MemberId = node.identity.member

    def held(self) -> Iterator[Group]:
        """Groups with a context of ours, ascending by id, that were not deleted."""
        for _, replica in sorted(self.node.engine.replicas.items()):
            if replica.genesis.application == GROUP and replica.application is not None:
                group = Group(replica, group_of(replica))
                if not group.application.value(DELETED):
                    yield group

    def all(self) -> Iterator[Group]:
        """Those and the open subgroups in them."""
        for group in self.held():
            yield group
            for key, row in sorted(group.application.values(SUBGROUP).items()):
                if row["visibility"] == "open":
                    yield Group(group.replica, group.application, bytes.fromhex(key))

    def find(self, id_: bytes) -> Group:
        """Raises Answered 404 for what this node doesn't hold or may not see."""
        for group in self.all():
            if group.id == id_ and group.replica.role is not None:
                return group
        raise Answered(404, "this node holds no such group, or its member is not in it")

    def parent(self, group: Group) -> bytes | None:
        """The group that lists this one as a subgroup; None for a namespace, and where this node isn't in the parent."""
        key = SUBGROUP + group.id.hex()
        for other in self.held():
            row = other.application.value(key)
            if row is not None:
                return bytes.fromhex(row["parent"])
        return None

    def below(self, group: Group) -> list[tuple[bytes, str]]:
        """(id, visibility) of the direct subgroups of a group, as far as its table says."""
        rows = group.application.values(SUBGROUP)
        return [(bytes.fromhex(key), row["visibility"]) for key, row in sorted(rows.items()) if row["parent"] == group.id.hex()]

    def under(self, root: Group) -> list[Group]:
        """The group and all below it that have a context of ours and are held here."""
        found, waiting = [], [root.replica.context]
        by_id = {group.id: group for group in self.held()}
        while waiting:
            group = by_id.pop(waiting.pop(), None)
            if group is not None:
                found.append(group)
                waiting += [ContextId(bytes.fromhex(key)) for key in group.application.values(SUBGROUP)]
        return found

    def followers(self, replica: Replica) -> list[Replica]:
        """The `medsync` contexts that follow a group's membership."""
        replicas = self.node.engine.replicas.values()
        ids = {replica.context.hex(), *group_of(replica).values(SUBGROUP)}
        return [r for r in replicas if dict(r.genesis.settings).get(OF_GROUP) in ids and r is not replica]

    def instances(self, group: Group | None = None) -> Iterator[Instance]:
        """The contexts of a group; of all groups."""
        for one in self.all():
            if group is not None and one.id != group.id or one.replica.role is None:
                continue
            for found in one.application.instances().values():
                if found.subgroup == one.open_id:
                    yield Instance(one, found.id, found.application, one.replica)
            for replica in self.node.engine.replicas.values():
                if dict(replica.genesis.settings).get(OF_GROUP) == one.id.hex() and replica.role is not None:
                    yield Instance(one, replica.context, MEDSYNC, replica)

    def instance(self, id_: bytes) -> Instance:
        """Raises Answered 404."""
        for group in self.held():
            found = group.application.instance(id_) if group.replica.role is not None else None
            if found is not None:
                return Instance(Group(group.replica, group.application, found.subgroup), id_, found.application, group.replica)
        if ContextId(id_) in self.node.engine.replicas:
            for one in self.instances():
                if one.id == id_:
                    return one
        raise Answered(404, f"this node holds no context {b58(id_)}, or its member is not in it")

    async def write(self, group: Group, record: Record) -> tuple[Submitted, Outcome]:
        """Try a record, then write it. Raises CallError for what it would not do, Answered for who may not write."""
        role = group.replica.role
        if role is None or role < Role.MEMBER:
            raise Answered(403, "this node's member may not write here: it is ReadOnly, or no member")
        if len(record.text.encode()) > MAX_TEXT:
            raise CallError(f"the arguments are longer than {MAX_TEXT} bytes")
        engine, context = self.node.engine, group.replica.context

        def step(now: int) -> tuple[tuple[Submitted, Outcome], list[Effect]]:
            outcome = group.application.trial(record, self.me, role, now << 16)
            if outcome.failed:
                raise CallError(outcome.error)
            draft = Draft(kind=EntryKind.NOTE, payload=record.encode())
            submitted, effects = engine.submit(now, context, [draft])
            return (submitted, outcome), effects

        await self.writable(group.replica)
        return await self.node.perform(step)

    async def writable(self, replica: Replica) -> None:
        """Return once there is a key to write under: after somebody left, an admin's node makes one by itself."""

        def has_key() -> bool:
            key = replica.membership.usable_key()
            return key is not None and key in replica.ring

        await self.node.wait_for(has_key, KEY_SECONDS)

    async def put(self, group: Group, key: str, value: Any) -> None:
        """Write into the group's table. Raises Answered 403 without the capability."""
        record = Record(What.PUT, b"", key, json.dumps(value, sort_keys=True, separators=(",", ":")))
        try:
            await self.write(group, record)
        except CallError as error:
            raise Answered(403, str(error.data)) from error

    def member(self, group: Group, text: str) -> MemberId:
        """A member's account in hex; one who is in the group. Raises Answered."""
        from medsync_calimero.encodings import from_hex

        member = MemberId(from_hex(text, "an account"))
        if member not in group.replica.membership.members:
            raise Answered(404, "no such member of this group")
        return member

    def require_net(self) -> Replica:
        """The network. Raises Refused."""
        net = self.node.engine.net
        if net is None:
            raise Refused("this node is in no namespace yet", code="no_network", advice="create one, or join one by invitation")
        return net
