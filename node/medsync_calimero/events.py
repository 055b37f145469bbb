"""Tells followers what calls changed and who came or went in groups; keeps invited members' places up to date.

Every event is told after what it is about is committed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import trio

from medsync_calimero.answers import Answered
from medsync_calimero.encodings import b58, from_b58, from_hex
from medsync_protocol.applications.interface import text_of
from medsync_protocol.errors import MedSyncError
from medsync_protocol.group import Follower as GroupFollower

if TYPE_CHECKING:
    from medsync_calimero.groups import Group, Groups
    from medsync_calimero.invitations import Invitations

MAX_WAITING: Final = 1_000  # events for one follower; a slower one is cut off, and comes again
MAX_FOLLOWED: Final = 1_000  # contexts and groups of one follower


@dataclass(eq=False)
class Follower:
    """One client: what it follows, and what waits for it."""

    send: trio.MemorySendChannel[dict[str, Any]]
    receive: trio.MemoryReceiveChannel[dict[str, Any]]
    ids: set[bytes] = field(default_factory=set)

    def subscribe(self, method: object, params: object) -> dict[str, Any]:
        """Follow, or follow no more; what is followed of those named. Raises Answered 400."""
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            raise Answered(400, "a method is subscribe, unsubscribe or execute, with params")
        contexts, groups = params.get("contextIds") or [], params.get("groupIds") or []
        named = {*(from_b58(str(one), "a context id") for one in contexts), *(from_hex(one, "a group id") for one in groups)}
        self.ids = self.ids | named if method == "subscribe" else self.ids - named
        if len(self.ids) > MAX_FOLLOWED:
            raise Answered(400, f"one client follows at most {MAX_FOLLOWED}")
        return {"contextIds": contexts, "groupIds": groups}


class Events:
    """See the module."""

    def __init__(self, groups: Groups, invitations: Invitations) -> None:
        self._groups, self._invitations = groups, invitations
        self._followers: set[Follower] = set()
        self._followed: dict[bytes, GroupFollower] = {}
        self._members: dict[bytes, dict[bytes, int]] = {}
        self._changed = trio.Event()

    @contextmanager
    def follower(self) -> Iterator[Follower]:
        """A client's, until the block ends."""
        send, receive = trio.open_memory_channel[dict[str, Any]](MAX_WAITING)
        one = Follower(send, receive)
        self._followers.add(one)
        try:
            yield one
        finally:
            self._followers.discard(one)

    def _wake(self) -> None:
        self._changed.set()

    async def run(self, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Tell what happens, for ever."""
        async with trio.open_nursery() as nursery:
            self._look()
            nursery.start_soon(self._hear)
            task_status.started()
            try:
                await self._keep()
            finally:
                for follower in self._followed.values():
                    follower.group.unfollow(follower)

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            self._look()
            try:
                await self._groups.node.driver.committed()
                await self._invitations.admit_invited()
            except MedSyncError:  # a full disk: told by `status`, tried again at the next change
                continue
            self._tell()

    async def _hear(self) -> None:
        async with self._groups.node.notifications() as notices:
            async for _ in notices:
                self._wake()

    def _look(self) -> None:
        for group in self._groups.held():
            if group.id not in self._followed:
                self._followed[group.id] = group.application.follow(self._wake)
                self._members[group.id] = _roles(group)

    def _tell(self) -> None:
        for group in self._groups.held():
            follower = self._followed.get(group.id)
            for emitted in [] if follower is None else follower.emitted():
                wanted = [one for one in self._followers if emitted.instance in one.ids]
                if not wanted:
                    continue
                root = b58(group.application.state_hash(emitted.instance))
                events = [{"kind": kind, "data": list(text_of(data).encode())} for kind, data in emitted.events]
                event = {"contextId": b58(emitted.instance), "type": "StateMutation", "data": {"newRoot": root, "events": events}}
                self._send(wanted, event)
            self._tell_members(group)

    def _tell_members(self, group: Group) -> None:
        now = _roles(group)
        before, self._members[group.id] = self._members.get(group.id, now), now
        wanted = [one for one in self._followers if group.id in one.ids]
        changes = [("MemberAdded", m) for m in now.keys() - before.keys()]
        changes += [("MemberRemoved", m) for m in before.keys() - now.keys()]
        changes += [("RoleChanged", m) for m in now.keys() & before.keys() if now[m] != before[m]]
        for what, member in sorted(changes):
            data = {"kind": what, "member": member.hex()}
            self._send(wanted, {"groupId": group.id.hex(), "type": "GroupMembershipEvent", "data": data})

    def _send(self, followers: list[Follower], event: dict[str, Any]) -> None:
        for one in followers:
            try:
                one.send.send_nowait(event)
            except trio.WouldBlock:
                self._followers.discard(one)
                one.send.close()


def _roles(group: Group) -> dict[bytes, int]:
    return {bytes(member): int(held.role) for member, held in group.replica.membership.members.items()}
