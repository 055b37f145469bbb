"""What `medsync status` prints for people: all of it, in lines that fit a terminal; and how it waits for a node."""

from __future__ import annotations

from typing import Any, cast

import pytest

from medsync_client import BlockingClient
from medsync_client.errors import Unreachable, unreachable
from medsync_client.status import Status
from medsync_node.commands import status
from medsync_node.commands.output import WIDEST
from medsync_node.words import not_anchored

CONTEXT: dict[str, Any] = {
    "name": "oncology", "id": "c" * 64, "role": "admin", "members": 12, "voters": 11, "quorum": 8, "epoch": 3, "operations": 70_123,
    "parked": 41, "waits_for": ["parents", "key"], "signed": 9, "accepted": 7, "settled": 5, "clock_offset_ms": -1_500,
    "reviews_open": 6, "reviews_overdue": 2, "of_a_newer_node": "kept",
}  # fmt: skip
PEER = {"name": "lakeside", "device": "d" * 64, "connected": False, "backlog": 17, "trouble": "connection refused " * 9}


def account(**fields: Any) -> Status:
    what, advice = not_anchored(["oncology"])
    return Status.model_validate({
        "version": "1.2.3", "protocol": 1, "name": "city", "member": "a" * 64, "device": "b" * 64, "network": "e" * 64,
        "addresses": ["/ip4/127.0.0.1/tcp/4401/p2p/Qm", "/ip4/10.0.0.1/tcp/4401/p2p/Qm"], "warnings": ["the disk is full: " + "free space " * 20],
        "notices": [{"code": "not_anchored", "what": what, "advice": advice}], "peers": [PEER], "contexts": [CONTEXT],
        "chain": {"rpc": "rpc.example", "read_at": 0, "trouble": "the Starknet node does not answer"}, **fields,
    })  # fmt: skip


@pytest.mark.parametrize("terminal", [20, 80, 400])
def test_all_facts_are_told_in_lines_that_fit(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(terminal))
    lines = list(status._lines(account()))
    assert max(map(len, lines)) <= (80 if terminal <= 80 else WIDEST)
    text = " ".join(" ".join(lines).split())
    for fact in (
        "city version 1.2.3", "a" * 16, "b" * 16, "e" * 64, "listens on /ip4/127.0.0.1/tcp/4401/p2p/Qm /ip4/10.0.0.1/tcp/4401/p2p/Qm",
        "read through rpc.example, last 1970-01-01T00:00:00Z the Starknet node does not answer", "warning: the disk is full: free",
        "notice: context oncology is not anchored", "medsync bridge run", "context oncology id " + "c" * 64, "role admin members 12",
        "voters 11, quorum 8", "key epoch 3", "operations 70123", "waiting 41 (parents, key)",
        "signed 9, accepted 7, settled 5, 2 wait for the chain", "1500 ms behind this machine's", "6 to be reviewed, 2 of them overdue",
        "of a newer node kept", "links: member device linked to be sent lakeside " + "d" * 16 + " no 17 connection refused",
    ):  # fmt: skip
        assert fact in text, fact


class Starting:
    """A node that answers at the third call."""

    calls = 0

    def status(self) -> Status:
        self.calls += 1
        if self.calls < 3:
            raise unreachable("a socket", timed_out=False)
        return account()


def test_it_waits_for_a_node_that_starts_and_gives_up_on_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "LOOK_SECONDS", 0.0)
    node = Starting()
    assert status._waited(cast(BlockingClient, node), 60.0).name == "city" and node.calls == 3
    with pytest.raises(Unreachable) as given_up:
        status._waited(cast(BlockingClient, Starting()), 0.0)
    assert "within 0 s" in str(given_up.value) and "doctor" in given_up.value.advice and given_up.value.exit_code == 4
