"""Keys that reach a replica: with an operation, pulled from a member, in a subject's record; what they open is read again.

What a key ring holds is sealing.py's, what waits for which key opening.py's (PROTOCOL §4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsync_protocol.actions import Action, Admit
from medsync_protocol.effects import Effect, Notify, Persist, Reread
from medsync_protocol.ids import KeyId
from medsync_protocol.journal import ValueRecord
from medsync_protocol.retention import keys_of
from medsync_protocol.operation import NO_KEY

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica


def learn(replica: Replica, action: Action) -> list[Effect]:
    """The keys that a membership or keys operation brings this member."""
    gained: list[KeyId] = []
    bad = False
    rotation = getattr(action, "rotation", None)
    if rotation is not None:
        gained, bad = replica.ring.learn(rotation, replica.member)
    elif isinstance(action, Admit) and action.card.member == replica.member and action.key_id != NO_KEY:
        gained, bad = replica.ring.learn_box(action.key_id, action.wrap)
    effects: list[Effect] = [r for key_id in gained for r in reread_all(replica, key_id)]
    if bad:
        effects.append(Notify("bad_rotation", replica.context))
    return effects


def take_key(replica: Replica, key_id: KeyId, box: bytes) -> list[Effect]:
    """An epoch key pulled from another member, boxed to this one; a box that doesn't hold it does nothing."""
    effects: list[Effect] = []
    for gained in replica.ring.learn_box(key_id, box)[0]:
        record = ValueRecord("epoch_key", replica.context, gained, replica.ring.epochs()[gained], secret=True)
        effects += [Persist((record,), True), *reread_all(replica, gained)]
    return effects


def learn_subjects(replica: Replica) -> list[Effect]:
    """Keys of subjects whose records were folded."""
    keys = keys_of(replica)
    if len(keys) == replica.subject_count:
        return []
    replica.subject_count = len(keys)
    replica.ring.set_subjects(keys)
    return [r for subject in replica.opener.missing_subjects(keys) for r in reread_all(replica, subject)]


def reread_all(replica: Replica, missing: bytes) -> list[Effect]:
    """Operations that waited for this key, or this subject's."""
    return [Reread(replica.context, chain, seq) for chain, seq in replica.opener.waiting_for(missing)]
