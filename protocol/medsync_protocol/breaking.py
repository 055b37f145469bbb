"""Who may break glass, release on it and review it, at a member's own copy of a context (PROTOCOL §7, Break-glass).

What can be overridden is `decision.py`'s, which entries count `glass_book.py`'s. Every write returns drafts to submit;
data is released only after they are durable. Raises Refused and NotPermitted with a code and an advice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from medsync_protocol.access import NO_RECEIPT, AccessEntry, Answer, Half, Request, half_of
from medsync_protocol.application import Draft
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.decision import Against, DecisionView, against_breaking
from medsync_protocol.drafts import access_draft
from medsync_protocol.errors import NotPermitted, Refused
from medsync_protocol.glass import (
    MAX_WHY,
    BrokenGlass,
    GlassId,
    GlassReview,
    GlassSettings,
    Outcome,
    broken_draft,
    encode_broken,
    glass_id,
    glass_settings,
    review_draft,
)
from medsync_protocol.glass_book import Case
from medsync_protocol.glass_right import MAX_TAKEN, GlassRight, RightId, SaidRight, right_draft
from medsync_protocol.ids import Instant, MemberId, SubjectRef
from medsync_protocol.kinds import Role
from medsync_protocol.purposes import EMERGENCY
from medsync_protocol.subject import Standing

if TYPE_CHECKING:
    from medsync_protocol.replica import Replica


class Breaking:
    """See the module. `view`: what a decision on a request would look at now."""

    def __init__(
        self, replica: Replica, application: MedSyncApplication, view: Callable[[Instant, Request], DecisionView]
    ) -> None:
        self._replica, self._application, self._view = replica, application, view
        self._me = replica.member
        self.settings: GlassSettings = glass_settings(dict(replica.genesis.settings))

    # -- who may ---------------------------------------------------------------------------------------------

    def breakers(self) -> dict[MemberId, tuple[MemberId, ...]]:
        """Who may break glass, with the admins that gave the right; none where the role suffices (`glass.role`)."""
        held, found = self._rights(), {}
        for member, standing in sorted(self._replica.membership.members.items()):
            if standing.role >= Role.MEMBER and (standing.role >= self.settings.role or member in held):
                found[member] = () if standing.role >= self.settings.role else tuple(sorted(set(held[member].values())))
        return found

    def _rights(self) -> dict[MemberId, dict[RightId, MemberId]]:
        """What an admin gave counts while it is one, and once it is final for good: else it could be dated back. What
        somebody took back who was an admin stays taken."""

        def may_take(said: SaidRight) -> bool:
            slot = self._replica.chains.slot(said.chain, said.seq)
            standing = self._replica.fold.state_at(slot.heads, slot.seen).members.get(said.author)
            return standing is not None and standing.role >= Role.ADMIN

        def may_give(said: SaidRight) -> bool:
            now = self._replica.membership.members.get(said.author)
            lasting = self._replica.chains.slot(said.chain, said.seq).final
            return may_take(said) and (lasting or (now is not None and now.role >= Role.ADMIN))

        return self._application.glass.rights.held(may_give, may_take)

    def give_right(self, member: MemberId, salt: bytes) -> tuple[MemberId, list[Draft]]:
        """Let a member break glass; nothing to submit where it may already. Raises NotPermitted, Refused."""
        self._check_admin()
        held = self._replica.membership.members.get(member)
        if held is None or held.role < Role.MEMBER:
            raise Refused(
                "whoever breaks glass writes it down: a reader can't", code="reader", advice="make it a member first"
            )
        if member in self.breakers():
            return member, []
        return member, [right_draft(GlassRight(member=member, salt=salt))]

    def take_right(self, member: MemberId, salt: bytes) -> tuple[MemberId, list[Draft]]:
        """Take back every right that the member is known here to hold. Raises NotPermitted, Refused."""
        self._check_admin()
        held = self._rights().get(member, {})
        if not held and member in self.breakers():
            raise Refused(
                "this member needs no right: its role suffices in this context", code="by_role",
                advice="only a lower role takes it: `medsync member demote MEMBER --context CONTEXT`",
            )  # fmt: skip
        taken = tuple(sorted(held))[:MAX_TAKEN]
        return member, [right_draft(GlassRight(member=member, takes=taken, salt=salt))] if taken else []

    def _check_admin(self) -> None:
        if self._replica.role is None or self._replica.role < Role.ADMIN:
            raise NotPermitted("only an admin gives or takes this right", code="not_permitted", advice="ask an admin of the context")

    # -- breaking ---------------------------------------------------------------------------------------------

    def break_glass(
        self, now: Instant, request: Request, custodian: MemberId, *, reason: str, lasting: int | None = None
    ) -> tuple[GlassId, list[Draft]]:
        """This member's half of the log and what it says beside it; `lasting` in ms, else as long as the context allows.

        Every call is one of its own: nothing makes an earlier one longer, or takes the place of its review.
        """
        standing = self._application.subject(request.subject)
        reason = reason.strip()
        self._check_asked(request, custodian, standing, reason)
        self._check_breaker(request.requester)
        until = Instant(request.time + self._lasting(lasting))
        against = self._against(now, request)
        if against is not None:
            raise NotPermitted(f"the glass may not be broken: {against.value}", code="glass_holds", advice=_ADVICE[against])
        broken = BrokenGlass(request=request, custodian=custodian, reason=reason, until=until)
        half = half_of(
            request, Half.BREAK_GLASS, custodian, Answer.PERMIT, receipt=NO_RECEIPT, time=request.time
        )
        drafts = [access_draft(half, standing.homes), broken_draft(broken, standing.custodians | standing.homes)]
        return glass_id(encode_broken(broken)), drafts

    def _check_asked(self, request: Request, custodian: MemberId, standing: Standing, reason: str) -> None:
        if request.requester != self._me or (request.network, request.context) != (
            self._replica.network, self._replica.context,
        ):  # fmt: skip
            raise Refused(
                "glass is broken by whoever asks, in the context it asks in", code="wrong_context", advice="ask in this one"
            )
        if not EMERGENCY.issuperset(request.purposes):
            raise Refused(
                "glass is broken for an emergency alone", code="not_an_emergency",
                advice=f"name {' or '.join(sorted(EMERGENCY))}; for anything else ask with `medsync access request`",
            )  # fmt: skip
        if not reason or len(reason) > MAX_WHY or not reason.isprintable():
            raise Refused(
                f"a reason is needed: one line of at most {MAX_WHY} characters", code="reason",
                advice="say what the emergency is, for whoever reviews it; only custodians and homes can read it",
            )  # fmt: skip
        if custodian not in standing.custodians:
            raise NotPermitted(
                "the member named as custodian is none of the subject's", code="not_custodian",
                advice="see `medsync subject show`",
            )  # fmt: skip

    def _check_breaker(self, member: MemberId) -> None:
        if member not in self.breakers():
            raise NotPermitted(
                "this member may not break glass in this context", code="may_not_break",
                advice="an admin gives it the right: `medsync access allow-breaking CONTEXT MEMBER`",
            )  # fmt: skip

    def _lasting(self, asked: int | None) -> int:
        limit = self.settings.limit
        if asked is not None and not 0 < asked <= limit:
            raise Refused(
                f"here broken glass lasts for {limit // 60_000} minutes at most", code="too_long",
                advice="ask for less; break it again when that is over",
            )  # fmt: skip
        return limit if asked is None else asked

    def _against(self, now: Instant, request: Request) -> Against | None:
        return against_breaking(self._view(now, request), request, now, self._application.vouching(request.subject))

    # -- releasing --------------------------------------------------------------------------------------------

    def refused(self, now: Instant, case: Case) -> str:
        """Why nobody may release data on it now; empty where its custodian may. By what is held here, fresh or not."""
        broken = case.broken
        request = broken.request
        if not case.effective:
            return "the operation that says so is void"
        if not case.lasts(now, self.settings, self._application.settings.skew):
            return "its time is over, or has not come"
        standing = self._application.standing(request.subject)
        if standing is None or self._application.hidden(request.subject):
            return "the subject was erased"
        try:
            self._check_breaker(request.requester)
        except NotPermitted as refusal:
            return str(refusal)
        if broken.custodian not in standing.custodians:
            return "the member named as custodian is none any more"
        against = self._against(now, request)
        return "" if against is None else against.value

    def release(self, now: Instant, named: GlassId) -> tuple[AccessEntry, list[Draft]]:
        """The custodian's half, for what it releases on a broken glass that names it. Raises NotPermitted, Refused."""
        case = self.case(named)
        if case.broken.custodian != self._me:
            raise NotPermitted(
                "another custodian was named when the glass was broken", code="not_custodian",
                advice="it releases, or the glass is broken for this one",
            )  # fmt: skip
        refused = self.refused(now, case)
        if refused:
            raise NotPermitted(
                f"nothing is released on this broken glass: {refused}", code="glass_holds",
                advice="whoever needs the data breaks it again, or asks with `medsync access request`",
            )  # fmt: skip
        request = case.broken.request
        half = half_of(request, Half.DISCLOSED, self._me, Answer.PERMIT, receipt=NO_RECEIPT, time=now)
        standing = self._application.subject(request.subject)
        return half, [access_draft(half, standing.homes)]

    # -- reviewing --------------------------------------------------------------------------------------------

    def cases(self, subject: SubjectRef | None = None) -> Iterator[Case]:
        """Those that are held here, of one subject or of all that were not erased."""
        book = self._application.glass
        for one in (subject,) if subject is not None else book.subjects():
            if not self._application.hidden(one):
                yield from book.cases(one)

    def case(self, named: GlassId) -> Case:
        """The one with this id. Raises Refused where none is held that may be told."""
        found = self._application.glass.find(named)
        if found is None or self._application.hidden(found.broken.request.subject):
            raise Refused("no such broken glass here", code="unknown_glass", advice="see `medsync access reviews`")
        return found

    def reviewers(self, case: Case) -> frozenset[MemberId]:
        """Who reviews it: the subject's custodians but who broke it; where that leaves nobody, the context's auditors."""
        breaker = case.broken.request.requester
        standing = self._application.standing(case.broken.request.subject)
        custodians = (frozenset() if standing is None else standing.custodians) - {breaker}
        return custodians or frozenset(self._replica.genesis.auditors) - {breaker}

    def review(
        self, now: Instant, named: GlassId, outcome: Outcome, note: str = ""
    ) -> tuple[GlassReview, list[Draft]]:
        """What this member found. Said again, the newer counts. Raises NotPermitted for whoever may not review it."""
        case = self.case(named)
        request = case.broken.request
        if self._me == request.requester:
            raise NotPermitted(
                "nobody reviews glass it broke itself", code="own_glass",
                advice="another custodian reviews it; where there is none, an auditor of the context",
            )  # fmt: skip
        if self._me not in self.reviewers(case):
            raise NotPermitted(
                "only a custodian of the subject reviews this", code="not_reviewer", advice="ask one of them"
            )
        note = note.strip()
        if len(note) > MAX_WHY or not note.isprintable():
            raise Refused(
                "the note is too long, or not of one line", code="note", advice=f"{MAX_WHY} characters suffice"
            )
        made = GlassReview(
            subject=request.subject, glass=named, requester=request.requester, outcome=outcome, note=note, time=now
        )
        standing = self._application.subject(request.subject)
        return made, [review_draft(made, standing.custodians | standing.homes)]

    def unfinished(self, now: Instant) -> tuple[int, int]:
        """(how many of the reviews held here are not done, how many of these are overdue)."""
        found = [(case, self.reviewers(case)) for case in self.cases()]
        left = [(case, by) for case, by in found if not case.state(by).done]
        return len(left), sum(case.overdue(by, self.settings, now) for case, by in left)


_ADVICE = {
    Against.UNKNOWN: "enrol or link the subject first",
    Against.REFUSED_BY_NAME: "treat without these data; a guardian or another key of the record may take the refusal back",
    Against.DENIED: "name BTG where the context allows it: only that goes before a refusal",
    Against.IMPLICIT: "ask for a consent; contexts founded with the setting implicit=deny-but-break-glass allow break-glass without one",
}
