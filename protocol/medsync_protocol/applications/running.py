"""Runs an application's calls and queries within bounds: steps, bytes, events; an exception changes nothing.

Lines are counted, not time, so that all members agree on what went too far. Which application, on which state, is
timeline.py's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, TypeVar

from medsync_protocol.applications.interface import App, Call, CallFailed, Json, Method, State, TooMuch, text_of

MAX_STEPS: Final = 200_000  # lines that one call or query may run, as for membership policies
MAX_ARGUMENTS: Final = 128 * 1024  # characters of JSON: half of what an operation holds
MAX_OUTPUT: Final = 4 << 20  # characters of JSON: what a client is sent
_OURS: Final = frozenset({"medsync_protocol.applications.interface", "json", "json.decoder", "json.encoder"})
"""Modules whose lines are not the application's: entering them counts as one step."""
T = TypeVar("T")

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
    "any": (str, int, float, bool, list, dict, type(None)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call or query. `error` set: it failed, `written` and `events` are empty."""

    output: Json = None
    error: Json = None
    failed: bool = False
    events: tuple[tuple[str, Json], ...] = ()
    written: Mapping[str, str | None] | None = None


def failure(data: Json) -> Outcome:
    """An outcome that changes nothing."""
    return Outcome(error=data, failed=True)


def call(app: App, held: Mapping[str, str], made: Call) -> Outcome:
    """Fold a call over what is held, which stays as it is: `written` says what changed."""
    wrong = _wrong(app, made.method, made.arguments, changes=True)
    if wrong is not None:
        return failure(wrong)
    state = State(held)
    return _run(lambda: app.fold(state, made), made, state)


def query(app: App, held: Mapping[str, str], method: str, arguments: Mapping[str, Any]) -> Outcome:
    """Ask."""
    wrong = _wrong(app, method, arguments, changes=False)
    if wrong is not None:
        return failure(wrong)
    state = State(held, writable=False)
    return _run(lambda: app.query(state, method, arguments), None, state)


def _run(step: Callable[[], Json], made: Call | None, state: State) -> Outcome:
    try:
        output = _counted(step)
        text = text_of(output)
        if len(text) > MAX_OUTPUT:
            return failure(f"the answer is longer than {MAX_OUTPUT} characters")
    except CallFailed as refused:
        return failure(refused.data)
    except TooMuch as error:
        return failure(str(error))
    except Exception as error:  # an application's fault must neither stop a replica nor let anything pass
        return failure(f"the application failed: {type(error).__name__}")
    if made is None:
        return Outcome(output=json.loads(text))
    return Outcome(output=json.loads(text), events=tuple(made.events), written=state.written)


def arguments_of(text: str) -> dict[str, Any]:
    """The arguments in JSON text. Raises CallFailed for what is no object, or too long."""
    if len(text) > MAX_ARGUMENTS:
        raise CallFailed(f"the arguments are longer than {MAX_ARGUMENTS} characters")
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise CallFailed("the arguments are no JSON") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CallFailed("the arguments are no JSON object")
    return found


def _wrong(app: App, method: str, arguments: Mapping[str, Any], *, changes: bool) -> str | None:
    known: Method | None = app.abi.get(method)
    if known is None or known.changes is not changes:
        return f"MethodNotFound: {app.name} has no method {method!r}; it has {', '.join(sorted(app.abi))}"
    for name, type_ in known.arguments.items():
        if name not in arguments:
            if not type_.endswith("?"):
                return f"{method} needs the argument {name!r}"
            continue
        value = arguments[name]
        wanted = _TYPES[type_.rstrip("?")]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            return f"{method}: the argument {name!r} is a {type_.rstrip('?')}"
    unknown = sorted(set(arguments) - set(known.arguments))
    return f"{method} has no argument {unknown[0]!r}" if unknown else None


def _counted(step: Callable[[], T]) -> T:
    steps, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > MAX_STEPS:
            raise TooMuch(f"it runs for more than {MAX_STEPS} lines")
        return None if frame.f_globals.get("__name__") in _OURS else trace

    sys.settrace(trace)
    try:
        return step()
    finally:
        sys.settrace(before)
