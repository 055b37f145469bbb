"""Judges what a node says about a context: every digest, link, list, signature and proof again, by the protocol's rules.

Pure. The rules of a step are `medsync_protocol.transition`'s, the same that voters apply; nothing is taken from the
contract but what is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from medsync_node.verify.chain_events import (
    Executed,
    Opened,
    Posted,
    find_append_proof,
    find_opening_signature,
)
from medsync_node.verify.facts import ChainFacts
from medsync_node.verify.report import Report
from medsync_protocol import stark
from medsync_protocol.address import ChainAddress, chain_name
from medsync_protocol.anchor_abi import CLASS_HASH
from medsync_protocol.errors import BadSignature
from medsync_protocol.refusal import AnchorRefusal, Reason
from medsync_protocol.statement import (
    Statement,
    context_hash,
    members_hash,
    opening_digest,
    opening_statement,
)
from medsync_protocol.transition import Anchor, AppendProof, check_checkpoint, check_recovery

CHAIN_CHECKS: Final = (
    "chain_id", "class_hash", "opening", "founder_signature", "digests", "links", "member_lists", "signatures",
    "append_proofs", "next_members", "head",
)  # fmt: skip
"""What is checked of every context. What there is nothing of holds; what an earlier fault kept us from is not checked."""

_CHECK_OF: Final[dict[Reason, str]] = {
    Reason.K_NOT_NEXT: "links", Reason.WRONG_PREV: "links", Reason.TOO_EARLY: "links",
    Reason.WRONG_MEMBERS: "member_lists", Reason.MEMBERS_SIZE: "next_members",
    Reason.KEYS_NOT_ASCENDING: "next_members", Reason.WRONG_NEXT_MEMBERS: "next_members",
    Reason.LOG_NOT_LARGER: "append_proofs", Reason.LOG_TOO_LARGE: "append_proofs",
    Reason.BAD_PEAKS: "append_proofs", Reason.BAD_APPEND_PROOF: "append_proofs",
    Reason.RECOVERY_CHANGES_ROOTS: "append_proofs",
}  # fmt: skip
_STEP_CHECKS: Final = ("links", "member_lists", "signatures", "append_proofs", "next_members")


@dataclass(slots=True)
class Judged:
    """The chain of statements that held, from the opening on, and the genesis digest it stands on."""

    statements: list[Statement] = field(default_factory=list)
    genesis: bytes = b""
    transactions: list[int] = field(default_factory=list)


def class_problem(address: ChainAddress, found: int | None) -> str:
    """What is wrong where not the released class stands; `found` is None where nothing does."""
    if found is None:
        return f"no contract stands at {address.contract:#066x}: a digit of the address's second part is wrong, or this node doesn't have it"
    return f"the contract is of class {found:#066x}, not of the released {CLASS_HASH:#066x}: what it says shows nothing"


def check_chain(address: ChainAddress, facts: ChainFacts, report: Report) -> Judged:
    """Check all that the facts allow. Stops following the chain at the first step that does not hold."""
    judged = Judged()
    problem = f"the node follows chain {chain_name(facts.chain_id)}, the address names {chain_name(address.chain_id)}"
    right_chain = report.check("chain_id", facts.chain_id == address.chain_id, problem)
    if right_chain:
        report.check("class_hash", facts.class_hash == CLASS_HASH, class_problem(address, facts.class_hash))
    if not facts.asked:
        report.skip(*CHAIN_CHECKS)
        return judged
    members = _check_opening(address, facts, report, judged)
    if not members:
        report.skip(*CHAIN_CHECKS)
        return judged
    _Walk(address.anchor, facts, report, judged, members).run()
    reached = len(judged.statements) - 1
    k, digest = facts.head
    digests = [address.anchor.digest(statement) for statement in judged.statements]
    held = reached == k and digests[-1] == digest
    report.check("head", held, f"the contract's head is k = {k}; the events lead to k = {reached}")
    for name in CHAIN_CHECKS:
        if held and name not in report.checks:
            report.check(name, True, "")
    report.skip(*CHAIN_CHECKS)
    return judged


def _check_opening(
    address: ChainAddress, facts: ChainFacts, report: Report, judged: Judged
) -> tuple[int, ...]:
    """The first list, empty when the opening does not hold."""
    openings = [one for one in facts.told if isinstance(one, Opened)]
    problem = f"{len(openings)} events open this context, not one"
    if not openings:
        problem = (
            f"the contract knows no context {address.context:#066x}: a digit of the address's last part is wrong, or this context "
            "was never registered there"
        )
    if not report.check("opening", len(openings) == 1, problem):
        return ()
    opened = openings[0]
    named = context_hash(opened.founder, opened.genesis) == address.context
    report.check("opening", named, "founder and genesis of the opening do not give the context's name")
    settings = facts.settings == (opened.verifier, opened.recovery_delay)
    report.check(
        "opening", settings, "verifier or recovery delay differ between the opening and the contract"
    )
    with report.checking("opening", "the first member list"):
        statement = opening_statement(address.context, opened.members)
        stored = facts.digests.get(0)
        stands = address.anchor.digest(statement) == stored
        report.check("opening", stands, "the opening statement's digest is not the contract's at k = 0")
        _check_founder(address, facts, report, opened)
        if named and stands:
            judged.statements.append(statement)
            judged.genesis = opened.genesis
            judged.transactions.append(opened.transaction)
            return opened.members
    return ()


def _check_founder(address: ChainAddress, facts: ChainFacts, report: Report, opened: Opened) -> None:
    signature = find_opening_signature(facts.calldata.get(opened.transaction, ()), opened)
    if signature is None:
        report.check(
            "founder_signature", False, "the opening transaction does not hold the founder's signature"
        )
        return
    message = opening_digest(
        chain_id=address.chain_id, contract=address.contract, context=address.context,
        members=members_hash(opened.members), verifier=opened.verifier, recovery_delay=opened.recovery_delay,
    )  # fmt: skip
    try:
        stark.verify(message, opened.founder, *signature)
    except BadSignature as error:
        report.check("founder_signature", False, f"the opening: {error}")
    else:
        report.check("founder_signature", True, "")


@dataclass(slots=True)
class _Walk:
    """From the opening along the events, as long as each step holds."""

    anchor: Anchor
    facts: ChainFacts
    report: Report
    judged: Judged
    members: tuple[int, ...]
    recovery: Posted | None = None

    def run(self) -> None:
        for one in self.facts.told:
            match one:
                case Posted(ready_at=None):
                    following = self._checkpoint(one)
                case Posted():
                    following = None
                    if not self._propose(one):
                        return
                case Executed():
                    following = self._execute(one)
                case _:
                    continue
            if following is not None:
                self.judged.statements.append(following)
                self.judged.transactions.append(one.transaction)
            elif not (isinstance(one, Posted) and one.ready_at is not None):
                return

    def _checkpoint(self, posted: Posted) -> Statement | None:
        head = self.judged.statements[-1]
        append = find_append_proof(self.facts.calldata.get(posted.transaction, ()), head, posted.statement)
        if append is None:
            problem = f"k = {posted.k}: its transaction does not hold an append proof for it"
            self.report.check("append_proofs", False, problem)
            return None
        if not self._digest(posted) or not self._step(posted, check_checkpoint, append):
            return None
        self.members = posted.next_members or self.members
        return posted.statement

    def _propose(self, posted: Posted) -> bool:
        """A recovery that a majority signed; it takes force when it is executed."""
        delay = self.facts.settings[1]
        ready = posted.ready_at == self.facts.times[posted.block] + delay
        self.report.check("links", ready, f"k = {posted.k}: a recovery with another delay than the context's")
        proper = self._computed(posted) and self._step(posted, check_recovery, None)
        self.recovery = posted
        return ready and proper

    def _execute(self, executed: Executed) -> Statement | None:
        noted = self.recovery
        proper = noted is not None and (noted.k, noted.digest, noted.statement) == (
            executed.k, executed.digest, executed.statement,
        )  # fmt: skip
        if not self.report.check("links", proper, f"k = {executed.k}: a recovery that nobody proposed"):
            return None
        assert noted is not None
        assert noted.ready_at is not None
        due = self.facts.times[executed.block] >= noted.ready_at and executed.k == len(self.judged.statements)
        if not self.report.check(
            "links", due, f"k = {executed.k}: a recovery executed too early or too late"
        ):
            return None
        if not self._digest(executed):
            return None
        self.members = noted.next_members
        return executed.statement

    def _digest(self, posted: Posted | Executed) -> bool:
        stored = self.facts.digests.get(posted.k)
        problem = f"k = {posted.k}: the contract's digest is not that of the statement in the event"
        return self._computed(posted) and self.report.check("digests", posted.digest == stored, problem)

    def _computed(self, posted: Posted | Executed) -> bool:
        digest, named = self.anchor.digest(posted.statement), posted.statement.k == posted.k
        problem = f"k = {posted.k}: the statement in the event does not have the digest in the event"
        same_context = posted.statement.context == self.judged.statements[0].context
        return self.report.check("digests", digest == posted.digest and named and same_context, problem)

    def _step(self, posted: Posted, check: Callable[..., object], append: AppendProof | None) -> bool:
        more = {} if append is None else {"append": append}
        try:
            check(
                self.anchor, head=self.judged.statements[-1], following=posted.statement, members=self.members,
                votes=posted.votes, next_members=posted.next_members, block_time=self.facts.times[posted.block],
                **more,
            )  # fmt: skip
        except AnchorRefusal as refusal:
            name = _CHECK_OF.get(refusal.reason, "signatures")
            return self.report.check(name, False, f"k = {posted.k}: {refusal.reason}")
        for name in _STEP_CHECKS:
            self.report.check(name, True, "")
        return True
