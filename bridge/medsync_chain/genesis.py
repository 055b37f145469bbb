"""Block 0: the fee token, the deployer and funded accounts, put there by running their own constructors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medsync_chain import costs
from medsync_chain.accounts import PredeployedAccount, derive_accounts
from medsync_chain.blocks import SEQUENCER
from medsync_chain.classes import ContractClass
from medsync_chain.compiling import load_class, own_folder
from medsync_chain.execution import CONSTRUCTOR, BlockInfo, Call, Context, TxInfo
from medsync_chain.felts import short
from medsync_chain.keccak import selector
from medsync_chain.state import State
from medsync_chain.token import FEE_TOKEN
from medsync_chain.vm.casm import EntryPointType

__all__ = ["BANK", "DEPLOYER", "Genesis", "mint"]

DEPLOYER = 0x02CEED65A4BD731034C01113685C831B01C15D7D432F71AFB1CF1634B53A2125  # where clients look for it
BANK = short(
    "medsync-bank"
)  # holds the token's supply; no contract stands there, so nobody else can spend it
SUPPLY = 10**10 * 10**18  # fri; STRK's at its start
BALANCE = 1_000 * 10**18  # fri of each predeployed account
_NAME, _SYMBOL, _DECIMALS = short("Starknet Token"), short("STRK"), 18
_TRANSFER = selector("transfer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """What block 0 is made of. `timestamp` in seconds."""

    chain_id: int
    seed: int
    accounts: int
    balance: int = BALANCE
    timestamp: int = 0

    def classes(self) -> Mapping[str, ContractClass]:
        """The shipped classes by name."""
        return {name: load_class(own_folder(), name) for name in ("account", "token", "deployer")}

    def predeployed(self, account_class: int) -> Sequence[PredeployedAccount]:
        """The funded accounts."""
        return derive_accounts(
            seed=self.seed, count=self.accounts, balance=self.balance, class_hash=account_class
        )

    def build(self, state: State, classes: Mapping[str, ContractClass]) -> None:
        """Writes block 0's state."""
        by_hash = {known.class_hash: known for known in classes.values()}
        context = Context(
            state=state,
            class_of=by_hash.__getitem__,
            block=BlockInfo(number=0, timestamp=self.timestamp, sequencer=SEQUENCER),
            tx=TxInfo(chain_id=self.chain_id),
        )
        for known in classes.values():
            state.declare(known.class_hash, known.compiled_class_hash)
        state.set_class(DEPLOYER, classes["deployer"].class_hash)
        supply = (SUPPLY & ((1 << 128) - 1), SUPPLY >> 128)
        _construct(context, FEE_TOKEN, classes["token"], [_NAME, _SYMBOL, _DECIMALS, *supply, BANK])
        for account in self.predeployed(classes["account"].class_hash):
            _construct(context, account.address, classes["account"], [account.public_key])
            mint(context, account.address, account.balance)


def mint(context: Context, recipient: int, amount: int) -> None:
    """Moves tokens from the bank, by the token's own code."""
    context.events = 0
    call = Call(
        address=FEE_TOKEN,
        selector=_TRANSFER,
        calldata=[recipient, amount & ((1 << 128) - 1), amount >> 128],
        caller=BANK,
    )
    info = context.run(call, costs.MAX_EXECUTE_GAS)
    assert not info.failed, f"the bank cannot pay: {info.result}"


def _construct(context: Context, address: int, contract: ContractClass, calldata: Sequence[int]) -> None:
    context.state.set_class(address, contract.class_hash)
    call = Call(address=address, selector=CONSTRUCTOR, calldata=calldata, kind=EntryPointType.CONSTRUCTOR)
    info = context.run(call, costs.MAX_EXECUTE_GAS)
    assert not info.failed, f"a genesis contract panicked: {info.result}"
