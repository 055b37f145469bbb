"""`medsync verify` against the embedded chain's JSON-RPC, honest and lying."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from medsync_client.errors import Unreachable
from medsync_node.verify.audit import Audit, audit
from medsync_node.verify.chain_check import CHAIN_CHECKS
from medsync_node.verify.export_check import EXPORT_CHECKS
from medsync_protocol.address import ChainAddress
from medsync_protocol.anchor_abi import EVENTS
from medsync_protocol.errors import Malformed
from medsync_protocol.statement import cast_vote, listed_hash
from medsync_protocol.transition import MIN_RECOVERY_DELAY
from tests.contracts.anchored import Anchored, Committee
from tests.contracts.local_chain import Lie, LocalChain

URL = "http://chain.invalid"


def quiet(text: str) -> None:
    """No progress wanted."""


def address_of(anchored: Anchored) -> ChainAddress:
    return ChainAddress(
        chain_id=anchored.stage.chain_id, contract=anchored.contract, context=anchored.context
    )


@pytest.fixture(scope="module")
def played() -> tuple[LocalChain, Anchored]:
    """Opened, two checkpoints, a new list, a recovery that took force, one more checkpoint."""
    chain = LocalChain()
    anchored = Anchored(stage=chain, contract=chain.deploy("anchor"))
    anchored.open()
    anchored.advance([1, 2, 3], consent_root=5)
    anchored.advance([4], following=Committee(5, first=20))
    void = anchored.propose_recovery(Committee(2))
    anchored.recover(void)
    anchored.advance([5])
    survivors = Committee(3, first=20)
    proposal = anchored.propose_recovery(survivors)
    anchored.recover(proposal)
    chain.time += anchored.recovery_delay
    anchored.execute(proposal.following)
    anchored.head, anchored.committee = proposal.following, survivors
    anchored.advance([6, 7])
    return chain, anchored


def run(played: tuple[LocalChain, Anchored], lie: Lie | None = None) -> Audit:
    chain, anchored = played
    with chain.http(lie) as http:
        return audit(address_of(anchored), [URL], http, None, quiet)


def failed(found: Audit) -> set[str]:
    return {name for name, holds in found.report.checks.items() if holds is False}


def unlooked(found: Audit) -> set[str]:
    return {name for name, holds in found.report.checks.items() if holds is None}


def test_everything_holds_on_an_honest_chain(played: tuple[LocalChain, Anchored]) -> None:
    found = run(played)
    assert found.report.problems == []
    assert found.report.checks == dict.fromkeys(CHAIN_CHECKS, True)
    assert [statement.k for statement in found.judged.statements] == [0, 1, 2, 3, 4, 5]
    assert found.judged.statements[-1] == played[1].head


def test_a_context_without_checkpoints_holds_as_far_as_it_goes() -> None:
    chain = LocalChain()
    anchored = Anchored(stage=chain, contract=chain.deploy("anchor"))
    anchored.open()
    assert run((chain, anchored)).report.ok


# -- lies -----------------------------------------------------------------------------------------------------------


def tampered(name: str, edit: Any) -> Lie:
    """The first event of this name is told otherwise."""

    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getEvents":
            for event in result["events"]:
                if int(event["keys"][0], 16) == EVENTS[name]:
                    edit(event)
                    break
        return result

    return lie


def other(felt: str) -> str:
    return hex(int(felt, 16) + 1)


LENGTHS = {
    "ContextOpened": 5, "CheckpointPosted": 12, "Votes": 10, "MembersChanged": 6, "RecoveryProposed": 13,
    "RecoveryExecuted": 12,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "index"), [(name, at) for name, size in LENGTHS.items() for at in range(size)]
)
def test_any_felt_of_any_event_that_is_told_otherwise_is_found(
    played: tuple[LocalChain, Anchored], name: str, index: int
) -> None:
    def edit(event: Any) -> None:
        assert len(event["data"]) == LENGTHS[name]
        event["data"][index] = other(event["data"][index])

    try:
        found = run(played, tampered(name, edit))
    except Malformed:
        return  # a length that does not fit, a list that does not have its hash
    assert not found.report.ok


def test_an_opening_that_the_founder_did_not_sign_is_found(played: tuple[LocalChain, Anchored]) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getTransactionByHash" and hex(MIN_RECOVERY_DELAY) in result["calldata"]:
            result["calldata"][-1] = other(result["calldata"][-1])
        return result

    assert failed(run(played, lie)) == {"founder_signature"}


def test_other_settings_than_those_of_the_opening_are_found(played: tuple[LocalChain, Anchored]) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_call" and result == ["0x0", hex(MIN_RECOVERY_DELAY)]:
            return ["0x5", hex(MIN_RECOVERY_DELAY)]
        return result

    assert failed(run(played, lie)) == {"opening"}


def test_a_tampered_statement_with_a_fitting_digest_is_not_the_contracts(
    played: tuple[LocalChain, Anchored],
) -> None:
    anchored = played[1]
    first = run(played).judged.statements[1]
    forged = type(first)(**{**{name: getattr(first, name) for name in first.__slots__}, "consent_root": 99})
    digest = anchored.anchor.digest(forged)

    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getEvents":
            posted = [
                event for event in result["events"] if int(event["keys"][0], 16) == EVENTS["CheckpointPosted"]
            ]
            posted[0]["data"] = [hex(felt) for felt in (digest, *forged.to_felts())]
        if method == "starknet_getTransactionByHash" and "calldata" in result:
            true = [hex(felt) for felt in first.to_felts()]
            at = _find(result["calldata"], true)
            if at is not None:
                result["calldata"][at : at + 11] = [hex(felt) for felt in forged.to_felts()]
        return result

    found = run(played, lie)
    assert "digests" in failed(found)

    def lie_on(method: str, result: Any) -> Any:
        """The views lie too: then the signatures speak."""
        result = lie(method, result)
        if (
            method == "starknet_call"
            and len(result) == 1
            and int(result[0], 16) == anchored.anchor.digest(first)
        ):
            return [hex(digest)]
        return result

    assert "signatures" in failed(run(played, lie_on))


def _find(felts: list[str], wanted: list[str]) -> int | None:
    for at in range(len(felts) - len(wanted) + 1):
        if felts[at : at + len(wanted)] == wanted:
            return at
    return None


def test_a_forged_vote_is_found(played: tuple[LocalChain, Anchored]) -> None:
    def edit(event: Any) -> None:
        event["data"][3] = other(event["data"][3])

    assert "signatures" in failed(run(played, tampered("Votes", edit)))


def test_a_vote_that_is_told_twice_is_found(played: tuple[LocalChain, Anchored]) -> None:
    def edit(event: Any) -> None:
        event["data"][4:7] = event["data"][1:4]

    found = run(played, tampered("Votes", edit))
    assert "signatures" in failed(found)
    assert any("VOTES_NOT_ASCENDING" in problem for problem in found.report.problems)


def test_a_member_list_with_a_stranger_is_found(played: tuple[LocalChain, Anchored]) -> None:
    def edit(event: Any) -> None:
        keys = [int(felt, 16) for felt in event["data"][2:-1]] + [max(Committee(30).keys)]
        event["data"] = [hex(felt) for felt in (listed_hash(keys), len(keys), *keys)]

    assert "opening" in failed(run(played, tampered("MembersChanged", edit)))


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_a_missing_event_is_missed(played: tuple[LocalChain, Anchored], name: str) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getEvents":
            gone = next(event for event in result["events"] if int(event["keys"][0], 16) == EVENTS[name])
            result["events"].remove(gone)
        return result

    try:
        found = run(played, lie)
    except Malformed:
        return  # votes or a list that follow nothing
    assert not found.report.ok


def test_a_chain_cut_short_does_not_reach_the_head(played: tuple[LocalChain, Anchored]) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getEvents":
            posted = EVENTS["CheckpointPosted"]
            last = max(i for i, event in enumerate(result["events"]) if int(event["keys"][0], 16) == posted)
            del result["events"][last:]
        return result

    assert failed(run(played, lie)) == {"head"}


def test_an_append_proof_that_was_left_out_is_missed(played: tuple[LocalChain, Anchored]) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getTransactionByHash":
            result["calldata"] = result["calldata"][:-8]
        return result

    assert failed(run(played, lie)) & {"append_proofs", "founder_signature"}


def test_another_class_is_not_the_released_one(played: tuple[LocalChain, Anchored]) -> None:
    found = run(played, lambda method, result: "0x5" if method == "starknet_getClassHashAt" else result)
    assert failed(found) == {"class_hash"}
    assert unlooked(found) == set(CHAIN_CHECKS) - {"chain_id", "class_hash"}, "its word says nothing"


def test_another_chain_is_not_the_addresss(played: tuple[LocalChain, Anchored]) -> None:
    found = run(played, lambda method, result: "0x5" if method == "starknet_chainId" else result)
    assert failed(found) == {"chain_id"}
    assert unlooked(found) == set(CHAIN_CHECKS) - {"chain_id"}
    assert "the node follows chain 0x5" in found.report.problems[0]


def test_a_recovery_before_its_time_is_found(played: tuple[LocalChain, Anchored]) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getBlockWithTxHashes":
            result["timestamp"] = min(result["timestamp"], 1_800_000_000)
        return result

    assert "links" in failed(run(played, lie))


def test_an_address_where_nothing_stands_is_told(played: tuple[LocalChain, Anchored]) -> None:
    chain, anchored = played
    nowhere = ChainAddress(chain_id=chain.chain_id, contract=0x5, context=anchored.context)
    with chain.http() as http:
        found = audit(nowhere, [URL], http, None, quiet)
    assert failed(found) == {"class_hash"} and not found.report.ok
    assert unlooked(found) == set(CHAIN_CHECKS) - {"chain_id", "class_hash"}
    assert "no contract stands at 0x0" in found.report.problems[0] and "digit" in found.report.problems[0]


def test_a_context_that_nobody_opened_is_told_once(played: tuple[LocalChain, Anchored]) -> None:
    """A digit mistyped: one thing failed, and nothing is said of what depends on it."""
    chain, anchored = played
    unopened = ChainAddress(chain_id=chain.chain_id, contract=anchored.contract, context=anchored.context ^ 1)
    with chain.http() as http:
        found = audit(unopened, [URL, URL], http, ["not even looked at"], quiet)
    assert failed(found) == {"opening"} and not found.report.ok
    assert unlooked(found) == {*CHAIN_CHECKS, *EXPORT_CHECKS} - {"chain_id", "class_hash", "opening"}
    (problem,) = set(found.report.problems)
    assert problem.startswith(f"the contract knows no context {unopened.context:#066x}: a digit")
    lines = list(found.report.lines())
    assert "FAILED      opening" in lines and "not checked signatures" in lines and "holds       chain id" in lines


@pytest.mark.parametrize("nonsense", [None, 7, "0xzz", [], {}, {"events": 5}, {"events": [{}]}, [1]])
def test_nonsense_is_the_nodes_fault(played: tuple[LocalChain, Anchored], nonsense: Any) -> None:
    for spoilt in (
        "starknet_chainId",
        "starknet_getEvents",
        "starknet_call",
        "starknet_getTransactionByHash",
    ):

        def lie(method: str, result: Any, spoilt: str = spoilt) -> Any:
            return nonsense if method == spoilt else result

        with pytest.raises(Malformed):
            run(played, lie)


def test_a_node_that_does_not_answer_is_unreachable(played: tuple[LocalChain, Anchored]) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    with (
        httpx.Client(transport=httpx.MockTransport(handle)) as http,
        pytest.raises(Unreachable, match="no answer"),
    ):
        audit(address_of(played[1]), [URL], http, None, quiet)


# -- two nodes --------------------------------------------------------------------------------------------------


def two(played: tuple[LocalChain, Anchored], lie: Lie | None) -> Audit:
    chain, anchored = played
    honest, other_ = chain.transport(), chain.transport(lie)

    def handle(request: httpx.Request) -> httpx.Response:
        return (honest if request.url.host == "one.invalid" else other_).handle_request(request)

    with httpx.Client(transport=httpx.MockTransport(handle)) as http:
        return audit(address_of(anchored), ["http://one.invalid", "http://two.invalid"], http, None, quiet)


def test_two_nodes_that_agree(played: tuple[LocalChain, Anchored]) -> None:
    found = two(played, None)
    assert (found.report.ok, found.report.checks["nodes_agree"]) == (True, True)


def test_two_nodes_that_differ_are_told_apart(played: tuple[LocalChain, Anchored]) -> None:
    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getBlockWithTxHashes":
            result["block_hash"] = "0x77"
        return result

    found = two(played, lie)
    assert failed(found) == {"nodes_agree"}
    assert "block_hash" in found.report.problems[0]


def test_the_second_node_may_be_behind(played: tuple[LocalChain, Anchored]) -> None:
    found = two(played, lambda method, result: result - 1 if method == "starknet_blockNumber" else result)
    assert found.report.ok
    assert found.facts.head[0] == played[1].head.k - 1


# -- a quorum that the chain never saw ------------------------------------------------------------------------------


def test_signatures_alone_do_not_make_a_checkpoint(played: tuple[LocalChain, Anchored]) -> None:
    """A node invents a checkpoint beyond the head, signed by a colluding quorum: the contract knows none."""
    anchored = played[1]
    proposal = anchored.propose([9])
    digest = anchored.anchor.digest(proposal.following)
    votes = [cast_vote(digest, anchored.committee.keys, secret) for secret in anchored.committee.secrets]
    k = hex(proposal.following.k)

    def event(name: str, data: Iterable[int]) -> dict[str, Any]:
        return {
            "from_address": hex(anchored.contract), "keys": [hex(EVENTS[name]), hex(anchored.context), k],
            "data": [hex(felt) for felt in data], "transaction_hash": "0x1234", "block_number": 3,
        }  # fmt: skip

    def lie(method: str, result: Any) -> Any:
        if method == "starknet_getEvents":
            felts = [felt for vote in votes for felt in vote.to_felts()]
            result["events"] += [
                event("CheckpointPosted", [digest, *proposal.following.to_felts()]),
                event("Votes", [len(votes), *felts]),
            ]
        return result

    def ask(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if asked["params"].get("transaction_hash") == "0x1234":
            found = {"calldata": [hex(felt) for felt in proposal.calldata()]}
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": found})
        return played[0].transport(lie).handle_request(request)

    with httpx.Client(transport=httpx.MockTransport(ask)) as http:
        found = audit(address_of(anchored), [URL], http, None, quiet)
    assert failed(found) == {"digests"}
