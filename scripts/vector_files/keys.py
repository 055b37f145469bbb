"""What derives from seeds and keys, and entries sealed under them."""

from __future__ import annotations

from typing import Any

from medsync_protocol import (
    crypto,
    operation,
    sealing,
    stark,
)  # fmt: skip
from medsync_protocol.application import Draft
from medsync_protocol.codec import pack
from medsync_protocol.ids import (
    SubjectRef,
)  # fmt: skip
from medsync_protocol.kinds import Audience, EntryKind

from scripts.vector_files.cast import (
    ANN,
    BEA,
    CONTEXT,
    Counter,
    seeded,
    vector,
)
from scripts.vector_files.operations import header


@vector
def keys() -> Any:
    """What derives from a member's and a device's seed, and from an epoch key."""
    epoch_key, before = seeded("epoch 2"), seeded("epoch 1")
    gossip, topic = sealing.gossip_keys(epoch_key)
    return {
        "identity": {
            "member_seed": ANN.member_seed.hex(), "device_seed": ANN.device_seed.hex(), "member": ANN.member.hex(),
            "device": ANN.device.hex(), "certificate": ANN.certificate().hex(), "sealing_secret": ANN.sealing_secret.hex(),
            "sealing_public": ANN.sealing_public.hex(), "storage_key": ANN.storage_key.hex(),
            "index_key": ANN.index_key.hex(), "context": CONTEXT.hex(), "stark_secret": hex(ANN.stark_secret(CONTEXT)),
            "stark_public": hex(stark.public_key(ANN.stark_secret(CONTEXT))),
        },
        "epoch": {
            "key": epoch_key.hex(), "key_id": sealing.key_id_of(epoch_key).hex(), "gossip": gossip.hex(),
            "topic": topic.hex(), "entry_without_subject": crypto.derive(epoch_key, "entry", b"").hex(),
            "subject_key": seeded("subject key").hex(),
            "entry_of_subject": crypto.derive(epoch_key, "entry", seeded("subject key")).hex(),
            "locator": crypto.derive(epoch_key, "locator").hex(), "history": crypto.derive(epoch_key, "history").hex(),
        },
        "rotation": _rotation(before, epoch_key),
        "derive": [
            {"key": key.hex(), "label": label, "parts": [part.hex() for part in parts], "size": size,
             "derived": crypto.derive(key, label, *parts, size=size).hex()}
            for key, label, parts, size in [
                (b"k" * 32, "label", (), 32), (b"k" * 32, "label", (b"", b"ab"), 32), (b"k" * 64, "l", (b"abc",), 48),
            ]
        ],
        "signature": {"seed": ANN.device_seed.hex(), "domain": "medsync/op/1", "message": b"m".hex(),
                      "signature": crypto.sign(ANN.device_seed, b"medsync/op/1", b"m").hex()},
    }  # fmt: skip


def _rotation(before: bytes, key: bytes) -> Any:
    recipients = {who.member: who.sealing_public for who in (ANN, BEA)}
    made = sealing.make_rotation(epoch=2, key=key, recipients=recipients, previous=before, entropy=Counter())
    return {
        "epoch": 2, "key": key.hex(), "previous": before.hex(), "sealing_secret_of_the_second": BEA.sealing_secret.hex(),
        "second": BEA.member.hex(), "bytes": pack(made.fields()).hex(),
    }  # fmt: skip


@vector
def sealed_entries() -> Any:
    """An entry under an epoch key, one under a subject's key too, and the tags of its parties."""
    ring = sealing.KeyRing(ANN.sealing_secret)
    epoch_key, subject, subject_key = seeded("epoch 2"), SubjectRef(b"pseudonym 16 by."), seeded("subject key")
    ring.take(epoch_key)
    ring.set_subjects({subject: subject_key})
    drafts = [
        Draft(kind=EntryKind.NOTE, payload=b"about nobody"),
        Draft(kind=EntryKind.ACCESS, payload=b"about a patient", subject=subject, audience=Audience.PARTIES, parties=(BEA.member,)),
    ]  # fmt: skip
    nonce, place = b"\x99" * 24, operation.sealing_context(header())
    made = ring.seal_entries(
        drafts, key_id=sealing.key_id_of(epoch_key), nonce=nonce, place=place, sealing_keys={BEA.member: BEA.sealing_public}
    )  # fmt: skip
    return {
        "epoch_key": epoch_key.hex(), "subject": subject.hex(), "subject_key": subject_key.hex(), "nonce": nonce.hex(),
        "place": place.hex(), "author_sealing_public": ANN.sealing_public.hex(), "party_sealing_secret": BEA.sealing_secret.hex(),
        "entries": [
            {"payload": draft.payload.hex(), "label": label.hex(), "ciphertext": text.hex()}
            for draft, (label, text) in zip(drafts, made, strict=True)
        ],
    }  # fmt: skip
