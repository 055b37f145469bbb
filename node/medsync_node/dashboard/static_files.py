"""Style, scripts and their notices: files of this package, the only ones a page loads."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from medsync_node.dashboard.rendering import HEADERS

FILES: Final = {
    "dashboard.css": "text/css", "patient.js": "text/javascript", "page.js": "text/javascript",
    "htmx-2.0.11.min.js": "text/javascript", "htmx-sse-2.2.4.min.js": "text/javascript", "NOTICE": "text/plain",
    "favicon.ico": "image/x-icon",
}  # fmt: skip


ICON: Final = "/favicon.ico"
"""Where browsers look for it by themselves, signed in or not."""


async def serve_icon(request: Request) -> Response:
    """The icon, at the root of the site."""
    return _file("favicon.ico")


async def serve(request: Request) -> Response:
    """One of FILES."""
    name = str(request.path_params["name"])
    if name not in FILES:
        return Response(status_code=404, headers=dict(HEADERS))
    return _file(name)


def _file(name: str) -> Response:
    content = files("medsync_node.dashboard").joinpath("static", name).read_bytes()
    return Response(content, media_type=FILES[name], headers={**HEADERS, "Cache-Control": "no-cache"})
