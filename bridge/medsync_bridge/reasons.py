"""From a chain's account of a failure to the contract's word for it.

RPC error 40 carries it in `revert_error`, 41 in `execution_error`: frames nested by `error`, the innermost a
string that holds a list of felts in hex (STARKNET §6). Transaction results carry a text of the same felts.
"""

from __future__ import annotations

import re
from typing import Any, Final

from medsync_protocol.errors import Malformed
from medsync_protocol.refusal import Reason
from medsync_protocol.stark import short_text

UNREADABLE: Final = "no reason given"
_MAX_TEXT: Final = 200  # characters shown of a reason that is no short string
_MAX_FRAMES: Final = 64  # a call may nest 50 deep
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,64}\b")
_WRAPPERS: Final = frozenset(
    {"ENTRYPOINT_FAILED", "argent/multicall-failed"}
)  # say only that a callee failed


def decode_reason(failure: Any) -> str:
    """The short string behind an error's `data`, a failed estimate's or a transaction result's text.

    The anchor's own reasons win; else the first short string that names something; else the text, cut.
    """
    text = _innermost(failure)
    words = [word for word in map(_word, _HEX.findall(text)) if word and word not in _WRAPPERS]
    words += [word for word in re.findall(r"'([^']{1,31})'", text) if word not in _WRAPPERS]
    own = [word for word in words if word in Reason.__members__]
    if own:
        return own[0]
    return words[0] if words else text.strip()[:_MAX_TEXT] or UNREADABLE


def _innermost(failure: Any) -> str:
    for _ in range(_MAX_FRAMES):
        if not isinstance(failure, dict):
            break
        failure = next(
            (failure[key] for key in ("revert_error", "execution_error", "error") if key in failure), ""
        )
    return failure if isinstance(failure, str) else ""


def _word(felt: str) -> str:
    """The felt as text; empty for addresses, selectors and other numbers, which hardly ever spell something."""
    try:
        text = short_text(int(felt, 16))
    except Malformed:
        return ""
    return text if len(text) >= 3 else ""
