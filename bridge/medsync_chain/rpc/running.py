"""Methods that run contracts: calls, estimates, simulations, and adding transactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from medsync_chain import costs
from medsync_chain.blocks import SEQUENCER
from medsync_chain.chain import Chain
from medsync_chain.documents import parse_broadcast
from medsync_chain.errors import Code, Unacceptable
from medsync_chain.execution import BlockInfo, Call, Context, Failure, TxInfo
from medsync_chain.felts import to_hex
from medsync_chain.rpc.dispatch import Method, Methods, Params
from medsync_chain.rpc.failures import nested
from medsync_chain.rpc.places import block_of, felt, is_pending, list_of_felts, state_of
from medsync_chain.rpc.traces import trace_document
from medsync_chain.sequencer import Executed, Rules, execute
from medsync_chain.state import State
from medsync_chain.transactions import Declare, DeployAccount, Transaction
from medsync_chain.vm.errors import VmError

__all__ = ["running_methods"]

MAX_SIMULATED = 100  # transactions in one request
_FLAGS = {"SKIP_VALIDATE", "SKIP_FEE_CHARGE"}


class Running:
    """Runs contracts on behalf of clients."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def methods(self) -> Methods:
        """By name."""
        return {
            "starknet_call": Method(self._call, ("request", "block_id")),
            "starknet_estimateFee": Method(self._estimate, ("request", "simulation_flags", "block_id")),
            "starknet_simulateTransactions": Method(
                self._simulate, ("block_id", "transactions", "simulation_flags")
            ),
            "starknet_addInvokeTransaction": Method(
                lambda params: self._add(params["invoke_transaction"], "INVOKE"), ("invoke_transaction",)
            ),
            "starknet_addDeclareTransaction": Method(
                lambda params: self._add(params["declare_transaction"], "DECLARE"), ("declare_transaction",)
            ),
            "starknet_addDeployAccountTransaction": Method(
                lambda params: self._add(params["deploy_account_transaction"], "DEPLOY_ACCOUNT"),
                ("deploy_account_transaction",),
            ),
        }

    def _call(self, params: Params) -> list[str]:
        request = params["request"]
        if not isinstance(request, Mapping):
            raise Unacceptable.malformed("request must be an object")
        state = State(state_of(self._chain, params["block_id"]))
        call = Call(
            address=felt(request.get("contract_address"), "contract_address"),
            selector=felt(request.get("entry_point_selector"), "entry_point_selector"),
            calldata=list_of_felts(request.get("calldata", []), "calldata", costs.MAX_CALLDATA),
        )
        class_hash = state.class_at(call.address)
        if class_hash == 0:
            raise Unacceptable(Code.CONTRACT_NOT_FOUND)
        if self._chain.contract_class(class_hash).casm.entry_point(call.kind, call.selector) is None:
            raise Unacceptable(Code.ENTRYPOINT_NOT_FOUND)
        context = Context(
            state=state,
            class_of=self._chain.contract_class,
            block=self._block_info(params["block_id"]),
            tx=TxInfo(chain_id=self._chain.chain_id),
        )
        try:
            info = context.run(call, costs.MAX_EXECUTE_GAS)
        except VmError as error:
            failure = Failure(frames=tuple(context.frames), text=str(error))
            raise Unacceptable(Code.CONTRACT_ERROR, {"revert_error": nested(failure)}) from error
        if info.failed:
            raise Unacceptable(Code.CONTRACT_ERROR, {"revert_error": nested(Failure.of(info))})
        return [to_hex(value) for value in info.result]

    def _estimate(self, params: Params) -> Any:
        rules = _rules(params["simulation_flags"], {"SKIP_VALIDATE"})
        rules = Rules(validate=rules.validate, charge=False)
        estimates = []
        for index, executed in enumerate(self._executed(params["request"], params["block_id"], rules)):
            if executed.failure is not None:
                raise _execution_error(index, nested(executed.failure))
            estimates.append(self._fee_document(executed))
        return estimates

    def _simulate(self, params: Params) -> Any:
        rules = _rules(params["simulation_flags"], _FLAGS)
        executed = self._executed(params["transactions"], params["block_id"], rules)
        return [
            {"transaction_trace": trace_document(one), "fee_estimation": self._fee_document(one)}
            for one in executed
        ]

    def _executed(self, documents: Any, block_id: Any, rules: Rules) -> Iterator[Executed]:
        """Runs transactions one after another on a copy of a state. Raises Unacceptable."""
        if not isinstance(documents, list) or len(documents) > MAX_SIMULATED:
            raise Unacceptable.malformed(f"a list of at most {MAX_SIMULATED} transactions is needed")
        base = State(state_of(self._chain, block_id))
        info = self._next_info(block_id)
        for index, document in enumerate(documents):
            try:
                yield self._execute(document, base, info, rules)
            except Unacceptable as error:
                if error.code in (Code.INVALID_PARAMS, Code.UNSUPPORTED_TX_VERSION):
                    raise
                raise _execution_error(index, str(error)) from error

    def _execute(self, document: Any, base: State, info: BlockInfo, rules: Rules) -> Executed:
        transaction = self._parse(document)
        executed, state = execute(
            transaction,
            base=base,
            class_of=self._chain.contract_class,
            block=info,
            prices=self._chain.pending.prices,
            rules=rules,
        )
        state.merge()
        return executed

    def _parse(self, document: Any) -> Transaction:
        transaction, sierra = parse_broadcast(document, self._chain.chain_id)
        if isinstance(transaction, Declare) and sierra is not None:
            self._chain.learn(transaction, sierra)
        return transaction

    def _add(self, document: Any, kind: str) -> Any:
        if not isinstance(document, Mapping) or document.get("type") != kind:
            raise Unacceptable.malformed(f"a transaction of type {kind} is needed")
        transaction, sierra = parse_broadcast(document, self._chain.chain_id)
        self._chain.add(transaction, sierra)
        added = {"transaction_hash": to_hex(transaction.hash)}
        if isinstance(transaction, Declare):
            added["class_hash"] = to_hex(transaction.class_hash)
        if isinstance(transaction, DeployAccount):
            added["contract_address"] = to_hex(transaction.sender)
        return added

    def _next_info(self, block_id: Any) -> BlockInfo:
        """The block that a transaction sent now would be in, when it is tried on the newest state."""
        if (
            is_pending(block_id)
            or block_of(self._chain, block_id).number == self._chain.history.latest.number
        ):
            self._chain.catch_up()
            return self._chain.pending.info
        return self._block_info(block_id)

    def _block_info(self, block_id: Any) -> BlockInfo:
        if is_pending(block_id):
            return self._chain.pending.info
        header = block_of(self._chain, block_id).header
        return BlockInfo(number=header.number, timestamp=header.timestamp, sequencer=SEQUENCER)

    def _fee_document(self, executed: Executed) -> Any:
        prices, used = self._chain.pending.prices, executed.used
        return {
            "l1_gas_consumed": to_hex(used.l1_gas),
            "l1_gas_price": to_hex(prices.l1_gas),
            "l2_gas_consumed": to_hex(used.l2_gas),
            "l2_gas_price": to_hex(prices.l2_gas),
            "l1_data_gas_consumed": to_hex(used.l1_data_gas),
            "l1_data_gas_price": to_hex(prices.l1_data_gas),
            "overall_fee": to_hex(used.fee(prices, executed.transaction.tip)),
            "unit": "FRI",
        }


def _rules(flags: Any, allowed: set[str]) -> Rules:
    if not isinstance(flags, list) or not all(isinstance(flag, str) and flag in allowed for flag in flags):
        raise Unacceptable.malformed(f"simulation_flags may hold {', '.join(sorted(allowed))}")
    return Rules(validate="SKIP_VALIDATE" not in flags, charge="SKIP_FEE_CHARGE" not in flags)


def _execution_error(index: int, error: Any) -> Unacceptable:
    return Unacceptable(
        Code.TRANSACTION_EXECUTION_ERROR, {"transaction_index": index, "execution_error": error}
    )


def running_methods(chain: Chain) -> Methods:
    """By name."""
    return Running(chain).methods()
