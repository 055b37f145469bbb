"""A template to one HTML document that carries its own style, and the headers under which a browser shows it.

What runs along the edges of every printed page is CSS text, so names are written into it as escapes: they can't end a string.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medsync_node.dashboard import words
from medsync_node.dashboard.rendering import HEADERS, isolated, short


def css_text(text: str) -> Markup:
    """Text as the inside of a CSS string, and of a style element: all but plain letters and digits as escapes."""
    return Markup("".join(one if one.isascii() and (one.isalnum() or one == " ") else f"\\{ord(one):06x} " for one in text))


def camel(names: Iterable[str]) -> Iterator[Markup]:
    """Names such as MedicationRequest, which a line may break between their words."""
    return (Markup("<wbr>").join(re.split("(?<=[a-z])(?=[A-Z])", one)) for one in names)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("medsync_node.printed"), autoescape=True, undefined=StrictUndefined, finalize=isolated,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "moment": words.moment, "iso": words.iso, "short": short, "purpose": words.purpose, "half": words.half, "answer": words.answer,
        "css_text": css_text, "camel": camel,
    }  # fmt: skip
    return made


_TEMPLATES: Final = _environment()


def sheet(template: str, *, edge: str, made: int, by: str | None, back: str | None = None, **values: Any) -> str:
    """The document. `edge`: what every page is told apart by; `made` in ms; `by`: which member; `back`: where a click leads."""
    style = Markup(_TEMPLATES.get_template("sheet.css").render(edge=edge, made=made, by=by or ""))
    return _TEMPLATES.get_template(template).render(style=style, made=made, by=by, back=back, **values)


def headers(document: str) -> dict[str, str]:
    """Those of the dashboard's pages, but that this document's own style is allowed, by its digest, and no script at all."""
    style = document[document.index("<style>") + len("<style>") : document.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    return {**HEADERS, "Content-Security-Policy": policy}
