"""Founds a virtual consortium once per process and setting; each run starts its nodes from those journals.

So a run begins with restarts from disk instead of the same hundred milliseconds of joining every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from medsync_protocol.anchoring import Opening
from medsync_protocol.ids import NETWORK_CONTEXT, ContextId
from medsync_protocol.kinds import Role
from medsync_protocol.transition import DAY
from medsync_sim.chain import ANCHOR, Chain
from medsync_sim.disk import Disk
from medsync_sim.network import Conditions
from medsync_sim.node import SimNode
from medsync_sim.offers import policies_for
from medsync_sim.world import Watch, World

NAMES: Final = ("north", "south", "west", "east", "lab", "clinic", "hill", "lake", "river", "forest")
FRESH_MS: Final = 6_000  # D of every purpose class: short, so that a minute shows what takes hours outside
SKEW_MS: Final = 2_000  # the allowed one
RECOVERY_S: Final = 30 * DAY
FOUNDING_MS: Final = 120_000  # within which founding must be done
VOTERS_MS: Final = 10_000  # within which whoever was in at once is a voter


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a consortium is: `nodes` with the context's `admins` first, then members; `outsiders` join only the network."""

    nodes: int = 5
    admins: int = 2
    outsiders: int = 0
    policy: str = "any_admin"
    checkpoint_ms: int = 3_000
    anchored: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Members of the context by name, the founder first."""
        return name_list(self.nodes)

    @property
    def outside(self) -> tuple[str, ...]:
        """Members of the network alone."""
        return name_list(self.nodes + self.outsiders)[self.nodes :]


def name_list(count: int) -> tuple[str, ...]:
    """Names of institutions."""
    return (*NAMES, *(f"h{i}" for i in range(len(NAMES), count)))[:count]


@dataclass(frozen=True, slots=True)
class Founded:
    """Journals of a consortium that was founded: (name, journal, incarnation) of each node."""

    nodes: tuple[tuple[str, bytes, bytes], ...]
    context: ContextId
    opening: Opening | None
    now: int


@lru_cache(maxsize=8)
def found(setting: Setting) -> Founded:
    """Found it on a calm network. The same for the same setting, always."""
    policy, policies = policies_for(setting.policy)
    world = World(f"founding/{setting}", policies=policies)
    nodes = [world.add(name) for name in (*setting.names, *setting.outside)]
    founder, rest = nodes[0], nodes[1:]
    founder.do(lambda engine, now: engine.found_network(now, "consortium"))
    for index, node in enumerate(rest, 1):
        role = Role.ADMIN if index < setting.admins else Role.MEMBER
        world.join(node, founder, role)
    assert world.until(lambda: _agree(world, NETWORK_CONTEXT, len(nodes)), FOUNDING_MS), "the network forms"
    roles = [
        (node.member, Role.ADMIN if index < setting.admins else Role.MEMBER)
        for index, node in enumerate(nodes[: setting.nodes])
        if index
    ]
    ages = {f"fresh.{code}": FRESH_MS for code in ("TREAT", "HPAYMT", "HOPERAT", "HRESCH", "other")}
    settings = {**ages, "skew": SKEW_MS, "checkpoint.every": setting.checkpoint_ms}
    context = founder.do(
        lambda engine, now: engine.create_context(now, "trial", "medsync", policy, roles, (), settings)
    )
    first = nodes[: setting.nodes]
    held = founder.replica(context)
    assert world.until(lambda: {n.member for n in first} <= set(held.membership.members), FOUNDING_MS), "all come in"
    if not world.until(lambda: len(held.membership.voters) == setting.nodes, VOTERS_MS):
        _vote_in(world, context, first)
    assert world.until(lambda: len(held.membership.voters) == setting.nodes, FOUNDING_MS), "the first members become voters"
    assert world.until(lambda: _agree(world, context, setting.nodes), FOUNDING_MS), "the context forms"
    opening = _anchor(world, founder, context) if setting.anchored else None
    world.run(2_000)
    images = tuple((node.name, node.disk.image(), node.incarnation) for node in nodes)
    return Founded(images, context, opening, world.now)


def _vote_in(world: World, context: ContextId, first: Sequence[SimNode]) -> None:
    """Under a policy that wants votes the founder's ballot is for those who were in at once: the voters take in the rest."""
    members = [node.member for node in first]
    voters = {member for member, _ in first[0].replica(context).membership.voters}
    casting = [node for node in first if node.member in voters]
    assert world.until(
        lambda: all(set(members) <= set(node.replica(context).membership.voter_keys) for node in casting), FOUNDING_MS
    ), "all announce a voter key"
    for node in casting:
        node.do(lambda engine, now: engine.vote_voters(now, context, members))


def _agree(world: World, context: ContextId, members: int) -> bool:
    replicas = [node.replica(context) for node in world.nodes.values()]
    held = [replica for replica in replicas if replica is not None and replica.role is not None]
    agreed = len(held) == members and len({r.membership.root() for r in held}) == 1
    return agreed and all(r.membership.usable_key() in r.ring.epochs() for r in held)  # who was voted in pulls its key


def _anchor(world: World, founder: SimNode, context: ContextId) -> Opening:
    opening = founder.do(lambda engine, now: engine.opening(now, context, ANCHOR, 0, RECOVERY_S))
    founder.do(lambda engine, now: engine.register_anchor(now, context, opening, 1))
    holders = [node for node in world.nodes.values() if node.replica(context) is not None]
    assert world.until(
        lambda: all(node.engine.checkpoints(context).anchoring is not None for node in holders), FOUNDING_MS
    ), "everybody learns where the context is anchored"
    return opening


def consortium(
    seed: int, setting: Setting, *, conditions: Conditions, watch: Watch, keep_trace: bool = False
) -> World:
    """A running consortium of this setting, its later fate decided by the seed."""
    origin = found(setting)
    policies = policies_for(setting.policy)[1]
    world = World(
        seed, conditions=conditions, watch=watch, keep_trace=keep_trace, start=origin.now, policies=policies
    )
    world.context, world.outside = origin.context, setting.outside
    for name, image, incarnation in origin.nodes:
        world.add(name, disk=Disk(image), incarnation=incarnation)
        world.ledger.backups[name] = image
    if origin.opening is not None:
        world.use_chain(Chain(origin.context, origin.opening))
    return world
