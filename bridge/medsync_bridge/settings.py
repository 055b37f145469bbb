"""What an operator tells the bridge: parsed, with nothing loaded that takes time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

FRI: Final = 10**18  # a STRK
DEFAULT_FEE_CAP: Final = 50.0  # STRK: a declaration takes a few, a checkpoint of 30 voters a fraction of one
DEFAULT_POLL: Final = 1.0  # seconds: a public chain's block takes a few


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From when on the bridge alerts: `lag` checkpoints or `minutes` behind, money for fewer than `posts` posts."""

    lag: int = 10
    minutes: float = 30
    posts: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`home` is the bridge's directory, `key` says where the secret lies, `fee_cap` and `tip` are fri.

    `poll` is the time between two looks at chain or node, in seconds.
    """

    home: Path
    rpc: str
    account: int
    key: str
    fee_cap: int
    tip: int
    poll: float

    @property
    def contract_home(self) -> Path:
        """Where `medsync contract` keeps its journal: it may work beside a running bridge."""
        return self.home / "contract"
