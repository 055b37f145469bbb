"""Methods for tests and developers: blocks, time, reorganisations, money. `devnet_*` are starknet-devnet's, `medsync_*` ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from medsync_chain.accounts import PredeployedAccount
from medsync_chain.blocks import Header
from medsync_chain.chain import Chain, Sealing
from medsync_chain.errors import Unacceptable
from medsync_chain.felts import to_hex
from medsync_chain.rpc.dispatch import Method, Methods, Params
from medsync_chain.rpc.places import block_of, felt
from medsync_chain.token import balance_of

__all__ = ["Outage", "knob_methods"]

MAX_MINT = 10**9 * 10**18  # fri at once
MAX_TIME = 1 << 40  # seconds
MAX_LIFETIME = 86_400  # seconds


@dataclass(slots=True)
class Outage:
    """While `down`, the server answers nothing but knobs."""

    down: bool = False


class Knobs:
    """Turns what no public chain lets anyone turn."""

    def __init__(self, chain: Chain, outage: Outage) -> None:
        self._chain = chain
        self._outage = outage

    def methods(self) -> Methods:
        """By name."""
        return {
            "devnet_createBlock": Method(self._create_block),
            "devnet_abortBlocks": Method(self._abort_blocks, ("starting_block_id",)),
            "devnet_acceptOnL1": Method(self._accept_on_l1, ("starting_block_id",)),
            "devnet_setTime": Method(self._set_time, ("time", "generate_block"), 1),
            "devnet_increaseTime": Method(self._increase_time, ("time",)),
            "devnet_mint": Method(self._mint, ("address", "amount", "unit"), 2),
            "devnet_getPredeployedAccounts": Method(self._accounts, ("with_balance",), 0),
            "devnet_getAccountBalance": Method(self._balance, ("address", "unit", "block_id"), 1),
            "devnet_setGasPrice": Method(self._set_prices, (*_PRICES, "generate_block"), 0),
            "medsync_sealBlocks": Method(self._sealing, ("when",)),
            "medsync_holdTransactions": Method(self._hold, ("hold",)),
            "medsync_setLifetime": Method(self._lifetime, ("seconds",)),
            "medsync_setOutage": Method(self._set_outage, ("down",)),
        }

    def _create_block(self, _: Params) -> Any:
        return {"block_hash": _hash(self._chain.seal())}

    def _abort_blocks(self, params: Params) -> Any:
        first = block_of(self._chain, params["starting_block_id"]).number
        return {"aborted": [_hash(header) for header in self._chain.abort(first)]}

    def _accept_on_l1(self, params: Params) -> Any:
        number = block_of(self._chain, params["starting_block_id"]).number
        return {"accepted": [_hash(header) for header in self._chain.history.accept_on_l1(number)]}

    def _set_time(self, params: Params) -> Any:
        wanted = _number(params["time"], MAX_TIME)
        self._chain.set_time(wanted)
        if params.get("generate_block") is False:
            return {"block_timestamp": wanted, "block_hash": None}
        block = self._chain.seal()
        return {"block_timestamp": block.timestamp, "block_hash": _hash(block)}

    def _increase_time(self, params: Params) -> Any:
        seconds = _number(params["time"], MAX_TIME)
        self._chain.set_time(self._chain.now() + seconds)
        return {"timestamp_increased_by": seconds, "block_hash": _hash(self._chain.seal())}

    def _mint(self, params: Params) -> Any:
        if params.get("unit", "FRI") != "FRI":
            raise Unacceptable.malformed("this chain has one token, in FRI")
        address = felt(params["address"], "address")
        self._chain.mint(address, _number(params["amount"], MAX_MINT))
        balance = balance_of(self._chain.pending.state, address)
        return {"new_balance": str(balance), "unit": "FRI", "tx_hash": None}

    def _accounts(self, _: Params) -> Any:
        class_hash = self._chain.account_class
        return [_account(account) for account in self._chain.genesis.predeployed(class_hash)]

    def _balance(self, params: Params) -> Any:
        balance = balance_of(self._chain.pending.state, felt(params["address"], "address"))
        return {"amount": str(balance), "unit": "FRI"}

    def _set_prices(self, params: Params) -> Any:
        given = {name: value for name, value in params.items() if name in _PRICES}
        named = {_PRICES[name]: _number(value, 1 << 64) for name, value in given.items()}
        self._chain.set_prices(replace(self._chain.prices, **named))
        if _flag(params.get("generate_block", False)):
            self._chain.seal()
        prices = self._chain.prices
        return {name: getattr(prices, field) for name, field in _PRICES.items()}

    def _sealing(self, params: Params) -> Any:
        try:
            self._chain.sealing = Sealing(params["when"])
        except ValueError as error:
            raise Unacceptable.malformed("when must be 'transaction' or 'demand'") from error
        return params["when"]

    def _hold(self, params: Params) -> Any:
        self._chain.holding = _flag(params["hold"])
        self._chain.drain()
        return {"waiting": len(self._chain.pool)}

    def _lifetime(self, params: Params) -> Any:
        self._chain.pool.lifetime = _number(params["seconds"], MAX_LIFETIME)
        return self._chain.pool.lifetime

    def _set_outage(self, params: Params) -> Any:
        self._outage.down = _flag(params["down"])
        return self._outage.down


_PRICES = {"gas_price_fri": "l1_gas", "l2_gas_price_fri": "l2_gas", "data_gas_price_fri": "l1_data_gas"}


def _hash(header: Header) -> str:
    return to_hex(header.hash)


def _account(account: PredeployedAccount) -> dict[str, Any]:
    return {
        "initial_balance": str(account.balance),
        "address": to_hex(account.address),
        "public_key": to_hex(account.public_key),
        "private_key": to_hex(account.private_key),
    }


def _number(value: Any, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise Unacceptable.malformed(f"a number from 0 to {limit} is needed")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unacceptable.malformed("true or false is needed")
    return value


def knob_methods(chain: Chain, outage: Outage) -> Methods:
    """By name."""
    return Knobs(chain, outage).methods()
