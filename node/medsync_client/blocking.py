"""The client for code without an event loop: scripts, notebooks, the command line.

`client.py` has the same for trio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar

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
from medsync_client.calls import PATIENT, Call, read_problem
from medsync_client.errors import unreachable

P = ParamSpec("P")
T = TypeVar("T", bound=BaseModel)


class _Blocking(Generic[P, T]):
    """A method of `BlockingClient` made from the function that builds its call."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    def __get__(self, client: BlockingClient, owner: object = None) -> Callable[P, T]:
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.send(self._build(*args, **kwargs))

        return method


class BlockingClient:
    """Blocking calls. `with BlockingClient(address) as client: client.status()`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        socket = None if address.socket is None else str(address.socket)
        # No TLS over a unix socket: reading the system's authorities would cost more than the call.
        self._http = httpx.Client(
            base_url=address.base_url, headers=address.headers, trust_env=False,
            verify=address.verify,
            transport=httpx.HTTPTransport(uds=socket, verify=False) if socket is not None else None,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def close(self) -> None:
        """Close its connections; no call after this."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send any call. Raises ClientError."""
        try:
            response = self._http.request(
                call.method, call.path, content=call.content(), params=call.parameters(),
                timeout=call.timeout, headers={"Content-Type": "application/json"},
            )  # fmt: skip
        except httpx.HTTPError as error:
            raise unreachable(self.address, timed_out=isinstance(error, httpx.ReadTimeout)) from error
        return call.read(response.status_code, response.content)

    @contextmanager
    def export(self, context: str) -> Iterator[Iterator[str]]:
        """The audit export of a context, line by line."""
        with self._stream(_audit.export_path(context)) as lines:
            yield lines

    @contextmanager
    def export_subject(self, context: str, subject: str) -> Iterator[Iterator[str]]:
        """Everything that is held of a subject, line by line. Reading is logged."""
        with self._stream(_subjects.export_subject_path(context, subject)) as lines:
            yield lines

    @contextmanager
    def follow_accesses(
        self, context: str, subject: str | None = None, *, after: str | None = None, **filters: str
    ) -> Iterator[Iterator[tuple[str, AccessRow]]]:
        """The access log as it grows: (id, entry). `after`: the id of the last one seen; `filters` as of the list. Logged."""
        query = {name: text for name, text in {"subject": subject, **filters}.items() if text is not None}
        headers, parts = {} if after is None else {"Last-Event-ID": after}, _accesses.Followed()
        with self._stream(_accesses.follow_path(context), query, headers) as lines:
            yield (found for line in lines if (found := parts.read(line)) is not None)

    @contextmanager
    def _stream(
        self, path: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[str]]:
        try:
            with self._http.stream("GET", path, params=query, headers=headers, timeout=PATIENT) as response:
                if response.status_code >= 400:
                    raise read_problem(response.status_code, response.read())
                yield response.iter_lines()
        except httpx.HTTPError as error:
            raise unreachable(self.address, timed_out=isinstance(error, httpx.ReadTimeout)) from error

    status = _Blocking(_status.status)
    ready = _Blocking(_status.ready)
    create_network = _Blocking(_members.create_network)
    network = _Blocking(_members.network)
    invite = _Blocking(_members.invite)
    join = _Blocking(_members.join)
    members = _Blocking(_members.members)
    remove_member = _Blocking(_members.remove_member)
    set_role = _Blocking(_members.set_role)
    create_context = _Blocking(_contexts.create_context)
    contexts = _Blocking(_contexts.contexts)
    context = _Blocking(_contexts.context)
    context_members = _Blocking(_contexts.context_members)
    admit = _Blocking(_contexts.admit)
    remove_from_context = _Blocking(_contexts.remove_from_context)
    set_context_role = _Blocking(_contexts.set_context_role)
    leave = _Blocking(_contexts.leave)
    rotate = _Blocking(_contexts.rotate)
    voters = _Blocking(_contexts.voters)
    vote_voters = _Blocking(_contexts.vote_voters)
    governance = _Blocking(_governance.governance)
    policies = _Blocking(_governance.policies)
    endorse = _Blocking(_governance.endorse)
    vote_policy = _Blocking(_governance.vote_policy)
    transfer = _Blocking(_governance.transfer)
    outlook = _Blocking(_governance.outlook)
    devices = _Blocking(_devices.devices)
    add_device = _Blocking(_devices.add_device)
    revoke_device = _Blocking(_devices.revoke_device)
    recover_member = _Blocking(_devices.recover_member)
    resume_chain = _Blocking(_devices.resume_chain)
    enrol_subject = _Blocking(_subjects.enrol_subject)
    subject = _Blocking(_subjects.subject)
    subjects = _Blocking(_subjects.subjects)
    link_subject = _Blocking(_subjects.link_subject)
    change_keys = _Blocking(_subjects.change_keys)
    move_subject = _Blocking(_subjects.move_subject)
    erasure = _Blocking(_erasures.erasure)
    order_erasure = _Blocking(_erasures.order_erasure)
    hold_subject = _Blocking(_erasures.hold_subject)
    retention = _Blocking(_retentions.retention)
    hold_month = _Blocking(_retentions.hold_month)
    grant = _Blocking(_consents.grant)
    revoke = _Blocking(_consents.revoke)
    consents = _Blocking(_consents.consents)
    consent = _Blocking(_consents.consent)
    summarise_consent = _Blocking(_consents.summarise_consent)
    verify_consent = _Blocking(_consents.verify_consent)
    request_access = _Blocking(_accesses.request_access)
    append_accesses = _Blocking(_accesses.append_accesses)
    accesses = _Blocking(_accesses.accesses)
    break_glass = _Blocking(_glass.break_glass)
    reviews = _Blocking(_glass.reviews)
    broken_glass = _Blocking(_glass.broken_glass)
    review_glass = _Blocking(_glass.review_glass)
    release_glass = _Blocking(_glass.release_glass)
    breakers = _Blocking(_glass.breakers)
    set_breaker = _Blocking(_glass.set_breaker)
    accounting = _Blocking(_accounting.accounting)
    reconcile = _Blocking(_accounting.reconcile)
    receipt = _Blocking(_receipts.receipt)
    verify_receipt = _Blocking(_receipts.verify_receipt)
    explain = _Blocking(_explanations.explain)
    operations = _Blocking(_operations.operations)
    checkpoints = _Blocking(_checkpoints.checkpoints)
    certificate = _Blocking(_checkpoints.certificate)
    propose = _Blocking(_checkpoints.propose)
    chain = _Blocking(_checkpoints.chain)
    register_chain = _Blocking(_checkpoints.register_chain)
    opening = _Blocking(_checkpoints.opening)

    rewards = _Blocking(_rewards.rewards)
    pool_history = _Blocking(_rewards.pool_history)
    set_reward_terms = _Blocking(_rewards.set_reward_terms)
    reward_proof = _Blocking(_rewards.reward_proof)
    explain_rewards = _Blocking(_rewards.explain_rewards)
    sign_reward_claim = _Blocking(_rewards.sign_reward_claim)
    sign_veto = _Blocking(_rewards.sign_veto)
    sign_sweep = _Blocking(_rewards.sign_sweep)
    prove_consent = _Blocking(_proofs.prove_consent)
    prove_entry = _Blocking(_proofs.prove_entry)
    prove_checkpoint = _Blocking(_proofs.prove_checkpoint)
    open_dashboard = _Blocking(_links.open_dashboard)
    verify_audit = _Blocking(_audit.verify_audit)
