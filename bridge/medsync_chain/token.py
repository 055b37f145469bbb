"""The fee token: where it stands, and its balances read without running it. Genesis deploys it."""

from __future__ import annotations

from medsync_chain.hashes import ADDRESS_LIMIT
from medsync_chain.keccak import selector
from medsync_chain.state import Reader
from medsync_chain.vm.pedersen import pedersen

__all__ = ["FEE_TOKEN", "balance_cell", "balance_of"]

FEE_TOKEN = (
    0x04718F5A0FC34CC1AF16A1CDEE98FFB20C31F5CD61D6AB07201858F4287C938D  # STRK's address on public chains
)
_BALANCES = selector("ERC20_balances")


def balance_cell(address: int) -> int:
    """The cell of a balance's low half; the high half is the next one."""
    return pedersen(_BALANCES, address) % ADDRESS_LIMIT


def balance_of(state: Reader, address: int) -> int:
    """In fri."""
    cell = balance_cell(address)
    return state.storage(FEE_TOKEN, cell) | state.storage(FEE_TOKEN, cell + 1) << 128
