"""What a member writes on the membership and keys planes: founding, admitting, removing, roles, voters, rotation.

Whether an action counts is membership.py's; that it is allowed is asked of the policy here, before it is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medsync_protocol.actions import (
    Action, Admit, Ballot, CutOff, Genesis, Leave, MemberCard, Remove, Rotate, Rotation, SetRole, encode_action,
)  # fmt: skip
from medsync_protocol.crypto import Entropy
from medsync_protocol.effects import Effect
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.identity import Identity
from medsync_protocol.ids import NETWORK_CONTEXT, ChainId, ContextId, MemberId, NetworkId, OpId, device_of
from medsync_protocol.joining import card_of
from medsync_protocol.kinds import Plane, Role
from medsync_protocol.operation import NO_KEY, NO_OP, UNBORN, Header, build
from medsync_protocol.policy import Deny, policy_named
from medsync_protocol.replica import Replica
from medsync_protocol.sealing import make_rotation, wrap_key
from medsync_protocol.voters import prove_voter_key

Written = tuple[OpId, list[Effect]]


def genesis(
    identity: Identity, incarnation: bytes, now: int, *, network: NetworkId | None, name: str, application: str,
    policy: str, auditors: Iterable[MemberId], settings: Mapping[str, int | str], entropy: Entropy,
) -> bytes:  # fmt: skip
    """Wire form of the operation that founds a context, or the network when `network` is None. Raises Refused."""
    policy_named(policy)
    rotation = make_rotation(
        epoch=1, key=entropy("epoch key", 32), recipients={identity.member: identity.sealing_public},
        previous=None, entropy=entropy,
    )  # fmt: skip
    action = Genesis(
        name=name, application=application, policy=policy, founder=card_of(identity), rotation=rotation,
        auditors=tuple(sorted(auditors)), settings=tuple(sorted(settings.items())), salt=entropy("salt", 16),
    )  # fmt: skip
    kind, payload = encode_action(action)
    header = Header(
        network=NetworkId(UNBORN) if network is None else network,
        context=NETWORK_CONTEXT if network is None else ContextId(UNBORN),
        plane=Plane.MEMBERSHIP, chain=ChainId(identity.device + incarnation), seq=0, prev=NO_OP,
        membership_heads=(), seen_k=0, seen_root=bytes(32), key_id=NO_KEY, hlc=now << 16, kind=kind,
        entries_root=bytes(32), count=1,
    )  # fmt: skip
    return build(header, entropy("nonce", 24), [(b"", payload)], identity.device_seed).wire


def admit(
    replica: Replica, now: int, card: MemberCard, role: Role, entropy: Entropy, invitation: bytes = b""
) -> Written:
    """Let a member in, with the current key boxed to it."""
    key_id = replica.membership.usable_key()
    key = None if key_id is None else replica.ring.key(key_id)
    if key_id is None or key is None:
        raise Refused(
            "this node holds no key that only members hold", code="no_usable_key",
            advice="rotate the key first: `medsync context rotate`, or wait for an admin's rotation",
        )  # fmt: skip
    if card.member in replica.membership.members:
        raise Refused("it is a member already", code="already_member", advice="change its role instead")
    wrap = wrap_key(key, card.sealing_key, entropy)
    return _act(replica, now, Admit(card=card, role=role, key_id=key_id, wrap=wrap, invitation=invitation))


def remove(replica: Replica, now: int, member: MemberId, entropy: Entropy) -> Written:
    """Remove a member; what it wrote and this node holds stands; the key rotates in the same operation."""
    _require_member(replica, member)
    action = Remove(
        member=member, cut_off=cut_off(replica, member), rotation=_rotation(replica, entropy, without=member)
    )
    return _act(replica, now, action)


def set_role(replica: Replica, now: int, member: MemberId, role: Role) -> Written:
    """Promote or demote a member."""
    _require_member(replica, member)
    return _act(replica, now, SetRole(member=member, role=role, cut_off=cut_off(replica, member)))


def leave(replica: Replica, now: int) -> Written:
    """Leave oneself; the admins owe a rotation."""
    return _act(replica, now, Leave(cut_off=cut_off(replica, replica.member)))


def rotate(replica: Replica, now: int, entropy: Entropy) -> Written:
    """A new epoch key on its own."""
    return _act(replica, now, Rotate(rotation=_rotation(replica, entropy, without=None)))


def vote_voters(replica: Replica, now: int, members: Iterable[MemberId]) -> Written:
    """Vote to replace the voter list; it changes once q of the current voters said the same."""
    state = replica.membership
    wanted = set(members)
    for member in wanted:
        _require_member(replica, member)
        if member not in state.voter_keys:
            raise Refused(
                f"{state.members[member].name} has announced no voter key yet", code="no_voter_key",
                advice="wait until its node was online once since it was admitted",
            )  # fmt: skip
    electors = {member for member, _ in state.voters} or {replica.genesis.founder.member}
    if replica.member not in electors:
        raise NotPermitted(
            "this member is no voter", code="not_a_voter", advice="only current voters change the list"
        )
    listed = sorted(((m, state.voter_keys[m]) for m in wanted), key=lambda pair: pair[1])
    return _act(replica, now, Ballot(base=state.voter_digest(), voters=tuple(listed)))


def announce_voter_key(replica: Replica, now: int) -> list[Effect]:
    """The voter key of a member that may write and has not announced one; nothing otherwise."""
    state, role = replica.membership, replica.role
    if role is None or role < Role.MEMBER or replica.member in state.voter_keys:
        return []
    action = prove_voter_key(
        replica.identity.stark_secret(replica.context), replica.context, replica.member
    )
    return _act(replica, now, action)[1]


def cut_off(replica: Replica, member: MemberId) -> CutOff:
    """Everything held of the member's chains."""
    state = replica.membership
    return tuple(
        (chain, replica.chains.next_seq(chain))
        for chain in replica.chains.chains()
        if state.devices.get(device_of(chain)) == member
    )


def _rotation(replica: Replica, entropy: Entropy, without: MemberId | None) -> Rotation:
    state = replica.membership
    recipients = {m: held.sealing_key for m, held in state.members.items() if m != without}
    current = max(
        ((key.epoch, key_id) for key_id, key in state.keys.items() if key_id in replica.ring), default=None
    )
    return make_rotation(
        epoch=1 + state.highest_epoch(), key=entropy("epoch key", 32), recipients=recipients,
        previous=None if current is None else replica.ring.key(current[1]), entropy=entropy,
    )  # fmt: skip


def _require_member(replica: Replica, member: MemberId) -> None:
    if member not in replica.membership.members:
        raise Refused("no such member here", code="unknown_member", advice="see `medsync member list`")


def _act(replica: Replica, now: int, action: Action) -> Written:
    ruling = replica.fold.may(replica.member, action)
    if isinstance(ruling, Deny):
        raise NotPermitted(
            f"the membership policy {replica.genesis.policy} does not allow it: {ruling.reason}",
            code="not_permitted", advice="ask an admin of this context",
        )  # fmt: skip
    return replica.act(now, action)
