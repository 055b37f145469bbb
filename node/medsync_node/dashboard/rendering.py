"""Templates to pages: escaping always on, unknown names refused, and the headers that every page carries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from medsync_node.dashboard import words

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()", "Cache-Control": "no-store",
}  # fmt: skip
SHORT: Final = 12  # digits of an id that a person compares; the whole one is in the title


def moment(millis: int | None) -> str:
    """Milliseconds as a time in UTC."""
    return "–" if millis is None else datetime.fromtimestamp(millis / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(millis: int) -> str:
    """The same for programs: what `<time datetime>` wants."""
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat()


def short(text: str | None) -> str:
    """An id's beginning."""
    return "–" if not text else text if len(text) <= SHORT else text[:SHORT] + "…"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("medsync_node.dashboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "moment": moment, "iso": iso, "short": short, "sentence": words.sentence, "purpose": words.purpose,
        "half": words.half, "answer": words.answer, "checked": words.checked,
    }  # fmt: skip
    return made


_TEMPLATES: Final = _environment()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page's response. `session` None: nobody is signed in."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status, dict(HEADERS))
