"""Checks of one consent by name, from what a replica holds: what a person means by "is this consent good?".

Deciding a request is `decision.py`'s: a consent that verifies may still not cover it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medsync_protocol.authority import MAX_CARRY_MS, WHO_MAY, Act, Counted, source_of
from medsync_protocol.consent import DirectiveStatus, MedSyncApplication
from medsync_protocol.directive import Directive, check_signed, decode_directive
from medsync_protocol.errors import BadSignature
from medsync_protocol.heartbeat import HeartbeatBook
from medsync_protocol.ids import DirectiveId, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """`checks` by name, true where they hold; `level` is recorded or effective; `counted` None when nothing counts."""

    directive: Directive
    checks: Mapping[str, bool]
    level: str
    counted: Counted | None

    @property
    def ok(self) -> bool:
        """True when every check holds."""
        return all(self.checks.values())


def verification(
    application: MedSyncApplication, named: DirectiveId, book: HeartbeatBook, now: Instant
) -> Verification:
    """Look at a directive again. Raises Refused when it is not held, UnknownSubject without a record of its subject."""
    signed = application.signed(named)
    directive = decode_directive(signed.document)
    status = application.directive(named, book)
    try:
        check_signed(directive, signed)
        genuine = True
    except BadSignature:
        genuine = False
    source = source_of(application.subject(directive.subject), directive.signer, status.carriers)
    counted = status.counted
    checks = {
        "signature": genuine,
        "context": (directive.network, directive.context) == (application.network, application.context),
        "held_by_an_effective_operation": any(one.verdict.effective for one in status.carriers),
        "signer_may": source in WHO_MAY[Act.GRANT if directive.permits else Act.DENY],
        "carried_in_time": not directive.permits or _in_time(directive, status),
        "counts": counted is not None and (not directive.permits or counted.permits)
        and (not directive.denies or counted.denies),
        "not_taken_back": counted is None or counted.reason not in ("revoked", "superseded"),
        "in_force": directive.in_force(now),
        "held_by_a_majority_of_homes": status.level == "effective",
    }  # fmt: skip
    return Verification(directive=directive, checks=checks, level=status.level, counted=counted)


def _in_time(directive: Directive, status: DirectiveStatus) -> bool:
    return any((one.hlc >> 16) - directive.signed_at <= MAX_CARRY_MS for one in status.carriers)
