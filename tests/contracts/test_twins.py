"""Python and Cairo give the same answer to the same proposal or proof: accepted alike, or refused for the same reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from medsync_protocol import calldata, consent_map
from medsync_protocol.consent_map import ABSENT, ConsentMap, ConsentProof
from medsync_protocol.log import Log, verify_entry
from medsync_protocol.poseidon import FIELD_PRIME, Felt
from medsync_protocol.refusal import AnchorRefusal, Reason
from medsync_protocol.statement import FIELD_NAMES, Vote
from medsync_protocol.transition import check_checkpoint, check_recovery
from tests.contracts.anchored import Anchored, Committee, Proposal, opened
from tests.contracts.stage import Reverted

SMALL = settings(max_examples=60, deadline=None)
WIDE = ("k", "log_size", "not_before")
felts = st.integers(0, FIELD_PRIME - 1) | st.integers(0, 3)
places = st.integers(0, 40)

Draw = Callable[[Any], Any]


def cairo(call: Callable[[], Any]) -> Any:
    """The answer, or the reason of the revert."""
    try:
        return call()
    except Reverted as refusal:
        return Reason(refusal.reason)


def python(call: Callable[[], Any]) -> Any:
    """The answer, or the reason of the refusal."""
    try:
        return call()
    except AnchorRefusal as refusal:
        return refusal.reason


# -- proposals ----------------------------------------------------------------------------------------------------


def edited(draw: Draw, values: Sequence[Any], element: st.SearchStrategy[Any]) -> list[Any]:
    """The list with one thing about it changed."""
    found = list(values)
    at = draw(places) % (len(found) + 1)
    match draw(st.sampled_from(["insert", "drop", "replace", "swap", "double"])):
        case "insert":
            found.insert(at, draw(element))
        case "drop":
            del found[at : at + 1]
        case "replace":
            found[at : at + 1] = [draw(element)]
        case "swap":
            found.reverse()
        case "double":
            found[at:at] = found[at : at + 1]
    return found


@st.composite
def spoilt(draw: st.DrawFn, anchored: Anchored, proposal: Proposal) -> Proposal:
    """The proposal as it is, or with a fault or two."""
    votes = st.builds(Vote, index=st.integers(0, 5), r=felts, s=felts)
    for _ in range(draw(st.integers(0, 2))):
        match draw(
            st.sampled_from(["statement", "unsigned", "head", "votes", "peaks", "nodes", "members", "next"])
        ):
            case "statement":
                proposal = anchored.resigned(proposal, **draw(fields()))
            case "unsigned":
                proposal = proposal.but(following=replace(proposal.following, **draw(fields())))
            case "head":
                proposal = proposal.but(head=replace(proposal.head, **draw(fields())))
            case "votes":
                proposal = proposal.but(votes=edited(draw, proposal.votes, votes))
            case "peaks":
                peaks = tuple(edited(draw, proposal.append.old_peaks, felts))
                proposal = proposal.but(append=replace(proposal.append, old_peaks=peaks))
            case "nodes":
                nodes = tuple(edited(draw, proposal.append.nodes, felts))
                proposal = proposal.but(append=replace(proposal.append, nodes=nodes))
            case "members":
                proposal = proposal.but(members=edited(draw, proposal.members, felts))
            case "next":
                proposal = proposal.but(next_members=edited(draw, proposal.next_members, felts))
    return proposal


@st.composite
def fields(draw: st.DrawFn) -> dict[str, int]:
    name = draw(st.sampled_from([name for name in FIELD_NAMES if name != "context"]))
    return {name: draw(st.integers(0, 2**64 - 1) | st.integers(0, 9) if name in WIDE else felts)}


def judged_by_python(anchored: Anchored, proposal: Proposal, check: Callable[..., Any]) -> Any:
    """What the contract would say, from what it stores: the witness is the head, then the pure rules."""
    following, stored = proposal.following, anchored.head
    if check is check_checkpoint and following.k <= stored.k:
        taken = anchored.view("checkpoint", calldata.checkpoint(anchored.context, following.k))[0]
        return False if taken == anchored.anchor.digest(following) else Reason.K_TAKEN
    if proposal.head != stored:
        return Reason.WRONG_PREV if following.k == stored.k + 1 else Reason.K_NOT_NEXT
    arguments: dict[str, Any] = {
        "head": proposal.head, "following": following, "members": proposal.members, "votes": proposal.votes,
        "next_members": proposal.next_members, "block_time": anchored.stage.time,
    }  # fmt: skip
    if check is check_checkpoint:
        arguments["append"] = proposal.append
    return python(lambda: bool(check(anchored.anchor, **arguments)))


def posted(anchored: Anchored, proposal: Proposal) -> bool:
    return bool(anchored.post(proposal).data[0])


@SMALL
@given(data=st.data())
def test_a_trace_of_checkpoints_is_judged_alike(data: st.DataObject) -> None:
    anchored = opened(committee=Committee(data.draw(st.sampled_from([1, 2, 4]))))
    for round_ in range(data.draw(st.integers(1, 3))):
        leaves = data.draw(st.lists(felts, min_size=0, max_size=9))
        successors = data.draw(st.sampled_from([None, Committee(3, first=10 * round_ + 10)]))
        proposal = data.draw(spoilt(anchored, anchored.propose(leaves, successors)))
        expected = judged_by_python(anchored, proposal, check_checkpoint)
        found = cairo(partial(posted, anchored, proposal))
        assert found == expected, (found, expected)
        if found is True:
            digest = anchored.anchor.digest(proposal.following)
            assert anchored.stored_head() == (proposal.following.k, digest)
            anchored.head = proposal.following
            anchored.log.append(leaves)
            if proposal.next_members:
                assert successors is not None
                anchored.committee = successors


@SMALL
@given(data=st.data())
def test_recoveries_are_judged_alike(data: st.DataObject) -> None:
    anchored = opened(committee=Committee(4))
    proposal = data.draw(spoilt(anchored, anchored.propose_recovery(Committee(2, first=9))))
    expected = judged_by_python(anchored, proposal, check_recovery)
    found = cairo(lambda: bool(anchored.recover(proposal).events))
    assert found == expected, (found, expected)


# -- proofs -------------------------------------------------------------------------------------------------------


def holding(**changes: Any) -> Anchored:
    """A context of one with a checkpoint whose statement has these roots: the quorum's word, whatever is under them."""
    anchored = opened(committee=Committee(1))
    anchored.advance([1], **changes)
    return anchored


@SMALL
@given(
    items=st.dictionaries(st.integers(1, 40).map(lambda n: Felt(n * 2**130 + n)) | felts.filter(bool).map(Felt),
                          st.integers(1, 2**136 - 1).map(Felt), max_size=12),
    data=st.data(),
)  # fmt: skip
def test_consent_proofs_are_judged_alike(items: dict[Felt, Felt], data: st.DataObject) -> None:
    held = ConsentMap().put_many(_apart(items))
    anchored = holding(consent_root=held.root)
    key = data.draw(st.sampled_from([*items, Felt(1)]) | felts.map(Felt))
    proof = held.prove(key)
    if data.draw(st.booleans()):
        proof = replace(proof, siblings=tuple(edited(data.draw, proof.siblings, felts)))
    if data.draw(st.booleans()):
        proof = replace(
            proof,
            terminal=data.draw(
                st.none() | st.tuples(felts.map(Felt), felts.map(Felt)).filter(lambda pair: pair != (0, 0))
            ),
        )
    expected = python(lambda: consent_map.check(held.root, key, proof) != ABSENT)
    arguments = calldata.verify_consent(anchored.head, key, proof)
    assert cairo(lambda: bool(anchored.view("verify_consent", arguments)[0])) == expected


def _apart(items: dict[Felt, Felt]) -> dict[Felt, Felt]:
    """One key per path: the map refuses two that share their low 128 bits."""
    return dict({key & (2**128 - 1): (key, value) for key, value in items.items()}.values())


def test_an_untouched_proof_of_a_deep_leaf_holds_in_both() -> None:
    near, far = Felt(2**127 + 5), Felt(5)
    held = ConsentMap().put_many({near: Felt(9), far: Felt(8)})
    proof = held.prove(near)
    assert len(proof.siblings) == 128
    anchored = holding(consent_root=held.root)
    assert anchored.view("verify_consent", calldata.verify_consent(anchored.head, near, proof)) == [1]
    absent = ConsentProof(siblings=proof.siblings, terminal=proof.terminal)
    arguments = calldata.verify_consent(anchored.head, Felt(near + 2**128), absent)
    assert anchored.view("verify_consent", arguments) == [0]


@SMALL
@given(data=st.data())
def test_entry_proofs_are_judged_alike(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    log = Log()
    log.append(range(1, size + 1))
    anchored = opened(committee=Committee(1))
    anchored.advance(range(1, size + 1))
    index = data.draw(st.integers(0, size - 1))
    peaks, siblings, leaf = log.peaks(), log.path(index), log.leaf(index)
    if data.draw(st.booleans()):
        siblings = edited(data.draw, siblings, felts)
    if data.draw(st.booleans()):
        peaks = edited(data.draw, peaks, felts)
    if data.draw(st.booleans()):
        index, leaf = data.draw(st.integers(0, 50)), Felt(data.draw(felts))
    expected = python(lambda: verify_entry(anchored.head.log_root, size, index, leaf, peaks, siblings))
    arguments = calldata.verify_entry(anchored.head, index, leaf, peaks, siblings)
    found = cairo(lambda: anchored.view("verify_entry", arguments)[0])
    assert found == (1 if expected is None else expected)
