"""Whether the chain RPC answers as a Starknet node, keeps our time, and shows what our contexts are anchored to."""

from __future__ import annotations

import sqlite3
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from medsync_client.errors import Unreachable
from medsync_node.doctor.finding import Examined, Finding, Findings, NotChecked
from medsync_node.doctor.journal import SKEW_MS, reading
from medsync_node.verify.chain_check import class_problem
from medsync_node.verify.rpc import Rpc
from medsync_protocol.address import ChainAddress, chain_name
from medsync_protocol.anchor_abi import CLASS_HASH, ENTRY_POINTS
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
        int(str(_ask(config.chain.rpc, "starknet_chainId", [])), 16)
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


def check_anchors(examined: Examined) -> Findings:
    """Each anchored context's contract and opening stand on the chain that the RPC serves, daemon or not. Raises NotChecked."""
    anchorings = _anchorings(examined)
    if not anchorings:
        return
    url = None if examined.config is None else examined.config.chain.rpc
    if url is None:
        raise NotChecked("no chain.rpc is set")
    host = urlsplit(url).hostname  # its path may hold a key
    try:
        chain_id = int(str(_ask(url, "starknet_chainId", [])), 16)
        foreign = {one.address.chain_id for one in anchorings} - {chain_id}
        with httpx.Client(trust_env=False) as http:
            node = Rpc(url, http)
            block = node.latest()
            problems = [
                (one.address, problem) for one in anchorings if one.address.chain_id == chain_id
                and (problem := _problem(node, one, block)) is not None
            ]  # fmt: skip
    except (httpx.HTTPError, Unreachable) as error:
        raise NotChecked(f"{host} does not answer") from error
    except (_NoStarknet, ValueError, Malformed) as error:
        raise NotChecked(f"{host} answers otherwise than a Starknet node") from error
    for anchored in sorted(foreign):
        yield Finding(
            code="chain_id",
            what=f"a context is anchored on {chain_name(anchored)}, and {host} serves {chain_name(chain_id)}",
            advice="set chain.rpc to a node of that chain",
        )
    for address, problem in problems:
        yield Finding(
            code="anchor", what=f"context {address.context:#066x} is anchored on {chain_name(chain_id)}, and at {host} {problem}",
            advice="set chain.rpc to a node of the chain it is anchored on (`medsync context show` has the address); until then "
            "nothing counts as settled",
        )  # fmt: skip


def _problem(node: Rpc, anchoring: Anchoring, block: int) -> str | None:
    address, opening = anchoring.address, anchoring.opening
    found = node.class_hash(address.contract, block)
    if found is None:
        return f"no contract stands at {address.contract:#066x}: another chain, of the same name perhaps"
    if found != CLASS_HASH:
        return class_problem(address, found)
    if _first_digest(node, address, block) != opening.anchor.digest(opening.statement):
        return f"the contract {address.contract:#066x} does not have its opening"
    return None


def _first_digest(node: Rpc, address: ChainAddress, block: int) -> int:
    return node.call(address.contract, ENTRY_POINTS["checkpoint"], [address.context, 0], block)[0]


def _anchorings(examined: Examined) -> list[Anchoring]:
    if not examined.home.journal_file.exists():
        return []
    try:
        with reading(examined.home.journal_file) as connection:
            rows = connection.execute("SELECT value FROM named_values WHERE name = 'anchor'").fetchall()
        return [Anchoring.decode(value) for (value,) in rows]
    except (sqlite3.Error, Malformed) as error:
        raise NotChecked("the journal can't be read") from error
