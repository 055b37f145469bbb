"""What can go wrong between the bridge and a chain; each says what to do next."""

from __future__ import annotations

from typing import Any, ClassVar

from medsync_protocol.errors import OperatorError, Refused


def strk(fri: int) -> str:
    """An amount for people."""
    return f"{fri / 10**18:.6f} STRK"


class ChainUnreachable(OperatorError):
    """The RPC didn't answer, or with something that is no JSON-RPC."""

    exit_code: ClassVar[int] = 4  # of a command that gives up on it (DESIGN §5)

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the Starknet node does not answer ({why})",
            advice="check --rpc and that the node runs; nothing is lost, the bridge goes on when it answers",
        )


class RpcError(OperatorError):
    """An error that the node answered; `rpc_code` 0 for an answer that is not as specified."""

    def __init__(self, rpc_code: int, message: str, data: Any = None) -> None:
        super().__init__(
            f"the Starknet node answers: {message} (error {rpc_code})",
            advice="run `medsync bridge doctor`; the node may be behind, or of another version",
        )
        self.rpc_code, self.rpc_message, self.data = rpc_code, message, data


class WrongChain(OperatorError):
    """The RPC serves another chain than the context is anchored on."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"the Starknet node serves chain {found}, the context is anchored on {expected}",
            advice="give the --rpc of a node of that chain",
        )


class AccountUnusable(OperatorError):
    """The account is missing or can't pay (RPC error 54)."""


class WrongKey(AccountUnusable):
    """The account doesn't take this key's signatures (RPC error 55). The bridge stops."""

    def __init__(self, account: int) -> None:
        super().__init__(
            f"the account {account:#x} does not take this key's signatures",
            advice="give the --key that belongs to --account, then start the bridge again",
        )


class FeeCapReached(OperatorError):
    """A transaction would cost more than the operator allows."""

    def __init__(self, wanted: int, cap: int) -> None:
        super().__init__(
            f"the transaction may cost {strk(wanted)}, the cap is {strk(cap)}",
            advice="wait for lower prices or raise --fee-cap",
        )


class SendRefused(OperatorError):
    """The node will never take this transaction (RPC errors 56 to 58 and 60 to 62)."""

    def __init__(self, rpc_code: int, message: str) -> None:
        super().__init__(
            f"the Starknet node refuses the transaction: {message} (error {rpc_code})",
            advice="run `medsync bridge doctor`; mend the cause, then `medsync bridge resume`",
        )


class Reverted(Refused):
    """The contract said no. `paid` when a transaction was spent on it: it is never sent again by itself."""

    def __init__(self, errand: str, reason: str, *, paid: bool, transaction: int | None = None) -> None:
        advice = (
            "find the cause, then `medsync bridge resume`: until then this is not sent again"
            if paid
            else "nothing was sent; the bridge asks again at its next round"
        )
        super().__init__(f"{errand}: the contract refuses: {reason}", code=reason.lower(), advice=advice)
        self.errand, self.reason, self.paid, self.transaction = errand, reason, paid, transaction


class NotDeployed(Refused):
    """The class or the contract that is asked for isn't on this chain."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message, code="not_deployed", advice=advice)


class NotOpened(Refused):
    """The context isn't open on the contract."""

    def __init__(self) -> None:
        super().__init__(
            "the context is not open on the contract",
            code="unknown_context",
            advice="run `medsync contract register` first",
        )


class NodeDisagrees(OperatorError):
    """What the MedSync node hands over does not fit the context's address."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the node does not fit the chain: {what}",
            advice="compare `medsync context show` with `medsync bridge status`; nothing was sent",
        )


class BadKey(OperatorError):
    """The account's secret can't be had from where `--key` points."""


class PortTaken(OperatorError):
    """Metrics can't be served where they were asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"metrics can't be served on port {port}", advice="give --metrics-port another, 0 for any"
        )
