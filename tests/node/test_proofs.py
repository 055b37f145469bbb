"""Proofs that a node writes and a stranger checks: a real daemon, the compiled contract, and files that were tampered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from medsync_client.checkpoints import ChainRegistration, OpeningRequest
from medsync_client.consents import DirectiveText, Grant, RevocationText, Revoke, WireRule
from medsync_client.errors import NotFound, Refused
from medsync_client.proofs import Proof
from medsync_client.subjects import SubjectEnrol
from medsync_node.cli import run
from medsync_node.verify.proof import Checked, check_file, check_proof, read_proof
from medsync_protocol import calldata
from medsync_protocol.consent_map import Status
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import ContextId
from medsync_protocol.kinds import Verdict
from medsync_protocol.transition import MIN_RECOVERY_DELAY
from tests.contracts.local_chain import CHAIN_ID, LocalChain
from tests.node.api_world import Party, form, parties, until

URL = "http://chain.invalid"


class Story:
    """One daemon whose context stands on an anchor, and the files it wrote."""

    def __init__(self) -> None:
        self.chain = LocalChain()
        self.contract = self.chain.deploy("anchor")
        self.proofs: dict[str, Proof] = {}

    async def open(self, party: Party, context: ContextId) -> None:
        asked = OpeningRequest(
            chain_id=hex(CHAIN_ID), contract=hex(self.contract), recovery_delay=MIN_RECOVERY_DELAY
        )
        opening = await party.client.opening("trial", asked)
        arguments = calldata.open_context(
            founder=int(opening.founder, 16), genesis_digest=bytes.fromhex(opening.genesis),
            members=[int(key, 16) for key in opening.members], verifier=0, recovery_delay=MIN_RECOVERY_DELAY,
            signature=(int(opening.r, 16), int(opening.s, 16)),
        )  # fmt: skip
        self.chain.call(self.contract, "open_context", arguments)
        body = ChainRegistration(
            chain_id=hex(CHAIN_ID), contract=hex(self.contract), block=0, opening=opening
        )
        await party.client.register_chain("trial", body)

    async def checkpoint(self, party: Party, context: ContextId) -> None:
        """Signed by the node, posted to the contract, and seen there by the node."""
        engine = party.daemon.node.engine
        held = engine.checkpoints(context)
        k = held.accepted + 1

        async def signed() -> bool:
            await party.client.propose("trial")
            return held.certificate(k) is not None

        await until(signed)
        found = held.certificate(k)
        assert found is not None
        self.chain.time = max(self.chain.time, found.following.not_before + 1)
        arguments = calldata.post_checkpoint(
            head=found.head, following=found.following, members=found.members, votes=found.votes,
            append=found.append, next_members=found.next_members,
        )  # fmt: skip
        self.chain.call(self.contract, "post_checkpoint", arguments)
        await party.daemon.node.perform(
            lambda now: (None, engine.observe(now, context, k, found.digest, False))
        )
        assert held.accepted == k

    def check(self, proof: Proof, **changes: Any) -> Checked:
        with self.chain.http(**changes) as http:
            return check_proof(read_proof(proof.model_dump_json()), [URL], http)


async def tell(directory: Path) -> Story:
    story = Story()
    async with parties(directory, "north") as [north]:
        made = await form([north])
        context = ContextId(bytes.fromhex(made.id))
        await story.open(north, context)
        subject = await north.client.enrol_subject("trial", SubjectEnrol())
        text = DirectiveText(subject=subject.subject, rules=(WireRule(effect="permit"),))
        kept = await north.client.grant("trial", Grant(attest=text))
        taken = await north.client.grant("trial", Grant(attest=text))
        await story.checkpoint(north, context)
        body = RevocationText(subject=subject.subject, targets=(taken.id,))
        revoked = await north.client.revoke("trial", Revoke(attest=body))
        with pytest.raises(Refused) as early:
            await north.client.prove_entry("trial", revoked.op)
        assert early.value.code == "not_in_a_checkpoint"
        await story.checkpoint(north, context)
        with pytest.raises(NotFound):
            await north.client.prove_entry("trial", "00" * 32)
        with pytest.raises(NotFound):
            await north.client.prove_checkpoint("trial", 9)
        client = north.client
        story.proofs = {
            "kept": await client.prove_consent("trial", kept.id),
            "taken": await client.prove_consent("trial", taken.id),
            "absent": await client.prove_consent("trial", "ab" * 32),
            "first": await client.prove_entry("trial", kept.op),
            "last": await client.prove_entry("trial", revoked.op),
            "newest": await client.prove_checkpoint("trial"),
            "earlier": await client.prove_checkpoint("trial", 1),
        }
    return story


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return trio.run(tell, tmp_path_factory.mktemp("proofs"))


def test_what_a_node_proves_holds_on_the_chain(story: Story) -> None:
    for name, proof in story.proofs.items():
        found = story.check(proof)
        assert found.report.ok, (name, found.report.problems)
        assert found.newest is (name != "earlier")


def test_a_directive_is_proven_with_its_status_and_its_absence_too(story: Story) -> None:
    kept, taken, absent = (story.check(story.proofs[name]).consent for name in ("kept", "taken", "absent"))
    assert kept is not None
    assert (kept.status, kept.until) == (Status.ACTIVE, None)
    assert taken is not None
    assert taken.status is Status.REVOKED
    assert absent is None


def test_an_operation_is_proven_with_its_verdict(story: Story) -> None:
    assert story.check(story.proofs["first"]).verdict is Verdict.EFFECTIVE
    first, last = story.proofs["first"].entry, story.proofs["last"].entry
    assert first is not None
    assert last is not None
    assert first.index < last.index


FELT = "0x1234"
LIES: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("kept", lambda d: d["consent"].update(directive="ab" * 32), "consent"),
    ("kept", lambda d: d["consent"].update(directive="ab" * 32, key=FELT), "consent"),
    ("kept", lambda d: d["consent"].update(value=hex(int(d["consent"]["value"], 16) + 1)), "consent"),
    ("kept", lambda d: d["consent"].update(value="0x0", term_key="0x0"), "consent"),
    ("kept", lambda d: d["consent"].update(term_key="0x0"), "consent"),
    ("kept", lambda d: d["consent"].update(siblings=[FELT, *d["consent"]["siblings"]]), "consent"),
    ("absent", lambda d: d["consent"].update(siblings=[]), "consent"),
    ("first", lambda d: d["entry"].update(operation="ab" * 32), "entry"),
    ("first", lambda d: d["entry"].update(verdict=d["entry"]["verdict"] + 1), "entry"),
    ("first", lambda d: d["entry"].update(index=d["entry"]["index"] + 1), "entry"),
    ("first", lambda d: d["entry"].update(index=2**31), "entry"),
    ("first", lambda d: d["entry"].update(peaks=[*d["entry"]["peaks"][::-1], FELT]), "entry"),
    ("first", lambda d: d["entry"].update(siblings=d["entry"]["siblings"][1:]), "entry"),
    ("newest", lambda d: d["votes"].update(votes=[]), "votes"),
    ("newest", lambda d: d["votes"]["votes"][0].update(s=FELT), "votes"),
    ("newest", lambda d: d["votes"].update(members=[FELT]), "votes"),
    ("newest", lambda d: d["statement"].update(log_size=d["statement"]["log_size"] + 1), "statement"),
    ("kept", lambda d: d["statement"].update(consent_root=FELT), "anchored"),
    ("kept", lambda d: d["statement"].update(k=1), "anchored"),
    ("kept", lambda d: d.update(digest=FELT), "statement"),
    ("kept", lambda d: d.update(address=d["address"][:-4] + "beef"), "statement"),
    ("kept", lambda d: d.update(address=d["address"].replace("MEDSYNC_LOCAL", "SN_MAIN")), "chain_id"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(LIES)))
def test_a_proof_that_was_tampered_with_fails(story: Story, number: int) -> None:
    name, lie, check = LIES[number]
    document = json.loads(story.proofs[name].model_dump_json())
    lie(document)
    found = story.check(Proof.model_validate(document))
    assert not found.report.ok
    assert found.report.checks[check] is False


@pytest.mark.parametrize(
    "lie",
    [
        lambda d: d.update(kind="entry"), lambda d: d.update(kind="other"), lambda d: d.update(medsync_proof=2),
        lambda d: d.update(consent=None), lambda d: d["consent"].update(value="0x" + "f" * 64),
        lambda d: d["consent"].update(siblings=[FELT] * 129), lambda d: d["statement"].update(k=-1),
        lambda d: d.update(address="starknet:x"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_proof_is_malformed_or_fails(
    story: Story, lie: Callable[[dict[str, Any]], None]
) -> None:
    document = json.loads(story.proofs["kept"].model_dump_json())
    lie(document)
    try:
        found = check_file(read_proof(json.dumps(document)))
    except Malformed:
        return
    assert not found.report.ok


def test_text_that_is_no_json_is_malformed() -> None:
    for text in ("", "{", "[]", "null", " " * (1 << 21)):
        with pytest.raises(Malformed):
            read_proof(text)


def test_a_class_that_is_not_the_released_one_proves_nothing(story: Story) -> None:
    def lie(method: str, result: Any) -> Any:
        return "0x1" if method == "starknet_getClassHashAt" else result

    found = story.check(story.proofs["kept"], lie=lie)
    assert (found.report.checks["class_hash"], found.report.checks["anchored"]) == (False, None)


def test_two_nodes_are_both_asked(story: Story) -> None:
    def lie(method: str, result: Any) -> Any:
        return ["0x1"] if method == "starknet_call" and len(result) == 1 else result

    with story.chain.http(lie) as http:
        found = check_proof(story.proofs["kept"], [URL, "http://other.invalid"], http)
    assert found.report.checks["anchored"] is False


def test_a_stranger_types_one_line(story: Story, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "proof.json"
    file.write_text(story.proofs["kept"].model_dump_json(exclude_none=True))
    with story.chain.served() as url:
        right = ["proof", "check", str(file), "--rpc", url, "--address", story.proofs["kept"].address]
        assert run([*right, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["ok"], said["newest"], said["consent"]["status"]) == (True, True, "active")
        assert run(right) == 0
        assert "the directive is active under checkpoint 2, the newest" in capsys.readouterr().out
        other = story.proofs["kept"].address[:-1] + ("0" if story.proofs["kept"].address[-1] != "0" else "1")
        assert run([*right[:-1], other, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["checks"]["address"] is False
        file.write_text("{}")
        assert run([*right, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["ok"] is False
