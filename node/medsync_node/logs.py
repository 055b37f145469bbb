"""The daemon's log: structured lines on stderr through structlog. Callers never put patient data into an event."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

_LEVELS: Final = {name: getattr(logging, name.upper()) for name in ("debug", "info", "warning", "error")}
_OTHERS: Final = ("httpx", "httpcore", "hypercorn.error", "hypercorn.access")


def configure(level: str, form: str) -> None:
    """Send everything of `level` and above to stderr, as text for people or one JSON object a line."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info
            if form == "json"
            else structlog.processors.StackInfoRenderer(),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # whatever is stderr when something is told
    )
    for name in _OTHERS:  # they log requests, whose paths name subjects
        logging.getLogger(name).setLevel(logging.CRITICAL)
