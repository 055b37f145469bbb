"""Calls about namespaces and groups: making, listing, leaving, deleting, settings and metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from medsync_calimero.answers import Answered
from medsync_calimero.asking import Asked, number_in, text_in
from medsync_calimero.encodings import b58, from_b58, from_hex
from medsync_calimero.groups import DELETED, GROUP, ROOT, SUBGROUP, TARGET, Group, Groups, application_id
from medsync_protocol.capabilities import DEFAULT, DEFAULT_KEY, Capability
from medsync_protocol.crypto import blake2b
from medsync_protocol.group import group_of
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_calimero.home_calls import HomeCalls

VISIBILITIES: Final = ("open", "restricted")
MAX_METADATA: Final = 64  # pairs


class GroupCalls:
    """See the module. `policy`: the membership policy of new groups."""

    def __init__(self, groups: Groups, home: HomeCalls, policy: str) -> None:
        self._groups, self._home, self._policy = groups, home, policy
        self._node, self._engine = groups.node, groups.node.engine

    def at(self, asked: Asked) -> Group:
        """The group that the path names."""
        return self._groups.find(from_hex(asked.path["group"], "a group id"))

    async def _found(self, name: str, target: str, root: bool) -> Group:
        settings: dict[str, int | str] = {ROOT: int(root), TARGET: target}
        context = await self._node.perform(lambda now: self._engine.create_context(now, name, GROUP, self._policy, (), (), settings))
        replica = self._engine.replica(context)
        return Group(replica, group_of(replica))

    # -- namespaces -------------------------------------------------------------------------------------------

    async def create_namespace(self, asked: Asked) -> Any:
        """Found a namespace; the first founds this node's network."""
        name = text_in(asked.body.get("name") or "namespace", "a name", longest=64)
        target = self._home.application_named(asked.body["applicationId"])
        if self._engine.net is None:
            await self._node.perform(lambda now: self._engine.found_network(now, name))
        group = await self._found(name, target, root=True)
        if asked.body.get("name"):
            await self._groups.put(group, "metadata", {"name": name, "data": {}})
        return {"namespaceId": group.id.hex()}

    async def namespaces(self, asked: Asked) -> Any:
        """Those that this node's member is in."""
        return [self._namespace(group) for group in self._groups.held() if group.is_root and group.replica.role is not None]

    def _namespace(self, group: Group) -> dict[str, Any]:
        made = group.replica.chains.slot(group.replica.genesis_chain, 0).hlc >> 16
        named = group.application.value("metadata") or {}
        return {
            "namespaceId": group.id.hex(), "appKey": application_id(group.target).hex(),
            "targetApplicationId": b58(application_id(group.target)), "createdAt": made // 1000, "name": named.get("name"),
            "memberCount": len(group.replica.membership.members),
            "contextCount": sum(1 for _ in self._groups.instances(group)), "subgroupCount": len(self._groups.below(group)),
        }  # fmt: skip

    async def leave_namespace(self, asked: Asked) -> Any:
        """Leave it and every group below it."""
        root = self.at(asked)
        await self._leave(self._groups.under(root))
        return {"namespaceId": root.id.hex(), "memberPublicKey": b58(self._groups.me)}

    async def leave_group(self, asked: Asked) -> Any:
        """Leave a group and those below it."""
        group = self.at(asked)
        if group.open_id:
            raise Answered(409, "an open subgroup's members are its parent's: leave that one")
        await self._leave(self._groups.under(group))
        return {"groupId": group.id.hex(), "memberPublicKey": b58(self._groups.me)}

    async def _leave(self, groups: list[Group]) -> None:
        contexts = [replica for group in groups for replica in (*self._groups.followers(group.replica), group.replica)]
        for replica in {one.context: one for one in contexts}.values():
            if replica.role is not None:
                await self._node.perform(lambda now, c=replica.context: self._engine.leave(now, c))  # type: ignore[misc]

    # -- groups -----------------------------------------------------------------------------------------------

    async def create_group(self, asked: Asked) -> Any:
        """A subgroup: a row of its parent if open, a context with a key of its own if restricted."""
        parent = self.at(asked)
        default = parent.application.value("visibility") or "restricted"
        visibility = str(asked.body.get("visibility") or default).lower()
        if visibility not in VISIBILITIES:
            raise Answered(400, "a visibility is open or restricted")
        name = asked.body.get("groupName")
        shown = None if name is None else text_in(name, "a group's name", longest=64)
        self._require(parent, Capability.CREATE_SUBGROUP)
        row = {"visibility": visibility, "parent": parent.id.hex()}
        if visibility == "open":
            id_ = blake2b(b"medsync/subgroup/1", self._engine.entropy("subgroup", 32))
            await self._groups.put(parent, SUBGROUP + id_.hex(), row)
            group = Group(parent.replica, parent.application, id_)
        else:
            group = await self._found(shown or "subgroup", parent.target, root=False)
            await self._groups.put(parent, SUBGROUP + group.id.hex(), row)
        if shown is not None:
            await self._groups.put(group, group.key("metadata"), {"name": shown, "data": {}})
        return {"groupId": group.id.hex()}

    def _require(self, group: Group, bit: Capability) -> None:
        if not group.application.capabilities(self._groups.me, group.replica.role) & bit:
            raise Answered(403, f"this needs the capability {bit.name}: an admin of the group gives it")

    def _named(self, id_: bytes) -> dict[str, Any]:
        try:
            group = self._groups.find(id_)
        except Answered:
            return {"groupId": id_.hex()}  # a restricted one that this node is not in
        named = group.application.value(group.key("metadata")) or {}
        return {"groupId": id_.hex(), "name": named.get("name")}

    async def namespace_groups(self, asked: Asked) -> Any:
        """Direct subgroups."""
        return [self._named(id_) for id_, _ in self._groups.below(self.at(asked))]

    async def subgroups(self, asked: Asked) -> Any:
        """The same, in the other shape."""
        return {"subgroups": [self._named(id_) for id_, _ in self._groups.below(self.at(asked))]}

    async def group(self, asked: Asked) -> Any:
        """A summary with the hash by which peers see that they agree."""
        group = self.at(asked)
        state, app = group.replica.membership, group.application
        roles = b"".join(member + bytes([held.role]) for member, held in sorted(state.members.items()))
        default = app.value(DEFAULT_KEY)
        return {
            "groupId": group.id.hex(), "appKey": application_id(group.target).hex(),
            "targetApplicationId": b58(application_id(group.target)), "memberCount": len(state.members),
            "contextCount": sum(1 for _ in self._groups.instances(group)),
            "defaultCapabilities": DEFAULT if default is None else default, "subgroupVisibility": self._visibility(group),
            "metadata": app.value(group.key("metadata")),
            "groupStateHash": blake2b(b"medsync/group/1", group.id, roles, app.table_hash()).hex(),
        }  # fmt: skip

    def _visibility(self, group: Group) -> str:
        if group.open_id:
            return "open"
        return str(group.application.value("visibility") or "restricted") if group.is_root else "restricted"

    async def delete_group(self, asked: Asked) -> Any:
        """Hide a group from all its members; what is in its log stays there."""
        group = self.at(asked)
        parent = self._groups.parent(group)
        if not group.open_id:
            await self._groups.put(group, DELETED, True)
        if parent is not None:
            try:
                above = self._groups.find(parent)
            except Answered:
                return {"isDeleted": True}
            if above.replica.role is not None and above.replica.role > Role.READER:
                await self._groups.put(above, SUBGROUP + group.id.hex(), None)
        return {"isDeleted": True}

    async def inherit(self, asked: Asked) -> Any:
        """Join an open subgroup as a member of its parent: its members are the same, so nothing is to be written."""
        group = self.at(asked)
        if not group.open_id:
            if group.replica.role is None:
                raise Answered(403, "a restricted group is joined by being added to it")
            return {"groupId": group.id.hex(), "memberPublicKey": b58(self._groups.me), "wasInherited": False}
        self._require(group, Capability.JOIN_OPEN_SUBGROUPS)
        return {"groupId": group.id.hex(), "memberPublicKey": b58(self._groups.me), "wasInherited": True}

    async def reparent(self, asked: Asked) -> Any:
        """Put a subgroup below another group; an open one stays among the groups that share its members."""
        group, target = self.at(asked), self._groups.find(from_hex(asked.body["newParentId"], "a group id"))
        old = self._groups.parent(group)
        if old is None or target.id == group.id or any(one.id == target.id for one in self._groups.under(group) if not group.open_id):
            raise Answered(409, "a namespace has no parent, and no group stands below itself")
        above = self._groups.find(old)
        if group.open_id and target.replica is not above.replica:
            raise Answered(409, "an open subgroup shares its parent's members: it can't go to a group with others")
        row = {"visibility": "open" if group.open_id else "restricted", "parent": target.id.hex()}
        await self._groups.put(target, SUBGROUP + group.id.hex(), row)
        if target.replica is not above.replica:
            await self._groups.put(above, SUBGROUP + group.id.hex(), None)
        return {"reparented": True}

    async def transfer(self, asked: Asked) -> Any:
        """Hand a group over to another admin."""
        group = self.at(asked)
        heir = self._groups.member(group, str(asked.body["newOwner"]))
        await self._node.perform(lambda now: self._engine.transfer(now, group.replica.context, heir))
        return {}

    # -- settings and metadata --------------------------------------------------------------------------------

    async def set_default_capabilities(self, asked: Asked) -> Any:
        """What members hold that no admin gave others."""
        bits = number_in(asked.body["defaultCapabilities"], "defaultCapabilities")
        await self._groups.put(self.at(asked), DEFAULT_KEY, bits)
        return {}

    async def set_visibility(self, asked: Asked) -> Any:
        """Of a namespace: what new subgroups are by default. A subgroup keeps the one that it was born with."""
        group = self.at(asked)
        visibility = str(asked.body["subgroupVisibility"]).lower()
        if visibility not in VISIBILITIES:
            raise Answered(400, "a visibility is open or restricted")
        if group.is_root:
            await self._groups.put(group, "visibility", visibility)
        elif visibility != self._visibility(group):
            raise Answered(409, "a subgroup keeps its visibility: a restricted one has a key of its own, an open one has not")
        return {}

    async def set_metadata(self, asked: Asked) -> Any:
        """Name and texts of the group."""
        group = self.at(asked)
        await self._groups.put(group, group.key("metadata"), metadata_in(asked))
        return {}

    async def get_metadata(self, asked: Asked) -> Any:
        """They, or null."""
        group = self.at(asked)
        return group.application.value(group.key("metadata"))

    async def set_context_metadata(self, asked: Asked) -> Any:
        """Name and texts of a context."""
        await self._groups.put(self.at(asked), self._about(asked), metadata_in(asked))
        return {}

    async def get_context_metadata(self, asked: Asked) -> Any:
        """They, or null."""
        return self.at(asked).application.value(self._about(asked))

    @staticmethod
    def _about(asked: Asked) -> str:
        return f"metadata/context/{from_b58(asked.path['context'], 'a context id').hex()}"


def metadata_in(asked: Asked) -> dict[str, Any]:
    """{name, data} of a body. Raises Answered 400."""
    name, data = asked.body.get("name"), asked.body["data"]
    if not isinstance(data, dict) or len(data) > MAX_METADATA or not all(isinstance(v, str) for v in data.values()):
        raise Answered(400, f"data is an object of at most {MAX_METADATA} texts")
    return {"name": None if name is None else text_in(name, "a name"), "data": data}
