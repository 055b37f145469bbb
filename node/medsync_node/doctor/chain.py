"""Whether the chain RPC answers as a Starknet node, serves the chain that contexts are anchored on, and keeps our time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from medsync_node.doctor.finding import Examined, Finding, Findings
from medsync_node.doctor.journal import SKEW_MS, reading
from medsync_protocol.address import chain_name
from medsync_protocol.anchoring import Anchoring
from medsync_protocol.errors import Malformed

RPC_SECONDS: Final = 10.0  # for an answer; the daemon waits longer, a person doesn't
SETTING: Final = "chain.rpc"


class _NoStarknet(Exception):
    """What answers is no Starknet JSON-RPC."""


def check_chain(examined: Examined) -> Findings:
    """The RPC of the settings, and what the running daemon says of it."""
    config = examined.config
    if config is None or config.chain.rpc is None:
        return
    host = urlsplit(config.chain.rpc).hostname  # its path may hold a key
    try:
        chain_id = int(str(_ask(config.chain.rpc, "starknet_chainId", [])), 16)
        block = _ask(config.chain.rpc, "starknet_getBlockWithTxHashes", ["latest"])
    except httpx.HTTPError as error:
        yield Finding(
            code="chain", what=f"{SETTING}: {host} does not answer ({type(error).__name__})",
            advice="check that node and the network; all but finality goes on meanwhile",
        )  # fmt: skip
        return
    except (_NoStarknet, ValueError) as error:
        yield Finding(
            code="chain", what=f"{SETTING}: {host} answers, but not as a Starknet node ({error})",
            advice="set chain.rpc to the URL of a Starknet JSON-RPC of version 0.8 or later",
        )  # fmt: skip
        return
    for anchored in sorted(set(_anchored(examined)) - {chain_id}):
        yield Finding(
            code="chain_id",
            what=f"a context is anchored on {chain_name(anchored)}, and {host} serves {chain_name(chain_id)}",
            advice="set chain.rpc to a node of that chain",
        )
    stamp = block.get("timestamp") if isinstance(block, dict) else None
    if isinstance(stamp, int) and stamp * 1000 > examined.now + SKEW_MS:
        yield Finding(
            code="clock", what=f"the chain's newest block is {stamp - examined.now // 1000} s after this machine's time",
            advice="set the clock (timedatectl; chronyc makestep)",
        )  # fmt: skip


def _ask(url: str, method: str, params: list[Any]) -> Any:
    answer = httpx.post(
        url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, timeout=RPC_SECONDS, trust_env=False
    )  # fmt: skip
    try:
        fields = answer.json()
    except ValueError as error:
        raise _NoStarknet(f"HTTP {answer.status_code}, no JSON") from error
    if not isinstance(fields, dict) or "result" not in fields:
        raise _NoStarknet(f"no result for {method}")
    return fields["result"]


def _anchored(examined: Examined) -> Iterator[int]:
    if not examined.home.journal_file.exists():
        return
    try:
        with reading(examined.home.journal_file) as connection:
            rows = connection.execute("SELECT value FROM named_values WHERE name = 'anchor'").fetchall()
    except sqlite3.Error:
        return  # the journal's own check tells
    for (value,) in rows:
        try:
            yield Anchoring.decode(value).opening.anchor.chain_id
        except Malformed:
            continue
