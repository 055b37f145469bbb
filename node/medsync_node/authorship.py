"""Whether a home's key file is the one under which its journal was written: another's would write in this home as that other."""

from __future__ import annotations

import sqlite3
from typing import Final

from medsync_node.rows import OWN
from medsync_protocol.errors import OperatorError
from medsync_protocol.identity import Identity
from medsync_protocol.ids import DeviceId

_FIRST_OF_CHAINS: Final = (
    "SELECT chains.id FROM chains JOIN ops ON ops.chain = chains.n"
    f" WHERE ops.seq = (SELECT min(seq) FROM ops WHERE chain = chains.n) AND ops.flags & {OWN}"
)
_DEVICE_BYTES: Final = 32  # a chain is named by its device and that device's incarnation


class KeyFileForeign(OperatorError):
    """The key file is another device's than wrote this home's journal."""


def writers(connection: sqlite3.Connection) -> frozenset[DeviceId]:
    """The devices under which this home wrote: more than one after its keys were renewed. Raises sqlite3.Error."""
    return frozenset(DeviceId(chain[:_DEVICE_BYTES]) for (chain,) in connection.execute(_FIRST_OF_CHAINS))


def require_own(wrote: frozenset[DeviceId], identity: Identity) -> None:
    """Raises KeyFileForeign unless all of them are this identity's, former ones included."""
    foreign = wrote - {identity.device, *identity.retired}
    if foreign:
        raise KeyFileForeign(
            f"the key file is of device {identity.device.hex()[:16]} ({identity.name}), and this home's journal was written by "
            f"{', '.join(sorted(device.hex()[:16] for device in foreign))}",
            advice="put this home's own key file back (a backup holds it, and what `medsync key export` wrote), or name the right --home",
        )  # fmt: skip
