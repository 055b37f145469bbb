"""The keys of predeployed accounts: derived from a seed, printed for everyone, worth nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from medsync_chain.hashes import contract_address
from medsync_chain.vm.curve import STARK, Point

__all__ = ["PredeployedAccount", "derive_accounts"]

_GENERATOR: Point = (
    0x1EF15C18599971B7BECED415A40F0C7DEACFD9B0D1819E03D723D8BC943CFCA,
    0x5668060AA49730B7BE4801DF46EC62DE53ECD11ABE43A32873000C36E8DC1F,
)
SALT = 20  # of their addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class PredeployedAccount:
    """Anyone may use it. `balance` in fri, at genesis."""

    address: int
    private_key: int
    public_key: int
    balance: int


def derive_accounts(*, seed: int, count: int, balance: int, class_hash: int) -> Sequence[PredeployedAccount]:
    """The same seed, the same accounts."""
    accounts = []
    for index in range(count):
        label = f"medsync chain account {seed}/{index}".encode()
        private_key = int.from_bytes(blake2b(label, digest_size=32).digest(), "big") % (STARK.order - 1) + 1
        point = STARK.multiply(_GENERATOR, private_key)
        assert point is not None, "the key is below the curve's order"
        address = contract_address(class_hash=class_hash, salt=SALT, calldata=[point[0]], deployer=0)
        accounts.append(
            PredeployedAccount(address=address, private_key=private_key, public_key=point[0], balance=balance)
        )
    return accounts
