"""The membership policies that this node has: the shipped ones, and those of packages under `medsync.policies`.

An entry point of that group names a class that derives from `medsync_protocol.ruling.Rules`. Its hash covers the text
of the modules that it and its bases stand in, so the text must be at hand; what ships with MedSync is pinned.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from medsync_protocol.crypto import blake2b
from medsync_protocol.errors import OperatorError
from medsync_protocol.policies.pins import PINS
from medsync_protocol.policy import Offer, Policies
from medsync_protocol.ruling import Rules

GROUP: Final = "medsync.policies"
_OWN: Final = "medsync_protocol."


class BadPolicy(OperatorError):
    """A package offers a membership policy that can't be one."""


def installed() -> Policies:
    """All policies of this node. Raises BadPolicy with advice."""
    return Policies().with_offers(offer_of(point) for point in sorted(found(), key=lambda p: p.name))


def found() -> Iterator[EntryPoint]:
    """The entry points, unloaded."""
    yield from entry_points(group=GROUP)


def offer_of(point: EntryPoint) -> Offer:
    """What an entry point offers. Raises BadPolicy."""
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise BadPolicy(
            f"the membership policy {point.name!r} can't be loaded: {error}",
            advice=f"mend or uninstall the package with the entry point {point.value}",
        ) from error
    return offer(kind)


def loaded(value: str) -> Offer:
    """The policy at `module:Class`, installed or not. Raises BadPolicy."""
    return offer_of(EntryPoint(name=value, value=value, group=GROUP))


def offer(kind: object) -> Offer:
    """A class as an offer, its source hashed. Raises BadPolicy."""
    if not isinstance(kind, type) or not issubclass(kind, Rules) or not kind.name:
        raise BadPolicy(
            f"{kind!r} is no membership policy",
            advice="derive a class with a `name` from medsync_protocol.ruling.Rules",
        )
    return Offer(kind, source_of(kind))


def source_of(kind: type[Rules]) -> bytes:
    """32 bytes over the texts of the modules of a class and its bases; pins stand for MedSync's own. Raises BadPolicy."""
    names = dict.fromkeys(base.__module__ for base in reversed(kind.__mro__) if base is not object)
    parts = []
    for name in names:
        pin = PINS.get(name.rpartition(".")[2]) if name.startswith(_OWN) else None
        if pin is not None:
            parts.append(bytes.fromhex(pin))
            continue
        try:
            text = inspect.getsource(importlib.import_module(name))
        except (OSError, TypeError) as error:
            raise BadPolicy(
                f"the text of {name} is not at hand, so the policy {kind.name!r} has no hash",
                advice="install the package with its .py files",
            ) from error
        parts.append(hashlib.blake2b(text.encode(), digest_size=32).digest())
    return blake2b(b"medsync/policy-source/1", *parts)
