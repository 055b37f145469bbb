"""JSON-RPC 2.0: requests, batches, parameters by name or place, errors. What methods do is the other modules'."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medsync_chain.errors import Code, Unacceptable

__all__ = ["Method", "Methods", "answer"]

MAX_BATCH = 100  # requests in one body

log = logging.getLogger(__name__)

Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """A handler and its parameters in order; those after `required` may be left out."""

    handler: Callable[[Params], Any]
    names: Sequence[str] = ()
    required: int | None = None

    def bind(self, params: Any) -> Params:
        """Parameters by name. Raises Unacceptable."""
        if isinstance(params, list):
            if len(params) > len(self.names):
                raise Unacceptable.malformed(f"at most {len(self.names)} parameters")
            params = dict(zip(self.names, params, strict=False))
        if not isinstance(params, dict):
            raise Unacceptable.malformed("params must be an object or a list")
        unknown = sorted(set(params) - set(self.names))
        if unknown:
            raise Unacceptable.malformed(f"unknown parameters: {', '.join(unknown)[:200]}")
        needed = self.names if self.required is None else self.names[: self.required]
        missing = [name for name in needed if name not in params]
        if missing:
            raise Unacceptable.malformed(f"missing parameters: {', '.join(missing)}")
        return params


Methods = Mapping[str, Method]


def answer(methods: Methods, body: bytes) -> bytes | None:
    """The answer to one HTTP body; None when it holds only notifications."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return _encode(_failure(None, Unacceptable(Code.PARSE_ERROR)))
    if not isinstance(request, list):
        one = _one(methods, request)
        return None if one is None else _encode(one)
    if not 0 < len(request) <= MAX_BATCH:
        return _encode(_failure(None, Unacceptable(Code.INVALID_REQUEST, f"1 to {MAX_BATCH} requests")))
    answers = [found for found in (_one(methods, item) for item in request) if found is not None]
    return _encode(answers) if answers else None


def _one(methods: Methods, request: Any) -> dict[str, Any] | None:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _failure(None, Unacceptable(Code.INVALID_REQUEST))
    identity = request.get("id")
    try:
        method = methods.get(request["method"])
        if method is None:
            raise Unacceptable(Code.METHOD_NOT_FOUND, request["method"][:100])
        result = method.handler(method.bind(request.get("params", {})))
        found: dict[str, Any] = {"jsonrpc": "2.0", "id": identity, "result": result}
    except Unacceptable as error:
        found = _failure(identity, error)
    except Exception:  # a bug of ours must not take the server down; it is logged whole
        log.exception("method %s failed", request["method"][:100])
        found = _failure(identity, Unacceptable(Code.INTERNAL, "see the chain's log"))
    return found if "id" in request else None


def _failure(identity: Any, error: Unacceptable) -> dict[str, Any]:
    described: dict[str, Any] = {"code": int(error.code), "message": error.message}
    if error.data is not None:
        described["data"] = error.data
    return {"jsonrpc": "2.0", "id": identity, "error": described}


def _encode(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
