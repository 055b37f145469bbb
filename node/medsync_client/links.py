"""One-time links that sign a person in to the dashboard."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.wire import Body, Millis, Named, View


class PatientPlace(Body):
    """Whose own page: a subject, by pseudonym or card, in a context."""

    context: Named
    subject: str = Field(min_length=1, max_length=128)


class LinkCreate(Body):
    """`scopes` left out: all that the caller has. With `patient` the link opens that subject's own page and no other."""

    scopes: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=32)
    patient: PatientPlace | None = None


class Link(View):
    """Good once, until `expires`; the session that it opens may do what `scopes` say."""

    url: str
    expires: Millis
    scopes: tuple[str, ...]


def open_dashboard(body: LinkCreate) -> Call[Link]:
    """A new link. Refused when the API is not served over TCP: a browser opens no unix socket."""
    return Call(method="POST", path=path("dashboard", "links"), body=body, answer=Link)
