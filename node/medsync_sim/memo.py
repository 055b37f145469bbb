"""Pure functions of the protocol, computed once per argument instead of once per node: an option for large runs.

Nothing is left out: every distinct signature is verified, every distinct checkpoint hashed. What a hundred virtual
nodes would compute alike is computed by one of them. A run's trace is the same with and without (a test compares).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from medsync_protocol import actions, codec, crypto, operation, poseidon, stark
from medsync_protocol.candidate import Built, Plan

KEPT: Final = 16_384  # results of each function: some minutes of a dozen nodes
_PURE: Final = (
    (crypto, "verify"), (crypto, "signing_public"), (crypto, "unseal"), (stark, "verify"), (stark, "sign"),
    (stark, "public_key"), (codec, "unpack"), (operation, "decode"), (operation, "decode_header"),
    (operation, "decode_body"), (operation, "decode_label"), (operation, "op_id_of"), (operation, "check_signature"),
    (actions, "decode_action"),
)  # fmt: skip
"""Of bytes and integers, to values that nobody can change."""
_POSEIDON: Final = ("hades_permutation", "poseidon_hash_many")  # of lists of integers, which are no keys
_MEMOS: dict[Callable[..., Any], Callable[..., Any]] = {}


def _memo(function: Callable[..., Any]) -> Callable[..., Any]:
    found = _MEMOS.get(function)
    if found is None:
        found = _MEMOS[function] = lru_cache(maxsize=KEPT)(function)
    return found


def _of_lists(function: Callable[..., Any]) -> Callable[..., Any]:
    found = _MEMOS.get(function)
    if found is None:
        of_tuples = lru_cache(maxsize=KEPT)(lambda felts: function(list(felts)))
        found = _MEMOS[function] = lambda felts: of_tuples(tuple(felts))
    return found


@contextmanager
def memoised() -> Iterator[None]:
    """Within it every module of the protocol uses the memoised functions; what raises is computed again."""
    replaced: list[tuple[Any, str, Any]] = []
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("medsync_protocol.")]
    for home, name in _PURE:
        original: Callable[..., Any] = getattr(home, name)
        for module in modules:
            if getattr(module, name, None) is original:
                replaced.append((module, name, original))
                setattr(module, name, _memo(original))
    for name in _POSEIDON:
        original = getattr(poseidon, name)
        replaced.append((poseidon, name, original))
        setattr(poseidon, name, _of_lists(original))
    try:
        yield
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)


class Builder:
    """Hashes checkpoints, each distinct one once."""

    def __init__(self) -> None:
        self._built: dict[Any, Built] = {}

    def build(self, plan: Plan) -> Built:
        """As `plan.build()`."""
        key = (
            plan.anchor, plan.head, plan.peaks, plan.consents.root, tuple(sorted(plan.changes.items())), plan.cut,
            plan.verdicts, plan.next_signers, plan.membership_root, plan.key_id, plan.policy_hash, plan.not_before,
            plan.rewards.digest,
        )  # fmt: skip
        found = self._built.get(key)
        if found is None:
            found = self._built[key] = plan.build()
        return found
