"""A chain in this process, with people who sign: what the tests of the chain itself talk to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medsync_chain.accounts import PredeployedAccount
from medsync_chain.blocks import Receipt
from medsync_chain.chain import Chain
from medsync_chain.classes import SierraClass
from medsync_chain.compiling import Compilations, load_class, own_folder
from medsync_chain.felts import short
from medsync_chain.fees import Prices
from medsync_chain.genesis import DEPLOYER, Genesis
from medsync_chain.keccak import selector
from medsync_chain.rpc.dispatch import Methods, answer
from medsync_chain.rpc.knobs import Outage
from medsync_chain.server import methods_of
from medsync_chain.store import Store
from medsync_chain.transactions import Bound, Bounds, Declare, DeployAccount, Invoke, Transaction
from medsync_protocol.stark import sign

CLASSES = Path(__file__).parent / "classes"
GENESIS_TIME = 1_800_000_000
Call = tuple[int, str, Sequence[int]]  # contract, function, calldata


def bounds(l2_gas: int = 1_000_000_000, l2_price: int = 2 * Prices().l2_gas) -> Bounds:
    """Bounds with room for everything but what a test wants to run short of."""
    return Bounds(
        l1_gas=Bound(100_000, 2 * Prices().l1_gas),
        l2_gas=Bound(l2_gas, l2_price),
        l1_data_gas=Bound(1_000_000, 2 * Prices().l1_data_gas),
    )


@dataclass
class World:
    """One chain; time stands still unless a test moves it."""

    store: Store = field(default_factory=lambda: Store(None))
    now: int = GENESIS_TIME
    chain: Chain = field(init=False)
    methods: Methods = field(init=False)

    def __post_init__(self) -> None:
        genesis = Genesis(
            chain_id=short("MEDSYNC_LOCAL"),
            seed=7,
            accounts=3,
            timestamp=GENESIS_TIME,
            balance=10**6 * 10**18,
        )
        compilations = Compilations([own_folder(), CLASSES])
        self.chain = Chain(self.store, genesis, lambda: self.now, compilations)
        self.methods = methods_of(self.chain, Outage(), knobs=True)

    def account(self, index: int = 0) -> PredeployedAccount:
        return self.chain.genesis.predeployed(self.chain.account_class)[index]

    def signed(self, transaction: Transaction, account: PredeployedAccount) -> Transaction:
        return replace(transaction, signature=tuple(sign(transaction.hash, account.private_key)))

    def nonce(self, account: PredeployedAccount) -> int:
        return self.chain.pending.state.nonce(account.address)

    def invoke(
        self,
        *calls: Call,
        account: PredeployedAccount | None = None,
        nonce: int | None = None,
        limits: Bounds | None = None,
        tip: int = 0,
        signature: tuple[int, ...] | None = None,
    ) -> Invoke:
        """A signed transaction, not sent."""
        account = account or self.account()
        transaction = Invoke(
            chain_id=self.chain.chain_id,
            nonce=self.nonce(account) if nonce is None else nonce,
            signature=(),
            bounds=limits or bounds(),
            tip=tip,
            sender_address=account.address,
            calldata=execute_calldata(calls),
        )
        if signature is not None:
            return replace(transaction, signature=signature)
        signed = self.signed(transaction, account)
        assert isinstance(signed, Invoke)
        return signed

    def send(self, transaction: Transaction, sierra: SierraClass | None = None) -> Receipt:
        """Sends and gives what it did."""
        self.chain.add(transaction, sierra)
        return self.receipt(transaction)

    def receipt(self, transaction: Transaction) -> Receipt:
        place = self.chain.history.place_of(transaction.hash)
        assert place is not None, "it is in no block"
        return self.chain.history.block(place[0]).included[place[1]].receipt

    def declare_probe(self) -> int:
        """Declares the probe class; its hash."""
        known = load_class(CLASSES, "probe")
        account = self.account()
        transaction = Declare(
            chain_id=self.chain.chain_id,
            nonce=self.nonce(account),
            signature=(),
            bounds=bounds(l2_gas=10_000_000_000),
            sender_address=account.address,
            class_hash=known.class_hash,
            compiled_class_hash=known.compiled_class_hash,
        )
        receipt = self.send(self.signed(transaction, account), known.sierra)
        assert receipt.reverted is None
        return known.class_hash

    def deploy(self, class_hash: int, *calldata: int, salt: int = 0) -> int:
        """Deploys through the deployer contract; the address."""
        call = (DEPLOYER, "deployContract", [class_hash, salt, 0, len(calldata), *calldata])
        receipt = self.send(self.invoke(call))
        assert receipt.reverted is None, receipt.reverted
        deployed = next(event for event in receipt.events if event.keys[0] == selector("ContractDeployed"))
        return int(deployed.data[0])

    def probe(self) -> int:
        """A deployed probe."""
        return self.deploy(self.declare_probe(), 0)

    def deploy_account(self, key: PredeployedAccount, salt: int) -> DeployAccount:
        """A signed deployment of an account for a known key."""
        transaction = DeployAccount(
            chain_id=self.chain.chain_id,
            nonce=0,
            signature=(),
            bounds=bounds(),
            class_hash=self.chain.account_class,
            salt=salt,
            constructor_calldata=(key.public_key,),
        )
        signed = self.signed(transaction, key)
        assert isinstance(signed, DeployAccount)
        return signed

    def rpc(self, method: str, **params: Any) -> Any:
        """The result, or the whole error object."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answered = answer(self.methods, json.dumps(request).encode())
        assert answered is not None
        document = json.loads(answered)
        return document["result"] if "result" in document else document["error"]

    def call(self, address: int, function: str, *calldata: int, block: Any = "latest") -> Any:
        """The felts that a function gives, or the error."""
        found = self.rpc(
            "starknet_call",
            request={
                "contract_address": hex(address),
                "entry_point_selector": hex(selector(function)),
                "calldata": [hex(felt) for felt in calldata],
            },
            block_id=block,
        )
        return [int(felt, 16) for felt in found] if isinstance(found, list) else found


def execute_calldata(calls: Sequence[Call]) -> tuple[int, ...]:
    """The account's calldata for some calls."""
    felts = [len(calls)]
    for address, function, calldata in calls:
        felts += [address, selector(function), len(calldata), *calldata]
    return tuple(felts)
