"""A second, plainer reading of membership operations: who had what authority (S2), who holds which key (K1, K2).

It shares the decoding with the protocol and nothing else: causal pasts as sets of ids, no fold, no memo of states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from medsync_protocol.actions import (
    Action, Admit, DeviceAdd, DeviceRevoke, Endorse, Genesis, Leave, Rekey, Remove, Rotate, SetRole,
)  # fmt: skip
from medsync_protocol.ids import ContextId, DeviceId, KeyId, MemberId, OpId, device_of
from medsync_protocol.kinds import Role
from medsync_protocol.operation import Header, decode_body, decode_header, split
from medsync_protocol.reading import read_action
from medsync_protocol.ruling import CHANGES, Voting

ADMIN_ACTIONS: Final = (Admit, Remove, SetRole, Rotate)


@lru_cache(maxsize=65_536)
def reading(wire: bytes, context: ContextId) -> tuple[Header, Action]:
    """Header and meaning of a membership operation."""
    header_bytes, _, body = split(wire)
    header = decode_header(header_bytes)
    return header, read_action(header, decode_body(body), context)


class Past:
    """Causal pasts within one replica's membership operations."""

    def __init__(self, replica: Any) -> None:
        self._fold = replica.fold
        wires: Mapping[OpId, bytes] = replica.governance_wires
        self.read = {op_id: reading(wire, replica.context) for op_id, wire in wires.items()}
        self._pasts: dict[OpId, frozenset[OpId]] = {}

    def is_proposal(self, op_id: OpId) -> bool:
        """Whether the policy asks for votes on such an action: then its author's own authority decides nothing."""
        return isinstance(self._fold.rules(), Voting) and isinstance(self.read[op_id][1], CHANGES)

    def of(self, op_id: OpId) -> frozenset[OpId]:
        """Everything that the operation's author had seen, itself left out."""
        found = self._pasts.get(op_id)
        if found is None:
            heads = self.read[op_id][0].membership_heads
            found = self._pasts[op_id] = frozenset(heads).union(*(self.of(head) for head in heads))
        return found


def usurped(replica: Any) -> Iterator[str]:
    """Effective operations whose author nothing effective in their past gave the authority, in words."""
    past = Past(replica)
    effective = {op_id for op_id, verdict in replica.membership.verdicts.items() if verdict.effective}
    for op_id in sorted(effective):
        header, action = past.read[op_id]
        if isinstance(action, Genesis):
            continue
        before = past.of(op_id) & effective
        author = _owner(device_of(header.chain), before, past)
        if author is None or not _stands(author, before, past, admin=False):
            yield f"{type(action).__name__} is effective though nobody had admitted its author"
        elif isinstance(action, ADMIN_ACTIONS) and not past.is_proposal(op_id) and not _stands(author, before, past, admin=True):
            yield f"{type(action).__name__} is effective though nobody had made its author an admin"


def _owner(device: DeviceId, before: frozenset[OpId], past: Past) -> MemberId | None:
    """Whose device it is, unless somebody took it back later on."""
    for op_id in before:
        match past.read[op_id][1]:
            case Genesis(founder=card) | Admit(card=card) | Rekey(card=card) if card.device == device:
                owner = card.member
            case DeviceAdd(member=member, device=added) if added == device:
                owner = member
            case _:
                continue
        if not any(_revokes(past.read[other][1], device) and op_id in past.of(other) for other in before):
            return owner
    return None


def _revokes(action: Action, device: DeviceId) -> bool:
    return isinstance(action, DeviceRevoke) and action.device == device


def _stands(who: MemberId, before: frozenset[OpId], past: Past, *, admin: bool) -> bool:
    """Whether something in `before` gives it that nothing later in `before` takes away."""
    voted = {action.proposal for op in before if isinstance(action := past.read[op][1], Endorse) and action.yes}
    counts = [op for op in before if op in voted or not isinstance(past.read[op][1], Rekey)]
    given = [op for op in counts if _gives(past.read[op][1], who, admin)]
    taken = [op for op in counts if _takes(past, op, who, admin)]
    return any(not any(give in past.of(take) for take in taken) for give in given)


def _gives(action: Action, who: MemberId, admin: bool) -> bool:
    match action:
        case Genesis(founder=card):
            return card.member == who
        case Admit(card=card, role=role):
            return card.member == who and (not admin or role is Role.ADMIN)
        case SetRole(member=member, role=Role.ADMIN):
            return admin and member == who
        case Rekey(member=lost, card=card):
            return card.member == who != lost
    return False


def _takes(past: Past, op_id: OpId, who: MemberId, admin: bool) -> bool:
    header, action = past.read[op_id]
    if past.is_proposal(op_id):
        return False  # whether enough votes were known is the fold's to say
    match action:
        case Remove(member=member):
            return member == who
        case Rekey(member=member, card=card):
            return member == who != card.member
        case Leave():
            return _owner(device_of(header.chain), past.of(op_id), past) == who
        case SetRole(member=member, role=role):
            return admin and member == who and role < Role.ADMIN
    return False


def boxed_to(replica: Any, key_id: KeyId) -> frozenset[MemberId]:
    """Everybody that a rotation here, or an admission that counts, hands this key to."""
    found: set[MemberId] = set()
    verdicts = replica.membership.verdicts
    for op_id, wire in replica.governance_wires.items():
        match reading(wire, replica.context)[1]:
            case Genesis(rotation=rotation) | Remove(rotation=rotation) | Rotate(rotation=rotation):
                if rotation.key_id == key_id:
                    found |= {member for member, _ in rotation.wraps}
            case Admit(card=card, key_id=boxed) if boxed == key_id and verdicts[op_id].effective:
                found.add(card.member)
    return frozenset(found)
