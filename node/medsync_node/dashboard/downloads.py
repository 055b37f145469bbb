"""Answers that a browser keeps as a file, under a name of ours."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import Response

from medsync_node.dashboard.rendering import HEADERS


def as_file(content: BaseModel, name: str) -> Response:
    """A message of the API as a JSON file."""
    return Response(content.model_dump_json(indent=1), media_type="application/json", headers=disposition(name))


def disposition(name: str) -> dict[str, str]:
    """Headers of a download; `name` holds no quotes."""
    assert '"' not in name and name.isascii(), "file names here are made of ids"
    return {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
