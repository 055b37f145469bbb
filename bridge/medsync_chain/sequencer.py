"""Runs one transaction on a state: nonce, validation, execution, fee. Which block it goes into is `chain.py`'s.

What may not enter a block at all is refused (Unacceptable); what fails in execution is a revert, which uses the
nonce and pays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from medsync_chain import costs
from medsync_chain.classes import ContractClass
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import BlockInfo, Call, CallInfo, Context, Event, Failure, Message
from medsync_chain.felts import describe, short
from medsync_chain.fees import FELT_BYTES, Consumption, Prices, consumption
from medsync_chain.keccak import selector
from medsync_chain.state import State, StateDiff
from medsync_chain.token import FEE_TOKEN, balance_of
from medsync_chain.transactions import Declare, DeployAccount, Invoke, Transaction
from medsync_chain.vm.errors import VmError

__all__ = ["Executed", "Rules", "Trace", "execute", "validate"]

VALIDATED = short("VALID")
EXECUTE = selector("__execute__")
TRANSFER = selector("transfer")

ClassOf = Callable[[int], ContractClass]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is left out of a simulation: `validate`, `charge`."""

    validate: bool = True
    charge: bool = True


@dataclass(slots=True, kw_only=True)
class Trace:
    """The outermost calls of a transaction, by their part in it."""

    constructor: CallInfo | None = None
    validation: CallInfo | None = None
    execution: CallInfo | None = None
    fee_transfer: CallInfo | None = None

    def paid_calls(self) -> list[CallInfo]:
        """Those whose gas the sender pays; the fee's transfer is free."""
        return [call for call in (self.constructor, self.validation, self.execution) if call is not None]

    def all_calls(self) -> list[CallInfo]:
        """In the order they ran."""
        return [*self.paid_calls(), *([self.fee_transfer] if self.fee_transfer is not None else [])]


@dataclass(slots=True, kw_only=True)
class Executed:
    """What a transaction did. `failure` when its execution was reverted; `fee` in fri."""

    transaction: Transaction
    trace: Trace
    used: Consumption
    fee: int
    diff: StateDiff
    failure: Failure | None = None
    events: list[Event] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Run:
    """One transaction under way."""

    transaction: Transaction
    state: State
    class_of: ClassOf
    block: BlockInfo
    prices: Prices
    rules: Rules
    trace: Trace = field(default_factory=Trace)
    ordered: int = 0  # events so far

    def context(self, *, validate: bool = False) -> Context:
        return Context(
            state=self.state,
            class_of=self.class_of,
            block=self.block,
            tx=self.transaction.info(),
            validate=validate,
            events=self.ordered,
        )

    @property
    def gas_bound(self) -> int:
        return self.transaction.bounds.l2_gas.amount if self.rules.charge else costs.MAX_EXECUTE_GAS * 2


def execute(
    transaction: Transaction,
    *,
    base: State,
    class_of: ClassOf,
    block: BlockInfo,
    prices: Prices,
    rules: Rules = Rules(),
) -> tuple[Executed, State]:
    """Runs it on an overlay of `base`; the overlay holds its changes. Raises Unacceptable, with `base` untouched."""
    state = State(base)
    run = _Run(
        transaction=transaction, state=state, class_of=class_of, block=block, prices=prices, rules=rules
    )
    _check_nonce(run)
    _validate(run)
    state.set_nonce(transaction.sender, transaction.nonce + 1)
    after_validation = state.mark()
    failure = _execute_calls(run)
    used = _consumption(run)
    if failure is None and rules.charge:
        beyond = used.beyond(transaction.bounds)
        if beyond is not None:
            failure = Failure(frames=(), text=beyond)
            _discard_execution(run, after_validation)
            used = _consumption(run).capped(transaction.bounds)
    fee = _charge(run, used) if rules.charge else used.fee(prices, transaction.tip)
    calls = run.trace.all_calls()
    executed = Executed(
        transaction=transaction,
        trace=run.trace,
        used=used,
        fee=fee,
        diff=state.diff(),
        failure=failure,
        events=[replace(event, order=at) for at, event in enumerate(_ordered(calls))],
        messages=[message for call in calls for message in call.messages()],
    )
    return executed, state


def validate(
    transaction: Transaction, *, base: State, class_of: ClassOf, block: BlockInfo, prices: Prices
) -> None:
    """Whether the account accepts it, without executing it. Raises Unacceptable."""
    run = _Run(
        transaction=transaction,
        state=State(base),
        class_of=class_of,
        block=block,
        prices=prices,
        rules=Rules(),
    )
    _validate(run)


def _ordered(calls: list[CallInfo]) -> list[Event]:
    return [event for call in calls for event in sorted(call.events(), key=lambda event: event.order)]


def _check_nonce(run: _Run) -> None:
    transaction = run.transaction
    expected = run.state.nonce(transaction.sender)
    if transaction.nonce != expected:
        raise Unacceptable(
            Code.INVALID_TRANSACTION_NONCE,
            f"Invalid transaction nonce of contract at address {transaction.sender:#066x}. "
            f"Account nonce: {expected:#066x}; got: {transaction.nonce:#066x}.",
        )


def _validate(run: _Run) -> None:
    transaction, gas = run.transaction, min(costs.MAX_VALIDATE_GAS, run.gas_bound)
    context = run.context(validate=True)
    try:
        if isinstance(transaction, DeployAccount):
            gas -= _construct(run, context, transaction, gas)
        if run.state.class_at(transaction.sender) == 0:
            raise Unacceptable(
                Code.VALIDATION_FAILURE, f"the account {transaction.sender:#066x} is not deployed"
            )
        if run.rules.validate:
            info = context.run(
                Call(
                    address=transaction.sender,
                    selector=transaction.VALIDATION,
                    calldata=transaction.validation_calldata,
                ),
                gas,
            )
            _require_valid(info)
            run.trace.validation = info
    except VmError as error:
        raise Unacceptable(Code.VALIDATION_FAILURE, str(error)) from error
    run.ordered = context.events


def _construct(run: _Run, context: Context, transaction: DeployAccount, gas: int) -> int:
    if run.state.compiled_class_hash(transaction.class_hash) == 0:
        raise Unacceptable(Code.CLASS_HASH_NOT_FOUND)
    info = context.deploy(
        class_hash=transaction.class_hash,
        salt=transaction.salt,
        calldata=transaction.constructor_calldata,
        deployer=0,
        gas=gas,
    )
    if info.failed:
        raise Unacceptable(Code.VALIDATION_FAILURE, f"the constructor failed: {describe(info.result)}")
    run.trace.constructor = info
    return info.gas


def _require_valid(info: CallInfo) -> None:
    if info.failed:
        raise Unacceptable(Code.VALIDATION_FAILURE, f"the account refused: {describe(info.result)}")
    if info.result != [VALIDATED]:
        raise Unacceptable(Code.VALIDATION_FAILURE, "the account did not answer VALID")


def _execute_calls(run: _Run) -> Failure | None:
    """Executes; gives why it was reverted, if it was."""
    transaction = run.transaction
    if isinstance(transaction, Declare):
        run.state.declare(transaction.class_hash, transaction.compiled_class_hash)
        return None
    if not isinstance(transaction, Invoke):
        return None
    spent = sum(call.gas for call in run.trace.paid_calls())
    call = Call(address=transaction.sender, selector=EXECUTE, calldata=transaction.calldata)
    context, mark = run.context(), run.state.mark()
    gas = min(costs.MAX_EXECUTE_GAS, max(run.gas_bound - spent, 0))
    try:
        info = context.run(call, gas)
    except VmError as error:
        run.state.undo(mark)
        broken = CallInfo(call=call, class_hash=run.state.class_at(call.address), failed=True)
        broken.gas = min(context.steps * costs.STEP, gas)
        run.trace.execution = broken
        return Failure(frames=tuple(context.frames), text=str(error))
    run.trace.execution = info
    return Failure.of(info) if info.failed else None


def _discard_execution(run: _Run, mark: int) -> None:
    run.state.undo(mark)
    if run.trace.execution is not None:
        run.trace.execution.failed = True


def _consumption(run: _Run) -> Consumption:
    diff = run.state.diff()
    allocated = sum(
        1
        for address, changes in diff.storage.items()
        for key, value in changes.items()
        if value and not run.state.base.storage(address, key)
    )
    return consumption(run.transaction, run.trace.paid_calls(), diff, allocated, _code_bytes(run))


def _code_bytes(run: _Run) -> int:
    if not isinstance(run.transaction, Declare):
        return 0
    declared = run.class_of(run.transaction.class_hash)
    felts = len(declared.casm.bytecode) + len(declared.sierra.program)
    return FELT_BYTES * felts + len(declared.sierra.document["abi"])


def _charge(run: _Run, used: Consumption) -> int:
    """Moves the fee to the sequencer by the token's own code; the fee."""
    fee = used.fee(run.prices, run.transaction.tip)
    call = Call(
        address=FEE_TOKEN,
        selector=TRANSFER,
        calldata=(run.block.sequencer, fee & ((1 << 128) - 1), fee >> 128),
        caller=run.transaction.sender,
    )
    context = run.context()
    context.events = 0
    try:
        info = context.run(call, costs.MAX_EXECUTE_GAS)
    except VmError as error:
        raise Unacceptable(Code.INSUFFICIENT_ACCOUNT_BALANCE, str(error)) from error
    if info.failed:
        held = balance_of(run.state, run.transaction.sender)
        raise Unacceptable(
            Code.INSUFFICIENT_ACCOUNT_BALANCE,
            f"the fee is {fee}, the balance {held}: {describe(info.result)}",
        )
    run.trace.fee_transfer = info
    return fee
