"""Two reward periods: relations, replays, reports that come twice, late or not at all, a lying custodian, an erasure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, Final

from medsync_protocol.access import Answer, Request, make_request
from medsync_protocol.application import Draft
from medsync_protocol.checkpoints import BEHIND_S
from medsync_protocol.errors import Refused
from medsync_protocol.ids import Instant
from medsync_protocol.kinds import EntryKind
from medsync_protocol.receipt import ReceiptEntry
from medsync_protocol.reward_labels import DAY_MS, RewardTerms, terms_draft
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_sim.accounts import Relation, accounts, paid, report, report_falsely, show_false_reports, told_of
from medsync_sim.consortium import Setting
from medsync_sim.forgetting import Patient, patients
from medsync_sim.ledger import Finding
from medsync_sim.moves import MOVES, PURPOSE, move, running, submit
from medsync_sim.scenario import Scenario
from medsync_sim.steps import Move, Step, faults
from medsync_sim.world import World

CUSTODIANS: Final = (("north", "south"), ("west", "north"), ("south", "west"), ("lab", "north"))
CAP: Final = 100
OWN: Final = ("enrol_with_key", "order_by_patient", "name_terms", "allow", "relate", "again", "new_day", "tell", "lie", "lie_late")


class Rewards(Scenario):
    """A point for each relation that both sides report; settled periods never change (PROTOCOL §9, S11, decision 15)."""

    name = "rewards"
    about = "Two reward periods with replays, reports twice, late or never, a custodian that lies, a patient erased between."
    oracle = "points equal at every party and to a plainer count; repeats earn nothing, who lied 0; paid periods never change (S11)"
    hostile = ("lab",)
    ms = 44_000
    faults = 2

    def setting(self) -> Setting:
        """Checkpoints come often: a period takes several."""
        return Setting(checkpoint_ms=1_500)

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """A day of relations, its end, reports; another one."""
        steps = faults(rng, ("south", "west", "east"), 20_000, self.faults)
        steps += [Step(rng.randint(100, 1_200), "name_terms", (name,)) for name in setting.names]
        for number, (first, second) in enumerate(CUSTODIANS):
            steps.append(Step(200 + 200 * number, "enrol_with_key", (first, second, number)))
            steps += [
                Step(rng.randint(1_200, 3_000), "allow", (rng.choice((first, second)), asker, number))
                for asker in ("east", "west", "south")
                if asker not in (first, second)
            ]
        for begin, end in ((3_500, 8_500), (10_000, 24_000)):
            for _ in range(14):
                number = rng.randrange(len(CUSTODIANS))
                custodian, asker = rng.choice(CUSTODIANS[number]), rng.choice(("east", "west", "south", "north"))
                steps.append(Step(rng.randint(begin, end), "relate", (custodian, asker, number)))
            steps += [Step(rng.randint(begin + 900, end), "again", (rng.randrange(99),)) for _ in range(3)]
        for end in (9_000, 25_000):
            steps += [Step(end, "new_day", ())]
            steps += [Step(end + 300 * i, "note", ("north", "south", i)) for i in range(1, 4)]
            steps += [
                Step(rng.randint(end + 7_000, end + 13_000), "tell", (name,)) for name in setting.names for _ in range(3)
            ]
            steps.append(Step(end + 8_000, "lie", ("lab", "east", rng.randrange(2))))
        steps += [Step(at, "lie_late", ("lab", "east")) for at in (29_000, 35_000, 42_000)]
        steps.append(Step(rng.randint(30_000, 42_000), "order_by_patient", ("north", rng.randrange(3))))
        steps.append(Step(rng.randint(5_000, 19_000), "order_by_patient", ("east", rng.randrange(3))))
        steps += [Step(at, "note", ("west", "south", 1)) for at in range(12_000, self.ms, 2_500)]
        return sorted(steps)

    def moves(self) -> Mapping[str, Move]:
        """Everything about relations and reports."""
        return {name: MOVES[name] for name in OWN}

    def judge(self, world: World) -> Iterable[Finding]:
        """Every paid period, everywhere."""
        return paid(world)


def _patient(world: World, number: int) -> Patient:
    found = next((p for p in patients(world) if p.number == number), None)
    if found is None:
        raise Refused("nobody enrolled it", code="unknown_subject", advice="later")
    return found


@move
def name_terms(world: World, who: str) -> None:
    """A voter wants these terms: points of a day, from today on."""
    node = running(world, who)
    terms = RewardTerms(
        contract=0x7A, token=0x47, window=60, salt=1, per_point=1_000, days=1, cap=CAP, least=CAP,
        first=world.begun // DAY_MS,
    )  # fmt: skip
    submit(world, node, [terms_draft(terms)])


@move
def allow(world: World, custodian: str, asker: str, number: int) -> None:
    """A custodian attests the patient's grant for one member; the lab never does, so that all it permits is a lie."""
    node, patient = running(world, custodian), _patient(world, number)
    if custodian == "lab" or number == len(CUSTODIANS) - 1:
        return
    rule = Rule(effect=Effect.PERMIT, purposes=(PURPOSE,), actors=(member_actor(world.nodes[asker].member),))
    desk = node.engine.desk(world.the_context)
    submit(world, node, desk.grant_attested(Instant(node.now), patient.subject, rules=(rule,), valid_from=Instant(node.now))[1])


@move
def relate(world: World, custodian: str, asker: str, number: int) -> None:
    """A member asks, the custodian decides and logs its half, the member logs its own: perhaps a relation."""
    node, other, patient = running(world, custodian), running(world, asker), _patient(world, number)
    if node is other:
        return
    replica = node.replica(world.the_context)
    request = make_request(
        replica.network, replica.context, patient.subject, other.member, purposes=(PURPOSE,), action="access",
        time=Instant(node.now), salt=node.rng.randbytes(16),
    )  # fmt: skip
    entry, drafts = node.engine.desk(world.the_context).decide(Instant(node.now), request)
    done = submit(world, node, drafts)
    permitted = entry.receipt.decision.answer is Answer.PERMIT
    _requested(world, asker, request, entry)
    accounts(world).relations.append(
        Relation(custodian=node.member, requester=other.member, subject=patient.subject, permitted=permitted, day=node.now // DAY_MS)
    )
    accounts(world).asked.append((asker, request, entry, done))


def _requested(world: World, asker: str, request: Request, entry: ReceiptEntry) -> None:
    node = running(world, asker)
    _, drafts = node.engine.desk(world.the_context).requested(Instant(node.now), request, entry)
    submit(world, node, drafts)


@move
def again(world: World, salt: int) -> None:
    """A requester logs its half of an old access once more."""
    asked = accounts(world).asked
    if asked:
        asker, request, entry, _ = asked[salt % len(asked)]
        _requested(world, asker, request, entry)


@move
def new_day(world: World, *_: Any) -> None:
    """The night passes, for everybody; in the morning somebody writes something."""
    world.leapt += DAY_MS - world.now % DAY_MS + (BEHIND_S + 2) * 1_000
    node = running(world, "north")
    submit(world, node, [Draft(kind=EntryKind.NOTE, payload=b"morning")])


@move
def tell(world: World, who: str) -> None:
    """Report the period whose log is complete, again and again; and show what others must not have reported."""
    node = running(world, who)
    world.find(told_of(world, node))
    report(world, node)
    show_false_reports(world, node)


@move
def lie(world: World, custodian: str, asker: str, alone: int) -> None:
    """The lab reports what it refused; whoever asked it plays along, or not."""
    for name in (custodian,) if alone else (custodian, asker):
        report_falsely(world, running(world, name), world.nodes[custodian], world.nodes[asker])


@move
def lie_late(world: World, custodian: str, asker: str) -> None:
    """The same of a period that is paid already."""
    for name in (custodian, asker):
        report_falsely(world, running(world, name), world.nodes[custodian], world.nodes[asker], late=True)


SCENARIO = Rewards()
