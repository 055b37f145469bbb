"""A context's public address, `starknet:CHAIN/CONTRACT/CONTEXT` (STARKNET §8). Asks no chain about it."""

from __future__ import annotations

from dataclasses import dataclass

from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import FIELD_PRIME, short_string, short_text
from medsync_protocol.transition import Anchor

SCHEME = "starknet:"
_MAX_CONTRACT = 2**251 - 256  # exclusive: Starknet's bound on contract addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainAddress:
    """Where a context is anchored: chain id, contract and the context's public name there, all felts."""

    chain_id: int
    contract: int
    context: int

    @property
    def anchor(self) -> Anchor:
        """The contract, for digests."""
        return Anchor(chain_id=self.chain_id, contract=self.contract)

    def __str__(self) -> str:
        return f"{SCHEME}{chain_name(self.chain_id)}/{self.contract:#066x}/{self.context:#066x}"


def parse_address(text: str) -> ChainAddress:
    """What `str` of a ChainAddress gives; the chain by name or as hex. Raises Malformed."""
    if not text.startswith(SCHEME):
        raise Malformed(f"a context's address begins with {SCHEME!r}")
    parts = text.removeprefix(SCHEME).split("/")
    if len(parts) != 3:
        raise Malformed("a context's address has three parts: CHAIN/CONTRACT/CONTEXT")
    chain, contract, context = parts
    return ChainAddress(
        chain_id=parse_chain(chain),
        contract=_parse_hex("the contract", contract, _MAX_CONTRACT),
        context=_parse_hex("the context", context, FIELD_PRIME),
    )


def chain_name(chain_id: int) -> str:
    """The chain id as Starknet spells it (SN_MAIN), or hex when it is no such text."""
    try:
        text = short_text(chain_id)
    except Malformed:
        return hex(chain_id)
    return text if _is_plain(text) else hex(chain_id)


def parse_chain(text: str) -> int:
    """The chain id in a name or hex. Raises Malformed."""
    if text.startswith("0x"):
        return _parse_hex("the chain", text, FIELD_PRIME)
    if not _is_plain(text):
        raise Malformed("a chain's name has letters, digits and underscores only")
    return short_string(text)


def _is_plain(text: str) -> bool:
    return bool(text) and text.isascii() and text.replace("_", "").isalnum() and not text.startswith("0x")


def _parse_hex(what: str, text: str, limit: int) -> int:
    digits = text.removeprefix("0x")
    if digits == text or not 1 <= len(digits) <= 64 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise Malformed(f"{what} in an address is a number of up to 64 digits in hex, as 0x1f")
    value = int(digits, 16)
    if not 0 < value < limit:
        raise Malformed(f"{what} in an address is outside the range of numbers there: a digit is missing or too much")
    return value
