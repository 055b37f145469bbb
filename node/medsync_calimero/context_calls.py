"""Calls about Calimero's contexts, our instances: making, listing, joining, deleting, state hashes; and calling them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from medsync_calimero.answers import Answered, CallError
from medsync_calimero.asking import Asked, text_in
from medsync_calimero.encodings import b58, from_b58, from_hex
from medsync_calimero.groups import MEDSYNC, OF_GROUP, Groups, Instance, application_id
from medsync_protocol.applications.running import arguments_of
from medsync_protocol.applications.interface import CallFailed
from medsync_protocol.crypto import blake2b
from medsync_protocol.group import instance_id
from medsync_protocol.group_record import Record, What
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_calimero.consent_calls import ConsentCalls
    from medsync_calimero.home_calls import HomeCalls


class ContextCalls:
    """See the module. `policy`: the membership policy of contexts that run `medsync`."""

    def __init__(self, groups: Groups, home: HomeCalls, consents: ConsentCalls, policy: str) -> None:
        self._groups, self._home, self._consents, self._policy = groups, home, consents, policy
        self._node, self._engine = groups.node, groups.node.engine

    def at(self, asked: Asked) -> Instance:
        """The context that the path names."""
        return self._groups.instance(from_b58(asked.path["context"], "a context id"))

    async def create_context(self, asked: Asked) -> Any:
        """An instance in a group; of `medsync` a context of ours with the group's members."""
        group = self._groups.find(from_hex(asked.body["groupId"], "a group id"))
        name = self._home.application_named(asked.body["applicationId"])
        if name == MEDSYNC:
            id_ = await self._create_medsync(asked)
        else:
            text = _init_text(asked.body.get("initializationParams"))
            try:
                submitted, _ = await self._groups.write(group, Record(What.CREATE, group.open_id, name, text))
            except CallError as error:
                raise Answered(403 if "capability" in str(error) else 400, str(error)) from error
            id_ = instance_id(submitted.op_id, 0)
        if asked.body.get("name"):
            shown = {"name": text_in(asked.body["name"], "a name"), "data": {}}
            await self._groups.put(group, f"metadata/context/{id_.hex()}", shown)
        return {"contextId": b58(id_), "memberPublicKey": b58(self._groups.me), "groupId": group.id.hex(), "groupCreated": False}

    async def _create_medsync(self, asked: Asked) -> bytes:
        group = self._groups.find(from_hex(asked.body["groupId"], "a group id"))
        if not group.application.capabilities(self._groups.me, group.replica.role) & 1:
            raise Answered(403, "this needs the capability CREATE_CONTEXT: an admin of the group gives it")
        admissions = [(member, held.role) for member, held in group.replica.membership.members.items()]
        settings: dict[str, int | str] = {OF_GROUP: group.id.hex()}
        name = str(asked.body.get("name") or "consents")
        return await self._node.perform(
            lambda now: self._engine.create_context(now, name, MEDSYNC, self._policy, admissions, (), settings)
        )

    def _row(self, one: Instance) -> dict[str, Any]:
        heads = [list(one.replica.chains.head(chain)) for chain in sorted(one.replica.chains.chains())]
        digest = b58(self.state_hash(one))
        return {
            "id": b58(one.id), "applicationId": b58(application_id(one.application)), "contextStateHash": digest,
            "rootHash": digest, "dagHeads": heads, "groupId": one.group.id.hex(),
        }  # fmt: skip

    def state_hash(self, one: Instance) -> bytes:
        """32 bytes, a function of the instance's state alone; for `medsync` of what its members hold."""
        if one.application != MEDSYNC:
            return one.group.application.state_hash(one.id)
        held = sorted(one.replica.vector.items())
        return blake2b(b"medsync/held/1", *(chain + count.to_bytes(8, "big") for chain, count in held))

    async def contexts(self, asked: Asked) -> Any:
        """All that this node's member is in."""
        return {"contexts": [self._row(one) for one in self._groups.instances()]}

    async def context(self, asked: Asked) -> Any:
        """One."""
        return self._row(self.at(asked))

    async def group_contexts(self, asked: Asked) -> Any:
        """Those of a group."""
        group = self._groups.find(from_hex(asked.path["group"], "a group id"))
        rows = []
        for one in self._groups.instances(group):
            named = group.application.value(f"metadata/context/{one.id.hex()}") or {}
            rows.append({"contextId": b58(one.id), "name": named.get("name")})
        return rows

    async def delete_context(self, asked: Asked) -> Any:
        """Take an instance and its state away; what was written stays in the log."""
        one = self.at(asked)
        if one.application == MEDSYNC:
            raise Answered(409, "a record of consents is not deleted: it ends by its members leaving")
        try:
            await self._groups.write(one.group, Record(What.DELETE, one.id, "", ""))
        except CallError as error:
            raise Answered(403, str(error)) from error
        return {"isDeleted": True}

    async def join_context(self, asked: Asked) -> Any:
        """A member of the group is in its contexts already: this says so, or 404."""
        return {"contextId": b58(self.at(asked).id), "memberPublicKey": b58(self._groups.me)}

    leave_context = join_context
    """Contexts have no members of their own: nothing is to be written, one leaves the group."""

    async def sync_all(self, asked: Asked) -> Any:
        """Nodes sync by themselves; this waits for what is under way here."""
        await self._node.driver.committed()

    async def sync_context(self, asked: Asked) -> Any:
        """As `sync_all`."""
        self.at(asked)
        await self._node.driver.committed()

    async def resync(self, asked: Asked) -> Any:
        """Links compare what they hold at every round, so a resync is always under way."""
        return {"contextId": b58(self.at(asked).id), "resyncStarted": True}

    async def identities(self, asked: Asked) -> Any:
        """The members' keys."""
        return {"identities": [b58(member) for member in sorted(self.at(asked).replica.membership.members)]}

    async def identities_owned(self, asked: Asked) -> Any:
        """This node's."""
        self.at(asked)
        return {"identities": [b58(self._groups.me)]}

    async def storage(self, asked: Asked) -> Any:
        """What the state takes."""
        one = self.at(asked)
        return {"sizeInBytes": one.group.application.size(one.id)}

    async def context_group(self, asked: Asked) -> Any:
        """The group's id."""
        return self.at(asked).group.id.hex()

    def sync_status(self, context_id: object) -> dict[str, Any]:
        """Where a context stands here, with how many operations that can't be judged yet. Raises Answered."""
        one = self._groups.instance(from_b58(str(context_id), "a context id"))
        waiting = len(list(one.replica.parking.reasons()))
        return {"contextId": b58(one.id), "contextStateHash": b58(self.state_hash(one)), "waiting": waiting}

    # -- calls ------------------------------------------------------------------------------------------------

    async def execute(self, context_id: object, method: object, arguments: object) -> Any:
        """Call or ask an instance. Raises CallError with the application's word, Answered for what is no call."""
        one = self._groups.instance(from_b58(str(context_id), "a context id"))
        name = text_in(method, "a method", longest=128)
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        try:
            given = arguments_of(text)
        except CallFailed as error:
            raise CallError(error.data) from error
        if one.application == MEDSYNC:
            return await self._consents.execute(one, name, given)
        if one.group.application.changes(one.id, name):
            if one.replica.role is None or one.replica.role < Role.MEMBER:
                raise CallError("this node's member is ReadOnly here: it may ask, but not change anything")
            _, outcome = await self._groups.write(one.group, Record(What.CALL, one.id, name, json.dumps(given)))
        else:
            outcome = one.group.application.ask(one.id, name, given)
        if outcome.failed:
            raise CallError(outcome.error)
        return outcome.output


def _init_text(given: object) -> str:
    """`initializationParams`, bytes of JSON, as text; `{}` and nothing are the same. Raises Answered 400."""
    if given in (None, [], ""):
        return ""
    if not isinstance(given, list) or not all(isinstance(byte, int) and 0 <= byte < 256 for byte in given):
        raise Answered(400, "initializationParams is a list of bytes")
    try:
        text = bytes(given).decode()
        return "" if json.loads(text) in ({}, None) else text
    except ValueError as error:
        raise Answered(400, "initializationParams are the bytes of JSON") from error
