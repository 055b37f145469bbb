"""What a transaction offers to pay: amounts, prices and tip. When to offer more is `sending.py`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starknet_py.net.client_models import EstimatedFee, ResourceBounds, ResourceBoundsMapping

_HEADROOM: Final = (3, 2)  # amounts and prices by half above the estimate: blocks later cost more or less
_RAISE: Final = (111, 100)  # a replacement must offer 10 % more in tip and price, or the node answers 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """At most `amount` units of one gas at at most `price` fri each."""

    amount: int
    price: int

    def _over(self, other: Bound) -> Bound:
        return Bound(amount=max(self.amount, other.amount), price=max(self.price, other.price))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The three gases, always all of them, and the tip in fri per unit of L2 gas."""

    l1_gas: Bound
    l1_data_gas: Bound
    l2_gas: Bound
    tip: int

    @property
    def most(self) -> int:
        """What the transaction may cost, in fri."""
        gases = (self.l1_gas, self.l1_data_gas, self.l2_gas)
        return sum(gas.amount * gas.price for gas in gases) + self.tip * self.l2_gas.amount

    @property
    def bounds(self) -> ResourceBoundsMapping:
        """As starknet-py takes them."""
        return ResourceBoundsMapping(
            l1_gas=ResourceBounds(self.l1_gas.amount, self.l1_gas.price),
            l1_data_gas=ResourceBounds(self.l1_data_gas.amount, self.l1_data_gas.price),
            l2_gas=ResourceBounds(self.l2_gas.amount, self.l2_gas.price),
        )

    def raised(self) -> Offer:
        """Enough more for a node to take it in the place of one with the same nonce."""
        return Offer(
            l1_gas=Bound(amount=self.l1_gas.amount, price=_more(self.l1_gas.price)),
            l1_data_gas=Bound(amount=self.l1_data_gas.amount, price=_more(self.l1_data_gas.price)),
            l2_gas=Bound(amount=self.l2_gas.amount, price=_more(self.l2_gas.price)),
            tip=_more(self.tip),
        )

    def over(self, other: Offer) -> Offer:
        """The larger of both in everything."""
        return Offer(
            l1_gas=self.l1_gas._over(other.l1_gas),
            l1_data_gas=self.l1_data_gas._over(other.l1_data_gas),
            l2_gas=self.l2_gas._over(other.l2_gas),
            tip=max(self.tip, other.tip),
        )


NOTHING: Final = Offer(
    l1_gas=Bound(amount=0, price=0),
    l1_data_gas=Bound(amount=0, price=0),
    l2_gas=Bound(amount=0, price=0),
    tip=0,
)
"""For estimates."""


def offer_for(estimate: EstimatedFee, tip: int) -> Offer:
    """The estimate with headroom."""
    return Offer(
        l1_gas=_bound(estimate.l1_gas_consumed, estimate.l1_gas_price),
        l1_data_gas=_bound(estimate.l1_data_gas_consumed, estimate.l1_data_gas_price),
        l2_gas=_bound(estimate.l2_gas_consumed, estimate.l2_gas_price),
        tip=tip,
    )


def offer_in(raw: dict[str, Any]) -> Offer:
    """What a transaction in broadcast form offers."""
    bounds = raw["resource_bounds"]

    def bound(gas: str) -> Bound:
        return Bound(
            amount=int(bounds[gas]["max_amount"], 16), price=int(bounds[gas]["max_price_per_unit"], 16)
        )

    return Offer(
        l1_gas=bound("l1_gas"),
        l1_data_gas=bound("l1_data_gas"),
        l2_gas=bound("l2_gas"),
        tip=int(raw["tip"], 16),
    )


def _bound(amount: int, price: int) -> Bound:
    factor, divisor = _HEADROOM
    return Bound(amount=amount * factor // divisor, price=price * factor // divisor)


def _more(value: int) -> int:
    factor, divisor = _RAISE
    return value * factor // divisor + 1
