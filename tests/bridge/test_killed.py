"""kill -9 at every step of posting to a chain that executes the contract: one accepted post, all the same.

The child dies before or after one request or one commit, later by one step each time, until it gets through.
The long test goes through all steps again and again, 200 deaths and more, and kills most restarts too.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from medsync_bridge.account import Account
from medsync_bridge.certified import read_certificate
from medsync_bridge.chain import Chain
from medsync_bridge.client import TrioClient
from medsync_bridge.journal import Journal, State, open_journal
from medsync_bridge.sending import Ended, Sender, Terms
from medsync_bridge.tasks import PostCheckpoint
from tests.bridge.chains import LiveChain, embedded
from tests.bridge.test_conformance import CAP, standing

MAX_STEPS = 100
ROUNDS = 200


class Countdown:
    """Kills this process at the nth step."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DoomedTransport(httpx.AsyncHTTPTransport):
    """A step before each request, and one after its answer."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__()
        self._countdown = countdown

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._countdown.step()
        response = await super().handle_async_request(request)
        await response.aread()
        self._countdown.step()
        return response


def doomed(journal: Journal, countdown: Countdown) -> Journal:
    """A step before each commit, and one after it."""

    def around(write: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*args: Any, **kwargs: Any) -> Any:
            countdown.step()
            result = write(*args, **kwargs)
            countdown.step()
            return result

        return stepping

    for name in ("begin", "record", "judge", "conclude"):
        setattr(journal, name, around(getattr(journal, name)))
    return journal


async def post(live: LiveChain, home: Path, task: PostCheckpoint, steps: int) -> Ended:
    countdown = Countdown(steps)
    address, secret = live.account(1)
    with open_journal(home / "journal.sqlite") as journal:
        async with httpx.AsyncClient(transport=DoomedTransport(countdown), timeout=60) as http:
            account = Account(address=address, chain_id=task.anchor.chain_id, secret=secret)
            sender = Sender(
                Chain(TrioClient(live.url, http)), doomed(journal, countdown), account, Terms(cap=CAP),
                pause=partial(trio.sleep, 0.01), tell=lambda text: None,
            )  # fmt: skip
            return await sender.bring_about(task)


def run_doomed(live: LiveChain, home: Path, task: PostCheckpoint, steps: int) -> bool:
    """In a process of its own; whether it was killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if trio.run(post, live, home, task, steps).state is State.DONE else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def test_killed_at_every_step_there_is_one_accepted_post_for_each_k(tmp_path: Path) -> None:
    with embedded() as live:
        world = trio.run(_open, live, tmp_path)
        killed = 0
        for k in range(1, MAX_STEPS):
            task = read_certificate(world.certify(), world.address)
            if not run_doomed(live, tmp_path, task, k):
                break
            killed += 1
            assert trio.run(post, live, tmp_path, task, 0).found == task.want
        assert 20 < killed < MAX_STEPS - 2, "requests and commits of one post"
        posted, nonce, outcomes = trio.run(_look, live, tmp_path, world)
    assert posted == list(range(1, killed + 2))
    assert nonce == len(posted), "not one transaction more than posts"
    assert outcomes == {"succeeded"}


@pytest.mark.long
def test_in_200_rounds_of_deaths_and_restarts_that_die_each_k_is_posted_once(tmp_path: Path) -> None:
    rng = random.Random(200)
    with embedded() as live:
        world = trio.run(_open, live, tmp_path)
        steps = 1
        while run_doomed(live, tmp_path, task := read_certificate(world.certify(), world.address), steps):
            trio.run(post, live, tmp_path, task, 0)
            steps += 1
        alone = steps  # checkpoints posted to learn how many steps one takes
        deaths = 0
        for turn in range(ROUNDS):
            task = read_certificate(world.certify(), world.address)
            step = 1 + turn % (steps - 1)
            while run_doomed(live, tmp_path, task, step):
                deaths += 1
                step = rng.randrange(1, steps + 10)
            assert trio.run(post, live, tmp_path, task, 0).found == task.want
        posted, nonce, outcomes = trio.run(_look, live, tmp_path, world)
    print(f"{ROUNDS} rounds over {steps - 1} steps, {deaths} kills: {len(posted) - alone} posts")
    assert deaths >= ROUNDS, "each round killed at least once"
    assert posted == list(range(1, alone + ROUNDS + 1))
    assert nonce == len(posted), "not one transaction more than posts"
    assert outcomes == {"succeeded"}


async def _open(live: LiveChain, home: Path) -> Any:
    async with standing(live, home) as stand:
        return await stand.open()


async def _look(live: LiveChain, home: Path, world: Any) -> tuple[list[int], int, set[str]]:
    async with standing(live, home) as stand:
        posted = [k for k, _ in await stand.posted(world)]
        nonce = await stand.chain.nonce(live.account(1)[0])
        names = [errand.name for errand in stand.journal.errands() if errand.name.startswith("checkpoint")]
        outcomes = {str(one.outcome) for name in names for one in stand.journal.signed_for(name)}
        return posted, nonce, outcomes
