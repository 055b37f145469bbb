"""Which membership policies a run knows: the shipped ones, and one of others, by its entry point or as module:Class.

A daemon's own way to load them, with the hash over every base class, is medsync_node's.
"""

from __future__ import annotations

import inspect
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import Refused
from medsync_protocol.policy import SHIPPED, Offer, Policies
from medsync_protocol.ruling import Rules

GROUP: Final = "medsync.policies"


def policies_for(named: str) -> tuple[str, Policies]:
    """(the policy's name, the policies a node has). Raises Refused where there is no such policy."""
    if named in SHIPPED:
        return named, Policies()
    if ":" in named:
        points = [EntryPoint(name=named, value=named, group=GROUP)]
    else:
        points = [point for point in entry_points(group=GROUP) if point.name == named]
    if not points:
        raise Refused(
            f"no membership policy {named!r}", code="unknown_policy",
            advice=f"one of {', '.join(SHIPPED)}, one that `medsync policy list` names, or module:Class",
        )  # fmt: skip
    try:
        kind = points[0].load()
    except (ImportError, AttributeError) as error:
        raise Refused(
            f"the membership policy {named!r} can't be loaded: {error}", code="unknown_policy",
            advice="is its module on PYTHONPATH?",
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Rules)):
        raise Refused(
            f"{named!r} is no membership policy", code="unknown_policy", advice="derive it from medsync_protocol.ruling.Rules"
        )
    text = inspect.getsource(sys.modules[kind.__module__])
    return kind.name, Policies().with_offers([Offer(kind, blake2b(text.encode()))])
