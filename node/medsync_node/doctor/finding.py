"""What an examination looks at and what it finds: the types that every check shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsync_protocol.errors import OperatorError

if TYPE_CHECKING:
    from medsync_client.status import Status
    from medsync_node.config import Config
    from medsync_node.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. `code` for programs; `what` in a sentence; `advice`: what to do. Never patient data.

    `chosen`: no fault, but worth knowing; a notice.
    """

    code: str
    what: str
    advice: str
    chosen: bool = False

    @staticmethod
    def of(code: str, error: OperatorError) -> Finding:
        """An error of the program's own, as a finding."""
        return Finding(code=code, what=str(error), advice=error.advice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A home under examination. `config` None: the settings can't be used. `status` None: no daemon answered.

    `now` in ms; `running`: a process holds the home's lock; `least_free` in bytes; `thorough`: read every row.
    """

    home: Home
    environment: Mapping[str, str]
    config: Config | None
    status: Status | None
    running: bool
    now: int
    least_free: int
    thorough: bool = True


class NotChecked(Exception):
    """A check could not be made; the text says why, after "because"."""


Findings = Iterator[Finding]
