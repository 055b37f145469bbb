"""Step 8, `rewards`: a whole reward period, from accesses to a balance: points, root, pool, claim.

A period has a day at least, so all clocks are turned on by one: the nodes' and the chain's.
"""

from __future__ import annotations

from typing import Final

from medsync_client.accesses import AccessAnswer
from medsync_client.consents import DirectiveText, WireActor, WireRule
from medsync_client.rewards import RewardTermsSet
from medsync_client.subjects import SubjectEnrol
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.checkpoint import advance
from medsync_node.demo.consent import sign_and_grant
from medsync_node.demo.decision import ask
from medsync_node.demo.paying import TOKEN, WINDOW_SECONDS
from medsync_node.demo.world import AUDITOR, FOUNDER, LAB, SECOND, THIRD, World
from medsync_node.reward_reports import reports_in_labels
from medsync_protocol.certificate import Accepted
from medsync_protocol.ids import SubjectRef
from medsync_protocol.rewards import Subtree, climb, reward_root

DAY: Final = 86_400
MARGIN: Final = 900  # seconds beyond a day: a statement's time lies some minutes back
PER_POINT: Final = 1_000_000
PURPOSES: Final = ("HPAYMT", "TREAT")
EARNING_NOTHING: Final = "HMARKT"


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    day = await _accesses(world, chapter)
    await world.paying.ready()
    await _agree(world, chapter, day)
    await _next_day(world, chapter, day)
    paid = await _pay(world, chapter, day)
    await _explain(world, chapter, day)
    await _claim(world, chapter, paid)


async def _accesses(world: World, chapter: Chapter) -> int:
    """Carol lets city have her data; city asks mercy for two purposes, for one of them twice, and for marketing."""
    mercy, at = world[FOUNDER].client, world.facts["context"]
    made = await mercy.enrol_subject(at, SubjectEnrol(patient_keys=(world.patient("carol").public.hex(),)))
    world.facts["carol"] = made.subject
    rule = WireRule(effect="permit", actors=(WireActor(member=SECOND),), purposes=(EARNING_NOTHING, *PURPOSES))
    grant = DirectiveText(subject=made.subject, rules=(rule,))
    await sign_and_grant(world, "carol", FOUNDER, grant, number=1)
    carol = SubjectRef(bytes.fromhex(made.subject))
    await world.until(SECOND, lambda: world.desk(SECOND).application.standing(carol) is not None, "the subject")
    answers = [await _ask(world, purpose) for purpose in (*PURPOSES, PURPOSES[0], EARNING_NOTHING)]
    chapter.check("four_disclosures_are_permitted", [one.answer for one in answers] == ["PERMIT"] * 4)
    return answers[0].time // (DAY * 1000)


async def _ask(world: World, purpose: str) -> AccessAnswer:
    return await ask(world, "carol", FOUNDER, by=SECOND, purpose=purpose)


async def _agree(world: World, chapter: Chapter, day: int) -> None:
    """Each hospital names the same terms; a checkpoint puts them in force."""
    terms = RewardTermsSet(
        pool=hex(int(world.paying.pool, 16)), contract=hex(int(world.paying.contract, 16)), token=TOKEN,
        window=WINDOW_SECONDS, per_point=PER_POINT, days=1, cap=100, first=day,
    )  # fmt: skip
    for name in world.hospitals:
        await world[name].client.set_reward_terms(world.facts["context"], terms)
    writers = [world.replica(name) for name in world.hospitals]
    counts = {writer.chain: writer.vector[writer.chain] for writer in writers}
    await world.until(
        FOUNDER, lambda: all(world.replica(FOUNDER).vector.get(c, 0) >= n for c, n in counts.items()), "all terms"
    )
    accepted = await advance(world)
    found = await world[FOUNDER].client.rewards(world.facts["context"])
    chapter.check("a_quorum_of_voters_agreed_on_the_terms", found.terms is not None and found.terms.first == day)
    chapter.check("the_pool_has_the_name_that_nodes_compute", found.pool == hex(int(world.paying.pool, 16)))
    chapter.check("nothing_is_owed_yet", accepted.statement.reward_root == 0)
    chapter.show(pool=world.paying.pool, contract=world.paying.contract, period=day, per_point=PER_POINT)


async def _next_day(world: World, chapter: Chapter, day: int) -> None:
    """A day later somebody asks again; that checkpoint holds all of the day before. Settled, every member reports."""
    await world.paying.ask("devnet_increaseTime", time=DAY + MARGIN)
    world.turn_clocks(DAY + MARGIN)
    await world.until(FOUNDER, lambda: _fresh(world), "heartbeats of the new day")
    again = await _ask(world, PURPOSES[0])
    chapter.check("consent_holds_the_day_after", again.answer == "PERMIT")
    complete = await advance(world)
    await _settle(world, complete)
    mine = world.replica(FOUNDER)
    hospitals = [world[name].member for name in world.hospitals]
    await world.until(
        FOUNDER, lambda: all(any(True for _ in reports_in_labels(mine, one, day)) for one in hospitals), "all reports"
    )
    reports = {name: list(reports_in_labels(mine, world[name].member, day)) for name in world.hospitals}
    given, asked = dict(reports[FOUNDER][0].given), dict(reports[SECOND][0].asked)
    mercy, city = world[FOUNDER].member, world[SECOND].member
    chapter.check("both_parties_report_the_same_relations", given[city] == asked[mercy] and len(given[city]) == len(PURPOSES))
    others = {member for one in reports[THIRD] for member, _ in (*one.given, *one.asked)}
    chapter.check("others_report_nothing_of_theirs", bool(reports[THIRD]) and not others & {mercy, city})
    chapter.show(log_of_the_day=f"all below checkpoint {complete.statement.k}")


def _fresh(world: World) -> bool:
    now = world[FOUNDER].node.now()
    beats = world[FOUNDER].node.engine.book(world.context).of([world[FOUNDER].member])
    return any(now - one.time < DAY * 1000 // 24 for one in beats)


async def _settle(world: World, accepted: Accepted) -> None:
    """The chain of blocks becomes final up to here, and every hospital reads so."""
    await world.paying.ask("devnet_acceptOnL1", starting_block_id="latest")
    k = accepted.statement.k
    await world.everywhere(
        world.hospitals, lambda name: world[name].node.engine.checkpoints(world.context).settled >= k, "it to settle"
    )


async def _pay(world: World, chapter: Chapter, day: int) -> Accepted:
    """The checkpoint with the reports closes the period: its statement has the reward root, at every voter the same."""
    paid = await advance(world)
    at, mercy = world.facts["context"], world[FOUNDER].member
    await _settle(world, paid)
    seen = {name: await world[name].client.rewards(at) for name in world.hospitals}
    closed = {name: one.closed[0] for name, one in seen.items() if one.closed}
    chapter.check("all_voters_have_the_same_root", {one.root for one in seen.values()} == {hex(paid.statement.reward_root)} != {"0x0"})  # fmt: skip
    points = [{one.member: one.points for one in period.points} for period in closed.values()]
    chapter.check(
        "a_point_for_each_distinct_relation", points == [{mercy.hex(): len(PURPOSES)}] * len(world.hospitals)
    )
    chapter.check("the_period_is_settled", all(one.period == day and one.settled for one in closed.values()))
    chapter.show(points={FOUNDER: len(PURPOSES)}, reward_root=hex(paid.statement.reward_root), paid_by=paid.statement.k)
    return paid


async def _explain(world: World, chapter: Chapter, day: int) -> None:
    """Both parties see why, and the auditor for all; the lab's accesses, which it could not report any more, are worth nothing."""
    at = world.facts["context"]
    mine, theirs = [await world[name].client.explain_rewards(at, day) for name in (FOUNDER, SECOND)]
    counted = {one.receipt for one in mine.relations if one.counts}
    chapter.check("every_point_has_a_receipt_that_recomputes", len(counted) == len(PURPOSES) and mine.unexplained == 0)
    chapter.check("the_requester_sees_the_same_relations", counted == {one.receipt for one in theirs.relations if one.counts})
    k = world[FOUNDER].node.engine.checkpoints(world.context).accepted
    await world.until(AUDITOR, lambda: world[AUDITOR].node.engine.checkpoints(world.context).accepted >= k, "the root")
    audited = await world[AUDITOR].client.explain_rewards(at, day)
    found = {one.receipt for one in audited.relations if one.counts}
    chapter.check("an_auditor_recomputes_every_point", found == counted and audited.unexplained == 0)
    lab = [one for one in mine.relations if one.requester == world[LAB].member.hex()]
    chapter.check("what_one_side_alone_reports_is_worth_nothing", all(one.reported_by_custodian and not one.counts for one in lab))  # fmt: skip
    told = {True: "counts", False: "one side only"}
    relations = [f"{one.purpose} to {one.requester_name}, {one.receipt[:16]}: {told[one.counts]}" for one in mine.relations]
    chapter.show(relations=relations)


async def _claim(world: World, chapter: Chapter, paid: Accepted) -> None:
    """The pool is funded, the root proposed and activated; mercy's node signs, anyone carries: the money is there."""
    paying, at, owed = world.paying, world.facts["context"], len(PURPOSES) * PER_POINT
    proof = await world[FOUNDER].client.reward_proof(at)
    path = [Subtree(int(step.hash, 16), int(step.sum)) for step in proof.path or ()]
    top, left = climb(int(proof.payee, 16), int(proof.cumulative), proof.index, path)
    same = reward_root(int(proof.pool, 16), top) == paid.statement.reward_root
    chapter.check("the_proof_leads_to_the_statements_root", same and left == 0 and proof.cumulative == str(owed))
    await paying.do("pool fund", "--to", str(2 * owed))
    await paying.do("propose", at, "--k", str(paid.statement.k), "--home", str(world[FOUNDER].home))
    await paying.ask("devnet_increaseTime", time=WINDOW_SECONDS)
    await paying.do("activate")
    before = await paying.received()
    claimed = await paying.claim(at, world[FOUNDER].home)
    after = await paying.received()
    chapter.check("what_was_earned_is_on_the_chain", (before, after) == (0, owed) and claimed["paid_up_to"] == str(owed))
    again = await paying.claim(at, world[FOUNDER].home)
    chapter.check("claiming_again_pays_nothing", await paying.received() == owed and again["paid_up_to"] == str(owed))
    status = await paying.status()
    chapter.check("the_pool_holds_the_rest", status["balance"] == str(owed) and status["promised"] == str(owed))
    chapter.show(claim=claimed["transaction"], balance=after, pool_left=status["balance"])
