"""The options of every command that pays for transactions, in one place: a decorator adds them to a command."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, Final

from medsync_bridge.commands import options

_SHARED: Final[Mapping[str, tuple[Any, Any]]] = {  # name → (type with its option, default)
    "rpc": (options.Rpc, Parameter.empty),
    "account": (options.Account, Parameter.empty),
    "key": (options.Key, Parameter.empty),
    "bridge_home": (options.BridgeHome, None),
    "fee_cap": (options.FeeCap, options.FEE_CAP),
    "tip": (options.Tip, 0),
    "poll": (options.Poll, options.POLL),
}
_JSON: Final = Parameter("as_json", Parameter.KEYWORD_ONLY, annotation=options.Json, default=False)
_GIVEN: Final = ("settings", "as_json")

ACCOUNT_EXAMPLE: Final = "--rpc http://127.0.0.1:5050 --account 0x64b… --key file:account.key"


def paying(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes its own options, `settings` and `as_json`, as Typer is to see it: with all options."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for name, one in signature.parameters.items() if name not in _GIVEN]
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)
        for name, (kind, default) in _SHARED.items()
    ]
    shown = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own] + [*shared, _JSON]

    def run(**given: Any) -> None:
        settings = options.settings_of(**{name: given.pop(name) for name in _SHARED})
        command(**given, settings=settings)

    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__annotations__ = {one.name: one.annotation for one in shown}
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # what inspect.signature reads
    return run
