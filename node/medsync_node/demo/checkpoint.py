"""Step 6, `checkpoint`: the voters sign, the bridge posts, the contract accepts; forged ones are refused by reason."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import trio

from medsync_client.consents import DirectiveText, Grant
from medsync_node.demo.chain import ANCHOR_SECONDS
from medsync_node.demo.chapter import Chapter
from medsync_node.demo.contract import Contract
from medsync_node.demo.forgeries import Forger
from medsync_node.demo.world import FOUNDER, SECOND, Stuck, World
from medsync_protocol import calldata
from medsync_protocol.certificate import Accepted
from medsync_protocol.checkpoints import Checkpoints
from medsync_protocol.log import verify_append
from medsync_protocol.refusal import AnchorRefusal

PROPOSE_AGAIN_SECONDS: Final = 5.0  # a candidate can be overtaken by operations that came meanwhile
POST_SECONDS: Final = 60.0


async def tell(world: World, chapter: Chapter) -> None:
    """See the module."""
    await _anchored(world, chapter)
    first = await _one_more(world, chapter, "first")
    world.facts["after_first"] = await world[FOUNDER].client.grant(
        world.facts["context"], Grant(attest=DirectiveText(subject=world.facts["example"], base="deny"))
    )
    second = await _one_more(world, chapter, "second")
    _check_growth(world, chapter, first, second)
    await _forge(world, chapter)


async def _anchored(world: World, chapter: Chapter) -> None:
    deployed = await world.anchoring.done(ANCHOR_SECONDS)
    writers = [*world.hospitals]
    await world.everywhere(writers, lambda name: world[name].node.engine.checkpoints(world.context).anchoring is not None, "the address")  # fmt: skip
    info = await world[SECOND].client.chain(world.facts["context"])
    chapter.check("every_voter_knows_the_address", info.registered and info.address is not None)
    world.facts.update(
        address=info.address, contract=int(info.contract or "0", 16), chain_context=int(info.context, 16)
    )
    chapter.show(address=info.address, chain=world.chain.url, deployed=deployed)


async def _one_more(world: World, chapter: Chapter, which: str) -> Accepted:
    accepted = await advance(world)
    await _look(world, chapter, which, accepted)
    return accepted


async def advance(world: World) -> Accepted:
    """Ask for a checkpoint over all that the founder holds, and see it signed, posted, accepted. Raises Stuck."""
    founder = world[FOUNDER]
    checkpoints = founder.node.engine.checkpoints(world.context)
    wanted = world.replica(FOUNDER).vector

    def covered() -> bool:
        held = checkpoints.acceptance.head.cut.vector
        return all(held.get(chain, 0) >= count for chain, count in wanted.items())

    deadline = trio.current_time() + POST_SECONDS
    while not covered() and trio.current_time() < deadline:
        if checkpoints.certified() is None:
            await founder.client.propose(world.facts["context"])
        beyond = partial(_beyond, checkpoints, checkpoints.accepted)
        with trio.move_on_after(PROPOSE_AGAIN_SECONDS):
            await world.until(FOUNDER, beyond, "it to be accepted")
    if not covered():
        held = ", ".join(
            f"{name} {_held(world[name].node.engine.checkpoints(world.context))}" for name in world.hospitals
        )
        held += f", posted {sorted(world.bridge.posted)}"
        said = "; ".join(world.bridge.child.last_words[-2:])
        raise Stuck(
            f"no checkpoint was accepted in {POST_SECONDS:.0f} s: {held}", advice=f"the bridge said: {said}"
        )
    return checkpoints.acceptance.history[checkpoints.accepted]


def _held(checkpoints: Checkpoints) -> str:
    votes = "/".join(str(len(tally.votes)) for tally in checkpoints.tallies.values())
    return f"accepted {checkpoints.accepted}, signed {checkpoints.signed}, votes {votes}, differs {len(checkpoints.differing)}"


def _beyond(checkpoints: Checkpoints, k: int) -> bool:
    return checkpoints.accepted > k


async def _look(world: World, chapter: Chapter, which: str, accepted: Accepted) -> None:
    k = accepted.statement.k
    shown = {
        one.k: one for one in (await world[FOUNDER].client.checkpoints(world.facts["context"])).checkpoints
    }.get(k)
    contract = Contract(world.chain.url, world.facts["contract"])
    stored, _ = await contract.call("checkpoint", calldata.checkpoint(world.facts["chain_context"], k))
    posted = (await contract.posted(world.facts["chain_context"])).get(k)
    signed, level = (
        shown is not None and shown.votes >= shown.quorum > 0,
        "none" if shown is None else shown.level,
    )
    chapter.check(f"the_{which}_is_signed_by_a_quorum", signed)
    chapter.check(f"the_{which}_is_accepted", level in ("accepted", "settled"))
    chapter.check(f"the_contract_holds_the_{which}s_digest", stored == [accepted.digest])
    chapter.check(f"the_contract_announced_the_{which}", posted is not None)
    transaction, block = posted or ("none", 0)
    voters = len(accepted.certificate.members) if accepted.certificate else 0
    chapter.show(
        **{
            which: {
                "k": k, "transaction": transaction, "block": block, "digest": hex(accepted.digest), "level": level,
                "votes": f"{shown.votes if shown else 0} of {voters}", "log_size": accepted.statement.log_size,
            }
        }
    )  # fmt: skip


def _check_growth(world: World, chapter: Chapter, first: Accepted, second: Accepted) -> None:
    """The second's proof, by our own arithmetic: the contract did the same before it accepted."""
    certificate = second.certificate
    assert certificate is not None, "only the opening has none"
    before, after = certificate.head, second.statement
    try:
        verify_append(
            before.log_size, before.log_root, certificate.append.old_peaks, after.log_size, after.log_root,
            certificate.append.nodes,
        )  # fmt: skip
        grew = after.log_size > first.statement.log_size and before.k >= first.statement.k
    except AnchorRefusal:
        grew = False
    chapter.check("the_second_proves_the_log_only_grew", grew)
    head = world[FOUNDER].node.engine.checkpoints(world.context).acceptance.head
    chapter.check("the_voter_list_on_chain_follows_the_vote", len(head.next_signers) == len(world.hospitals))
    chapter.show(append_proof=[hex(node) for node in certificate.append.nodes])


async def _forge(world: World, chapter: Chapter) -> None:
    checkpoints = world[FOUNDER].node.engine.checkpoints(world.context)
    acceptance = checkpoints.acceptance
    names = {world[name].member: name for name in world.places}
    secrets = tuple(
        world[names[member]].node.identity.stark_secret(world.context)
        for member, _ in acceptance.head.next_signers
    )
    contract = Contract(world.chain.url, world.facts["contract"])
    said: dict[str, Any] = {}
    for forgery in Forger(acceptance.contract, acceptance.head, secrets).all():
        answer, reason = await contract.call("post_checkpoint", forgery.calldata)
        if forgery.reason is None:
            chapter.check("without_a_lie_the_contract_would_take_it", answer == [1])
            continue
        said[forgery.name] = reason
        chapter.check(f"refused_{forgery.name}", reason == forgery.reason)
    chapter.check("each_for_a_reason_of_its_own", len(set(said.values())) == len(said))
    chapter.show(refusals=said)
