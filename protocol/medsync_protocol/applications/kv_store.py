"""The application `kv_store`: text under text. The last writer by the hybrid clock wins; of two at one instant, the one that sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from medsync_protocol.applications.interface import App, Call, CallFailed, Json, Method, State

_KEY = {"key": "string"}


class KvStore(App):
    """State: key → [value, clock of the writer]."""

    name = "kv_store"
    abi: ClassVar = {
        "set": Method("put a value; emits Inserted or Updated", {"key": "string", "value": "string"}, changes=True),
        "remove": Method("take a value away and answer it, null for none; emits Removed", _KEY, changes=True),
        "clear": Method("take all away; emits Cleared", changes=True),
        "get": Method("the value; null for none", _KEY),
        "get_unchecked": Method("the value; fails for none", _KEY),
        "get_result": Method("the value; fails with NotFound and the key for none", _KEY),
        "entries": Method("all of them, as an object"),
        "len": Method("how many there are"),
    }

    def fold(self, state: State, call: Call) -> Json:
        """Set, remove, clear."""
        if call.method == "clear":
            for key in [key for key in state if state[key][1] < call.clock]:
                del state[key]
            call.emit("Cleared", None)
            return None
        key = call.arguments["key"]
        held = state.get(key)
        if call.method == "set":
            state[key] = [call.arguments["value"], call.clock]
            call.emit("Inserted" if held is None else "Updated", {"key": key, "value": call.arguments["value"]})
            return None
        if held is None or held[1] >= call.clock:
            return None
        del state[key]
        call.emit("Removed", {"key": key})
        value: Json = held[0]
        return value

    def query(self, state: State, method: str, arguments: Mapping[str, Any]) -> Json:
        """Get, entries, len."""
        if method == "entries":
            return {key: state[key][0] for key in state}
        if method == "len":
            return len(state)
        held = state.get(arguments["key"])
        if held is None and method == "get_unchecked":
            raise CallFailed("key not found")
        if held is None and method == "get_result":
            raise CallFailed({"kind": "NotFound", "data": arguments["key"]})
        return None if held is None else str(held[0])
