"""protocol/vectors decide between Python and Cairo: the compiled anchor gives the digests, roots and answers in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medsync_protocol import calldata
from medsync_protocol.consent_map import ConsentProof
from medsync_protocol.poseidon import Felt
from medsync_protocol.statement import Statement, Vote, context_hash
from medsync_protocol.transition import AppendProof
from tests.contracts.anchored import Anchored, Committee, opened
from tests.contracts.stage import Stage

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def felts(values: list[str]) -> list[int]:
    return [int(value, 16) for value in values]


def test_the_context_of_the_vectors_opens_and_takes_its_checkpoint() -> None:
    case = load("statement")
    contract, members = int(case["contract"], 16), felts(case["members"])
    stage = Stage(chain_id=int(case["chain_id"], 16))
    stage.deploy("anchor", contract)
    opening = Statement.from_felts(felts(case["opening"]["felts"]))
    r, s = felts(case["opening"]["signature"])
    founder = _founder(case)
    arguments = calldata.open_context(
        founder=founder, genesis_digest=bytes.fromhex(case["genesis"]), members=members,
        verifier=int(case["opening"]["verifier"], 16), recovery_delay=int(case["opening"]["recovery_delay"]),
        signature=(r, s),
    )  # fmt: skip
    assert stage.call(contract, "open_context", arguments).data == [int(case["context"], 16)]
    assert stage.call(contract, "head", [opening.context]).data == [0, int(case["opening"]["digest"], 16)]
    following = Statement.from_felts(felts(case["following"]["felts"]))
    post = calldata.post_checkpoint(
        head=opening, following=following, members=members,
        votes=[Vote.from_felts(felts(vote)) for vote in case["votes"]],
        append=AppendProof(
            old_peaks=tuple(felts(case["append"]["old_peaks"])), nodes=tuple(felts(case["append"]["nodes"]))
        ),
    )  # fmt: skip
    stage.time = max(stage.time, following.not_before)
    assert stage.call(contract, "post_checkpoint", post).data == [1]
    assert stage.call(contract, "head", [opening.context]).data == [1, int(case["following"]["digest"], 16)]


def _founder(case: Any) -> int:
    """The member whose signature opens the vectors' context."""
    digest = bytes.fromhex(case["genesis"])
    found = [key for key in felts(case["members"]) if context_hash(key, digest) == int(case["context"], 16)]
    return found[0]


def lone() -> Anchored:
    return opened(committee=Committee(1))


def grown(leaves: list[int], size: int) -> Anchored:
    anchored = lone()
    if size:
        anchored.advance(leaves[:size])
    return anchored


@pytest.mark.parametrize("case", load("mountain_range")["logs"], ids=lambda case: f"size {case['size']}")
def test_a_log_of_the_vectors_has_its_root(case: Any) -> None:
    leaves = felts(load("mountain_range")["leaves"])
    anchored = grown(leaves, int(case["size"]))
    assert anchored.head.log_root == int(case["root"], 16)
    assert anchored.log.peaks() == felts(case["peaks"])


def test_appends_of_the_vectors_are_accepted() -> None:
    vectors = load("mountain_range")
    leaves = felts(vectors["leaves"])
    roots = {int(case["size"]): int(case["root"], 16) for case in vectors["logs"]}
    assert len(vectors["appends"]) > 30
    for case in vectors["appends"]:
        old, new = int(case["old"]), int(case["new"])
        anchored = grown(leaves, old)
        proposal = anchored.propose(leaves[old:new])
        assert proposal.following.log_root == roots.get(new, proposal.following.log_root)
        nodes = tuple(felts(case["nodes"]))
        append = AppendProof(old_peaks=proposal.append.old_peaks, nodes=nodes)
        assert anchored.post(proposal.but(append=append)).data == [1]


@pytest.mark.parametrize(
    "case", load("mountain_range")["entries"], ids=lambda case: f"{case['index']} of {case['size']}"
)
def test_entries_of_the_vectors_are_in_the_log(case: Any) -> None:
    leaves = felts(load("mountain_range")["leaves"])
    size, index = int(case["size"]), int(case["index"])
    anchored = grown(leaves, size)
    siblings = felts(case["siblings"])
    arguments = calldata.verify_entry(anchored.head, index, leaves[index], anchored.log.peaks(), siblings)
    assert anchored.view("verify_entry", arguments) == [1]


@pytest.mark.parametrize("case", load("consents")["proofs"], ids=lambda case: case["key"][:10])
def test_consents_of_the_vectors_are_found_or_absent(case: Any) -> None:
    anchored = lone()
    anchored.advance([1], consent_root=int(load("consents")["root"], 16))
    terminal = case["terminal"] and (Felt(int(case["terminal"][0], 16)), Felt(int(case["terminal"][1], 16)))
    proof = ConsentProof(siblings=tuple(Felt(felt) for felt in felts(case["siblings"])), terminal=terminal)
    arguments = calldata.verify_consent(anchored.head, int(case["key"], 16), proof)
    assert anchored.view("verify_consent", arguments) == [int(int(case["value"], 16) != 0)]
