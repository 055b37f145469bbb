"""The released anchor class, its entry points and events by selector. Written by scripts/compile-contracts."""

from __future__ import annotations

from typing import Final

CLASS_HASH: Final = 0x010c825ec9990d9b695008cd601733db0a5c63bd7523ab8e286a673c5d15aeea

ENTRY_POINTS: Final[dict[str, int]] = {
    "checkpoint": 0x0301d8d5f36bc5356cc801e43d2c4e4b360682ecbe538a8c576ec1a7d775975e,
    "execute_recovery": 0x02dba0ed971ccdfb397b9ebf7689046326a00ed149cfe892052d4858b7215562,
    "head": 0x01ddd711764f374af026b66ad9ae88a648267af49f32f226868b582df8d8d310,
    "open_context": 0x0126b4d34ed44293e3be2650593f37a3532c6bdbe26b30e88772bbf066312857,
    "post_checkpoint": 0x0001feb8c57e9a997cce0b99c34113f726aa0c3908eb4be51f75c5587c68f6ee,
    "propose_recovery": 0x00a75e548814bcc2777fa346bfac8b9e61b9a73b67f1457e032cd0b8b3b270f0,
    "recovery": 0x02c4322fc67aee97be4667bed765ac45a4add65c3f046934bdccaa50d6d7d05f,
    "settings": 0x02da6c6c60c41ce8e43cbe693c41224c11fc917f93765e8a2c43ac23874d7a19,
    "statement_hash": 0x02eaf4019b9c0752d3857a79cb24aa6280959cec5e1df811c926547e64bba1ba,
    "verify_consent": 0x01a5f6c8398582f162a1a07821da35f47b30a4f731ad0b271649003daf9601b1,
    "verify_consent_at": 0x0325df8132a703e13020ea4f100a58f28305f0d655a92644100fdaca1ff7c92e,
    "verify_entry": 0x02b3c5cc4acf15a3ef3113ba551ecc1ec747a441115728b1b845384e395d8e9c,
    "verify_entry_at": 0x01e49f47fe050d7269d93eb3168c2e16d0afc10aa436b0e332b3737407942357,
}

EVENTS: Final[dict[str, int]] = {
    "CheckpointPosted": 0x02e97e9d38c84f0f6f5033f7c1e040f34c6024d9b27cd03cc41fc22fd92ee69e,
    "ContextOpened": 0x03d57d97e670e79d1a56a530d4cfb5ad58a939877c7db838dd3cca1209242e90,
    "MembersChanged": 0x01a2f05d11fc907fbec7acdcb6a7877edc4b3f2bdf3b4b11d0aa5db608bb58e7,
    "RecoveryExecuted": 0x0102515c32f1b38802c9293a2103c1cf4d8f6bbad3c4eb7be624b20e73cb7864,
    "RecoveryProposed": 0x03e780d863d935b590f0853884f13008dde3e9b69d43cf31b8336e4c069ba3a4,
    "Votes": 0x02219ee96aecd093a5b317e7ada62d68a74f302f21717c0eff38c0de61dbdf7b,
}
