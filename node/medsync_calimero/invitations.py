"""Invitations in Calimero's shape around ours, and what becomes of who used one: its place in the invited groups.

The signature field carries our whole signed token; the fields beside it repeat it and are checked against it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import structlog

from medsync_calimero.answers import Answered
from medsync_calimero.asking import Asked, number_in
from medsync_calimero.encodings import b58
from medsync_calimero.groups import ROLE_NAMES, Group, Groups, role_named
from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Refused
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId, MemberId
from medsync_protocol.joining import Invitation, parse_token
from medsync_protocol.kinds import Role

if TYPE_CHECKING:
    from medsync_calimero.book import Book

log = structlog.get_logger()
PREFIX: Final = "medsync-invite:"
DEFAULT_SECONDS: Final = 24 * 3600  # of an invitation that names no expiry
SEEN_SECONDS: Final = 25.0  # until a joining node holds the group: below the clients' 30 seconds
NUMBERS: Final = {Role.ADMIN: 0, Role.MEMBER: 1, Role.READER: 2}


def wrapped(token: str, group: bytes, role: Role) -> dict[str, Any]:
    """A token of ours as a signed open invitation to a group."""
    ours = parse_token(token)
    text = token.removeprefix(PREFIX)
    signed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return {
        "invitation": {
            "inviter_identity": list(ours.admitter), "group_id": list(group),
            "expiration_timestamp": ours.expires // 1000, "secret_salt": list(salt_of(ours, group, role)),
            "invited_role": NUMBERS[role],
        },
        "inviter_signature": signed.hex(),
    }  # fmt: skip


def salt_of(ours: Invitation, group: bytes, role: Role) -> bytes:
    """32 bytes that bind the group and role to the token's number."""
    return blake2b(b"medsync/calimero/invitation/1", ours.invitation, group, bytes([role]))


def unwrapped(given: Any) -> tuple[str, bytes, Role]:
    """(token, group, role). Raises Answered 400 for a shape that is none, or one that was changed."""
    try:
        inner = given["invitation"]
        token = PREFIX + base64.urlsafe_b64encode(bytes.fromhex(given["inviter_signature"])).decode().rstrip("=")
        group, salt, admitter = (bytes(inner[name]) for name in ("group_id", "secret_salt", "inviter_identity"))
        role = next(role for role, number in NUMBERS.items() if number == inner["invited_role"])
        ours = parse_token(token)
    except (KeyError, TypeError, ValueError, StopIteration, binascii.Error) as error:
        raise Answered(400, "this is no signed invitation: hand it on whole, as it was made") from error
    except Refused as error:
        raise Answered(400, f"{error}; {error.advice}") from error
    same = (salt == salt_of(ours, group, role), admitter == ours.admitter, inner["expiration_timestamp"] == ours.expires // 1000)
    if not all(same):
        raise Answered(400, "the invitation was changed after it was signed")
    return token, group, role


class Invitations:
    """See the module."""

    def __init__(self, groups: Groups, book: Book) -> None:
        self._groups, self._book = groups, book
        self._engine = groups.node.engine

    async def invite(self, asked: Asked) -> Any:
        """An invitation into a namespace; `recursive`: one that counts for all groups below it too."""
        group = self._groups.find(bytes.fromhex(asked.path["group"]))
        role = role_named(asked.body.get("role") or "Member")
        if group.replica.role is not Role.ADMIN:
            raise Answered(403, "only an admin invites: it is the one who admits")
        seconds = asked.body.get("expirationTimestamp")
        now = self._groups.node.now()
        expires = now + DEFAULT_SECONDS * 1000 if seconds is None else 1000 * number_in(seconds, "expirationTimestamp", highest=1 << 40)
        if expires <= now:
            raise Answered(400, "the invitation would have expired: expirationTimestamp is seconds since 1970 UTC")
        in_network = Role.ADMIN if role is Role.ADMIN else Role.MEMBER
        token = await self._groups.node.perform(lambda now: self._engine.invite(now, in_network, expires, None))
        below = [one.id for one in self._groups.under(group)] if asked.body.get("recursive") else [group.id]
        number = parse_token(token).invitation.hex()
        self._book.put("invitations", number, {"groups": [one.hex() for one in below], "role": ROLE_NAMES[role]})
        name = group.application.value(group.key("metadata")) or {}
        made = wrapped(token, group.id, role)
        if asked.body.get("recursive"):
            return {"invitations": [{"groupId": one.hex(), "invitation": wrapped(token, one, role)} for one in below], "invitation": made}
        return {"invitation": made, **({"groupName": name["name"]} if name.get("name") else {})}

    async def join(self, asked: Asked) -> Any:
        """Join a namespace by invitation; returns once this node holds it as a member."""
        token, wanted, _ = unwrapped(asked.body["invitation"])
        if bytes.fromhex(asked.path["group"]) != wanted:
            raise Answered(400, "the invitation is for another namespace")
        node, me = self._groups.node, self._groups.me
        if self._engine.net is not None:
            replica = self._engine.replicas.get(ContextId(wanted))
            if replica is not None and replica.role is not None:
                raise Answered(409, "this node's member is in the namespace already")
            raise Answered(403, "an invitation lets a node in once; to come back, have an admin add the member again")
        await node.join(token)
        there = await node.wait_for(lambda: self._is_in(ContextId(wanted)), SEEN_SECONDS)
        if not there:
            raise Answered(503, "the inviting node has not sent the namespace yet; it comes by itself once linked")
        return {"namespaceId": wanted.hex(), "memberIdentity": b58(me), "memberAccount": me.hex()}

    def _is_in(self, context: ContextId) -> bool:
        replica = self._engine.replicas.get(context)
        key = None if replica is None or replica.role is None else replica.membership.usable_key()
        return replica is not None and key is not None and key in replica.ring

    async def admit_invited(self) -> None:
        """Give those who used an invitation of ours their place in its groups, once."""
        net = self._engine.net
        if net is None:
            return
        for number, row in self._book.section("invitations").items():
            member = net.membership.invitations.get(bytes.fromhex(number))
            if member is None or row.get("used"):
                continue
            for id_ in row["groups"]:
                try:
                    group = self._groups.find(bytes.fromhex(id_))
                    await self.admit(group, member, role_named(row["role"]))
                except (Answered, Refused) as error:
                    log.warning("an invited member was not admitted to a group", group=id_[:8], why=str(error))
            self._book.put("invitations", number, {**row, "used": member.hex()})

    async def admit(self, group: Group, member: MemberId, role: Role) -> None:
        """Admit to a group's context, and to the `medsync` contexts that follow it."""
        for replica in (group.replica, *self._groups.followers(group.replica)):
            if member not in replica.membership.members:
                await self._groups.node.perform(lambda now, c=replica.context: self._engine.admit(now, c, member, role))  # type: ignore[misc]
        net = self._engine.net
        if group.is_root and role is Role.ADMIN and net is not None and net.role is Role.ADMIN:
            if net.membership.members[member].role is not Role.ADMIN:
                await self._groups.node.perform(lambda now: self._engine.set_role(now, NETWORK_CONTEXT, member, Role.ADMIN))
