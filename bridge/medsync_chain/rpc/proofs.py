"""starknet_getStorageProof: paths through the state's tries, for the newest block only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from medsync_chain.chain import Chain
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.felts import to_hex
from medsync_chain.patricia import Binary, Edge, Trie
from medsync_chain.rpc.dispatch import Method, Methods, Params
from medsync_chain.rpc.places import block_of, is_pending, list_of, list_of_felts

__all__ = ["proof_methods"]

MAX_PROVEN = 1_000  # keys in one request


class Proofs:
    """Proves what the newest block's root covers."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def prove(self, params: Params) -> Any:
        """Nodes by their hashes, and the roots they lead up to. Raises Unacceptable (24, 42)."""
        history = self._chain.history
        if is_pending(params["block_id"]):
            raise Unacceptable.malformed("a block that is not sealed has no root")
        if block_of(self._chain, params["block_id"]).number != history.latest.number:
            raise Unacceptable(Code.STORAGE_PROOF_NOT_SUPPORTED, "only the newest block's tries are kept")
        tries = history.tries
        classes = list_of_felts(params.get("class_hashes") or [], "class_hashes", MAX_PROVEN)
        contracts = list_of_felts(params.get("contract_addresses") or [], "contract_addresses", MAX_PROVEN)
        requests = list_of(params.get("contracts_storage_keys"), "contracts_storage_keys", MAX_PROVEN)
        return {
            "classes_proof": _nodes(tries.classes, classes),
            "contracts_proof": {
                "nodes": _nodes(tries.contracts, contracts),
                "contract_leaves_data": [self._leaf(address) for address in contracts],
            },
            "contracts_storage_proofs": [self._cells(request) for request in requests],
            "global_roots": {
                "contracts_tree_root": to_hex(tries.contracts.root),
                "classes_tree_root": to_hex(tries.classes.root),
                "block_hash": to_hex(history.latest.hash),
            },
        }

    def _leaf(self, address: int) -> dict[str, str]:
        state, storage = self._chain.history.ledger.at(), self._chain.history.tries.storage.get(address)
        return {
            "nonce": to_hex(state.nonce(address)),
            "class_hash": to_hex(state.class_at(address)),
            "storage_root": to_hex(0 if storage is None else storage.root),
        }

    def _cells(self, request: Any) -> list[Any]:
        if not isinstance(request, Mapping):
            raise Unacceptable.malformed("contracts_storage_keys must be a list of objects")
        (address,) = list_of_felts([request.get("contract_address")], "contract_address", 1)
        keys = list_of_felts(request.get("storage_keys"), "storage_keys", MAX_PROVEN)
        storage = self._chain.history.tries.storage.get(address)
        return [] if storage is None else _nodes(storage, keys)


def _nodes(trie: Trie, keys: Iterable[int]) -> list[Any]:
    """The nodes on the way to these keys, each once."""
    found: dict[int, Binary | Edge] = {}
    for key in keys:
        found |= {trie.hash_of(node): node for node in trie.path(key)}
    return [{"node_hash": to_hex(digest), "node": _node(trie, node)} for digest, node in found.items()]


def _node(trie: Trie, node: Binary | Edge) -> dict[str, Any]:
    if isinstance(node, Binary):
        return {"left": to_hex(trie.hash_of(node.left)), "right": to_hex(trie.hash_of(node.right))}
    return {"path": to_hex(node.path), "length": node.length, "child": to_hex(trie.hash_of(node.child))}


def proof_methods(chain: Chain) -> Methods:
    """By name."""
    names = ("block_id", "class_hashes", "contract_addresses", "contracts_storage_keys")
    return {"starknet_getStorageProof": Method(Proofs(chain).prove, names, 1)}
