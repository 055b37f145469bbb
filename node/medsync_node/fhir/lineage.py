"""Updates of a Consent resource: one logical id over directives that superseded one another, each a version of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from medsync_client.consents import Consent


def current(consents: Iterable[Consent]) -> dict[str, Consent]:
    """Logical id → newest version, of one subject's consents.

    A directive is a new version of the one that it alone supersedes, if the same key signed both and it counts. Where two
    supersede one, each is a resource of its own, and so is what they superseded.
    """
    held = {one.id: one for one in consents}
    before = {
        one.id: one.supersedes[0]
        for one in held.values()
        if len(one.supersedes) == 1 and _replaced(held.get(one.supersedes[0]), one)
    }
    following = Counter(before.values())
    found = {}
    for one in held.values():
        if following[one.id] == 1:
            continue
        first = one.id
        while first in before and following[before[first]] == 1:
            first = before[first]
        found[first] = one
    return found


def _replaced(earlier: Consent | None, later: Consent) -> bool:
    return earlier is not None and earlier.signer == later.signer and earlier.reason in ("superseded", "revoked")
