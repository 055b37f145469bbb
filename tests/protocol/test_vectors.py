"""The vectors hold, and twins that share no code with ours give the same bytes: umsgpack, hashlib, cryptography,
pycryptodome, starknet-py. Regenerating them changes nothing (scripts/vectors)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
import umsgpack
from Crypto.Cipher import ChaCha20_Poly1305
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from medsync_protocol import (
    anchoring, candidate, consent_map, frames, journal, kinds, log, operation, poseidon, sealing, stark, statement, transition,
)  # fmt: skip
from medsync_protocol.actions import Rotation, Unknown, decode_action, encode_action
from medsync_protocol.codec import pack, unpack
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ContextId, MemberId, NetworkId, OpId
from medsync_protocol.kinds import EntryKind, OpKind
from medsync_protocol.membership import MembershipFold, quorum
from medsync_protocol.policy import AnyAdmin
from medsync_protocol.reading import read_action

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> Any:
    """One vector file."""
    return json.loads((ROOT / "protocol" / "vectors" / f"{name}.json").read_text("utf-8"))


def felts(values: list[str]) -> list[int]:
    """Hex to integers."""
    return [int(value, 16) for value in values]


def test_generating_them_again_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "vectors"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_no_number_on_the_wire_has_changed() -> None:
    enums: dict[str, type[IntEnum]] = {
        "Plane": kinds.Plane, "OpKind": OpKind, "EntryKind": EntryKind, "Audience": kinds.Audience, "Role": kinds.Role,
        "Verdict": kinds.Verdict, "Status": consent_map.Status,
    }  # fmt: skip
    for name, numbers in load("numbers").items():
        assert {item.name: int(item) for item in enums[name]} == numbers


# -- encoding ---------------------------------------------------------------------------------------------------


def _value(plain: Any) -> Any:
    match plain:
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"int": text}:
            return int(text)
        case list():
            return [_value(item) for item in plain]
        case _:
            return plain


@pytest.mark.parametrize("case", load("encoding")["accepted"], ids=lambda case: case["bytes"][:20])
def test_values_have_their_one_encoding_in_another_encoder_too(case: Any) -> None:
    data = bytes.fromhex(case["bytes"])
    assert umsgpack.packb(_value(case["value"])) == data
    assert umsgpack.packb(unpack(data)) == data


@pytest.mark.parametrize(("why", "data"), load("encoding")["refused"].items())
def test_other_bytes_are_refused(why: str, data: str) -> None:
    with pytest.raises(Malformed):
        unpack(bytes.fromhex(data))


# -- keys -------------------------------------------------------------------------------------------------------


def _derive(key: bytes, label: str, parts: list[bytes], size: int) -> bytes:
    framed = bytes([len(label)]) + label.encode() + b"".join(len(p).to_bytes(2, "big") + p for p in parts)
    return hashlib.blake2b(framed, digest_size=size, key=key).digest()


def test_keys_derive_as_written() -> None:
    for case in load("keys")["derive"]:
        parts = [bytes.fromhex(part) for part in case["parts"]]
        assert _derive(bytes.fromhex(case["key"]), case["label"], parts, case["size"]).hex() == case["derived"]
    epoch = load("keys")["epoch"]
    key = bytes.fromhex(epoch["key"])
    assert hashlib.blake2b(key, digest_size=32).hexdigest() == epoch["key_id"]
    for label in ("gossip", "topic", "locator", "history"):
        assert _derive(key, label, [], 32).hex() == epoch[label]
    assert _derive(key, "entry", [bytes.fromhex(epoch["subject_key"])], 32).hex() == epoch["entry_of_subject"]
    assert _derive(key, "entry", [b""], 32).hex() == epoch["entry_without_subject"]


def test_an_identity_derives_from_its_two_seeds() -> None:
    who = load("keys")["identity"]
    seed = bytes.fromhex(who["member_seed"])
    signing = Ed25519PrivateKey.from_private_bytes(_derive(seed, "member", [], 32))
    assert signing.public_key().public_bytes_raw().hex() == who["member"]
    device = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(who["device_seed"]))
    assert device.public_key().public_bytes_raw().hex() == who["device"]
    domain = b"medsync/device/1"
    assert signing.sign(bytes([len(domain)]) + domain + bytes.fromhex(who["device"])).hex() == who["certificate"]
    sealing_secret = _derive(seed, "sealing", [], 32)
    assert sealing_secret.hex() == who["sealing_secret"]
    public = X25519PrivateKey.from_private_bytes(sealing_secret).public_key().public_bytes_raw()
    assert public.hex() == who["sealing_public"]
    wide = int.from_bytes(_derive(seed, "stark", [bytes.fromhex(who["context"])], 48), "big")
    assert wide % (stark.CURVE_ORDER - 1) + 1 == int(who["stark_secret"], 16)


def test_a_rotation_opens_for_its_recipient_and_gives_the_key_before() -> None:
    case = load("keys")["rotation"]
    data = bytes.fromhex(case["bytes"])
    rotation = Rotation.parse(unpack(data))
    assert pack(rotation.fields()) == data
    ring = sealing.KeyRing(bytes.fromhex(case["sealing_secret_of_the_second"]))
    gained, bad = ring.learn(rotation, MemberId(bytes.fromhex(case["second"])))
    assert not bad and [ring.key(key_id).hex() for key_id in gained] == [case["key"], case["previous"]]  # type: ignore[union-attr]


# -- operations -------------------------------------------------------------------------------------------------

OPERATIONS = load("operations")["operations"]
NETWORK, CONTEXT = NetworkId(b"\x11" * 32), ContextId(b"\x22" * 32)
by_name = pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: case["name"])


def _decode(wire: bytes, case: Any) -> operation.Operation:
    if case["name"] == "genesis":
        network = NetworkId(bytes.fromhex(case["op_id"]))
        return operation.decode(wire, network=network, context=ContextId(bytes(32)))
    return operation.decode(wire, network=NETWORK, context=CONTEXT)


@by_name
def test_an_operation_decodes_to_what_it_was(case: Any) -> None:
    wire = bytes.fromhex(case["wire"])
    decoded = _decode(wire, case)
    operation.check_signature(decoded)
    assert decoded.op_id.hex() == case["op_id"] == hashlib.blake2b(decoded.header_bytes, digest_size=32).hexdigest()
    assert decoded.wire == wire
    assert operation.encode_header(decoded.header) == bytes.fromhex(case["header"])
    assert operation.sealing_context(decoded.header).hex() == case["sealing_context"]


@by_name
def test_its_signature_is_plain_ed25519_over_domain_and_id(case: Any) -> None:
    domain = b"medsync/op/1"
    device = umsgpack.unpackb(bytes.fromhex(case["header"]))[4][:32]
    message = bytes([len(domain)]) + domain + bytes.fromhex(case["op_id"])
    Ed25519PublicKey.from_public_bytes(device).verify(bytes.fromhex(case["signature"]), message)


@by_name
def test_its_root_is_the_merkle_root_of_label_hash_and_size(case: Any) -> None:
    def h(*parts: bytes) -> bytes:
        return hashlib.blake2b(b"".join(parts), digest_size=32).digest()

    nonce, entries = umsgpack.unpackb(bytes.fromhex(case["body"]))
    level = [h(b"\0", h(text), len(text).to_bytes(4, "big"), label) for label, text in entries]
    while len(level) > 1:
        odd = level[len(level) // 2 * 2 :]
        level = [h(b"\1", level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)] + odd
    assert h(b"\2", nonce, len(entries).to_bytes(4, "big"), level[0]).hex() == case["entries_root"]


@by_name
def test_pruning_a_data_operation_keeps_its_id_and_signature_and_others_are_never_pruned(case: Any) -> None:
    pruned = operation.join(
        bytes.fromhex(case["header"]), bytes.fromhex(case["signature"]), bytes.fromhex(case["pruned_body"])
    )
    if umsgpack.unpackb(bytes.fromhex(case["header"]))[3] != kinds.Plane.DATA:
        with pytest.raises(Malformed):
            _decode(pruned, case)
        return
    decoded = _decode(pruned, case)
    operation.check_signature(decoded)
    assert decoded.op_id.hex() == case["op_id"]
    assert decoded.body.entries[0].pruned
    assert decoded.wire == pruned
    full = operation.filled(decoded, operation.decode_body(bytes.fromhex(case["body"])))
    assert full.wire.hex() == case["wire"]


def test_reserved_and_unknown_kinds_have_vectors() -> None:
    names = {case["name"] for case in OPERATIONS}
    reserved = ("delegation", "erase_order", "attestation", "legal_hold", "reward_root")
    assert {f"reserved_{name}" for name in reserved} | {"unknown_kind", "unknown_entry", "vote"} <= names
    assert {"rekey", "resume", "endorse", "policy", "transfer"} <= names, "kinds that came to be understood"


@pytest.mark.parametrize(("name", "case"), load("payloads").items())
def test_payloads_decode_to_what_encodes_to_them(name: str, case: Any) -> None:
    whole = next(op for op in OPERATIONS if op["name"] == name)
    header, body = operation.decode_header(bytes.fromhex(whole["header"])), operation.decode_body(bytes.fromhex(whole["body"]))
    action = read_action(header, body, CONTEXT)
    assert type(action).__name__ != "Unreadable"
    assert body.entries[0].ciphertext == bytes.fromhex(case["payload"])
    assert encode_action(action) == (case["kind"], bytes.fromhex(case["payload"]))


@pytest.mark.parametrize("kind", [max(OpKind.MERGE, OpKind.TRANSFER) + 1, 4711])
def test_what_this_version_does_not_fold_is_unknown_and_nothing_worse(kind: int) -> None:
    assert decode_action(kind, b"\xffanything") == Unknown(kind=kind)


# -- sealing ----------------------------------------------------------------------------------------------------


def test_entries_are_xchacha20_poly1305_under_epoch_and_subject_key() -> None:
    case = load("sealed_entries")
    nonce, place = bytes.fromhex(case["nonce"]), bytes.fromhex(case["place"])
    for index, (entry, subject_key) in enumerate(zip(case["entries"], ["", case["subject_key"]], strict=True)):
        key = _derive(bytes.fromhex(case["epoch_key"]), "entry", [bytes.fromhex(subject_key)], 32)
        at = index.to_bytes(4, "big")
        cipher = ChaCha20_Poly1305.new(key=key, nonce=nonce[:20] + at)
        cipher.update(place + at)
        sealed = bytes.fromhex(entry["ciphertext"])[17 if subject_key else 1 :]
        assert cipher.decrypt_and_verify(sealed[:-16], sealed[-16:]).hex() == entry["payload"]


def test_a_party_finds_its_tag_and_a_member_the_pseudonym() -> None:
    case = load("sealed_entries")
    party = sealing.KeyRing(bytes.fromhex(case["party_sealing_secret"]))
    party.take(bytes.fromhex(case["epoch_key"]))
    nonce, at = bytes.fromhex(case["nonce"]), (1).to_bytes(4, "big")
    label = operation.decode_label(bytes.fromhex(case["entries"][1]["label"]))
    assert list(sealing.split_tags(label.tags)) == list(party.tags([bytes.fromhex(case["author_sealing_public"])], nonce, at))
    key_id = sealing.key_id_of(bytes.fromhex(case["epoch_key"]))
    text = bytes.fromhex(case["entries"][1]["ciphertext"])
    opened = party.open_entry(text, 1, key_id=key_id, nonce=nonce, place=bytes.fromhex(case["place"]))
    assert opened == (bytes.fromhex(case["subject"]), None)  # whose it is; not what it says, without the subject's key


# -- membership -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
def test_the_race_of_two_admins_folds_to_its_root(backwards: bool) -> None:
    case = load("memberships")
    fold = MembershipFold(AnyAdmin())
    listed = case["operations"][:3] + (case["operations"][:2:-1] if backwards else case["operations"][3:])
    for op in listed:
        heads = [OpId(bytes.fromhex(head)) for head in op["heads"]]
        action = decode_action(op["kind"], bytes.fromhex(op["payload"]))
        chain = operation.ChainId(bytes.fromhex(op["device"]) + bytes(7) + b"\x01")
        fold.add(OpId(bytes.fromhex(op["op_id"])), chain, heads, action)
    state = fold.state()
    assert {op_id.hex(): verdict.name for op_id, verdict in state.verdicts.items()} == case["verdicts"]
    assert {member.hex(): held.role.name for member, held in state.members.items()} == case["members"]
    assert state.root().hex() == case["root"]


def test_quorums_are_the_same_in_membership_and_statement() -> None:
    for n, q in load("memberships")["quorum"].items():
        assert quorum(int(n)) == statement.quorum(int(n)) == q == load("statement")["quorum"][n]


# -- Starknet ---------------------------------------------------------------------------------------------------


def test_poseidon_is_starknets() -> None:
    from starknet_py.hash.hash_method import HashMethod  # slow to import: only here

    case = load("starknet")
    for each in case["hash"]:
        assert HashMethod.POSEIDON.hash_many(felts(each["felts"])) == int(each["hash"], 16)
    for each in case["pair"]:
        assert poseidon.pair(int(each["left"], 16), int(each["right"], 16)) == int(each["pair"], 16)
    tagged = case["tagged"]
    whole = [int.from_bytes(tagged["tag"].encode(), "big"), *felts(tagged["felts"])]
    assert HashMethod.POSEIDON.hash_many(whole) == int(tagged["hash"], 16)


def test_signatures_are_starknet_pys_byte_for_byte() -> None:
    from starknet_py.hash.utils import message_signature, private_to_stark_key, verify_message_signature

    case = load("starknet")
    for each in case["keys"]:
        assert private_to_stark_key(int(each["secret"], 16)) == int(each["public"], 16)
    for each in case["signatures"]:
        secret, message, signed = int(each["secret"], 16), int(each["message"], 16), felts(each["signature"])
        assert list(message_signature(message, secret)) == signed
        assert verify_message_signature(message, signed, private_to_stark_key(secret))
        stark.verify(message, stark.public_key(secret), *signed)


def test_logs_have_their_roots_and_proofs() -> None:
    case = load("mountain_range")
    leaves = felts(case["leaves"])
    sized = {}
    for each in case["logs"]:
        grown = log.Log()
        grown.append(leaves[: each["size"]])
        sized[each["size"]] = grown
        assert grown.peaks() == felts(each["peaks"]) and grown.root() == int(each["root"], 16)
    for each in case["appends"]:
        old, new = sized[each["old"]], sized[each["new"]]
        log.verify_append(old.size, old.root(), old.peaks(), new.size, new.root(), felts(each["nodes"]))
    for each in case["entries"]:
        grown, index = sized[each["size"]], each["index"]
        log.verify_entry(grown.root(), grown.size, index, leaves[index], grown.peaks(), felts(each["siblings"]))


def test_the_consent_map_has_its_root_and_proofs() -> None:
    case = load("consents")
    items = {poseidon.Felt(int(i["key"], 16)): poseidon.Felt(int(i["value"], 16)) for i in case["items"]}
    assert consent_map.ConsentMap().put_many(items).root == int(case["root"], 16)
    for each in case["proofs"]:
        terminal = each["terminal"] and tuple(felts(each["terminal"]))
        proof = consent_map.ConsentProof(siblings=tuple(felts(each["siblings"])), terminal=terminal)  # type: ignore[arg-type]
        assert consent_map.check(int(case["root"], 16), int(each["key"], 16), proof) == int(each["value"], 16)
    one = case["commitment"]
    joined = bytes.fromhex(one["salt"]) + bytes.fromhex(one["op_id"]) + one["index"].to_bytes(4, "big")
    assert hashlib.blake2b(joined, digest_size=32).hexdigest() == one["commitment"]


def test_the_statement_follows_and_its_votes_count() -> None:
    case = load("statement")
    anchor = transition.Anchor(chain_id=int(case["chain_id"], 16), contract=int(case["contract"], 16))
    opening = statement.Statement.from_felts(felts(case["opening"]["felts"]))
    following = statement.Statement.from_felts(felts(case["following"]["felts"]))
    members = felts(case["members"])
    assert statement.opening_statement(opening.context, members) == opening
    assert anchor.digest(opening) == int(case["opening"]["digest"], 16) == following.prev
    votes = [statement.Vote.from_felts(felts(vote)) for vote in case["votes"]]
    append = transition.AppendProof(old_peaks=(), nodes=tuple(felts(case["append"]["nodes"])))
    digest = transition.check_checkpoint(
        anchor, head=opening, following=following, members=members, votes=votes[:2], append=append, next_members=(),
        block_time=following.not_before,
    )  # fmt: skip
    assert digest == int(case["following"]["digest"], 16)


def test_a_candidate_is_a_function_of_the_last_checkpoint_and_what_lies_below_its_cut() -> None:
    case = load("checkpoints")
    anchored = anchoring.Anchoring.decode(bytes.fromhex(case["anchoring"]))
    assert anchored.encode().hex() == case["anchoring"] and str(anchored.address) == case["address"]
    made = candidate.Candidate.decode(bytes.fromhex(case["candidate"]))
    assert made.encode().hex() == case["candidate"]
    leaves = [log.operation_leaf(bytes.fromhex(op_id), verdict) for op_id, verdict in case["verdicts"]]
    grown = log.Log()
    grown.append(leaves)
    items = {poseidon.Felt(int(k, 16)): poseidon.Felt(int(v, 16)) for k, v in case["changes"].items()}
    consents = consent_map.ConsentMap().put_many(items)

    def h(tag: bytes, *parts: Any) -> bytes:
        return hashlib.blake2b(tag + umsgpack.packb(list(parts)), digest_size=32).digest()

    def felt(value: int) -> bytes:
        return value.to_bytes(32, "big")

    named = {name: bytes.fromhex(case[name]) for name in ("membership_root", "key_id", "policy_hash")}
    peaks = [felt(peak) for peak in grown.peaks()]
    state = h(b"medsync/state/1", felt(consents.root), len(leaves), peaks, named["membership_root"])
    heads = [[bytes.fromhex(chain), count, bytes.fromhex(op_id)] for chain, count, op_id in case["cut"]]
    detail = h(b"medsync/detail/1", heads, named["membership_root"], state, named["key_id"], named["policy_hash"])
    opening = anchored.opening.statement
    expected = statement.Statement(
        context=opening.context, k=1, prev=anchored.opening.anchor.digest(opening), members=opening.members,
        next_members=opening.members, consent_root=consents.root, log_root=grown.root(), log_size=len(leaves),
        reward_root=0, detail=statement.detail_hash(detail), not_before=1_800_000_000,
    )  # fmt: skip
    assert made.statement == expected == statement.Statement.from_felts(felts(case["statement"]))
    assert anchored.opening.anchor.digest(expected) == int(case["digest"], 16)


def test_frames_are_arrays_that_begin_with_their_kind() -> None:
    case = load("link_frames")
    assert case["kinds"] == {kind.name: int(kind) for kind in frames.FrameKind}
    for name, frame in case["frames"].items():
        data = bytes.fromhex(frame)
        kind, fields = frames.decode(data)
        assert kind == frames.FrameKind[name.upper()] == umsgpack.unpackb(data)[0]
        assert frames.encode(frames.FrameKind(kind), *fields) == data
    _, fields = frames.decode(bytes.fromhex(case["frames"]["hello"]))
    assert frames.want_hello(fields) == (1, 1, NETWORK, ("/ip4/127.0.0.1/tcp/4001",))
    _, fields = frames.decode(bytes.fromhex(case["frames"]["ops"]))
    context, (wire,) = frames.want_ops(fields)
    assert context == CONTEXT and operation.decode(wire, network=NETWORK, context=CONTEXT)


# -- journal ----------------------------------------------------------------------------------------------------


def test_records_recover_from_their_frames() -> None:
    frames = [bytes.fromhex(record) for record in load("records")]
    recovered, length = journal.recover(b"".join(frames))
    assert length == sum(map(len, frames))
    assert [journal.frame(record) for record in recovered] == frames
