"""What a member's node does by itself about its own keys: renews its sealing key, revokes what it replaced, shows devices.

All of it follows from what the key file and the membership say, so that a crash between any two steps loses none: what
is not done is done after the next start. Who may write each is the policy's, asked in governance.py.
"""

from __future__ import annotations

from medsync_protocol import governance
from medsync_protocol.effects import Effect
from medsync_protocol.ids import MemberId
from medsync_protocol.replica import Replica


def exposed(replica: Replica) -> tuple[MemberId, ...]:
    """Members that renewed their sealing key after the newest epoch key was boxed to the one before (PROTOCOL §4).

    Whoever has the old key file opens that box. An admin owes a rotation until there is nobody.
    """
    state = replica.membership
    newest = max(state.keys.values(), key=lambda key: key.epoch, default=None)
    if newest is None or not state.renewals:
        return ()
    return tuple(sorted(
        member for member, (renewal, _) in state.renewals.items()
        if member in newest.recipients and not replica.fold.in_past(renewal, (newest.op_id,))
    ))  # fmt: skip


def settle_keys(net: Replica | None, replica: Replica, now: int) -> list[Effect]:
    """What is lacking so that this context knows this member by the keys of this home, and by all its devices."""
    state, identity = replica.membership, replica.identity
    standing = state.members.get(replica.member)
    if standing is None or state.devices.get(identity.device) != replica.member:
        return []
    effects: list[Effect] = []
    if standing.sealing_key in identity.former_sealing_publics:  # another device of ours may have a newer one
        effects += governance.renew_sealing_key(replica, now)[1]
    for device in identity.retired:
        if state.devices.get(device) == replica.member:
            effects += governance.revoke_device(replica, now, device)[1]
    if net is not None and net is not replica:
        effects += _show_devices(net, replica, now)
    return effects


def _show_devices(net: Replica, replica: Replica, now: int) -> list[Effect]:
    """The member's other devices in the network write in this context as well, unless they were revoked here."""
    state, known = replica.membership, net.membership
    gone = {removed.device for removed in state.removed} | set(replica.identity.retired)
    effects: list[Effect] = []
    for device, member in known.devices.items():
        if member != replica.member or device in state.devices or device in gone:
            continue
        card = known.cards[member]
        shown = (member, card.certificate) if card.device == device else known.certificates.get(device)
        if shown is not None:
            certificate = shown[1]
            effects += governance.add_device(replica, now, device, certificate)[1]
    return effects
