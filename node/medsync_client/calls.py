"""One call of the HTTP API as a value: what is sent, and what type answers. Sending it is `client.py`'s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from medsync_client.errors import ClientError, NodeFault, error_for
from medsync_client.wire import Problem

T_co = TypeVar("T_co", bound=BaseModel, covariant=True)

PROMPT: Final = 30.0  # seconds: a commit on a busy disk takes well under one
PATIENT: Final = 180.0  # seconds: joining dials another node, an access asks another member


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T_co]):
    """`path` begins with a slash; query values that are None are left out; `timeout` in seconds."""

    method: str = "GET"
    path: str
    answer: type[T_co]
    body: BaseModel | None = None
    query: Mapping[str, str | int | bool | None] = field(default_factory=dict)
    timeout: float = PROMPT

    def content(self) -> bytes | None:
        """The JSON body."""
        return None if self.body is None else self.body.model_dump_json(exclude_none=True).encode()

    def parameters(self) -> dict[str, str | int | bool]:
        """The query without what was left open."""
        return {name: value for name, value in self.query.items() if value is not None}

    def read(self, status: int, content: bytes) -> T_co:
        """The answer in an HTTP response. Raises ClientError as its status says."""
        if status >= 400:
            raise read_problem(status, content)
        try:
            return self.answer.model_validate_json(content)
        except ValidationError as error:
            raise NodeFault(
                "the node's answer is not what this version of the client understands",
                code="unreadable_answer",
                advice="use a client of the node's version",
            ) from error


def read_problem(status: int, content: bytes) -> ClientError:
    """The error in a response whose status is 400 or above."""
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        problem = Problem(code=f"http_{status}", message=f"the node answered with HTTP status {status}")
    return error_for(status, problem)


def path(*parts: str) -> str:
    """`/v1/…` with each part quoted."""
    return "/v1/" + "/".join(quote(part, safe=":") for part in parts)
