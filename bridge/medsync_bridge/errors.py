"""What can go wrong between the bridge and a chain; each says what to do next."""

from __future__ import annotations

from medsync_protocol.errors import OperatorError, Refused


class ChainUnreachable(OperatorError):
    """The RPC didn't answer, or with something that is no JSON-RPC."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the Starknet node does not answer ({why})",
            advice="check --rpc and that the node runs; nothing is lost, the bridge goes on when it answers",
        )


class WrongChain(OperatorError):
    """The RPC serves another chain than the context is anchored on."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"the Starknet node serves chain {found}, the context is anchored on {expected}",
            advice="give the --rpc of a node of that chain",
        )


class AccountUnusable(OperatorError):
    """The account can't pay or sign (RPC errors 54 and 55, a missing account, a bad key)."""


class FeeCapReached(OperatorError):
    """A transaction would cost more than the operator allows."""

    def __init__(self, wanted: int, cap: int) -> None:
        super().__init__(
            f"the transaction may cost {wanted / 10**18:.6f} STRK, the cap is {cap / 10**18:.6f}",
            advice="wait for lower prices or raise --fee-cap",
        )


class SendRefused(OperatorError):
    """The node will never take this transaction (RPC errors 56 to 63)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(
            f"the Starknet node refuses the transaction: {message} (error {code})",
            advice="run `medsync bridge doctor`; the versions of bridge and node may not fit together",
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


class NotOpened(Refused):
    """The context isn't open on the contract."""

    def __init__(self) -> None:
        super().__init__(
            "the context is not open on the contract",
            code="unknown_context",
            advice="run `medsync contract register` first",
        )


class BadKey(OperatorError):
    """The account's secret can't be had from where `--key` points."""
