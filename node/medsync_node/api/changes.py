"""Where a change of the membership stands once it was signed: in force, proposed, waiting, rejected or void.

Signing it is governance.py's, members.py's and contexts.py's; what a policy would say beforehand, outlook.py's.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from medsync_client.changes import Changed
from medsync_node.api.finding import member_names
from medsync_protocol.actions import PolicyName
from medsync_protocol.ids import MemberId, OpId, short
from medsync_protocol.kinds import Verdict
from medsync_protocol.statement import quorum

if TYPE_CHECKING:
    from medsync_protocol.membership_state import Proposal
    from medsync_protocol.replica import Replica

REASONS: Final[Mapping[Verdict, str]] = {
    Verdict.VOID_LAST_ADMIN: "it would leave the context without an admin or owner",
    Verdict.VOID_CONCURRENT_REMOVAL: "this node's member was removed meanwhile",
    Verdict.VOID_AFTER_CUT_OFF: "this node's member was removed meanwhile",
    Verdict.VOID_NOT_A_MEMBER: "this node's member is no member any more",
    Verdict.VOID_FORK: "this node's chain was signed twice: see `medsync member devices`",
    Verdict.VOID_EPOCH: "another replaced the key meanwhile",
}
SHORT: Final = 8  # digits of a proposal's id that name it


def changed(replica: Replica, op: OpId) -> Changed:
    """Of an admission, removal, role, recovery, resumption, transfer, leaving or rotation that this node just signed."""
    return _void(replica, op) or _of_proposal(replica, op, op)


def voted(replica: Replica, op: OpId, proposal: OpId) -> Changed:
    """Of the proposal that this node just voted on."""
    return _void(replica, op) or _of_proposal(replica, op, proposal)


def voted_for_voters(replica: Replica, op: OpId, members: Iterable[MemberId]) -> Changed:
    """Of the list of voters that this node just voted for."""
    wanted, state = set(members), replica.membership
    void = _void(replica, op)
    if void is not None or {member for member, _ in state.voters} == wanted:
        return void or Changed(op=op.hex(), state="in-force")
    cast = next((who for listed, who in state.open_ballots() if {member for member, _ in listed} == wanted), frozenset())
    assert state.genesis is not None, "a context has a genesis"
    electors = {member for member, _ in state.voters} or {state.genesis.founder.member}
    said = " ".join(f"--set {shlex.quote(name)}" for name in _names(replica, wanted))
    return _ballot(replica, op, electors, cast, f"medsync context voters {shlex.quote(replica.name)} {said}")


def voted_for_policy(replica: Replica, op: OpId, wanted: PolicyName) -> Changed:
    """Of the policy that this node just voted for."""
    state = replica.membership
    void = _void(replica, op)
    if void is not None:
        return void
    if state.next_policy is not None:
        chosen, at = state.next_policy
        if chosen == wanted:
            return Changed(op=op.hex(), state="waiting", counts_from=at + 1)
        return Changed(op=op.hex(), state="rejected", reason=f"another policy was chosen, {chosen.name}")
    cast = dict(state.open_policy_ballots()).get(wanted, frozenset())
    electors = {member for member, _ in state.voters} or state.admins()
    given = "".join(f" --parameter {shlex.quote(f'{name}={value}')}" for name, value in wanted.parameters)
    return _ballot(replica, op, electors, cast, f"medsync policy change {shlex.quote(replica.name)} {wanted.name}{given}")


def how_to_vote(replica: Replica, proposal: OpId) -> str:
    """What an elector types to say yes to a proposal."""
    return f"medsync policy vote {shlex.quote(replica.name)} {proposal.hex()[:SHORT]}"


def left_to_ask(replica: Replica, proposal: Proposal) -> tuple[str, ...]:
    """Names of those who can still vote on it."""
    return _names(replica, proposal.electors - {proposal.author, *proposal.no, *(member for member, _, _ in proposal.yes)})


def _void(replica: Replica, op: OpId) -> Changed | None:
    verdict = replica.membership.verdicts.get(op, Verdict.EFFECTIVE)
    if verdict.effective:
        return None
    reason = REASONS.get(verdict, verdict.name.removeprefix("VOID_").lower().replace("_", " "))
    return Changed(op=op.hex(), state="void", reason=reason)


def _of_proposal(replica: Replica, op: OpId, proposal: OpId) -> Changed:
    state = replica.membership
    due = next((at for at, passed in state.waiting if passed.op_id == proposal), None)
    if due is not None:
        return Changed(op=op.hex(), state="waiting", proposal=proposal.hex(), counts_from=due)
    found = state.proposals.get(proposal)
    if found is None:
        return Changed(op=op.hex(), state="in-force")
    if found.failed():
        again = found.expires + found.cool_down + 1
        return Changed(
            op=op.hex(), state="rejected", proposal=proposal.hex(), reason=f"too many said no; its author may repeat it from checkpoint {again} on"
        )
    return Changed(
        op=op.hex(), state="proposed", proposal=proposal.hex(), needed=max(0, found.needed - len(found.yes)),
        electors=left_to_ask(replica, found), vote=how_to_vote(replica, proposal), until=found.expires,
    )  # fmt: skip


def _ballot(replica: Replica, op: OpId, electors: set[MemberId], cast: Iterable[MemberId], vote: str) -> Changed:
    yes = electors.intersection(cast)
    if replica.member not in electors:
        return Changed(op=op.hex(), state="void", reason="this node's member is no voter, so that its vote doesn't count")
    return Changed(
        op=op.hex(), state="proposed", needed=max(0, quorum(len(electors)) - len(yes)), electors=_names(replica, electors - yes), vote=vote
    )


def _names(replica: Replica, members: Iterable[MemberId]) -> tuple[str, ...]:
    names = member_names(replica)
    return tuple(sorted(names.get(one, short(one)) for one in members))
