"""What membership and keys operations say: one dataclass a kind, with its wire form. Meaning is in membership.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from medsync_protocol.codec import pack, unpack, want_array, want_bool, want_bytes, want_int, want_name, want_str
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ChainId, DeviceId, KeyId, MemberId, OpId
from medsync_protocol.kinds import OpKind, Role

MAX_MEMBERS = 250  # the contract's bound on a voter list; members may be more, wraps may not
MAX_CHAINS = 4096  # chains a cut-off may name: devices times incarnations


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberCard:
    """What a member shows to be admitted: keys, a certified device, a name."""

    member: MemberId
    device: DeviceId
    certificate: bytes
    sealing_key: bytes
    name: str

    def fields(self) -> list[Any]:
        """Wire order."""
        return [self.member, self.device, self.certificate, self.sealing_key, self.name]

    @staticmethod
    def parse(value: Any) -> MemberCard:
        """Raises Malformed."""
        member, device, certificate, sealing_key, name = want_array(value, 5)
        return MemberCard(
            member=MemberId(want_bytes(member, 32)),
            device=DeviceId(want_bytes(device, 32)),
            certificate=want_bytes(certificate, 64),
            sealing_key=want_bytes(sealing_key, 32),
            name=want_name(name),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A new epoch key: boxed to each recipient; the key before it, sealed under it, chains history backwards."""

    epoch: int
    key_id: KeyId
    wraps: tuple[tuple[MemberId, bytes], ...]
    previous: tuple[KeyId, bytes] | None

    def fields(self) -> list[Any]:
        """Wire order."""
        return [self.epoch, self.key_id, self.wraps, self.previous]

    @staticmethod
    def parse(value: Any) -> Rotation:
        """Raises Malformed."""
        epoch, key_id, wraps, previous = want_array(value, 4)
        before = None
        if previous is not None:
            before_id, sealed = want_array(previous, 2)
            before = (KeyId(want_bytes(before_id, 32)), want_bytes(sealed, at_most=256))
        return Rotation(
            epoch=want_int(epoch, 1),
            key_id=KeyId(want_bytes(key_id, 32)),
            wraps=_wraps(wraps),
            previous=before,
        )


def _wraps(value: Any) -> tuple[tuple[MemberId, bytes], ...]:
    pairs = [want_array(item, 2) for item in want_array(value, at_most=MAX_MEMBERS)]
    return tuple((MemberId(want_bytes(member, 32)), want_bytes(box, at_most=256)) for member, box in pairs)


CutOff = tuple[tuple[ChainId, int], ...]
"""(chain, how many of its operations stand), chains ascending; a chain of the target not named stands at 0."""


def _cut_off(value: Any) -> CutOff:
    pairs = [want_array(item, 2) for item in want_array(value, at_most=MAX_CHAINS)]
    cut = tuple((ChainId(want_bytes(chain, 40)), want_int(upto)) for chain, upto in pairs)
    if any(a[0] >= b[0] for a, b in pairwise(cut)):
        raise Malformed("a cut-off names chains in ascending order, each once")
    return cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """Founds a network or context: what folds it, who rules it, its first key, its settings (name → int or text)."""

    name: str
    application: str
    policy: str
    founder: MemberCard
    rotation: Rotation
    auditors: tuple[MemberId, ...] = ()
    settings: tuple[tuple[str, int | str], ...] = ()
    salt: bytes = bytes(16)

    def setting(self, name: str, default: int) -> int:
        """An integer setting by its name."""
        value = dict(self.settings).get(name, default)
        return value if isinstance(value, int) else default


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """A member joins; `invitation` is the id of the one it used; `wrap` boxes the current key to it."""

    card: MemberCard
    role: Role
    key_id: KeyId
    wrap: bytes
    invitation: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """A member goes; what stands of its chains; the key that it doesn't get."""

    member: MemberId
    cut_off: CutOff
    rotation: Rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRole:
    """Promotion or demotion; a demotion's cut-off bounds what the target wrote as an admin."""

    member: MemberId
    role: Role
    cut_off: CutOff = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """The author leaves of itself; a rotation is owed by the admins (a debt that `status` shows)."""

    cut_off: CutOff


@dataclass(frozen=True, slots=True, kw_only=True)
class VoterKey:
    """The author's Stark key in this context, with its own signature over (context, member)."""

    member: MemberId
    key: int
    r: int
    s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A vote to replace the voter list whose digest is `base` by `voters`, (member, Stark key), keys ascending."""

    base: bytes
    voters: tuple[tuple[MemberId, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAdd:
    """Another device of the author."""

    member: MemberId
    device: DeviceId
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRevoke:
    """A device loses its certificate; what stands of its chains."""

    device: DeviceId
    cut_off: CutOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Joins more membership heads than a header may cite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """A new epoch key on its own."""

    rotation: Rotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekey:
    """A member's keys renewed: its sealing key by itself, or its lost member key by votes, `card` being the new one.

    `rotation` is the key that a thief of the lost one doesn't get; None where only the sealing key is renewed.
    """

    member: MemberId
    card: MemberCard
    cut_off: CutOff = ()
    rotation: Rotation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A forked chain counts again from `seq` on, after the operation `prev`: of the branches this one goes on."""

    chain: ChainId
    seq: int
    prev: OpId


@dataclass(frozen=True, slots=True, kw_only=True)
class Endorse:
    """A vote on an open proposal, for it or against; `cut_off`: what stands of a removal's target, as the voter sees it."""

    proposal: OpId
    yes: bool = True
    cut_off: CutOff = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyName:
    """A membership policy exactly: `digest` is over name, source, version and parameters."""

    name: str
    version: int
    digest: bytes
    parameters: tuple[tuple[str, int | str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyBallot:
    """A vote to replace the policy whose digest is `base`; counted among the voters, whatever the policy."""

    base: bytes
    policy: PolicyName


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """The owner hands the context over to another admin."""

    member: MemberId


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A kind this version doesn't know: kept and relayed, not folded."""

    kind: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A known kind whose payload, certificate or proof doesn't hold: kept as evidence, void."""

    kind: int


Action = (
    Genesis
    | Admit
    | Remove
    | SetRole
    | Leave
    | VoterKey
    | Ballot
    | DeviceAdd
    | DeviceRevoke
    | Merge
    | Rotate
    | Rekey
    | Resume
    | Endorse
    | PolicyBallot
    | Transfer
    | Unknown
    | Unreadable
)


def _felt(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _want_felt(value: Any) -> int:
    return int.from_bytes(want_bytes(value, 32), "big")


def rotation_of(action: Action) -> Rotation | None:
    """The epoch key that an action brings."""
    return action.rotation if isinstance(action, (Genesis, Remove, Rotate, Rekey)) else None


def encode_action(action: Action) -> tuple[OpKind, bytes]:
    """Kind and payload bytes."""
    match action:
        case Genesis() as g:
            fields = [
                g.name, g.application, g.policy, g.founder.fields(), g.rotation.fields(), g.auditors, g.settings, g.salt,
            ]  # fmt: skip
            return OpKind.GENESIS, pack(fields)
        case Admit() as a:
            return OpKind.ADMIT, pack([a.card.fields(), a.role, a.key_id, a.wrap, a.invitation])
        case Remove() as r:
            return OpKind.REMOVE, pack([r.member, r.cut_off, r.rotation.fields()])
        case SetRole() as s:
            return OpKind.SET_ROLE, pack([s.member, s.role, s.cut_off])
        case Leave() as leave:
            return OpKind.LEAVE, pack([leave.cut_off])
        case VoterKey() as v:
            return OpKind.VOTER_KEY, pack([v.member, _felt(v.key), _felt(v.r), _felt(v.s)])
        case Ballot() as b:
            return OpKind.VOTE, pack([b.base, [(member, _felt(key)) for member, key in b.voters]])
        case DeviceAdd() as d:
            return OpKind.DEVICE_ADD, pack([d.member, d.device, d.certificate])
        case DeviceRevoke() as d:
            return OpKind.DEVICE_REVOKE, pack([d.device, d.cut_off])
        case Merge():
            return OpKind.MERGE, pack([])
        case Rotate() as r:
            return OpKind.ROTATE, pack([r.rotation.fields()])
        case Rekey() as r:
            rotation = None if r.rotation is None else r.rotation.fields()
            return OpKind.REKEY, pack([r.member, r.card.fields(), r.cut_off, rotation])
        case Resume() as r:
            return OpKind.RESUME, pack([r.chain, r.seq, r.prev])
        case Endorse() as e:
            return OpKind.ENDORSE, pack([e.proposal, e.yes, e.cut_off])
        case PolicyBallot(base=base, policy=p):
            return OpKind.POLICY, pack([base, p.name, p.version, p.digest, p.parameters])
        case Transfer() as t:
            return OpKind.TRANSFER, pack([t.member])
        case Unknown() | Unreadable():
            raise Malformed("only kinds that this version understands are written")


def decode_action(kind: int, payload: bytes) -> Action:
    """What an operation of this kind says. Raises Malformed; an unknown kind is Unknown."""
    parse = _PARSERS.get(kind)
    return Unknown(kind=kind) if parse is None else parse(unpack(payload))


def _parse_genesis(value: Any) -> Genesis:
    name, application, policy, founder, rotation, auditors, settings, salt = want_array(value, 8)
    pairs = [want_array(item, 2) for item in want_array(settings, at_most=64)]
    return Genesis(
        name=want_name(name),
        application=want_str(application, 64),
        policy=want_str(policy, 256),
        founder=MemberCard.parse(founder),
        rotation=Rotation.parse(rotation),
        auditors=tuple(MemberId(want_bytes(a, 32)) for a in want_array(auditors, at_most=MAX_MEMBERS)),
        settings=tuple((want_str(k, 64), v if type(v) is str else want_int(v)) for k, v in pairs),
        salt=want_bytes(salt, 16),
    )


def _parse_admit(value: Any) -> Admit:
    card, role, key_id, wrap, invitation = want_array(value, 5)
    return Admit(
        card=MemberCard.parse(card),
        role=Role(want_int(role, 0, 2)),
        key_id=KeyId(want_bytes(key_id, 32)),
        wrap=want_bytes(wrap, at_most=256),
        invitation=want_bytes(invitation, at_most=16),
    )


def _parse_remove(value: Any) -> Remove:
    member, cut_off, rotation = want_array(value, 3)
    return Remove(
        member=MemberId(want_bytes(member, 32)), cut_off=_cut_off(cut_off), rotation=Rotation.parse(rotation)
    )


def _parse_set_role(value: Any) -> SetRole:
    member, role, cut_off = want_array(value, 3)
    return SetRole(
        member=MemberId(want_bytes(member, 32)), role=Role(want_int(role, 0, 2)), cut_off=_cut_off(cut_off)
    )


def _parse_ballot(value: Any) -> Ballot:
    base, voters = want_array(value, 2)
    pairs = [want_array(item, 2) for item in want_array(voters, at_most=MAX_MEMBERS)]
    listed = tuple((MemberId(want_bytes(member, 32)), _want_felt(key)) for member, key in pairs)
    if any(a[1] >= b[1] for a, b in pairwise(listed)) or not listed:
        raise Malformed("a voter list names Stark keys in ascending order, at least one")
    if len({member for member, _ in listed}) != len(listed):
        raise Malformed("a voter list names each member once")
    return Ballot(base=want_bytes(base, 32), voters=listed)


def _parse_voter_key(value: Any) -> VoterKey:
    member, key, r, s = want_array(value, 4)
    return VoterKey(
        member=MemberId(want_bytes(member, 32)), key=_want_felt(key), r=_want_felt(r), s=_want_felt(s)
    )


def _parse_device_add(value: Any) -> DeviceAdd:
    member, device, certificate = want_array(value, 3)
    return DeviceAdd(
        member=MemberId(want_bytes(member, 32)),
        device=DeviceId(want_bytes(device, 32)),
        certificate=want_bytes(certificate, 64),
    )


def _parse_device_revoke(value: Any) -> DeviceRevoke:
    device, cut_off = want_array(value, 2)
    return DeviceRevoke(device=DeviceId(want_bytes(device, 32)), cut_off=_cut_off(cut_off))


def _parse_merge(value: Any) -> Merge:
    want_array(value, 0)
    return Merge()


def _parse_rekey(value: Any) -> Rekey:
    member, card, cut_off, rotation = want_array(value, 4)
    return Rekey(
        member=MemberId(want_bytes(member, 32)), card=MemberCard.parse(card), cut_off=_cut_off(cut_off),
        rotation=None if rotation is None else Rotation.parse(rotation),
    )  # fmt: skip


def _parse_resume(value: Any) -> Resume:
    chain, seq, prev = want_array(value, 3)
    return Resume(chain=ChainId(want_bytes(chain, 40)), seq=want_int(seq), prev=OpId(want_bytes(prev, 32)))


def _parse_endorse(value: Any) -> Endorse:
    proposal, yes, cut_off = want_array(value, 3)
    return Endorse(proposal=OpId(want_bytes(proposal, 32)), yes=want_bool(yes), cut_off=_cut_off(cut_off))


def _parse_policy_ballot(value: Any) -> PolicyBallot:
    base, name, version, digest, parameters = want_array(value, 5)
    pairs = [want_array(item, 2) for item in want_array(parameters, at_most=32)]
    named = tuple((want_str(k, 64), v if type(v) is str else want_int(v)) for k, v in pairs)
    if any(a[0] >= b[0] for a, b in pairwise(named)):
        raise Malformed("a policy's parameters stand in ascending order, each once")
    policy = PolicyName(
        name=want_str(name, 64), version=want_int(version, 1), digest=want_bytes(digest, 32), parameters=named
    )
    return PolicyBallot(base=want_bytes(base, 32), policy=policy)


_PARSERS: Mapping[int, Callable[[Any], Action]] = {
    OpKind.GENESIS: _parse_genesis,
    OpKind.ADMIT: _parse_admit,
    OpKind.REMOVE: _parse_remove,
    OpKind.SET_ROLE: _parse_set_role,
    OpKind.LEAVE: lambda value: Leave(cut_off=_cut_off(want_array(value, 1)[0])),
    OpKind.VOTER_KEY: _parse_voter_key,
    OpKind.VOTE: _parse_ballot,
    OpKind.DEVICE_ADD: _parse_device_add,
    OpKind.DEVICE_REVOKE: _parse_device_revoke,
    OpKind.MERGE: _parse_merge,
    OpKind.REKEY: _parse_rekey,
    OpKind.RESUME: _parse_resume,
    OpKind.ENDORSE: _parse_endorse,
    OpKind.POLICY: _parse_policy_ballot,
    OpKind.TRANSFER: lambda value: Transfer(member=MemberId(want_bytes(want_array(value, 1)[0], 32))),
    OpKind.ROTATE: lambda value: Rotate(rotation=Rotation.parse(want_array(value, 1)[0])),
}
