"""Two admins, one of them hostile: who was removed signs, dated before its removal, a removal of who removed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from medsync_sim.consortium import Setting
from medsync_sim.hostile import Forger, took_effect, newest_removal, settled_everywhere
from medsync_sim.ledger import Finding
from medsync_sim.scenario import Scenario, turn_hostile
from medsync_sim.steps import Move, Step, work
from medsync_sim.world import World

ADMINS = ("north", "south")


class BackdatedDuel(Scenario):
    """`attacker_won` before finality is known of every leaderless rule; after it nothing may be left to win."""

    name = "backdated-duel"
    about = "A removed admin signs a removal of its remover, dated before its own; sometimes it is the senior one."
    oracle = "once its removal is settled everywhere the back-dated one never counts (S3); before, attacker_won"
    operations = 12

    def plan(self, rng: Random, setting: Setting) -> list[Step]:
        """The hostile one prepares, is removed, and strikes at once or long after."""
        villain, hero = rng.sample(ADMINS, 2)
        at = rng.randint(2_000, 8_000)
        strike = at + rng.choice((rng.randint(100, 2_500), rng.randint(14_000, 20_000)))
        return sorted([
            *work(rng, tuple(n for n in setting.names if n != villain), self.ms, self.operations),
            Step(at - 1_000, "turn_hostile", (villain,)), Step(at, "remove", (hero, villain)),
            Step(strike, "strike", (villain, hero)), Step(strike + 2_000, "strike", (villain, hero)),
        ])  # fmt: skip

    def moves(self) -> Mapping[str, Move]:
        """Turning, and striking."""
        return {"turn_hostile": turn_hostile, "strike": strike}

    def judge(self, world: World) -> Iterable[Finding]:
        """Did it win, and could it have?"""
        for villain, operation, final in world.stash.get("struck", ()):
            world.facts["after finality" if final else "before finality"] = 1
            if not took_effect(world, operation):
                continue
            if final:
                yield world.broke("S3", f"{villain}'s back-dated removal counts though its own was settled")
            else:
                world.won(f"{villain} back-dated a removal before its own was final")


def strike(world: World, villain: str, hero: str) -> None:
    """Sign as of the time when it turned; hand it to every honest node."""
    node = world.nodes[villain]
    known = world.stash.get(villain)
    if known is None:
        return
    removal = newest_removal(world, node.member)
    if removal is None:
        return  # nobody put it out, by the policy's own rule: nothing is stolen
    final = settled_everywhere(world, removal.op_id)
    forger = Forger(world, node)
    operation = forger.removal(world.nodes[hero], known, chain=forger.chain(f"duel{world.elapsed}"))
    world.stash.setdefault("struck", []).append((villain, operation, final))
    forger.smuggle([operation], [n.name for n in world.honest()])


SCENARIO = BackdatedDuel()
