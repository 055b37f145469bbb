"""A form that came when its sign-in had ended: what was in it is shown again, to be sent under a new one. Nothing was done.

Only forms of our own pages are shown so: another site's would be sent by whoever presses the button without looking.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from medsync_node.dashboard.rendering import page
from medsync_node.dashboard.sessions import Session
from medsync_node.dashboard.visit import CSRF, ROOT

SHOWN: Final = 1000  # characters of a field that are shown: all of it is sent again
UNSPOKEN: Final = frozenset({"document", "signature"})  # of a patient's revocation: nobody reads them


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """`to`: where it was sent; `fields` all of it but the session's own; `shown` what a person can read of it."""

    to: str
    fields: Mapping[str, str]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Names and texts, long ones cut."""
        listed = ((name, text) for name, text in self.fields.items() if name not in UNSPOKEN)
        return [(name, text if len(text) <= SHOWN else text[:SHOWN] + "…") for name, text in listed]


def unsent(request: Request, form: Mapping[str, str]) -> Unsent:
    """What a request would have done."""
    return Unsent(to=ROOT + request.url.path, fields={name: text for name, text in form.items() if name != CSRF})


def show(one: Unsent, *, session: Session | None, node_name: str, read_only: bool) -> Response:
    """The page that keeps it: to be sent again after signing in (`session` None), or now, under the session of now."""
    return page(
        "unsent.html", 401 if session is None else 403, session=session, node_name=node_name, context="", called="", query={}, path="",
        read_only=read_only, one=one,
    )  # fmt: skip
