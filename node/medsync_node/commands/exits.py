"""Exit codes, and how an error that was raised on purpose reads on a command line (DESIGN §§4, 5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from typer import TyperException

from medsync_protocol.errors import Denied, Invalid, OperatorError, Refused


class ExitCode(IntEnum):
    """What scripts may rely on."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    DENIED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A word for programs, a sentence for people, what to do next."""

    code: str
    message: str
    advice: str = ""


def exit_code_of(error: Exception) -> ExitCode | None:
    """The exit code for an error raised on purpose; None for a bug."""
    from pydantic import ValidationError

    from medsync_client.errors import ClientError

    if isinstance(error, ValidationError):
        return ExitCode.USAGE  # an argument that no request may hold
    if isinstance(error, ClientError):
        return ExitCode(error.exit_code)
    if isinstance(error, TyperException):
        return ExitCode.USAGE if error.exit_code == ExitCode.USAGE else ExitCode.FAILURE
    if isinstance(error, Denied):
        return ExitCode.DENIED
    if isinstance(error, Refused | OperatorError | Invalid):
        return ExitCode(getattr(error, "exit_code", ExitCode.FAILURE))
    return None


def advise(error: Exception) -> Advice:
    """What to tell the person. Messages never hold patient data: whoever raised it saw to that."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        where = "medsync" if context is None else context.command_path
        return Advice(code="usage", message=error.format_message(), advice=f"see `{where} --help`")
    from pydantic import ValidationError

    from medsync_client.wire import in_words

    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]  # the input may be a patient's
        field = ".".join(map(str, first["loc"]))
        message = f"{field}: {in_words(first['msg'])}"
        return Advice(code="usage", message=message, advice="see the command's --help")
    code = getattr(error, "code", "") or type(error).__name__
    return Advice(code=str(code), message=str(error), advice=str(getattr(error, "advice", "")))
