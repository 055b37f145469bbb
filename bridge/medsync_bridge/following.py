"""Follows a node: posts each certified checkpoint of its anchored contexts, one after the other, for as long as it runs.

How one is posted is `sending.py`'s. Nothing here gives up: what fails is told once and tried again next round; only
a key that the account doesn't take ends it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from medsync_bridge.certified import read_certificate
from medsync_bridge.chain import STRK_TOKEN, CallReverted, Chain
from medsync_bridge.errors import NodeDisagrees, Reverted, WrongChain, WrongKey
from medsync_bridge.journal import Journal, State
from medsync_bridge.sending import Ended, Sender
from medsync_bridge.settings import Limits
from medsync_bridge.standing import alerts
from medsync_bridge.tasks import parse_checkpoint_name
from medsync_client import ClientError, NotFound
from medsync_client.checkpoints import Certificate
from medsync_client.contexts import Context, Contexts
from medsync_protocol.address import ChainAddress, chain_name, parse_address
from medsync_protocol.errors import Invalid, Malformed, OperatorError

_LIMITS: Final = Limits()
_COUNT_MONEY: Final = 60  # rounds between two looks at the balance while nothing is posted
_CATCH_UP: Final = 64  # checkpoints of one context in a row, before the others have their turn


class Node(Protocol):
    """What is asked of a MedSync node; `medsync_client.Client` answers it."""

    def contexts(self) -> Awaitable[Contexts]:
        """All contexts that it holds."""
        ...

    def certificate(self, context: str, k: int) -> Awaitable[Certificate]:
        """The certified checkpoint k. Raises NotFound before a quorum signed it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something that happened. `event`: posted, adopted, trouble, recovered, alert, calm. `context` is the node's id or empty."""

    event: str
    context: str = ""
    k: int | None = None
    digest: int | None = None
    transaction: int | None = None
    message: str = ""
    advice: str = ""


class Follower:
    """One node, one chain. `only` names contexts by id or name; none: all that are anchored on this chain."""

    def __init__(
        self,
        node: Node,
        chain: Chain,
        journal: Journal,
        sender: Sender,
        *,
        chain_id: int,
        account: int,
        clock: Callable[[], float],
        limits: Limits = _LIMITS,
        only: frozenset[str] = frozenset(),
        report: Callable[[News], None],
    ) -> None:
        self._node, self._chain, self._journal, self._sender = node, chain, journal, sender
        self._chain_id, self._only, self._report = chain_id, only, report
        self._account, self._clock, self._limits = account, clock, limits
        self._troubles: dict[str, str] = {}
        self._rounds, self._spent = 0, False
        self._alerts: dict[tuple[str, str], str] = {}  # (about, message) → advice

    @property
    def troubles(self) -> int:
        """How many things fail at present."""
        return len(self._troubles)

    async def round(self) -> None:
        """Look at every context once and post what is due. Raises WrongKey; everything else is reported."""
        await self._work()
        self._alert()

    async def _work(self) -> None:
        if not await self._attempt("chain", self._check_chain):
            return
        contexts: list[Context] = []

        async def ask() -> None:
            contexts.extend((await self._node.contexts()).contexts)

        if not await self._attempt("node", ask):
            return
        await self._attempt("names", partial(self._require_named, contexts))
        followed = [one for one in contexts if self._is_followed(one)]
        for context in followed:
            await self._attempt(context.id, partial(self._follow, context), context.id)
        self._journal.ledger.keep_only([one.id for one in followed])
        await self._attempt("journal", self._tidy)
        if self._rounds % _COUNT_MONEY == 0 or self._spent:
            await self._attempt("balance", self._count_money)
        self._rounds += 1

    def _is_followed(self, context: Context) -> bool:
        return context.address is not None and (
            not self._only or bool(self._only & {context.id, context.name})
        )

    def _alert(self) -> None:
        """Tell each limit that is passed once, and once when it no longer is."""
        ledger = self._journal.ledger
        found = alerts(ledger.standings(), ledger.purse(), self._limits, self._clock())
        now = {(alert.about, alert.message): alert.advice for alert in found}
        for (about, message), advice in now.items():
            if (about, message) not in self._alerts:
                self._report(News(event="alert", context=about, message=message, advice=advice))
        for about, message in self._alerts:
            if (about, message) not in now:
                self._report(News(event="calm", context=about, message=f"no longer: {message}"))
        self._alerts = now

    async def _count_money(self) -> None:
        self._journal.ledger.hold(self._account, await self._chain.balance(STRK_TOKEN, self._account))
        self._spent = False

    async def _attempt(self, whose: str, step: Callable[[], Awaitable[None]], context: str = "") -> bool:
        """Take a step; whether it went through. The same trouble is reported once until it is over."""
        try:
            await step()
        except WrongKey:
            raise
        except (OperatorError, Reverted, Invalid, ClientError, CallReverted) as error:
            message = (
                f"the contract does not answer: {error}" if isinstance(error, CallReverted) else str(error)
            )
            if self._troubles.get(whose) != message:
                self._troubles[whose] = message
                advice = getattr(error, "advice", "")
                self._report(News(event="trouble", context=context, message=message, advice=advice))
            return False
        if self._troubles.pop(whose, None) is not None:
            self._report(News(event="recovered", context=context))
        return True

    async def _check_chain(self) -> None:
        found = await self._chain.chain_id()
        if found != self._chain_id:
            raise WrongChain(chain_name(self._chain_id), chain_name(found))

    async def _require_named(self, contexts: list[Context]) -> None:
        unknown = self._only.difference(*({context.id, context.name} for context in contexts))
        if unknown:
            raise OperatorError(
                f"the node holds no context called {sorted(unknown)[0]}",
                advice="`medsync context list` shows names and ids; it is followed as soon as there is one",
            )

    async def _follow(self, context: Context) -> None:
        address = _address(context)
        if address.chain_id != self._chain_id:
            if self._only:
                raise WrongChain(chain_name(address.chain_id), chain_name(self._chain_id))
            return
        for _ in range(_CATCH_UP):
            k, _digest = await self._chain.head(address.contract, address.context)
            self._journal.ledger.look(
                context.id, context.name, signed=context.checkpoint.signed, accepted=k, now=self._clock()
            )
            try:
                certificate = await self._node.certificate(context.id, k + 1)
            except NotFound:
                return
            ended = await self._sender.bring_about(read_certificate(certificate, address))
            self._report(_news(context, k + 1, ended))
            if ended.transaction is not None:
                self._spent = True
                self._journal.ledger.paid(await self._chain.fee_paid(ended.transaction))

    async def _tidy(self) -> None:
        """Conclude what others brought about while we were away: the state decides."""
        for errand in self._journal.unfinished():
            awaited = parse_checkpoint_name(errand.name)
            if awaited is None:
                continue
            found = await awaited.look(self._chain)
            if found:
                state = State.DONE if found == errand.want else State.ADOPTED
                self._journal.conclude(errand.name, state, found=found)


def _address(context: Context) -> ChainAddress:
    try:
        return parse_address(context.address or "")
    except Malformed as error:
        raise NodeDisagrees(f"the address of context {context.id[:16]} can't be read: {error}") from error


def _news(context: Context, k: int, ended: Ended) -> News:
    event = "posted" if ended.state is State.DONE else "adopted"
    return News(event=event, context=context.id, k=k, digest=ended.found, transaction=ended.transaction)
