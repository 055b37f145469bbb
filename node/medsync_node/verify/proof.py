"""Checks a proof file: first what it says by itself, then whether the chain holds its statement. Needs no node of ours.

What holds is included in the statement; that a quorum stands behind it is the contract's word, and that the contract
is the released one is its class hash's. Inclusion in the chain is the word of the node that is asked: ask two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx
from pydantic import ValidationError

from medsync_client.proofs import ConsentPart, EntryPart, Proof, VotesPart
from medsync_node.verify.chain_check import class_problem
from medsync_node.verify.report import Report
from medsync_node.verify.rpc import Rpc
from medsync_protocol import calldata, consent_map
from medsync_protocol.address import ChainAddress, parse_address
from medsync_protocol.anchor_abi import CLASS_HASH, ENTRY_POINTS
from medsync_protocol.consent_map import ABSENT, ConsentProof, Status, directive_key, unpack_value
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import Instant
from medsync_protocol.kinds import Verdict
from medsync_protocol.log import operation_leaf, verify_entry
from medsync_protocol.poseidon import Felt, want_felt
from medsync_protocol.statement import FIELD_NAMES, Statement, Vote, members_hash, verify_votes

MAX_FILE: Final = 1 << 20  # bytes; the largest proof, of 250 votes, has 60 KB


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A directive's state under the statement."""

    status: Status
    valid_from: Instant
    until: Instant | None


@dataclass(slots=True)
class Checked:
    """`consent` is None when absence was proven, or for another kind; `newest`: k is the head's, as the nodes say."""

    report: Report
    proof: Proof
    statement: Statement
    address: ChainAddress
    consent: Consent | None = None
    verdict: Verdict | None = None
    newest: bool | None = None
    block: int | None = None


def read_proof(text: str) -> Proof:
    """Raises Malformed."""
    if len(text) > MAX_FILE:
        raise Malformed("the file is too large for a proof")
    try:
        return Proof.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Malformed(f"this is no proof that this version can read: {where or 'the whole'}") from error


def check_proof(proof: Proof, urls: Sequence[str], http: httpx.Client) -> Checked:
    """Everything. Raises Malformed for a file or answer without sense, Unreachable when a node does not answer."""
    checked = check_file(proof)
    nodes = [Rpc(url, http) for url in urls]
    block = min(node.latest() for node in nodes)
    checked.block = block
    for node in nodes:
        _check_chain(node, block, checked)
    return checked


def check_file(proof: Proof) -> Checked:
    """What can be checked with no chain. Raises Malformed."""
    address = parse_address(proof.address)
    fields = [getattr(proof.statement, name) for name in FIELD_NAMES]
    statement = Statement.from_felts(
        [value if isinstance(value, int) else int(value, 16) for value in fields]
    )
    checked = Checked(Report(), proof, statement, address)
    report = checked.report
    digest = address.anchor.digest(statement)
    report.check("statement", statement.context == address.context, "the statement is another context's")
    report.check("statement", hex(digest) == proof.digest, "the statement does not have the digest beside it")
    match proof.kind, proof.consent, proof.entry, proof.votes:
        case "consent", ConsentPart() as consent, None, None:
            with report.checking("consent", "the directive"):
                _check_consent(checked, consent)
        case "entry", None, EntryPart() as entry, None:
            with report.checking("entry", "the operation"):
                _check_entry(checked, entry)
        case "checkpoint", None, None, VotesPart() as votes:
            with report.checking("votes", "the votes"):
                _check_votes(checked, votes, digest)
        case _:
            raise Malformed(f"a proof of kind {proof.kind} holds that part and no other")
    return checked


def _check_consent(checked: Checked, part: ConsentPart) -> None:
    key, term_key, value = (
        directive_key(bytes.fromhex(part.directive)),
        _felt(part.term_key),
        _felt(part.value),
    )
    if _felt(part.key) != key:
        raise Malformed("the key is not this directive's")
    if (term_key == 0) != (value == 0):
        raise Malformed("a leaf without a key or without a value")
    siblings = tuple(_felt(one) for one in part.siblings)
    proof = ConsentProof(siblings=siblings, terminal=(term_key, value) if term_key else None)
    found = consent_map.check(checked.statement.consent_root, key, proof)
    if found != ABSENT:
        status, valid_from, until = unpack_value(found)
        checked.consent = Consent(status=status, valid_from=valid_from, until=until)


def _check_entry(checked: Checked, part: EntryPart) -> None:
    leaf = operation_leaf(bytes.fromhex(part.operation), part.verdict)
    if _felt(part.leaf) != leaf:
        raise Malformed("the leaf is not this operation's with this verdict")
    statement = checked.statement
    verify_entry(
        statement.log_root, statement.log_size, part.index, leaf,
        [_felt(one) for one in part.peaks], [_felt(one) for one in part.siblings],
    )  # fmt: skip
    try:
        checked.verdict = Verdict(part.verdict)
    except ValueError as error:
        raise Malformed("a verdict that this version does not know") from error


def _check_votes(checked: Checked, part: VotesPart, digest: int) -> None:
    members = [_felt(one) for one in part.members]
    if members_hash(members) != checked.statement.members:
        raise Malformed("the list is not the one that the statement names")
    votes = [Vote(index=one.index, r=_felt(one.r), s=_felt(one.s)) for one in part.votes]
    verify_votes(digest, members, votes)


def _check_chain(node: Rpc, block: int, checked: Checked) -> None:
    address, statement, report = checked.address, checked.statement, checked.report
    same = node.chain_id() == address.chain_id
    if not report.check("chain_id", same, f"{node.url} follows another chain than the address names"):
        report.skip("class_hash", "anchored")
        return
    found = node.class_hash(address.contract, block)
    released = report.check("class_hash", found == CLASS_HASH, f"{node.url}: {class_problem(address, found)}")
    if not released:
        report.skip("anchored")  # what another class answers says nothing
        return
    digest = address.anchor.digest(statement)
    stored = _view(node, "checkpoint", calldata.checkpoint(address.context, statement.k), 1, address, block)[
        0
    ]
    report.check(
        "anchored", stored == digest, f"{node.url}: the contract holds another digest at k = {statement.k}"
    )
    head = _view(node, "head", calldata.head(address.context), 2, address, block)
    checked.newest = checked.newest is not False and tuple(head) == (statement.k, digest)


def _view(
    node: Rpc, name: str, arguments: list[int], size: int, address: ChainAddress, block: int
) -> list[int]:
    answer = node.call(address.contract, ENTRY_POINTS[name], arguments, block)
    if len(answer) != size:
        raise Malformed(
            f"the Starknet node at {node.url} answers `{name}` with {len(answer)} felts, not {size}"
        )
    return answer


def _felt(text: str) -> Felt:
    return want_felt(int(text, 16))
