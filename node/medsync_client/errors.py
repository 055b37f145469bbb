"""What a call to a node can fail with, and the exit code of a command that gives up on it (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from medsync_client.wire import Problem


class ClientError(Exception):
    """Base of everything that a call raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


class Unreachable(ClientError):
    """No node answers at this address, or it stopped answering."""

    exit_code: ClassVar[int] = 4


class Refused(ClientError):
    """The node answered no, by a rule: `code` names it, `advice` says what would be needed."""


class Denied(Refused):
    """A decision answered no: nothing may be released."""

    exit_code: ClassVar[int] = 3


class NotFound(Refused):
    """Not there, or nothing that this caller may know of: both read the same."""


class Unauthorised(Refused):
    """No token, one that is unknown, or one whose scopes don't include this call."""


class BadRequest(Refused):
    """The request has no meaning: a field is missing, malformed or of no known name."""

    exit_code: ClassVar[int] = 2


class NodeFault(ClientError):
    """The node failed: its log says why."""


ERRORS: Final[Mapping[int, type[ClientError]]] = {
    400: BadRequest,
    401: Unauthorised,
    403: Refused,
    404: NotFound,
    409: Refused,
    422: BadRequest,
    503: Refused,
}
"""HTTP status → what is raised; 5xx not listed is NodeFault, every other one Refused."""


def error_for(status: int, problem: Problem) -> ClientError:
    """The error that stands for an HTTP answer."""
    kind = ERRORS.get(status, NodeFault if status >= 500 else Refused)
    return kind(problem.message, code=problem.code, advice=problem.advice)


def unreachable(address: object, *, timed_out: bool) -> Unreachable:
    """What to tell whoever called a node that doesn't answer."""
    if timed_out:
        return Unreachable(
            f"the node at {address} did not answer in time",
            code="timeout",
            advice="look at its log, then try again",
        )
    return Unreachable(
        f"no node answers at {address}", code="unreachable",
        advice="start it with `medsync run`, or name another with --home",
    )  # fmt: skip
