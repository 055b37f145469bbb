"""Why a decision is what it is: every rule that was looked at, and what would have been needed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medsync_client.accesses import AnswerName, Ended
from medsync_client.calls import Call, path
from medsync_client.consents import EffectName, WirePeriod
from medsync_client.wire import Body, Hex32, Millis, Named, View

Basis = Literal["now", "past", "receipt"]


class ExplainRequest(Body):
    """A question that is only explained, never answered: or, with `receipt`, one that was. `at`: by what was written then."""

    subject: str = Field(min_length=1, max_length=128, description="pseudonym or card")
    requester: Named | None = Field(default=None, description="left out: this member")
    purposes: tuple[str, ...] = Field(default=(), max_length=64)
    action: str = "access"
    types: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    data_period: WirePeriod | None = None
    unit: str | None = Field(default=None, max_length=64)
    user: str | None = Field(default=None, max_length=64)
    at: Millis | None = None
    receipt: Hex32 | None = None


class RuleFinding(View):
    """A rule, exception or base decision (`rule` None) that was looked at.

    `missing`: the dimensions in which it does not meet the request; `unheard`: why it would not count though it does.
    `ended`: what took its consent back, where that is why.
    """

    consent: Hex32
    rule: int | None
    exception: int | None
    effect: EffectName
    decides: bool
    missing: tuple[str, ...]
    unheard: str
    ended: Ended | None = None


class Explanation(View):
    """A decision explained. `basis`: on this node's view now, on what was written until a past time, or on a receipt's view.

    Of the past the answer is what the consents say: no node keeps heartbeats. `freshness` then is "fresh" where a receipt of
    that time proves it, `proven_by`, and else "unknown".
    """

    answer: AnswerName
    reason: str
    obligations: tuple[str, ...]
    basis: Basis
    time: Millis
    findings: tuple[RuleFinding, ...]
    needed: tuple[str, ...]
    freshness: Literal["fresh", "stale", "unknown"] = "unknown"
    proven_by: Hex32 | None = None


def explain(context: str, body: ExplainRequest) -> Call[Explanation]:
    """Which consent and rule decide, and what would be needed. Nothing is released or logged as an access."""
    return Call(method="POST", path=path("contexts", context, "access:explain"), body=body, answer=Explanation)
