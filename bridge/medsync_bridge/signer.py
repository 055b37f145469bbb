"""Signs transactions in 3 ms without leaving Python; crypto-cpp-py takes 170 ms and blocks the loop (STARKNET §7).

Where the secret lies is `keys.py`'s.
"""

from __future__ import annotations

from starknet_py.net.models.transaction import AccountTransaction
from starknet_py.net.signer.base_signer import BaseSigner
from starknet_py.utils.typed_data import TypedData

from medsync_protocol import stark


class StarkSigner(BaseSigner):
    """starknet-py's signer interface over `medsync_protocol.stark`; the same bytes as its own signer's."""

    def __init__(self, secret: int, chain_id: int) -> None:
        """Raises Malformed unless 1 ≤ secret < the curve's order."""
        self._secret, self._chain_id = secret, chain_id
        self._public = stark.public_key(secret)

    @property
    def public_key(self) -> int:
        """The account's public key."""
        return self._public

    def sign_transaction(self, transaction: AccountTransaction) -> list[int]:
        """[r, s] over the transaction's hash on this chain."""
        return list(stark.sign(transaction.calculate_hash(self._chain_id), self._secret))

    def sign_message(self, typed_data: TypedData, account_address: int) -> list[int]:
        """[r, s] over SNIP-12 typed data."""
        return list(stark.sign(typed_data.message_hash(account_address), self._secret))
