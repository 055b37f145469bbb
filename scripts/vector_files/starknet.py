"""Poseidon, signatures, the log, the consent map and statements, as Cairo and starknet-py give them."""

from __future__ import annotations

from typing import Any

from medsync_protocol import (
    consent_map,
    crypto,
    log,
    poseidon,
    stark,
)  # fmt: skip
from medsync_protocol import statement as statements
from medsync_protocol.ids import (
    Instant,
    OpId,
)  # fmt: skip
from medsync_protocol.transition import Anchor

from scripts.vector_files.cast import (
    ANN,
    BEA,
    CAY,
    CONTEXT,
    hexes,
    vector,
)


@vector
def starknet() -> Any:
    """Poseidon and signatures over the STARK curve, as Cairo and starknet-py give them."""
    secrets = [1, 2, 0x1234567890ABCDEF, stark.CURVE_ORDER - 1, ANN.stark_secret(CONTEXT)]
    messages = [1, 2**128, 2**251 - 1, int(poseidon.short_string("MEDSYNC"))]
    inputs: list[list[int]] = [[], [0], [1, 2], [1, 2, 3], [poseidon.FIELD_PRIME - 1] * 4]
    return {
        "hash": [{"felts": hexes(felts), "hash": hex(poseidon.poseidon_hash(felts))} for felts in inputs],
        "pair": [{"left": hex(a), "right": hex(b), "pair": hex(poseidon.pair(a, b))} for a, b in [(0, 0), (1, 2), (2, 1)]],
        "tagged": {"tag": "MEDSYNC_LOG_1", "felts": hexes([1, 2]), "hash": hex(poseidon.tagged_hash("MEDSYNC_LOG_1", [1, 2]))},
        "keys": [{"secret": hex(secret), "public": hex(stark.public_key(secret))} for secret in secrets],
        "signatures": [
            {"secret": hex(secret), "message": hex(message), "signature": hexes(stark.sign(message, secret))}
            for secret in secrets[2:] for message in messages
        ],
    }  # fmt: skip


@vector
def mountain_range() -> Any:
    """Roots, peaks, append proofs and paths of logs of numbered leaves."""
    sizes = [0, 1, 2, 3, 4, 7, 8, 11, 21]
    full = log.Log()
    full.append(log.operation_leaf(crypto.blake2b(bytes([at])), at % 3) for at in range(21))
    return {
        "leaves": hexes(full.leaf(at) for at in range(21)),
        "logs": [{"size": n, "peaks": hexes(full.peaks(n)), "root": hex(full.root(n))} for n in sizes],
        "appends": [
            {"old": a, "new": b, "nodes": hexes(full.append_proof(a, b))} for a in sizes for b in sizes if a < b
        ],
        "entries": [
            {"size": n, "index": at, "siblings": hexes(full.path(at, n))}
            for n, at in [(1, 0), (7, 0), (7, 4), (7, 6), (21, 15), (21, 20)]
        ],
    }  # fmt: skip


@vector
def consents() -> Any:
    """The consent map of a few directives, with proofs of what is in it and of what is not."""
    made = {
        consent_map.directive_key(consent_map.commitment(bytes([n]) * 32, OpId(b"\x0a" * 32), n)):
        consent_map.pack_value(consent_map.Status(1 + n % 5), Instant(1000 * n), None if n % 2 else Instant(2**40 + n))
        for n in range(9)
    }  # fmt: skip
    mapped = consent_map.ConsentMap().put_many(made)
    absent = consent_map.directive_key(b"\xff" * 32)
    proofs = []
    for key in (*made, absent):
        proof = mapped.prove(key)
        proofs.append({
            "key": hex(key), "value": hex(mapped.get(key)), "siblings": hexes(proof.siblings),
            "terminal": None if proof.terminal is None else hexes(proof.terminal),
        })  # fmt: skip
    first = consent_map.commitment(b"\x00" * 32, OpId(b"\x0a" * 32), 0)
    return {
        "commitment": {"salt": "00" * 32, "op_id": "0a" * 32, "index": 0, "commitment": first.hex(),
                       "key": hex(consent_map.directive_key(first))},
        "items": [{"key": hex(key), "value": hex(value)} for key, value in mapped.items()],
        "root": hex(mapped.root), "proofs": proofs,
    }  # fmt: skip


@vector
def statement() -> Any:
    """Two statements, their digests at one contract, and the votes of three; what Cairo must agree with."""
    anchor = Anchor(chain_id=poseidon.short_string("MEDSYNC_LOCAL"), contract=0x1234567)
    voters = sorted((stark.public_key(w.stark_secret(CONTEXT)), w.stark_secret(CONTEXT)) for w in (ANN, BEA, CAY))
    members = [key for key, _ in voters]
    genesis = crypto.blake2b(b"genesis")
    context = statements.context_hash(members[0], genesis)
    opening = statements.opening_statement(context, members)
    grown = log.Log()
    grown.append([1, 2, 3])
    following = statements.Statement(
        context=context, k=1, prev=anchor.digest(opening), members=opening.next_members, next_members=opening.next_members,
        consent_root=5, log_root=grown.root(), log_size=3, reward_root=0, detail=statements.detail_hash(genesis),
        not_before=1_800_000_000,
    )  # fmt: skip
    digest = anchor.digest(following)
    founding = statements.opening_digest(
        chain_id=anchor.chain_id, contract=anchor.contract, context=context, members=opening.members, verifier=0,
        recovery_delay=14 * 86_400,
    )  # fmt: skip
    return {
        "chain_id": hex(anchor.chain_id), "contract": hex(anchor.contract), "genesis": genesis.hex(),
        "context": hex(context), "members": hexes(members), "members_hash": hex(statements.members_hash(members)),
        "detail": {"blake2b": genesis.hex(), "felt": hex(statements.detail_hash(genesis))},
        "opening": {"felts": hexes(opening.to_felts()), "digest": hex(anchor.digest(opening)),
                    "verifier": "0x0", "recovery_delay": 14 * 86_400, "signed": hex(founding),
                    "signature": hexes(stark.sign(founding, voters[0][1]))},
        "following": {"felts": hexes(following.to_felts()), "digest": hex(digest)},
        "votes": [hexes(statements.cast_vote(digest, members, secret).to_felts()) for _, secret in voters],
        "append": {"old_peaks": [], "nodes": hexes(grown.append_proof(0))},
        "quorum": {str(n): statements.quorum(n) for n in range(1, 31)},
    }  # fmt: skip
