"""What an application is made of: its methods, its state, the calls it folds. Running one within bounds is running.py's.

Every member folds the same calls in the same order, that of the hybrid clock: an application need not be commutative,
only a function of what it is given. A call that comes late is folded in its place, and what followed it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

Json = None | bool | int | float | str | list[Any] | dict[str, Any]
"""What arguments, values and answers are made of."""

MAX_KEY: Final = 512  # characters of a key in the state
MAX_WRITTEN: Final = 256 * 1024  # characters that one call may write: what fits into one operation
MAX_EVENTS: Final = 64  # that one call may emit
MAX_EVENT_TEXT: Final = 64 * 1024  # characters of them


class CallFailed(Exception):
    """A call that the application refuses: it changes nothing, and the caller is told `data`."""

    def __init__(self, data: Json) -> None:
        super().__init__(text_of(data))
        self.data = data


class TooMuch(Exception):
    """A call went beyond a bound."""


def text_of(value: Json) -> str:
    """The one text of a JSON value. Raises ValueError or TypeError for what is none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `arguments`: name → JSON type (`string`, `number`, `boolean`, `array`, `object`, `any`; with `?`: may lack)."""

    about: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    changes: bool = False


@dataclass(slots=True)
class Call:
    """A call that changes something. `author`: the member, hex; `time`: its clock, ms since 1970 UTC; `clock` orders calls."""

    method: str
    arguments: Mapping[str, Any]
    author: str
    time: int
    clock: int
    events: list[tuple[str, Json]] = field(default_factory=list)

    def emit(self, kind: str, data: Json) -> None:
        """Tell those who follow the context."""
        if len(self.events) >= MAX_EVENTS or len(text_of(data)) > MAX_EVENT_TEXT:
            raise TooMuch(f"a call emits at most {MAX_EVENTS} events of {MAX_EVENT_TEXT} characters")
        self.events.append((kind, data))


class State(MutableMapping[str, Any]):
    """Text → JSON value, ascending when iterated. What a call writes counts once it ends without an exception."""

    def __init__(self, held: Mapping[str, str], *, writable: bool = True) -> None:
        self._held, self._writable = held, writable
        self.written: dict[str, str | None] = {}
        self._room = MAX_WRITTEN

    def __getitem__(self, key: str) -> Any:
        text = self.written[key] if key in self.written else self._held.get(key)
        if text is None:
            raise KeyError(key)
        return json.loads(text)

    def __setitem__(self, key: str, value: Json) -> None:
        text = text_of(value)
        self._room -= len(key) + len(text)
        if self._room < 0 or len(key) > MAX_KEY:
            raise TooMuch(f"a call writes at most {MAX_WRITTEN} characters, under keys of at most {MAX_KEY}")
        self._write(key, text)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._write(key, None)

    def _write(self, key: str, text: str | None) -> None:
        if not self._writable:
            raise TypeError("a query changes nothing")
        self.written[key] = text

    def __contains__(self, key: object) -> bool:
        return (self.written[key] is not None) if key in self.written else key in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(key for key in {*self._held, *self.written} if key in self))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class App:
    """To derive from. Neither method may look at anything but its arguments: no clock, no randomness, no files."""

    name: ClassVar[str] = ""
    version: ClassVar[int] = 1
    abi: ClassVar[Mapping[str, Method]] = {}

    def fold(self, state: State, call: Call) -> Json:
        """Apply a call to the state; what is returned is the caller's answer. An exception undoes the call."""
        raise CallFailed(f"{self.name} has no method {call.method!r} that changes anything")

    def query(self, state: State, method: str, arguments: Mapping[str, Any]) -> Json:
        """Answer from the state, changing nothing."""
        raise CallFailed(f"{self.name} has no method {method!r} that answers")
