"""The application `group`: instances of other applications in one context, and the group's own table (CALIMERO, first part).

Roles come from the membership at the operation's own causal past; capabilities from the table, in the records' order.
Blobs' bytes are entries of their own kind, which the journal keeps; the table names where they lie.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from medsync_protocol import capabilities
from medsync_protocol.application import OpenedEntry
from medsync_protocol.applications import running
from medsync_protocol.applications.interface import App, Call, CallFailed, Json, text_of
from medsync_protocol.applications.running import Outcome, failure
from medsync_protocol.capabilities import ALL, Capability
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.group_record import Record, What
from medsync_protocol.group_table import may_stand
from medsync_protocol.ids import MemberId, SubjectRef
from medsync_protocol.kinds import EntryKind, Role, Verdict
from medsync_protocol.timeline import Changes, Place, Timeline

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica

BLOB_KIND: Final = 64  # entry kind of a blob's pieces: indexed by the journal, not folded
OWN_TABLE: Final = b""
INSTANCE_KEY: Final = "instance/"  # in the group's own table: what instances there are
BLOB_KEY: Final = "blob/"


@dataclass(frozen=True, slots=True)
class Made:
    """A folded record, with whose it is."""

    record: Record
    author: MemberId
    entry: OpenedEntry


@dataclass(frozen=True, slots=True)
class Instance:
    """An application at work in a group. `subgroup`: the open one that it was made in; empty for the group itself."""

    id: bytes
    application: str
    subgroup: bytes
    creator: MemberId


@dataclass(frozen=True, slots=True)
class Emitted:
    """What a call told, the first time that it was folded here."""

    instance: bytes
    events: tuple[tuple[str, Json], ...]


@dataclass(eq=False, slots=True)
class Follower:
    """One who follows a group, from `follow` to `unfollow`."""

    group: GroupApplication
    changed: Callable[[], None]
    waiting: list[Emitted] = field(default_factory=list)

    def emitted(self) -> list[Emitted]:
        """What calls told since last asked."""
        self.group.advance()
        found, self.waiting = self.waiting, []
        return found


class GroupApplication:
    """See the module. `apps`: what this node can run, by name."""

    name = "group"
    indexed = frozenset({BLOB_KIND})

    def __init__(self, apps: Mapping[str, App]) -> None:
        self.apps = apps
        self.role_of: Callable[[OpenedEntry], Role | None] | None = None
        self._timeline: Timeline[Made] = Timeline(self._apply)
        self._told: set[Place] = set()
        self._roles: dict[Place, tuple[OpenedEntry, Role | None]] = {}
        self.membership: object = None
        """The membership that roles were last looked up in."""
        self._followers: list[Follower] = []

    # -- Application ------------------------------------------------------------------------------------------

    def fold(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Take a record in; void ones don't count."""
        if entry.kind != EntryKind.NOTE:
            return
        place = (entry.hlc, bytes(entry.op_id), entry.index)
        if not verdict.effective:
            self._timeline.remove(place)
        else:
            try:
                record = Record.decode(entry.payload)
            except Malformed:
                return
            self._timeline.add(place, Made(record, entry.author, entry))
        for follower in self._followers:
            follower.changed()

    def subject_keys(self) -> Mapping[SubjectRef, bytes]:
        """A group is about nobody."""
        return {}

    def parties(self, entry: OpenedEntry) -> Iterable[MemberId]:
        """Everything is for all members."""
        return ()

    def query(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Raises Refused: instances are asked by `ask`."""
        raise Refused(f"no question {method!r}", code="unknown_method", advice="ask an instance instead")

    # -- reading ----------------------------------------------------------------------------------------------

    def instances(self) -> dict[bytes, Instance]:
        """By id, ascending."""
        return {bytes.fromhex(key): _instance(bytes.fromhex(key), row) for key, row in sorted(self.values(INSTANCE_KEY).items())}

    def instance(self, id_: bytes) -> Instance | None:
        """One of them."""
        row = self.value(INSTANCE_KEY + id_.hex())
        return None if row is None else _instance(id_, row)

    def values(self, start: str) -> dict[str, Any]:
        """The group's own table below a beginning, which is cut off."""
        table = self._timeline.table(OWN_TABLE)
        return {key[len(start) :]: json.loads(text) for key, text in table.items() if key.startswith(start)}

    def value(self, key: str) -> Any:
        """One value of the group's own table; None for none."""
        text = self._timeline.table(OWN_TABLE).get(key)
        return None if text is None else json.loads(text)

    def capabilities(self, member: MemberId, role: Role | None) -> int:
        """The bits that a member holds."""
        self._timeline.advance()
        return self._held(member, role)

    def ask(self, instance: bytes, method: str, arguments: Mapping[str, Any]) -> Outcome:
        """A query to an instance; method and arguments as the client gave them."""
        found = self.instance(instance)
        if found is None:
            return failure("no such context in this group")
        app = self.apps.get(found.application)
        if app is None:
            return failure(f"this node has no application {found.application!r}: install it under medsync.applications")
        return running.query(app, self._timeline.table(instance), method, arguments)

    def changes(self, instance: bytes, method: str) -> bool:
        """Whether a method is one that changes something, so that it must be written."""
        found = self.instance(instance)
        app = None if found is None else self.apps.get(found.application)
        known = None if app is None else app.abi.get(method)
        return known is not None and known.changes

    def trial(self, record: Record, author: MemberId, role: Role | None, clock: int) -> Outcome:
        """What a record would do if it were the newest, by a clock that shows `clock` or later."""
        self._timeline.advance()
        return self._outcome(record, author, role, max(clock, self._timeline.newest() + 1), bytes(32))[0]

    def reconsider(self) -> None:
        """The membership changed: fold anew if somebody's role at what it wrote is another now."""
        assert self.role_of is not None, "a group is read through `group_of`"
        for place, (entry, role) in self._roles.items():
            if place in self._timeline and self.role_of(entry) is not role:
                self._roles.clear()
                self._timeline.restart()
                return

    def state_hash(self, instance: bytes) -> bytes:
        """32 bytes, a function of the instance's state alone."""
        return table_hash(self._timeline.table(instance))

    def table_hash(self) -> bytes:
        """32 bytes, a function of the group's own table alone."""
        return table_hash(self._timeline.table(OWN_TABLE))

    def size(self, instance: bytes) -> int:
        """Characters that an instance's state takes."""
        return sum(len(key) + len(text) for key, text in self._timeline.table(instance).items())

    def follow(self, changed: Callable[[], None]) -> Follower:
        """From now on hear what calls tell; what is held is not told again. `changed` is called when a record came or went."""
        self._timeline.advance()
        follower = Follower(self, changed)
        self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Hear no more."""
        self._followers.remove(follower)

    def advance(self) -> None:
        """Fold what was not folded yet."""
        self._timeline.advance()

    # -- folding ----------------------------------------------------------------------------------------------

    def _apply(self, place: Place, made: Made) -> Changes:
        assert self.role_of is not None, "a group is read through `group_of`"
        role = self.role_of(made.entry)
        self._roles[place] = (made.entry, role)
        outcome, changes = self._outcome(made.record, made.author, role, place[0], instance_id(place[1], place[2]))
        if place not in self._told:
            self._told.add(place)
            if made.record.what is What.CALL and not outcome.failed:
                for follower in self._followers:
                    follower.waiting.append(Emitted(made.record.instance, outcome.events))
        return changes

    def _outcome(
        self, record: Record, author: MemberId, role: Role | None, clock: int, new: bytes
    ) -> tuple[Outcome, Changes]:
        table = self._timeline.tables.get(OWN_TABLE, {})
        match record.what:
            case What.CREATE:
                return self._create(record, author, role, clock, new)
            case What.CALL | What.DELETE:
                key = INSTANCE_KEY + record.instance.hex()
                if key not in table:
                    return failure("no such context in this group"), []
                if record.what is What.CALL:
                    return self._call(record, json.loads(table[key])[0], author, clock)
                if json.loads(table[key])[2] != author.hex() and role is not Role.ADMIN:
                    return failure("only its creator or an admin deletes a context"), []
                gone: Changes = [(record.instance, k, None) for k in self._timeline.tables.get(record.instance, {})]
                return Outcome(), [(OWN_TABLE, key, None), *gone]
            case What.PUT:
                return self._put(record, author, role)

    def _create(
        self, record: Record, author: MemberId, role: Role | None, clock: int, new: bytes
    ) -> tuple[Outcome, Changes]:
        if not self._held(author, role) & Capability.CREATE_CONTEXT:
            return failure(_lacks(Capability.CREATE_CONTEXT)), []
        app = self.apps.get(record.name)
        changes: Changes = []
        if app is not None and "init" in app.abi:
            outcome = _made(app, {}, "init", record.text, author, clock)
            if outcome.failed:
                return outcome, []
            changes += [(new, key, text) for key, text in sorted((outcome.written or {}).items())]
        about = json.dumps([record.name, record.instance.hex(), author.hex()])
        return Outcome(), [(OWN_TABLE, INSTANCE_KEY + new.hex(), about), *changes]

    def _call(self, record: Record, application: str, author: MemberId, clock: int) -> tuple[Outcome, Changes]:
        app = self.apps.get(application)
        if app is None:
            return failure(f"this node has no application {application!r}"), []
        held = self._timeline.tables.get(record.instance, {})
        outcome = _made(app, held, record.name, record.text, author, clock)
        written = sorted((outcome.written or {}).items())
        return outcome, [(record.instance, key, text) for key, text in written]

    def _put(self, record: Record, author: MemberId, role: Role | None) -> tuple[Outcome, Changes]:
        own = any(record.name == start + author.hex() for start in capabilities.OWN)
        if not own and not record.name.startswith(BLOB_KEY) and role is not Role.ADMIN:
            bit = capabilities.needed(record.name, record.text == "null")
            if bit is None:
                return failure("only an admin of the group may"), []
            if not self._held(author, role) & bit:
                return failure(_lacks(bit)), []
        try:
            value = json.loads(record.text)
        except ValueError:
            return failure("the value is no JSON"), []
        if not may_stand(record.name, value):
            return failure("no such value may stand there"), []
        return Outcome(), [(OWN_TABLE, record.name, None if value is None else text_of(value))]

    def _held(self, member: MemberId, role: Role | None) -> int:
        if role is Role.ADMIN:
            return ALL
        if role is None or role < Role.MEMBER:
            return 0
        table = self._timeline.tables.get(OWN_TABLE, {})
        text = table.get(capabilities.MEMBER_KEY + member.hex(), table.get(capabilities.DEFAULT_KEY))
        value = capabilities.DEFAULT if text is None else json.loads(text)
        return value if isinstance(value, int) and 0 <= value < 1 << 32 else 0


def _instance(id_: bytes, row: list[str]) -> Instance:
    application, subgroup, creator = row
    return Instance(id_, application, bytes.fromhex(subgroup), MemberId(bytes.fromhex(creator)))


def _made(app: App, held: Mapping[str, str], method: str, text: str, author: MemberId, clock: int) -> Outcome:
    try:
        arguments = running.arguments_of(text)
    except CallFailed as error:
        return failure(error.data)
    call = Call(method=method, arguments=arguments, author=author.hex(), time=clock >> 16, clock=clock)
    return running.call(app, held, call)


def _lacks(bit: Capability) -> str:
    return f"this needs the capability {bit.name}: an admin of the group gives it"


def instance_id(op_id: bytes, index: int) -> bytes:
    """The id of what an operation's entry creates."""
    return blake2b(b"medsync/instance/1", op_id, index.to_bytes(4, "big"))


def table_hash(table: Mapping[str, str]) -> bytes:
    """32 bytes over a table's keys and texts, whatever order they stand in."""
    parts = [blake2b(key.encode(), b"\0", text.encode()) for key, text in sorted(table.items())]
    return blake2b(b"medsync/table/1", *parts)


def group_of(replica: Replica) -> GroupApplication:
    """The group that a context keeps, told which role its members had at what they wrote. Raises Refused for another."""
    application = replica.application
    if not isinstance(application, GroupApplication):
        raise Refused("this context is no group", code="not_a_group", advice="see `medsync context list`")
    if application.role_of is None:

        def role_of(entry: OpenedEntry) -> Role | None:
            slot = replica.chains.slot(entry.chain, entry.seq)
            standing = replica.fold.state_at(slot.heads, slot.seen).members.get(entry.author)
            return None if standing is None else standing.role

        application.role_of = role_of
    if application.membership is not replica.membership:
        application.membership = replica.membership
        application.reconsider()
    return application
