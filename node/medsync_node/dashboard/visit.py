"""One request of somebody signed in: what he sent, what he may, and how an answer is made for him."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from medsync_client.calls import Call
from medsync_client.errors import BadRequest, ClientError, Refused
from medsync_node.dashboard.backend import Backend
from medsync_node.dashboard.rendering import page
from medsync_node.dashboard.sessions import Session

T = TypeVar("T", bound=BaseModel)

ROOT: Final = "/dashboard"
MAX_FIELDS: Final = 50  # of one form: the largest of ours has a fifth
CSRF: Final = "csrf"
"""The field that says to which session a form was shown."""


@dataclass(slots=True, kw_only=True)
class Visit:
    """`query` and `form` hold text that nobody checked; the API does. `now` in ms. `called`: the name of the path's context."""

    request: Request
    session: Session
    backend: Backend
    node_name: str
    now: int
    form: Mapping[str, str] = field(default_factory=dict)
    called: str = ""

    @property
    def query(self) -> Mapping[str, str]:
        """The query's fields that hold something."""
        return {name: text.strip() for name, text in self.request.query_params.items() if text.strip()}

    @property
    def context(self) -> str:
        """Name or id of the context in the path."""
        return str(self.request.path_params.get("context", ""))

    def place(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    async def ask(self, call: Call[T]) -> T:
        """Ask the API. Raises ClientError."""
        return await self.backend.send(self.session.grant, call)

    async def ask_if_allowed(self, call: Call[T]) -> T | None:
        """As `ask`; None where the session has no scope for it, or the API knows of none."""
        if not self.may(call.method, call.path):
            return None
        try:
            return await self.ask(call)
        except ClientError:
            return None

    def may(self, method: str, path: str) -> bool:
        """Whether a call would pass the scopes and read-only mode."""
        return self.backend.allows(self.session.grant, method, path)

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page. Asked by htmx for one of its parts (`HX-Target`), only what changes is sent: the whole body's content."""
        return page(
            template, status, session=self.session, node_name=self.node_name, context=self.context, called=self.called or self.context,
            query=self.query, read_only=self.backend.read_only, path=self.request.url.path, **values,
        )  # fmt: skip

    def go(self, path: str) -> Response:
        """On to another page, after something was done: reloading it does nothing again."""
        return RedirectResponse(ROOT + path, status_code=303)


def read_form(body: bytes) -> Mapping[str, str]:
    """The fields of a form as it was sent. Raises BadRequest for more of them than any of ours has."""
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise BadRequest("this form has too many fields", code="form", advice="send a form of these pages") from error
    return {name: text.strip() for name, text in pairs if text.strip()}


def is_ours(request: Request) -> bool:
    """Whether the browser says that one of this node's pages sent it; one that says nothing may be another's."""
    return request.headers.get("origin") == f"{request.url.scheme}://{request.headers.get('host', '')}"


def is_of_session(request: Request, form: Mapping[str, str], session: Session) -> bool:
    """Whether a page of ours, shown to this session, sent a form: not another site, and not under an earlier sign-in."""
    given = form.get(CSRF, "")
    foreign = "origin" in request.headers and not is_ours(request)
    return not foreign and hmac.compare_digest(given.encode(), session.csrf.encode())


def foreign_form() -> Refused:
    """What a form is answered that may be another site's."""
    return Refused(
        "this form was not sent from a page of this session", code="foreign_form",
        advice="go back, load the page again, and send it from there",
    )  # fmt: skip
