"""What the command line and the dashboard both call what the API names by codes: one table, so that they never differ.

JSON keeps the codes. Sentences about consents are consent_words.py's; what the words mean is the protocol's.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

HALVES: Final[Mapping[str, str]] = {
    "requested": "asked for", "disclosed": "released", "refused": "refused", "break-glass": "glass broken",
    "log-read": "log was read",
}  # fmt: skip
"""What an entry of the access log is."""
ANSWERS: Final[Mapping[str, str]] = {
    "PERMIT": "permitted", "DENY": "denied", "NO_CONSENT": "no consent covers it", "INDETERMINATE": "could not be decided",
    "ERASED": "the record is erased",
}  # fmt: skip
"""What was decided."""
REVIEWS: Final[Mapping[str, str]] = {
    "open": "to be reviewed", "follow-up": "needs follow-up", "justified": "justified", "not-justified": "not justified",
}  # fmt: skip
"""How far the review of a broken glass is, and what came of it."""
LEVELS: Final[Mapping[str, str]] = {
    "local": "here only", "replicated": "at others too", "signed": "signed", "accepted": "accepted", "settled": "settled",
}  # fmt: skip
"""How far an operation or a checkpoint is; from `settled` on nothing can change it."""
COLUMNS: Final[Mapping[str, str]] = {
    "parked": "waiting", "waits_for": "waits for", "epoch": "key epoch", "effective": "counts", "connected": "linked",
    "half": "what", "reviews_open": "to be reviewed", "reviews_overdue": "of them overdue", "clock_offset_ms": "homes' clocks ahead (ms)",
    "backlog": "to be sent", "addresses": "listens on", "peers": "links", "log_size": "operations", "k": "checkpoint",
    "policy": "membership policy", "member_list": "members",
}  # fmt: skip
"""What a field is called in headings and labels; others are called their name without underscores."""
ANCHORING: Final[Sequence[str]] = (
    "let every node read a Starknet RPC (`medsync run --rpc URL`, or `medsync config set chain.rpc URL`)",
    "name an account that pays, in MEDSYNC_ACCOUNT and MEDSYNC_ACCOUNT_KEY",
    "once on each chain `medsync contract declare`, then `medsync contract deploy`",
    "at its founder `medsync contract register {context} --contract CONTRACT`",
    "leave `medsync bridge run` beside that node",
)
"""The way from a context that no chain holds to one whose checkpoints settle, in order."""
UNLINKED: Final = "ask there whether the node runs; check firewalls, and `announce` on both sides"
"""What to do about another member's device that this node has no link to."""


def half(code: str) -> str:
    """What half of an access an entry is."""
    return HALVES.get(code, code)


def answer(code: str) -> str:
    """What was decided."""
    return ANSWERS.get(code, code)


def review(code: str) -> str:
    """How far a review is, or what it found."""
    return REVIEWS.get(code, code)


def level(code: str) -> str:
    """How far something is."""
    return LEVELS.get(code, code)


def column(field: str) -> str:
    """The heading of a field's column."""
    return COLUMNS.get(field, field.replace("_", " "))


def voters(count: int, quorum: int) -> str:
    """How many may sign checkpoints, and how many of them it takes."""
    return f"{count}, quorum {quorum}" if count else "none yet"


def votes(count: int, quorum: int) -> str:
    """How many signed a checkpoint, of how many it takes."""
    return f"{count} of {quorum}"


def not_anchored(contexts: Sequence[str]) -> tuple[str, str]:
    """What it means that these contexts (by name) stand on no chain, and what to do for those who want otherwise."""
    one = len(contexts) == 1
    what = (
        f"context{'' if one else 's'} {', '.join(contexts)} {'is' if one else 'are'} not anchored on a chain: "
        f"every entry is signed, and all members keep it, but nothing is ever settled"
    )
    steps = "; ".join(ANCHORING).format(context=shlex.quote(contexts[0]) if one else "CONTEXT")
    return what, f"a choice, where members take one another's word. To anchor {'it' if one else 'one'}: {steps}"
