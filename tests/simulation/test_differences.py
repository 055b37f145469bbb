"""A candidate differs at a member: both sides name the first operation that they judge otherwise, or the part (issue 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from medsync_protocol.candidate import Plan
from medsync_protocol.differences import MAX_VERDICTS, Account
from medsync_protocol.errors import Malformed
from medsync_protocol.kinds import Plane, Verdict
from medsync_sim.node import SimNode
from tests.simulation.test_engine import Hospitals, _anchored, _granted


def otherwise(hospitals: Hospitals, node: SimNode, change: Callable[[Plan], Plan]) -> None:
    """From here on the node makes something else of every cut."""
    acceptance = node.engine.checkpoints(hospitals.context).acceptance
    plan = acceptance.plan
    acceptance.plan = lambda *cut: change(plan(*cut))  # type: ignore[method-assign]


def test_the_first_operation_that_is_judged_otherwise_is_named_on_both_sides() -> None:
    hospitals = Hospitals()
    _granted(hospitals)
    south, replica = hospitals.south, hospitals.replica(hospitals.south)
    wrong = next((chain, seq, slot.op_id) for chain, seq, slot in replica.chains.above({}) if slot.plane == Plane.DATA)

    def without_it(plan: Plan) -> Plan:
        said = tuple((c, s, o, Verdict.VOID_ROLE if o == wrong[2] else v) for c, s, o, v in plan.verdicts)
        return replace(plan, verdicts=said)

    otherwise(hospitals, south, without_it)
    _anchored(hospitals)
    hospitals.world.until(lambda: south.engine.checkpoints(hospitals.context).difference is not None)
    found = south.engine.checkpoints(hospitals.context).difference
    assert found is not None
    assert (found.place, found.ours, found.theirs) == (wrong, Verdict.VOID_ROLE, Verdict.EFFECTIVE)
    assert "VOID_ROLE here, EFFECTIVE at" in found.told() and south.noticed("difference")


def test_where_all_verdicts_are_equal_the_part_that_differs_is_named() -> None:
    hospitals = Hospitals()
    otherwise(hospitals, hospitals.lab, lambda plan: replace(plan, membership_root=bytes(32)))
    _anchored(hospitals)
    checkpoints = hospitals.lab.engine.checkpoints(hospitals.context)
    hospitals.world.until(lambda: checkpoints.difference is not None)
    assert checkpoints.difference is not None and checkpoints.difference.part == "membership"
    assert "what differs is: membership" in checkpoints.difference.told()


@pytest.mark.parametrize(
    ("verdicts", "parts"), [(b"\xff", [bytes(32)] * 7), (bytes(MAX_VERDICTS + 1), [bytes(32)] * 7), (b"", [bytes(32)] * 6)]
)
def test_an_account_that_none_can_have_given_is_malformed(verdicts: bytes, parts: list[bytes]) -> None:
    with pytest.raises(Malformed):
        Account.parse(verdicts, parts)
