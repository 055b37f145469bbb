"""What every message of the HTTP API shares: the two bases of its models, and identifiers as text.

Bytes are lower-case hex, felts "0x…", instants milliseconds since 1970 UTC (PROTOCOL §2). What the messages
say stands in one module for each noun.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

Hex16 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
HexBytes = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})*$", max_length=1 << 20)]
Felt = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{1,64}$")]
Millis = Annotated[int, Field(ge=0, lt=1 << 53, description="milliseconds since 1970-01-01T00:00Z")]


def _shown(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a name holds printable characters only")
    return text


Named = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_shown)]
"""An id in hex, a name that is unique here, or the first eight or more digits of an id."""
RoleName = Literal["reader", "member", "admin"]
Level = Literal["local", "replicated"]
"""How far a write has to be before the answer comes: committed here, or acknowledged elsewhere too."""


def in_words(message: object) -> str:
    """A validator's message without the word that pydantic puts before it."""
    return str(message).removeprefix("Value error, ").removeprefix("Assertion failed, ")


class Body(BaseModel):
    """What a caller sends: unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(BaseModel):
    """What a node answers: fields that a newer node adds are kept out of an older caller's way."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Problem(View):
    """Why a request failed: a word for programs, a sentence for people, and what to do next."""

    code: str
    message: str
    advice: str = ""


class Written(View):
    """An operation that this node committed."""

    op: Hex32
    level: Level = "local"
