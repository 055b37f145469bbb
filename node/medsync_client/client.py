"""The client for trio: one method for each call. `blocking.py` has the same for code without an event loop.

What a call sends and answers stands beside its noun; failures are `errors.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar

import httpx
from pydantic import BaseModel

from medsync_client import accesses as _accesses
from medsync_client import accounting as _accounting
from medsync_client import audit as _audit
from medsync_client import checkpoints as _checkpoints
from medsync_client import consents as _consents
from medsync_client import contexts as _contexts
from medsync_client import erasures as _erasures
from medsync_client import explanations as _explanations
from medsync_client import devices as _devices
from medsync_client import glass as _glass
from medsync_client import governance as _governance
from medsync_client import links as _links
from medsync_client import members as _members
from medsync_client import operations as _operations
from medsync_client import proofs as _proofs
from medsync_client import receipts as _receipts
from medsync_client import retentions as _retentions
from medsync_client import rewards as _rewards
from medsync_client import status as _status
from medsync_client import subjects as _subjects
from medsync_client.accesses import AccessRow
from medsync_client.address import Address
from medsync_client.calls import PROMPT, Call, read_problem
from medsync_client.errors import NodeFault, unreachable

P = ParamSpec("P")
T = TypeVar("T", bound=BaseModel)

# An event stream is silent as long as nothing happens.
_NO_READ_LIMIT: Final = httpx.Timeout(PROMPT, read=None)


class _Awaited(Generic[P, T]):
    """A method of `Client` made from the function that builds its call."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    def __get__(self, client: Client, owner: object = None) -> Callable[P, Awaitable[T]]:
        def method(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            return client.send(self._build(*args, **kwargs))

        return method


class Client:
    """Calls from trio. `async with Client(address) as client: await client.status()`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        socket = None if address.socket is None else str(address.socket)
        # No TLS over a unix socket: reading the system's authorities would cost more than the call.
        self._http = httpx.AsyncClient(
            base_url=address.base_url, headers=address.headers, trust_env=False,
            verify=address.verify,
            transport=httpx.AsyncHTTPTransport(uds=socket, verify=False) if socket is not None else None,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send any call. Raises ClientError."""
        try:
            response = await self._http.request(
                call.method, call.path, content=call.content(), params=call.parameters(),
                timeout=call.timeout, headers={"Content-Type": "application/json"},
            )  # fmt: skip
        except httpx.HTTPError as error:
            raise unreachable(self.address, timed_out=isinstance(error, httpx.ReadTimeout)) from error
        return call.read(response.status_code, response.content)

    @asynccontextmanager
    async def export(self, context: str) -> AsyncIterator[AsyncIterator[str]]:
        """The audit export of a context, line by line."""
        async with self._stream(_audit.export_path(context)) as lines:
            yield lines

    @asynccontextmanager
    async def export_subject(self, context: str, subject: str) -> AsyncIterator[AsyncIterator[str]]:
        """Everything that is held of a subject, line by line. Reading is logged."""
        async with self._stream(_subjects.export_subject_path(context, subject)) as lines:
            yield lines

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What happens at the node from now on, as it happens."""
        async with self._stream("/v1/events") as lines:
            yield _events(lines)

    @asynccontextmanager
    async def follow_accesses(
        self, context: str, subject: str | None = None, *, after: str | None = None, **filters: str
    ) -> AsyncIterator[AsyncIterator[tuple[str, AccessRow]]]:
        """The access log as it grows: (id, entry). `after`: the id of the last one seen; `filters` as of the list. Logged."""
        query = {name: text for name, text in {"subject": subject, **filters}.items() if text is not None}
        headers = {} if after is None else {"Last-Event-ID": after}
        async with self._stream(_accesses.follow_path(context), query, headers) as lines:
            yield _rows(lines)

    @asynccontextmanager
    async def _stream(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[str]]:
        try:
            async with self._http.stream("GET", path, params=query, headers=headers, timeout=_NO_READ_LIMIT) as response:
                if response.status_code >= 400:
                    raise read_problem(response.status_code, await response.aread())
                yield response.aiter_lines()
        except httpx.HTTPError as error:
            raise unreachable(self.address, timed_out=isinstance(error, httpx.ReadTimeout)) from error

    status = _Awaited(_status.status)
    ready = _Awaited(_status.ready)
    create_network = _Awaited(_members.create_network)
    network = _Awaited(_members.network)
    invite = _Awaited(_members.invite)
    join = _Awaited(_members.join)
    members = _Awaited(_members.members)
    remove_member = _Awaited(_members.remove_member)
    set_role = _Awaited(_members.set_role)
    create_context = _Awaited(_contexts.create_context)
    contexts = _Awaited(_contexts.contexts)
    context = _Awaited(_contexts.context)
    context_members = _Awaited(_contexts.context_members)
    admit = _Awaited(_contexts.admit)
    remove_from_context = _Awaited(_contexts.remove_from_context)
    set_context_role = _Awaited(_contexts.set_context_role)
    leave = _Awaited(_contexts.leave)
    rotate = _Awaited(_contexts.rotate)
    voters = _Awaited(_contexts.voters)
    vote_voters = _Awaited(_contexts.vote_voters)
    governance = _Awaited(_governance.governance)
    policies = _Awaited(_governance.policies)
    endorse = _Awaited(_governance.endorse)
    vote_policy = _Awaited(_governance.vote_policy)
    transfer = _Awaited(_governance.transfer)
    outlook = _Awaited(_governance.outlook)
    devices = _Awaited(_devices.devices)
    add_device = _Awaited(_devices.add_device)
    revoke_device = _Awaited(_devices.revoke_device)
    recover_member = _Awaited(_devices.recover_member)
    resume_chain = _Awaited(_devices.resume_chain)
    enrol_subject = _Awaited(_subjects.enrol_subject)
    subject = _Awaited(_subjects.subject)
    subjects = _Awaited(_subjects.subjects)
    link_subject = _Awaited(_subjects.link_subject)
    change_keys = _Awaited(_subjects.change_keys)
    move_subject = _Awaited(_subjects.move_subject)
    erasure = _Awaited(_erasures.erasure)
    order_erasure = _Awaited(_erasures.order_erasure)
    hold_subject = _Awaited(_erasures.hold_subject)
    retention = _Awaited(_retentions.retention)
    hold_month = _Awaited(_retentions.hold_month)
    grant = _Awaited(_consents.grant)
    revoke = _Awaited(_consents.revoke)
    consents = _Awaited(_consents.consents)
    consent = _Awaited(_consents.consent)
    summarise_consent = _Awaited(_consents.summarise_consent)
    verify_consent = _Awaited(_consents.verify_consent)
    request_access = _Awaited(_accesses.request_access)
    append_accesses = _Awaited(_accesses.append_accesses)
    accesses = _Awaited(_accesses.accesses)
    break_glass = _Awaited(_glass.break_glass)
    reviews = _Awaited(_glass.reviews)
    broken_glass = _Awaited(_glass.broken_glass)
    review_glass = _Awaited(_glass.review_glass)
    release_glass = _Awaited(_glass.release_glass)
    breakers = _Awaited(_glass.breakers)
    set_breaker = _Awaited(_glass.set_breaker)
    accounting = _Awaited(_accounting.accounting)
    reconcile = _Awaited(_accounting.reconcile)
    receipt = _Awaited(_receipts.receipt)
    verify_receipt = _Awaited(_receipts.verify_receipt)
    explain = _Awaited(_explanations.explain)
    operations = _Awaited(_operations.operations)
    checkpoints = _Awaited(_checkpoints.checkpoints)
    certificate = _Awaited(_checkpoints.certificate)
    propose = _Awaited(_checkpoints.propose)
    chain = _Awaited(_checkpoints.chain)
    register_chain = _Awaited(_checkpoints.register_chain)
    opening = _Awaited(_checkpoints.opening)

    rewards = _Awaited(_rewards.rewards)
    pool_history = _Awaited(_rewards.pool_history)
    set_reward_terms = _Awaited(_rewards.set_reward_terms)
    reward_proof = _Awaited(_rewards.reward_proof)
    explain_rewards = _Awaited(_rewards.explain_rewards)
    sign_reward_claim = _Awaited(_rewards.sign_reward_claim)
    sign_veto = _Awaited(_rewards.sign_veto)
    sign_sweep = _Awaited(_rewards.sign_sweep)
    prove_consent = _Awaited(_proofs.prove_consent)
    prove_entry = _Awaited(_proofs.prove_entry)
    prove_checkpoint = _Awaited(_proofs.prove_checkpoint)
    open_dashboard = _Awaited(_links.open_dashboard)
    verify_audit = _Awaited(_audit.verify_audit)


async def _rows(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, AccessRow]]:
    parts = _accesses.Followed()
    async for line in lines:
        found = parts.read(line)
        if found is not None:
            yield found


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    async for line in lines:
        if line.startswith("data:"):
            yield _event(line)


def _event(line: str) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(line.removeprefix("data:"))
    except ValueError as error:
        raise NodeFault(
            "an event that is no JSON", code="unreadable_answer", advice="see the node's log"
        ) from error
    return event
