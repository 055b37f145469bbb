"""Templates to pages: escaping always on, unknown names refused, and the headers that every page carries."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from medsync_node.dashboard import words
from medsync_node.dashboard.words import iso, moment

__all__ = ["CSP", "HEADERS", "iso", "moment", "page", "short"]

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


def short(text: str | None) -> str:
    """An id's beginning."""
    return "–" if not text else text if len(text) <= SHORT else text[:SHORT] + "…"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("medsync_node.dashboard"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "moment": moment, "iso": iso, "short": short, "level": words.level, "sentence": words.sentence, "purpose": words.purpose,
        "half": words.half, "review": words.review, "answer": words.answer, "checked": words.checked,
    }  # fmt: skip
    return made


_TEMPLATES: Final = _environment()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page's response. `session` None: nobody is signed in."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status, dict(HEADERS))
