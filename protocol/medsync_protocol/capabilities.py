"""Capabilities of a group's members: bits that an admin gives, to all by default or to one; admins hold all (CALIMERO §0)."""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class Capability(IntFlag):
    """Never renumber."""

    CREATE_CONTEXT = 1 << 0
    INVITE_MEMBERS = 1 << 1
    JOIN_OPEN_SUBGROUPS = 1 << 2
    MANAGE_MEMBERS = 1 << 3
    MANAGE_APPLICATION = 1 << 4
    CREATE_SUBGROUP = 1 << 5
    DELETE_SUBGROUP = 1 << 6
    MANAGE_VISIBILITY = 1 << 7
    MANAGE_METADATA = 1 << 8


ALL: Final = sum(Capability)
DEFAULT: Final = int(Capability.JOIN_OPEN_SUBGROUPS)  # until an admin says otherwise
DEFAULT_KEY: Final = "capabilities"
MEMBER_KEY: Final = "capabilities/"

NEEDED: Final[tuple[tuple[str, Capability | None], ...]] = (
    (DEFAULT_KEY, None),
    ("follow/", None),
    ("metadata/member/", Capability.MANAGE_METADATA),
    ("metadata", Capability.MANAGE_METADATA),
    ("visibility", Capability.MANAGE_VISIBILITY),
    ("subgroup/", Capability.CREATE_SUBGROUP),
    ("application/", Capability.CREATE_CONTEXT),
)
"""(beginning of a key of the group's table, what writing under it needs); None: an admin. Blobs need no capability."""

OWN: Final = ("follow/", "metadata/member/")
"""Keys that a member may write about itself."""


def needed(key: str, takes_away: bool) -> Capability | None:
    """What writing under a key of the group's table needs; None: an admin."""
    for start, capability in NEEDED:
        if key.startswith(start):
            return Capability.DELETE_SUBGROUP if takes_away and start == "subgroup/" else capability
    return None
