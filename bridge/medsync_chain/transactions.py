"""Transactions of version 3 and their hashes (Starknet's documentation, "Transaction types"). JSON is `documents.py`'s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from medsync_chain.execution import TxInfo
from medsync_chain.felts import short
from medsync_chain.hashes import contract_address, poseidon_many
from medsync_chain.keccak import selector

__all__ = ["Bound", "Bounds", "Declare", "DeployAccount", "Invoke", "Transaction"]

VERSION = 3
QUERY_VERSION = (1 << 128) + VERSION  # of a transaction that is only simulated
_L1_GAS, _L2_GAS, _L1_DATA = short("L1_GAS"), short("L2_GAS"), short("L1_DATA")


@dataclass(frozen=True, slots=True)
class Bound:
    """What the sender pays at most for one resource. `price` in fri per unit."""

    amount: int = 0
    price: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of the three resources."""

    l1_gas: Bound = Bound()
    l2_gas: Bound = Bound()
    l1_data_gas: Bound = Bound()

    def named(self) -> list[tuple[int, int, int]]:
        """(name, amount, price) in the order they are hashed and shown to contracts."""
        rows = ((_L1_GAS, self.l1_gas), (_L2_GAS, self.l2_gas), (_L1_DATA, self.l1_data_gas))
        return [(name, bound.amount, bound.price) for name, bound in rows]


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """What every kind has. `chain_id` and `hash` are computed with it once."""

    PREFIX: ClassVar[int]
    TYPE: ClassVar[str]
    VALIDATION: ClassVar[int]  # selector of the account's function that checks it

    chain_id: int
    nonce: int
    signature: tuple[int, ...]
    bounds: Bounds
    tip: int = 0
    version: int = VERSION
    paymaster_data: tuple[int, ...] = ()
    nonce_da_mode: int = 0
    fee_da_mode: int = 0
    account_deployment_data: tuple[int, ...] = ()

    @property
    def sender(self) -> int:
        """The account that pays."""
        raise NotImplementedError

    @property
    def is_query(self) -> bool:
        """True when it may only be simulated."""
        return self.version == QUERY_VERSION

    @property
    def max_fee(self) -> int:
        """In fri, tip included."""
        bounds = self.bounds
        l1 = bounds.l1_gas.amount * bounds.l1_gas.price + bounds.l1_data_gas.amount * bounds.l1_data_gas.price
        return l1 + bounds.l2_gas.amount * (bounds.l2_gas.price + self.tip)

    @property
    def validation_calldata(self) -> Sequence[int]:
        """What the account's validation is called with."""
        raise NotImplementedError

    @cached_property
    def hash(self) -> int:
        """The transaction's hash on this chain."""
        packed = [name << 192 | amount << 128 | price for name, amount, price in self.bounds.named()]
        common = [
            self.PREFIX,
            self.version,
            self.sender,
            poseidon_many([self.tip, *packed]),
            poseidon_many(self.paymaster_data),
            self.chain_id,
            self.nonce,
            self.nonce_da_mode << 32 | self.fee_da_mode,
        ]
        return poseidon_many([*common, *self._own_parts()])

    def info(self) -> TxInfo:
        """What contracts see of it."""
        return TxInfo(
            version=self.version,
            sender=self.sender,
            signature=self.signature,
            hash=self.hash,
            chain_id=self.chain_id,
            nonce=self.nonce,
            bounds=self.bounds.named(),
            tip=self.tip,
            paymaster_data=self.paymaster_data,
            nonce_da_mode=self.nonce_da_mode,
            fee_da_mode=self.fee_da_mode,
            account_deployment_data=self.account_deployment_data,
            proof_facts=self.proof_facts,
        )

    @property
    def proof_facts(self) -> tuple[int, ...]:
        """Facts that a proof establishes; only invocations carry them, and none is checked here."""
        return ()

    def _own_parts(self) -> list[int]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Invoke(Transaction):
    """Calls through an account."""

    PREFIX = short("invoke")
    TYPE = "INVOKE"
    VALIDATION = selector("__validate__")

    sender_address: int
    calldata: tuple[int, ...]
    facts: tuple[int, ...] = ()

    @property
    def sender(self) -> int:
        """The account."""
        return self.sender_address

    @property
    def validation_calldata(self) -> Sequence[int]:
        """The calls themselves."""
        return self.calldata

    @property
    def proof_facts(self) -> tuple[int, ...]:
        """What a proof is said to establish (SNIP-36)."""
        return self.facts

    def _own_parts(self) -> list[int]:
        parts = [poseidon_many(self.account_deployment_data), poseidon_many(self.calldata)]
        return [*parts, poseidon_many(self.facts)] if self.facts else parts


@dataclass(frozen=True, kw_only=True)
class Declare(Transaction):
    """Makes a class known."""

    PREFIX = short("declare")
    TYPE = "DECLARE"
    VALIDATION = selector("__validate_declare__")

    sender_address: int
    class_hash: int
    compiled_class_hash: int

    @property
    def sender(self) -> int:
        """The account."""
        return self.sender_address

    @property
    def validation_calldata(self) -> Sequence[int]:
        """The class hash."""
        return [self.class_hash]

    def _own_parts(self) -> list[int]:
        return [poseidon_many(self.account_deployment_data), self.class_hash, self.compiled_class_hash]


@dataclass(frozen=True, kw_only=True)
class DeployAccount(Transaction):
    """Deploys the account that pays for it."""

    PREFIX = short("deploy_account")
    TYPE = "DEPLOY_ACCOUNT"
    VALIDATION = selector("__validate_deploy__")

    class_hash: int
    salt: int
    constructor_calldata: tuple[int, ...]
    address: int = field(init=False)

    def __post_init__(self) -> None:
        address = contract_address(
            class_hash=self.class_hash, salt=self.salt, calldata=self.constructor_calldata, deployer=0
        )
        object.__setattr__(self, "address", address)

    @property
    def sender(self) -> int:
        """The new account's address."""
        return self.address

    @property
    def validation_calldata(self) -> Sequence[int]:
        """Class hash, salt and the constructor's calldata."""
        return [self.class_hash, self.salt, *self.constructor_calldata]

    def _own_parts(self) -> list[int]:
        return [poseidon_many(self.constructor_calldata), self.class_hash, self.salt]
