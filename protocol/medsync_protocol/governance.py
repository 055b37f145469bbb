"""What a member writes on the membership and keys planes: founding, admitting, removing, roles, voters, rotation.

Whether an action counts is membership.py's; that it is allowed is asked of the policy here, before it is signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medsync_protocol.actions import (
    Action, Admit, Ballot, CutOff, DeviceAdd, DeviceRevoke, Endorse, Genesis, Leave, MemberCard, PolicyBallot, Rekey,
    Remove, Resume, Rotate, Rotation, SetRole, Transfer, encode_action,
)  # fmt: skip
from medsync_protocol.crypto import Entropy
from medsync_protocol.effects import Effect
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.identity import Identity
from medsync_protocol.ids import (
    NETWORK_CONTEXT, ChainId, ContextId, DeviceId, MemberId, NetworkId, OpId, device_of,
)  # fmt: skip
from medsync_protocol.joining import card_of
from medsync_protocol.kinds import Plane, Role
from medsync_protocol.operation import NO_KEY, NO_OP, UNBORN, Header, build
from medsync_protocol.membership_draft import target_of
from medsync_protocol.policy import Deny, Needs, Policies
from medsync_protocol.replica import Replica
from medsync_protocol.sealing import make_rotation, wrap_key
from medsync_protocol.voters import prove_voter_key

Written = tuple[OpId, list[Effect]]


def genesis(
    identity: Identity, incarnation: bytes, now: int, *, network: NetworkId | None, name: str, application: str,
    policy: str, auditors: Iterable[MemberId], settings: Mapping[str, int | str], entropy: Entropy,
) -> bytes:  # fmt: skip
    """Wire form of the operation that founds a context, or the network when `network` is None. Raises Refused."""
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
    """Let a member in, with the current key boxed to it; under the history mode `from_join` with a key of its time.

    What is only a proposal carries no key: who is voted down must not have got it (decision 21).
    """
    if card.member in replica.membership.members:
        raise Refused("it is a member already", code="already_member", advice="change its role instead")
    keyless = Admit(card=card, role=role, key_id=NO_KEY, wrap=b"", invitation=invitation)
    if replica.fold.proposes(replica.member, keyless):
        return _act(replica, now, keyless)
    effects: list[Effect] = []
    if from_join(replica.genesis):
        made = Rotate(rotation=_rotation(replica, entropy, without=None, chained=False))
        effects = _act(replica, now, made)[1]
    key_id = replica.membership.usable_key()
    key = None if key_id is None else replica.ring.key(key_id)
    if key_id is None or key is None:
        raise Refused(
            "this node holds no key that only members hold", code="no_usable_key",
            advice="rotate the key first: `medsync context rotate`, or wait for an admin's rotation",
        )  # fmt: skip
    wrap = wrap_key(key, card.sealing_key, entropy)
    op_id, admitted = _act(
        replica, now, Admit(card=card, role=role, key_id=key_id, wrap=wrap, invitation=invitation)
    )
    return op_id, effects + admitted


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


def endorse(replica: Replica, now: int, proposal: OpId, *, yes: bool) -> Written:
    """Vote on an open proposal. Raises Refused for one that isn't, NotPermitted for who has no vote on it."""
    found = next((p for p in replica.membership.open_proposals() if p.op_id == proposal), None)
    if found is None:
        raise Refused(
            "no such open proposal", code="unknown_proposal", advice="see `medsync policy proposals CONTEXT`"
        )
    if replica.member not in found.electors - {found.author}:
        raise NotPermitted("this member has no vote on it", code="not_permitted", advice="the electors are listed")
    if replica.member in found.no or any(member == replica.member for member, _, _ in found.yes):
        raise Refused("this member voted on it already", code="voted", advice="a vote can't be changed")
    target = target_of(found.action)
    cut = () if target is None or not yes else cut_off(replica, target)
    return _act(replica, now, Endorse(proposal=proposal, yes=yes, cut_off=cut))


def put_out(replica: Replica, now: int, member: MemberId, entropy: Entropy) -> list[Effect]:
    """Remove a member that the network removed: by a vote where somebody proposed it, else by a proposal or at once."""
    for proposal in replica.membership.open_proposals():
        if not isinstance(proposal.action, Remove) or proposal.action.member != member:
            continue
        voted = {proposal.author, *proposal.no, *(voter for voter, _, _ in proposal.yes)}
        if replica.member in proposal.electors - voted:
            return endorse(replica, now, proposal.op_id, yes=True)[1]
        return []
    return remove(replica, now, member, entropy)[1]


def vote_policy(
    replica: Replica, now: int, name: str, parameters: Mapping[str, int | str], policies: Policies
) -> Written:
    """Vote for another membership policy: it rules from the next checkpoint on once q voters said the same."""
    current = replica.membership.policy
    assert current is not None, "a context has a policy"
    wanted = policies.name(policies.make(name, parameters.items()))
    if wanted == current:
        raise Refused("the context has this policy", code="same_policy", advice="see `medsync context show`")
    return _act(replica, now, PolicyBallot(base=current.digest, policy=wanted))


def transfer(replica: Replica, now: int, heir: MemberId) -> Written:
    """Hand the context over to another admin."""
    _require_member(replica, heir)
    return _act(replica, now, Transfer(member=heir))


def recover(replica: Replica, now: int, lost: MemberId, card: MemberCard, entropy: Entropy) -> Written:
    """Ask for votes to put `card` in the place of a member that lost its key; whoever found it reads nothing new."""
    _require_member(replica, lost)
    rotation = _rotation(replica, entropy, without=lost, beside={card.member: card.sealing_key})
    return _act(replica, now, Rekey(member=lost, card=card, cut_off=cut_off(replica, lost), rotation=rotation))


def resume(replica: Replica, now: int, chain: ChainId) -> Written:
    """Ask for votes to let a forked chain go on from where it stands here."""
    if chain not in replica.judge.forks:
        raise Refused("that chain is not forked", code="not_forked", advice="see `medsync status`")
    seq = replica.chains.next_seq(chain)
    return _act(replica, now, Resume(chain=chain, seq=seq, prev=replica.chains.head(chain)))


def add_device(replica: Replica, now: int, device: DeviceId, certificate: bytes) -> Written:
    """Another device of this member, certified by its member key."""
    return _act(replica, now, DeviceAdd(member=replica.member, device=device, certificate=certificate))


def renew_sealing_key(replica: Replica, now: int) -> Written:
    """From here on epoch keys are boxed to the sealing key of this home's key file; an admin owes a rotation."""
    return _act(replica, now, Rekey(member=replica.member, card=card_of(replica.identity)))


def revoke_device(replica: Replica, now: int, device: DeviceId) -> Written:
    """A device of this member, lost or replaced, goes; what it wrote and this node holds stands; the member stays."""
    state = replica.membership
    if state.devices.get(device) != replica.member:
        raise Refused("no such device of this member", code="unknown_device", advice="see `medsync member list`")
    if device == replica.identity.device:
        raise Refused(
            "a device doesn't revoke itself", code="own_device", advice="do it on another device of this member"
        )
    cut = tuple(
        (chain, replica.chains.next_seq(chain)) for chain in replica.chains.chains() if device_of(chain) == device
    )
    return _act(replica, now, DeviceRevoke(device=device, cut_off=cut))


def from_join(action: Genesis) -> bool:
    """Whether newcomers read only what is written after they came (setting `history`: full | from_join, PROTOCOL §4)."""
    return dict(action.settings).get("history", "full") == "from_join"


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


def _rotation(
    replica: Replica, entropy: Entropy, without: MemberId | None, beside: Mapping[MemberId, bytes] | None = None,
    *, chained: bool = True,
) -> Rotation:  # fmt: skip
    state = replica.membership
    recipients = {m: held.sealing_key for m, held in state.members.items() if m != without} | dict(beside or {})
    current = max(
        ((key.epoch, key_id) for key_id, key in state.keys.items() if key_id in replica.ring), default=None
    )
    if current is not None and from_join(replica.genesis):  # who never had the key before gets none of before by this one
        chained = chained and recipients.keys() <= state.keys[current[1]].recipients
    return make_rotation(
        epoch=1 + state.highest_epoch(), key=entropy("epoch key", 32), recipients=recipients,
        previous=None if current is None or not chained else replica.ring.key(current[1]), entropy=entropy,
    )  # fmt: skip


def _require_member(replica: Replica, member: MemberId) -> None:
    if member not in replica.membership.members:
        raise Refused("no such member here", code="unknown_member", advice="see `medsync member list`")


def _act(replica: Replica, now: int, action: Action) -> Written:
    ruling = replica.fold.may(replica.member, action)
    if isinstance(ruling, Deny):
        named = replica.membership.policy
        raise NotPermitted(
            f"the membership policy {'' if named is None else named.name} does not allow it: {ruling.reason}",
            code="not_permitted", advice="ask an admin of this context",
        )  # fmt: skip
    if isinstance(ruling, Needs) and replica.fold.repeats(replica.member, action, replica.seen[0]):
        raise Refused(
            "this member proposed it already", code="proposed_already",
            advice="see `medsync policy proposals CONTEXT`; one that failed can be repeated some checkpoints later",
        )  # fmt: skip
    return replica.act(now, action)
