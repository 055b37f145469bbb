"""The page that shows the API: our own, over /openapi.json; nothing is loaded from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

CSP: Final = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'"
_TYPES: Final = {"docs.html": "text/html", "docs.js": "text/javascript", "docs.css": "text/css"}


def _asset(name: str) -> Response:
    text = files("medsync_node.api").joinpath("static", name).read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"}
    return Response(text, media_type=_TYPES[name], headers=headers)


def routes() -> APIRouter:
    """The page and its two assets."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def page() -> Response:
        return _asset("docs.html")

    @router.get("/docs/docs.js")
    async def script() -> Response:
        return _asset("docs.js")

    @router.get("/docs/docs.css")
    async def style() -> Response:
        return _asset("docs.css")

    return router
