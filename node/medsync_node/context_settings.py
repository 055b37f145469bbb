"""Settings that a context is founded with, as people write and read them: names for what the record holds as numbers.

What each does is the protocol's (PROTOCOL §§4, 7, 8). Only the settings of the application `medsync` are known here;
other applications' pass as they are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Final

from medsync_protocol import policy
from medsync_protocol.decision import ImplicitRule
from medsync_protocol.kinds import Role
from medsync_protocol.purposes import ANCESTORS, ROOT

APPLICATION: Final = "medsync"

NAMED: Final[Mapping[str, Mapping[str, int]]] = {
    "implicit": {rule.name.lower().replace("_", "-"): int(rule) for rule in ImplicitRule},
    "glass.role": {role.name.lower(): int(role) for role in (Role.MEMBER, Role.ADMIN)},
}
"""Settings whose values have names; the numbers are taken, too."""
TEXTS: Final[Mapping[str, frozenset[str]]] = {"history": frozenset({"full", "from_join"})}
NUMBERS: Final = frozenset({"skew", "fresh.other", "glass.limit", "glass.review", "retention.months", "checkpoint.every"})
"""In ms, but for the months."""
FRESH: Final = "fresh."


def parse(text: str, application: str = APPLICATION) -> tuple[str, int | str]:
    """`NAME=VALUE` as the record holds it. Raises ValueError with what is wrong and what would be right."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"{text!r} is no setting: write NAME=VALUE")
    number = int(value) if value.isdecimal() else None
    if application != APPLICATION or name.startswith(policy.SETTING):
        return name, value if number is None else number
    if name in NAMED:
        return name, _named(name, value, number)
    if name in TEXTS:
        if value not in TEXTS[name]:
            raise ValueError(f"{name} can't be {value!r}: it is {_either(TEXTS[name])}")
        return name, value
    if name not in NUMBERS and not _is_purpose(name):
        nearest = difflib.get_close_matches(name, [*NAMED, *TEXTS, *NUMBERS, *(FRESH + code for code in ANCESTORS)], n=1)
        raise ValueError(f"no setting is called {name!r}" + (f": did you mean {nearest[0]}?" if nearest else f"; there are {_either(_all())}"))
    if number is None:
        raise ValueError(f"{name} wants a number{'' if name == 'retention.months' else ' of milliseconds'}, not {value!r}")
    return name, number


def shown(settings: Mapping[str, int | str]) -> Iterator[str]:
    """Each as `NAME=VALUE` that `parse` takes, by name; without the policy's hash, which nobody writes."""
    for name, value in sorted(settings.items()):
        if name != policy.HASH_SETTING:
            words = {number: word for word, number in NAMED.get(name, {}).items()}
            yield f"{name}={words.get(value, value) if isinstance(value, int) else value}"


def _named(name: str, value: str, number: int | None) -> int:
    values = NAMED[name]
    found = values.get(value, number)
    if found is None or found not in values.values():
        raise ValueError(f"{name} can't be {value!r}: it is {_either(values)}")
    return found


def _is_purpose(name: str) -> bool:
    code = name.removeprefix(FRESH)
    return code != name and code in ANCESTORS and code != ROOT


def _all() -> list[str]:
    return sorted({*NAMED, *TEXTS, *NUMBERS, FRESH + "CODE", policy.SETTING + "PARAMETER"})


def _either(words: Mapping[str, int] | frozenset[str] | list[str]) -> str:
    *first, last = words if isinstance(words, Mapping | list) else sorted(words)
    return f"{', '.join(first)} or {last}"
