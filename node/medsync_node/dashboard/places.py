"""Where a page stands: the sections of a context, which of them is current, and the way back to it as a breadcrumb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SECTIONS: Final = (
    ("", "Summary"), ("/subjects", "Patients"), ("/consents", "Consents"), ("/access", "Access log"), ("/reviews", "Reviews"),
    ("/members", "Members"), ("/operations", "Operations"), ("/anchors", "Anchors"), ("/rewards", "Rewards"), ("/audit", "Audit"),
)  # fmt: skip
"""What there is of each context, by the end of the path, in the order of the menu and of the overview's cards."""
WITHIN: Final = {"/receipts": "/access"}
"""Pages that belong to another section than their path begins with."""
OF_NODE: Final = (("/overview", "Overview"), ("/members", "Network"), ("/rewards", "Rewards"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One of a menu. `current`: as aria-current says it, empty where it is another page."""

    to: str
    name: str
    current: str = ""


def menu(path: str) -> Iterator[Link]:
    """The pages of the node; `path` without /dashboard."""
    for to, name in OF_NODE:
        yield Link(to=to, name=name, current=_current(path, to))


def sections(path: str, context: str) -> Iterator[Link]:
    """The pages of a context, by its name or id as it stands in paths."""
    at = f"/c/{context}"
    section = _section(path.removeprefix(at))
    for end, name in SECTIONS:
        yield Link(to=at + end, name=name, current=_current(path, at + end) if end == section else "")


def crumbs(path: str, context: str, called: str, title: str) -> Iterator[Link]:
    """The way to a page of a context: overview, context, section, and the page where it is none of these."""
    at = f"/c/{context}"
    section = _section(path.removeprefix(at))
    name = dict(SECTIONS).get(section, "")
    yield Link(to="/overview", name="Overview")
    yield Link(to=at, name=called, current="page" if path == at else "")
    if section and name:
        yield Link(to=at + section, name=name, current="page" if path == at + section else "")
    if path not in (at, at + section):
        yield Link(to="", name=title, current="page")


def _section(rest: str) -> str:
    first = "/" + rest.split("/")[1] if rest else ""
    return WITHIN.get(first, first)


def _current(path: str, to: str) -> str:
    if path == to:
        return "page"
    return "true" if path.startswith(to + "/") or to.endswith("/access") else ""
