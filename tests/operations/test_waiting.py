"""Commands that wait for others say how far things are, and give up with advice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from medsync_client import BlockingClient
from medsync_client.checkpoints import Checkpoint, CheckpointLevel, Checkpoints
from medsync_node.commands import context
from medsync_protocol.errors import OperatorError


class Node:
    """Answers with one stage after another, then the last again."""

    def __init__(self, *levels: CheckpointLevel | None) -> None:
        self._stages: Iterator[CheckpointLevel | None] = iter(levels)
        self._last: CheckpointLevel | None = None

    def checkpoints(self, named: str) -> Checkpoints:
        self._last = next(self._stages, self._last)
        if self._last is None:
            return Checkpoints(checkpoints=())
        one = Checkpoint(k=1, digest="0x1", level=self._last, log_size=1, log_root="0x0", consent_root="0x0", votes=2, quorum=3)
        return Checkpoints(checkpoints=(one,))


def waited(node: Node, wanted: str, seconds: float = 60.0) -> Checkpoints:
    return context.waited(cast(BlockingClient, node), "trial", wanted, seconds)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LOOK_SECONDS", 0.0)


def test_waiting_for_a_checkpoint_tells_each_stage_once(capsys: pytest.CaptureFixture[str]) -> None:
    found = waited(Node(None, "proposed", "proposed", "signed", "accepted"), "accepted")
    assert found.checkpoints[0].level == "accepted"
    told = [line.rsplit(" (", 1)[0] for line in capsys.readouterr().err.splitlines()]
    assert told == ["no checkpoint yet", "checkpoint 1 proposed, 2 of 3 votes", "checkpoint 1 signed, 2 of 3 votes"]
    assert waited(Node("settled"), "accepted").checkpoints and not capsys.readouterr().err


def test_it_gives_up_with_advice() -> None:
    with pytest.raises(OperatorError, match="not settled after 0 s: checkpoint 1 signed") as failed:
        waited(Node("signed"), "settled", seconds=0.0)
    assert "bridge" in failed.value.advice
