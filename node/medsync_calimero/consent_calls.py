"""The application `medsync`: names over the calls of our own API, so that the same rules hold (CALIMERO §4).

Arguments are the API's bodies; `context` is the one called. A patient's signature is an argument, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
import trio

from medsync_calimero.answers import CallError
from medsync_node.api import make_app

if TYPE_CHECKING:
    from medsync_calimero.groups import Instance
    from medsync_node.node import Node

METHODS: Final[Mapping[str, tuple[str, str, str]]] = {
    "enrol_subject": ("POST", "subjects", "make a pseudonym, with the patient's keys if it has some"),
    "add_consent": ("POST", "consents", "record a directive, signed by the patient's key or attested"),
    "verify_consent": ("POST", "consents/{directive}:verify", "whether a directive stands, and on whose word"),
    "revoke_consent": ("POST", "consents:revoke", "take directives back"),
    "list_consents": ("GET", "consents?subject={subject}", "directives of a subject"),
    "log_request": ("POST", "access", "ask for a decision and log the access"),
    "fetch_requests": ("GET", "access?subject={subject}", "what was logged of a subject; reading it is logged"),
    "reward_points": ("GET", "rewards", "terms, points of the last closed period, what each member has earned"),
    "reward_balance": ("GET", "rewards/proof", "what this node's member has earned, with its proof; refused before an anchor"),
}
"""Method → (HTTP method, path below the context, what it does); braces are arguments, the others make the body."""


class ConsentCalls:
    """See the module."""

    def __init__(self, node: Node) -> None:
        app = make_app(node, stopping=trio.Event())
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node")

    async def execute(self, one: Instance, method: str, arguments: Mapping[str, Any]) -> Any:
        """Raises CallError with the API's problem: its code, message and advice."""
        found = METHODS.get(method)
        if found is None:
            raise CallError(f"MethodNotFound: medsync has no method {method!r}; it has {', '.join(sorted(METHODS))}")
        verb, path, _ = found
        body = dict(arguments)
        for name in [name for name in body if "{" + name + "}" in path]:
            path = path.replace("{" + name + "}", quote(str(body.pop(name)), safe=""))
        if "{" in path:
            raise CallError(f"{method} needs the argument {path.partition('{')[2].partition('}')[0]!r}")
        url = f"/v1/contexts/{one.replica.context.hex()}/{path}"
        answer = await self._client.request(verb, url, json=body if verb == "POST" else None)
        if answer.is_error:
            raise CallError(answer.json())
        return answer.json()
