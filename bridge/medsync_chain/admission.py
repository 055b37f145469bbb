"""What a transaction must be to be taken at all: size, bounds, price, balance, nonce. Running it is `sequencer.py`'s."""

from __future__ import annotations

from medsync_chain.errors import Code, Unacceptable
from medsync_chain.fees import Prices, minimum
from medsync_chain.state import Reader
from medsync_chain.token import balance_of
from medsync_chain.transactions import DeployAccount, Transaction

__all__ = ["check_admission"]

MAX_NONCE_GAP = 200  # transactions ahead of the account's nonce that may wait; as public gateways have it


def check_admission(transaction: Transaction, state: Reader, prices: Prices) -> None:
    """Everything that needs no run. Raises Unacceptable: 52, 53, 54, 20, 61, 65."""
    if transaction.is_query:
        raise Unacceptable(Code.UNSUPPORTED_TX_VERSION, "a query version may only be simulated")
    _check_nonce(transaction, state)
    _check_bounds(transaction, prices)
    held = balance_of(state, transaction.sender)
    if transaction.max_fee > held:
        raise Unacceptable(
            Code.INSUFFICIENT_ACCOUNT_BALANCE,
            f"Resources bounds ({transaction.max_fee} fri) exceed balance ({held}).",
        )


def _check_nonce(transaction: Transaction, state: Reader) -> None:
    deployed = state.class_at(transaction.sender) != 0
    expected = state.nonce(transaction.sender)
    if not deployed and not isinstance(transaction, DeployAccount) and transaction.nonce == 0:
        raise Unacceptable(Code.CONTRACT_NOT_FOUND, f"the account {transaction.sender:#066x} is not deployed")
    if not expected <= transaction.nonce <= expected + MAX_NONCE_GAP:
        raise Unacceptable(
            Code.INVALID_TRANSACTION_NONCE,
            f"Invalid transaction nonce of contract at address {transaction.sender:#066x}. "
            f"Account nonce: {expected:#066x}; got: {transaction.nonce:#066x}.",
        )


def _check_bounds(transaction: Transaction, prices: Prices) -> None:
    bounds = transaction.bounds
    for name, bound, price in (
        ("L1 gas", bounds.l1_gas, prices.l1_gas),
        ("L2 gas", bounds.l2_gas, prices.l2_gas),
        ("L1 data gas", bounds.l1_data_gas, prices.l1_data_gas),
    ):
        if bound.price < price and (bound.amount or name == "L2 gas"):
            raise Unacceptable(
                Code.FEE_BELOW_MINIMUM,
                f"Max {name} price ({bound.price}) is lower than the actual price ({price}).",
            )
    least = minimum(transaction)
    if bounds.l2_gas.amount < least:
        raise Unacceptable(
            Code.INSUFFICIENT_RESOURCES_FOR_VALIDATE,
            f"Max L2 gas amount ({bounds.l2_gas.amount}) is lower than the minimal ({least}).",
        )
