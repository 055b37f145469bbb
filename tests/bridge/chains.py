"""The chains that conformance is tested on: ours as a process, one somebody names, starknet-devnet if it is installed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

import httpx
import pytest

RPC, ACCOUNT, KEY = "STARKNET_RPC_URL", "STARKNET_ACCOUNT", "STARKNET_PRIVATE_KEY"
DEVNET = "starknet-devnet"
MEDSYNC = (sys.executable, "-m", "medsync_node.cli")
DEVNET_READY = "Starknet Devnet listening"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChain:
    """A chain that executes Cairo, and funded accounts on it: (address, secret)."""

    url: str
    accounts: tuple[tuple[int, int], ...]
    ours: bool = False
    knobs: bool = True  # whether it takes blocks back, settles, moves its clock and its prices on request

    def ask(self, method: str, **params: Any) -> Any:
        """A raw request: for knobs, and for looking from outside."""
        body = {"jsonrpc": "2.0", "id": 0, "method": method, "params": params}
        answer = httpx.post(self.url, json=body, timeout=60).json()
        assert "result" in answer, answer
        return answer["result"]

    def account(self, number: int) -> tuple[int, int]:
        """The one of this number, or the only one there is."""
        return self.accounts[number % len(self.accounts)]


@contextmanager
def chain_of(kind: str) -> Iterator[LiveChain]:
    """The chain of this kind; skips, saying why, where it can't be had."""
    if kind == "embedded":
        with embedded() as chain:
            yield chain
    elif kind == "rpc":
        missing = [name for name in (RPC, ACCOUNT, KEY) if not os.environ.get(name)]
        if missing:
            pytest.skip(reason=f"no chain of yours to test on: {', '.join(missing)} not set")
        account = (int(os.environ[ACCOUNT], 16), int(os.environ[KEY], 16))
        yield LiveChain(url=os.environ[RPC], accounts=(account,), knobs=False)
    else:
        if shutil.which(DEVNET) is None:
            pytest.skip(reason=f"{DEVNET} is not on PATH")
        with devnet() as chain:
            yield chain


@contextmanager
def embedded(*options: str) -> Iterator[LiveChain]:
    """`medsync chain run`, alone; ends with the block."""
    with running([*MEDSYNC, "chain", "run", "--port", "0", "--json", "--exit-on-eof", *options]) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the embedded chain did not start: see its stderr"
        about = json.loads(line)
        accounts = tuple((int(a["address"], 16), int(a["private_key"], 16)) for a in about["accounts"])
        yield LiveChain(url=about["url"], accounts=accounts, ours=True)


@contextmanager
def devnet() -> Iterator[LiveChain]:
    """starknet-devnet with accounts of the same seed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [DEVNET, "--seed", "0", "--port", str(port), "--state-archive-capacity", "full"]
    with running(command) as process:
        assert process.stdout is not None
        _read_until(process.stdout, DEVNET_READY)
        Thread(target=process.stdout.read, daemon=True).start()  # it logs each request: a full pipe would stop it
        bare = LiveChain(url=f"http://127.0.0.1:{port}", accounts=())
        found = bare.ask("devnet_getPredeployedAccounts")
        accounts = tuple((int(a["address"], 16), int(a["private_key"], 16)) for a in found)
        yield LiveChain(url=bare.url, accounts=accounts)


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A process for the block, ended with it. Standard input and output are pipes."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.home(), **options
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _read_until(stream: IO[str], wanted: str) -> None:
    for line in stream:
        if wanted in line:
            return
    raise AssertionError(f"it ended before it said {wanted!r}")
