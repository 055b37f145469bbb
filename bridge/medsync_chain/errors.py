"""What the chain refuses, with the JSON-RPC code its caller is told (Starknet's API specification 0.10.2)."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

__all__ = ["Code", "Unacceptable"]


class Code(IntEnum):
    """Error codes of Starknet's JSON-RPC API, and JSON-RPC's own."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL = -32603
    NO_TRACE_AVAILABLE = 10
    CONTRACT_NOT_FOUND = 20
    ENTRYPOINT_NOT_FOUND = 21
    BLOCK_NOT_FOUND = 24
    INVALID_TXN_INDEX = 27
    CLASS_HASH_NOT_FOUND = 28
    TXN_HASH_NOT_FOUND = 29
    PAGE_SIZE_TOO_BIG = 31
    NO_BLOCKS = 32
    INVALID_CONTINUATION_TOKEN = 33
    TOO_MANY_KEYS_IN_FILTER = 34
    CONTRACT_ERROR = 40
    TRANSACTION_EXECUTION_ERROR = 41
    STORAGE_PROOF_NOT_SUPPORTED = 42
    CLASS_ALREADY_DECLARED = 51
    INVALID_TRANSACTION_NONCE = 52
    INSUFFICIENT_RESOURCES_FOR_VALIDATE = 53
    INSUFFICIENT_ACCOUNT_BALANCE = 54
    VALIDATION_FAILURE = 55
    COMPILATION_FAILED = 56
    CONTRACT_CLASS_SIZE_IS_TOO_LARGE = 57
    NON_ACCOUNT = 58
    DUPLICATE_TX = 59
    COMPILED_CLASS_HASH_MISMATCH = 60
    UNSUPPORTED_TX_VERSION = 61
    UNSUPPORTED_CONTRACT_CLASS_VERSION = 62
    UNEXPECTED_ERROR = 63
    REPLACEMENT_TRANSACTION_UNDERPRICED = 64
    FEE_BELOW_MINIMUM = 65


MESSAGES: dict[Code, str] = {
    Code.PARSE_ERROR: "Parse error",
    Code.INVALID_REQUEST: "Invalid request",
    Code.METHOD_NOT_FOUND: "Method not found",
    Code.INVALID_PARAMS: "Invalid params",
    Code.INTERNAL: "Internal error",
    Code.NO_TRACE_AVAILABLE: "No trace available for transaction",
    Code.CONTRACT_NOT_FOUND: "Contract not found",
    Code.ENTRYPOINT_NOT_FOUND: "Requested entrypoint does not exist in the contract",
    Code.BLOCK_NOT_FOUND: "Block not found",
    Code.INVALID_TXN_INDEX: "Invalid transaction index in a block",
    Code.CLASS_HASH_NOT_FOUND: "Class hash not found",
    Code.TXN_HASH_NOT_FOUND: "Transaction hash not found",
    Code.PAGE_SIZE_TOO_BIG: "Requested page size is too big",
    Code.NO_BLOCKS: "There are no blocks",
    Code.INVALID_CONTINUATION_TOKEN: "The supplied continuation token is invalid or unknown",
    Code.TOO_MANY_KEYS_IN_FILTER: "Too many keys provided in a filter",
    Code.CONTRACT_ERROR: "Contract error",
    Code.TRANSACTION_EXECUTION_ERROR: "Transaction execution error",
    Code.STORAGE_PROOF_NOT_SUPPORTED: "the node doesn't support storage proofs for blocks that are too far in the past",
    Code.CLASS_ALREADY_DECLARED: "Class already declared",
    Code.INVALID_TRANSACTION_NONCE: "Invalid transaction nonce",
    Code.INSUFFICIENT_RESOURCES_FOR_VALIDATE: (
        "The transaction's resources don't cover validation or the minimal transaction fee"
    ),
    Code.INSUFFICIENT_ACCOUNT_BALANCE: "Account balance is smaller than the transaction's maximal fee (calculated as "
    "the sum of each resource's limit x max price)",
    Code.VALIDATION_FAILURE: "Account validation failed",
    Code.COMPILATION_FAILED: "Compilation failed",
    Code.CONTRACT_CLASS_SIZE_IS_TOO_LARGE: "Contract class size is too large",
    Code.NON_ACCOUNT: "Sender address is not an account contract",
    Code.DUPLICATE_TX: "A transaction with the same hash already exists in the mempool",
    Code.COMPILED_CLASS_HASH_MISMATCH: "the compiled class hash did not match the one supplied in the transaction",
    Code.UNSUPPORTED_TX_VERSION: "the transaction version is not supported",
    Code.UNSUPPORTED_CONTRACT_CLASS_VERSION: "the contract class version is not supported",
    Code.UNEXPECTED_ERROR: "An unexpected error occurred",
    Code.REPLACEMENT_TRANSACTION_UNDERPRICED: "Replacement transaction is underpriced",
    Code.FEE_BELOW_MINIMUM: "Transaction fee below minimum",
}


class Unacceptable(Exception):
    """A request that the chain refuses; `data` is what the caller is told besides code and message."""

    def __init__(self, code: Code, data: Any = None) -> None:
        self.code = code
        self.data = data
        super().__init__(MESSAGES[code] if data is None else f"{MESSAGES[code]}: {data}")

    @property
    def message(self) -> str:
        """The specification's message for the code."""
        return MESSAGES[self.code]

    @classmethod
    def malformed(cls, why: str) -> Unacceptable:
        """Parameters that are not what the method takes."""
        return cls(Code.INVALID_PARAMS, why)

    @classmethod
    def class_too_large(cls, limit: int) -> Unacceptable:
        """A declared class beyond Starknet's limits."""
        return cls(Code.CONTRACT_CLASS_SIZE_IS_TOO_LARGE, f"the limit is {limit}")
