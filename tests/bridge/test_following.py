"""Following a node: what is due is posted, trouble is told once, one context's trouble holds no other up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from medsync_bridge.account import Account
from medsync_bridge.certified import read_opening
from medsync_bridge.chain import Chain
from medsync_bridge.errors import WrongKey
from medsync_bridge.following import Follower, News
from medsync_bridge.journal import Journal, State, open_journal
from medsync_bridge.sending import Sender, Terms
from medsync_bridge.settings import Limits
from medsync_bridge.tasks import checkpoint_name
from medsync_protocol.transition import Anchor
from tests.bridge.fake_node import FakeNode, context_id
from tests.bridge.model_chain import ACCOUNT, CHAIN_ID, SECRET, ModelChain
from tests.bridge.world import World


@dataclass(slots=True, kw_only=True)
class Following:
    """A follower of a fake node with two anchored contexts, north and south."""

    model: ModelChain
    node: FakeNode
    journal: Journal
    news: list[News] = field(default_factory=list)
    secret: int = SECRET
    chain_id: int = CHAIN_ID
    only: frozenset[str] = frozenset()
    now: float = 0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for name, genesis in (("north", b"n" * 32), ("south", b"s" * 32)):
            self.node.anchored(name, World(anchor=self.model.anchor, genesis=genesis))

    def sender(self) -> Sender:
        async def pause() -> None:
            pass

        account = Account(address=ACCOUNT, chain_id=CHAIN_ID, secret=self.secret)
        return Sender(
            Chain(self.model.client()), self.journal, account, Terms(cap=10**19), pause=pause,
            tell=lambda text: None,
        )  # fmt: skip

    def follower(self) -> Follower:
        return Follower(
            self.node, Chain(self.model.client()), self.journal, self.sender(), chain_id=self.chain_id,
            account=ACCOUNT, clock=lambda: self.now, limits=self.limits, only=self.only,
            report=self.news.append,
        )  # fmt: skip

    def events(self) -> list[tuple[str, str]]:
        return [(news.event, news.context) for news in self.news]


@pytest.fixture
async def following(tmp_path: Path) -> AsyncIterator[Following]:
    with open_journal(tmp_path / "journal.sqlite") as journal:
        found = Following(model=ModelChain(), node=FakeNode(), journal=journal)
        for world in found.node.worlds.values():
            await found.sender().bring_about(read_opening(world.opening(), world.anchor))
        yield found


NORTH, SOUTH = context_id("north"), context_id("south")


async def test_every_certified_checkpoint_is_posted_once(following: Following) -> None:
    follower = following.follower()
    await follower.round()
    assert following.news == []
    for name in ("north", "south", "north"):
        following.node.certify(name)
    await follower.round()
    await follower.round()
    assert following.events() == [("posted", NORTH), ("posted", NORTH), ("posted", SOUTH)]
    assert [news.k for news in following.news] == [1, 2, 1]
    assert len(following.model.posts(1)) == 2 and len(following.model.posts(2)) == 1


async def test_only_the_named_contexts_are_followed(following: Following) -> None:
    following.node.certify("north")
    following.node.certify("south")
    following.only = frozenset({"south"})
    await following.follower().round()
    assert following.events() == [("posted", SOUTH)]


async def test_a_misspelt_name_is_told(following: Following) -> None:
    following.only = frozenset({"south", "norht"})
    follower = following.follower()
    await follower.round()
    await follower.round()
    (news,) = following.news
    assert "norht" in news.message and "context list" in news.advice


async def test_a_context_that_is_not_anchored_is_left_alone(following: Following) -> None:
    following.node.certify("north")
    del following.node.addresses["north"]
    await following.follower().round()
    assert following.news == []


async def test_trouble_is_told_once_and_its_end_too(following: Following) -> None:
    def down(method: str) -> None:
        raise httpx.ConnectError("down")

    following.node.certify("north")
    follower = following.follower()
    following.model.before = down
    for _ in range(3):
        await follower.round()
    assert following.events() == [("trouble", "")]
    assert "does not answer" in following.news[0].message and "nothing is lost" in following.news[0].advice
    following.model.before = lambda method: None
    await follower.round()
    assert following.events() == [("trouble", ""), ("recovered", ""), ("posted", NORTH)]


async def test_a_node_that_is_down_is_waited_for(following: Following) -> None:
    following.node.down = True
    follower = following.follower()
    await follower.round()
    await follower.round()
    assert following.events() == [("trouble", "")]
    following.node.down = False
    await follower.round()
    assert following.events()[-1] == ("recovered", "")


async def test_one_context_that_can_t_be_posted_holds_no_other_up(following: Following) -> None:
    following.node.certify("north", not_before=following.model.time + 10)
    following.node.certify("south")
    follower = following.follower()
    await follower.round()
    await follower.round()
    assert following.events() == [("trouble", NORTH), ("posted", SOUTH)]
    assert "TOO_EARLY" in following.news[0].message
    following.model.time += 10
    await follower.round()
    assert following.events()[2:] == [("posted", NORTH), ("recovered", NORTH)]


async def test_what_reverted_stops_is_told_and_is_taken_up_after_resume(following: Following) -> None:
    world = following.node.worlds["north"]
    following.node.certify("north")

    def spoil(method: str) -> None:
        if method == "addInvokeTransaction":
            following.model.heads.pop(world.context, None)

    following.model.before = spoil
    follower = following.follower()
    await follower.round()
    (news,) = following.news
    assert news.event == "trouble" and "UNKNOWN_CONTEXT" in news.message and "bridge resume" in news.advice
    following.model.before = lambda method: None
    following.model.heads[world.context] = 0
    sent = len(following.model.sent)
    await follower.round()
    assert len(following.model.sent) == sent, "stopped means stopped"
    following.journal.resume()
    await follower.round()
    assert following.events()[-2:] == [("posted", NORTH), ("recovered", NORTH)]


async def test_a_certificate_short_of_a_vote_is_refused_before_anyone_pays(following: Following) -> None:
    following.node.certify("north", votes=2)
    await following.follower().round()
    (news,) = following.news
    assert "BELOW_QUORUM" in news.message
    assert len(following.model.sent) == 2, "the openings"


async def test_a_certificate_for_another_contract_is_refused(following: Following) -> None:
    elsewhere = World(anchor=Anchor(chain_id=CHAIN_ID, contract=0xBAD), genesis=b"n" * 32)
    following.node.certificates["north", 1] = elsewhere.certify()
    await following.follower().round()
    (news,) = following.news
    assert "signed for another contract" in news.message


async def test_another_chain_at_the_rpc_is_told_and_nothing_is_sent(following: Following) -> None:
    following.node.certify("north")
    follower = following.follower()
    following.model.chain_id = CHAIN_ID + 1
    sent = len(following.model.sent)
    await follower.round()
    (news,) = following.news
    assert "serves chain" in news.message and len(following.model.sent) == sent


async def test_a_key_that_the_account_does_not_take_ends_it(following: Following) -> None:
    following.secret = SECRET + 1
    following.node.certify("north")
    with pytest.raises(WrongKey):
        await following.follower().round()


async def test_what_another_bridge_posted_meanwhile_is_concluded(
    following: Following, tmp_path: Path
) -> None:
    """Ours was signed and could not be sent; another bridge posts it, and goes on."""

    def down(method: str) -> None:
        if method == "addInvokeTransaction":
            raise httpx.ConnectError("down")

    following.node.certify("north")
    following.model.before = down
    follower = following.follower()
    await follower.round()
    following.model.before = lambda method: None
    with open_journal(tmp_path / "other.sqlite") as journal:
        other = Following(model=following.model, node=following.node, journal=journal)
        await other.follower().round()
    await follower.round()
    world = following.node.worlds["north"]
    errand = following.journal.errand(checkpoint_name(world.anchor.contract, world.context, 1))
    assert errand is not None and errand.state is State.DONE
    assert len(following.model.posts(1)) == 1


async def test_another_digest_at_k_is_told_as_adopted(following: Following) -> None:
    world = following.node.worlds["north"]
    ours = following.node.certify("north", adopt=False)
    theirs = world.certify(reward_root=3)
    before = len(following.model.requests)

    def overtake(method: str) -> None:
        if method == "estimateFee" and len(following.model.requests) > before:
            following.model.digests[world.context, 1] = int(theirs.digest, 16)
            following.model.heads[world.context] = 1

    following.model.before = overtake
    await following.follower().round()
    (news,) = following.news
    assert news.event == "adopted" and news.digest == int(theirs.digest, 16) != int(ours.digest, 16)
