"""Calls about a group's members: adding, removing, roles, capabilities, auto-follow, metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from medsync_calimero.answers import Answered
from medsync_calimero.asking import Asked, number_in
from medsync_calimero.encodings import from_hex
from medsync_calimero.group_calls import metadata_in
from medsync_calimero.groups import ROLE_NAMES, Group, Groups, role_named
from medsync_protocol.capabilities import MEMBER_KEY
from medsync_protocol.ids import NETWORK_CONTEXT, MemberId
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_calimero.invitations import Invitations

MAX_PAGE: Final = 500  # members in one answer


class MemberCalls:
    """See the module."""

    def __init__(self, groups: Groups, invitations: Invitations) -> None:
        self._groups, self._invitations = groups, invitations
        self._node, self._engine = groups.node, groups.node.engine

    def _at(self, asked: Asked) -> Group:
        return self._groups.find(from_hex(asked.path["group"], "a group id"))

    def _own_context(self, asked: Asked) -> Group:
        group = self._at(asked)
        if group.open_id:
            raise Answered(409, "an open subgroup's members are its parent's: change them there")
        return group

    def _row(self, group: Group, member: MemberId, role: Role) -> dict[str, Any]:
        named = group.application.value(f"metadata/member/{member.hex()}") or {}
        name = named.get("name") or group.replica.membership.members[member].name
        return {"identity": member.hex(), "role": ROLE_NAMES[role], "name": name}

    async def members(self, asked: Asked) -> Any:
        """By account, a page of them."""
        group = self._at(asked)
        first, count = (int(asked.query.get(name, default)) for name, default in (("offset", "0"), ("limit", str(MAX_PAGE))))
        rows = [self._row(group, member, held.role) for member, held in sorted(group.replica.membership.members.items())]
        return {"members": rows[first : first + min(count, MAX_PAGE)]}

    async def add_members(self, asked: Asked) -> Any:
        """Add members of the namespace."""
        group, net = self._own_context(asked), self._groups.require_net()
        wanted = [(MemberId(from_hex(one.get("identity"), "an account")), role_named(one.get("role", "Member"))) for one in _rows(asked)]
        for member, _ in wanted:
            if member not in net.membership.members:
                raise Answered(404, "no such member of the namespace's network: invite it first")
        for member, role in wanted:
            await self._invitations.admit(group, member, role)
        return {}

    async def remove_members(self, asked: Asked) -> Any:
        """Remove members from a group and from every group below it; the key rotates in the same operation."""
        group = self._own_context(asked)
        wanted = [self._groups.member(group, str(one)) for one in _rows(asked)]
        if group.replica.role is not Role.ADMIN:
            raise Answered(403, "only an admin of the group removes members")
        for member in wanted:
            for below in reversed(self._groups.under(group)):
                for replica in (*self._groups.followers(below.replica), below.replica):
                    if member in replica.membership.members and replica.role is Role.ADMIN:
                        await self._node.perform(lambda now, c=replica.context, m=member: self._engine.remove(now, c, m))  # type: ignore[misc]
        return {}

    async def set_role(self, asked: Asked) -> Any:
        """Promote or demote, also where the group's `medsync` contexts follow."""
        group = self._own_context(asked)
        member, role = self._groups.member(group, asked.path["member"]), role_named(asked.body["role"])
        for replica in (group.replica, *self._groups.followers(group.replica)):
            held = replica.membership.members.get(member)
            if held is not None and held.role is not role:
                await self._node.perform(lambda now, c=replica.context: self._engine.set_role(now, c, member, role))  # type: ignore[misc]
        net = self._groups.require_net()
        if group.is_root and role is Role.ADMIN and net.role is Role.ADMIN and net.membership.members[member].role is not role:
            await self._node.perform(lambda now: self._engine.set_role(now, NETWORK_CONTEXT, member, role))
        return {}

    async def set_capabilities(self, asked: Asked) -> Any:
        """The bits of one member."""
        group = self._at(asked)
        member = self._groups.member(group, asked.path["member"])
        await self._groups.put(group, MEMBER_KEY + member.hex(), number_in(asked.body["capabilities"], "capabilities"))
        return {}

    async def get_capabilities(self, asked: Asked) -> Any:
        """What it holds, whoever gave it."""
        group = self._at(asked)
        member = self._groups.member(group, asked.path["member"])
        return {"capabilities": group.application.capabilities(member, group.replica.membership.members[member].role)}

    async def set_follow(self, asked: Asked) -> Any:
        """Whether a member's node takes part in new contexts and open subgroups; it holds them in any case, so this is a note."""
        group = self._at(asked)
        member = self._groups.member(group, asked.path["member"])
        flags = {name: bool(asked.body[name]) for name in ("autoFollowContexts", "autoFollowSubgroups")}
        await self._groups.put(group, f"follow/{member.hex()}", flags)
        return {}

    async def set_member_metadata(self, asked: Asked) -> Any:
        """Name and texts of a member."""
        group = self._at(asked)
        member = self._groups.member(group, asked.path["member"])
        await self._groups.put(group, f"metadata/member/{member.hex()}", metadata_in(asked))
        return {}

    async def get_member_metadata(self, asked: Asked) -> Any:
        """They, or null."""
        group = self._at(asked)
        member = self._groups.member(group, asked.path["member"])
        return group.application.value(f"metadata/member/{member.hex()}")


def _rows(asked: Asked) -> list[Any]:
    rows = asked.body["members"]
    if not isinstance(rows, list) or not rows or len(rows) > MAX_PAGE:
        raise Answered(400, f"members is a list of 1 to {MAX_PAGE}")
    return rows
