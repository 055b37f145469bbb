"""Templates to pages: escaping always on, unknown names refused, and the headers that every page carries."""

from __future__ import annotations

from typing import Any, Final
from unicodedata import bidirectional

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from medsync_node.dashboard import places, words
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
CUT: Final = 600  # characters of a text that others wrote: the longest reason has 512
UNSEEN: Final = "\ufffd"
_ISOLATE: Final = "\u2068"
_ISOLATED: Final = "\u2069"
_LEFTWARDS: Final = frozenset({"R", "AL", "AN"})
SHORT: Final = 12  # digits of an id that a person compares; the whole one is in the title


def short(text: str | None) -> str:
    """An id's beginning."""
    return "–" if not text else text if len(text) <= SHORT else text[:SHORT] + "…"


def cut(text: str, most: int = CUT) -> str:
    """What others wrote, no longer than a page has room for."""
    return text if len(text) <= most else text[:most] + "…"


def begun(text: str) -> str:
    """As a sentence begins; the command line puts a word before it."""
    return text[:1].upper() + text[1:]


def label(field: str) -> str:
    """What a field is called, as a heading."""
    return begun(words.column(field))


def isolated(value: object) -> object:
    """Text as it stands on a page: whatever can't be seen or turns text around is shown as a box, and right-to-left
    text turns only itself (Unicode Standard Annex 9). What is meant as markup, and `|e` makes so, is left alone."""
    if not isinstance(value, str) or hasattr(value, "__html__") or (value.isascii() and value.isprintable()):
        return value
    seen = "".join(one if one.isprintable() or one in "\n\t" else UNSEEN for one in value)
    return f"{_ISOLATE}{seen}{_ISOLATED}" if any(bidirectional(one) in _LEFTWARDS for one in seen) else seen


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("medsync_node.dashboard"), autoescape=True, undefined=StrictUndefined, finalize=isolated,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {"menu": places.menu, "sections": places.sections, "crumbs": places.crumbs}
    made.filters |= {
        "moment": moment, "iso": iso, "short": short, "level": words.level, "sentence": words.sentence, "standing": words.standing, "purpose": words.purpose,
        "cut": cut, "begun": begun, "label": label, "voters": words.voters, "votes": words.votes, "half": words.half, "review": words.review, "answer": words.answer, "checked": words.checked,
    }  # fmt: skip
    return made


_TEMPLATES: Final = _environment()


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A page's response. `session` None: nobody is signed in."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status, dict(HEADERS))
