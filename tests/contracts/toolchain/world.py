"""The lx contracts (contracts/toolchain/tests/lx) on a stage, and Cairo's encodings of what they take and give."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medsync_protocol.poseidon import FIELD_PRIME, short_string
from tests.contracts.stage import Event, Reverted, Stage

BYTE_ARRAY = 0x46A6158A16A947E5916B2A2CA68501A45E93D7110E81AA2D6438B1C57C879A3  # before a panic's long text
WORD = 31
OWNER, BOB, EVE = 0xA11CE, 0xB0B, 0xE5E


def u256(number: int) -> list[int]:
    return [number & (1 << 128) - 1, number >> 128]


def text(value: str | bytes) -> list[int]:
    """A ByteArray."""
    data = value if isinstance(value, bytes) else value.encode()
    full = len(data) // WORD
    words = [int.from_bytes(data[WORD * at : WORD * (at + 1)], "big") for at in range(full)]
    return [full, *words, int.from_bytes(data[WORD * full :], "big"), len(data) - WORD * full]


def array(values: Sequence[int]) -> list[int]:
    return [len(values), *values]


def option(value: Sequence[int] | None) -> list[int]:
    return [1] if value is None else [0, *value]


def panic_text(data: Sequence[int]) -> str:
    """A panic as people read it: short strings quoted once, long ones twice."""
    found, at = [], 0
    while at < len(data):
        if data[at] == BYTE_ARRAY and at + 2 < len(data):
            count = data[at + 1]
            words = b"".join(word.to_bytes(WORD, "big") for word in data[at + 2 : at + 2 + count])
            rest, size = data[at + 2 + count], data[at + 3 + count]
            found.append('"' + (words + rest.to_bytes(size, "big")).decode("utf8", "replace") + '"')
            at += 4 + count
        else:
            raw = data[at].to_bytes(32, "big").lstrip(b"\0")
            shown = f" ('{raw.decode()}')" if raw and all(32 <= byte < 127 for byte in raw) else ""
            found.append(hex(data[at]) + shown)
            at += 1
    return "(" + ", ".join(found) + ")"


class World:
    """Token, Router, Store and Lang."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage()
        self.events: list[Event] = []
        name = "A token with a name of more than thirty-one bytes"
        arguments = {"token": [*text(name), *text("TOK"), *u256(1000), OWNER]}
        self.addresses = {
            each: self.stage.deploy(each, at, arguments.get(each, []), folder)
            for at, each in enumerate(("token", "router", "store", "lang"), 0x100)
        }

    def call(
        self, contract: str, function: str, *arguments: int | Sequence[int], caller: int = 0
    ) -> list[int] | str:
        """The answer: felts, or the text of the panic. Lists among the arguments are spread as they are."""
        calldata: list[int] = []
        for argument in arguments:
            calldata += [argument] if isinstance(argument, int) else argument
        calldata = [felt % FIELD_PRIME for felt in calldata]
        try:
            answer = self.stage.call(self.addresses[contract], function, calldata, caller=caller)
        except Reverted as error:
            self.events = []
            return panic_text(error.data) if error.data else error.text
        self.events = answer.events
        return answer.data

    def gives(
        self, wanted: Sequence[int], contract: str, function: str, *arguments: Any, caller: int = 0
    ) -> None:
        found = self.call(contract, function, *arguments, caller=caller)
        assert found == [felt % FIELD_PRIME for felt in wanted], (function, arguments)

    def panics(self, why: str, contract: str, function: str, *arguments: Any, caller: int = 0) -> None:
        found = self.call(contract, function, *arguments, caller=caller)
        assert isinstance(found, str), (function, arguments)
        assert why in found, (function, arguments, found)

    def told(self) -> list[tuple[int, list[int], list[int]]]:
        """The last call's events."""
        return [(event.address, list(event.keys), list(event.data)) for event in self.events]

    def cell(self, address: int, offset: int = 0) -> int:
        """A cell of Store."""
        return self.stage.state.storage(self.addresses["store"], address + offset)


__all__ = [
    "BOB", "BYTE_ARRAY", "EVE", "FIELD_PRIME", "OWNER", "World", "array", "option", "short_string", "text", "u256",
]  # fmt: skip
