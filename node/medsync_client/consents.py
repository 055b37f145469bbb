"""Consents: directives and revocations, signed by a patient's key held elsewhere or attested by a custodian."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from medsync_client.calls import PATIENT, Call, path
from medsync_client.wire import Body, Hex16, Hex32, HexBytes, Level, Millis, Named, View

EffectName = Literal["permit", "deny"]


class WireActor(Body):
    """A recipient: a member, one of its units or users; or a group."""

    member: Named | None = None
    unit: str | None = Field(default=None, max_length=64)
    user: str | None = Field(default=None, max_length=64)
    group: str | None = Field(default=None, max_length=64)


class WirePeriod(Body):
    """[start, end); an end left out is open."""

    start: Millis | None = None
    end: Millis | None = None


class WireRule(Body):
    """One rule (PROTOCOL §7). What is left out means any; an empty list is refused."""

    effect: EffectName
    actors: tuple[WireActor, ...] | None = None
    purposes: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    data_period: WirePeriod | None = None
    actions: tuple[str, ...] | None = None
    during: WirePeriod | None = None
    obligations: tuple[str, ...] | None = None
    exceptions: tuple[WireRule, ...] | None = None
    duo: tuple[str, ...] | None = Field(
        default=None, min_length=1, max_length=32,
        description="codes of GA4GH's Data Use Ontology, in place of purposes, obligations and exceptions; only when granting",
    )  # fmt: skip


class DirectiveText(Body):
    """What a directive says, before it is numbered, salted and signed. `valid_from` left out: from now."""

    subject: str = Field(min_length=1, max_length=128, description="pseudonym or card")
    base: EffectName | None = None
    rules: tuple[WireRule, ...] = Field(default=(), max_length=64)
    valid_from: Millis | None = None
    until: Millis | None = None
    supersedes: tuple[Hex32, ...] = Field(default=(), max_length=64)
    evidence: str | None = Field(default=None, max_length=256)


class RevocationText(Body):
    """What a revocation takes back: directives by id, or all of `series`' key numbered up to `all_before`."""

    subject: str = Field(min_length=1, max_length=128)
    targets: tuple[Hex32, ...] = Field(default=(), max_length=64)
    series: Hex32 | None = None
    all_before: int = Field(default=0, ge=0)


class SignedDocument(Body):
    """Canonical bytes with their signature, as whoever holds the key made them."""

    document: HexBytes
    signature: HexBytes


class Grant(Body):
    """Either a signed document, or a text that this member attests as the subject's custodian."""

    signed: SignedDocument | None = None
    attest: DirectiveText | None = None


class Revoke(Body):
    """Either a signed revocation, or a text that this member attests."""

    signed: SignedDocument | None = None
    attest: RevocationText | None = None


class Recorded(View):
    """A document in the log: `recorded`, then `effective` once a majority of its homes hold it."""

    id: Hex32
    subject: Hex16
    op: Hex32
    state: Literal["recorded", "effective"]
    number: int | None = None


class Consent(View):
    """A directive as this node counts it. `reason` says why its permits don't count, where they don't."""

    id: Hex32
    subject: Hex16
    signer: Hex32
    basis: Literal["patient-signed", "attested"]
    number: int
    base: EffectName | None
    rules: tuple[WireRule, ...]
    valid_from: Millis
    until: Millis | None
    supersedes: tuple[Hex32, ...]
    evidence: str | None
    signed_at: Millis
    status: Literal["active", "not-counted", "expired", "not-yet", "contested"]
    permits: bool
    denies: bool
    reason: str = ""
    state: Literal["recorded", "effective"] | None = None


class Consents(View):
    """A subject's consents, linked pseudonyms' included, by id."""

    consents: tuple[Consent, ...]


class ConsentSummary(View):
    """A consent as JSON-LD, in the style of ISO/IEC TS 27560."""

    record: dict[str, Any]


class Verification(View):
    """What was looked at when a consent was verified: every check by name, and whether all hold."""

    id: Hex32
    ok: bool
    checks: dict[str, bool]
    consent: Consent


def grant(context: str, body: Grant, level: Level = "local") -> Call[Recorded]:
    """Put a directive on record."""
    return Call(
        method="POST", path=path("contexts", context, "consents"), body=body, answer=Recorded,
        query={"level": level}, timeout=PATIENT,
    )  # fmt: skip


def revoke(context: str, body: Revoke, wait: bool = False) -> Call[Recorded]:
    """Put a revocation on record; `wait` answers once it is effective, or `recorded` after a while."""
    return Call(
        method="POST", path=path("contexts", context, "consents:revoke"), body=body, answer=Recorded,
        query={"wait": wait}, timeout=PATIENT,
    )  # fmt: skip


def consents(context: str, subject: str) -> Call[Consents]:
    """What is on record for a subject."""
    return Call(path=path("contexts", context, "consents"), query={"subject": subject}, answer=Consents)


def consent(context: str, named: str) -> Call[Consent]:
    """One directive by id. NotFound when it isn't held."""
    return Call(path=path("contexts", context, "consents", named), answer=Consent)


def summarise_consent(context: str, named: str) -> Call[ConsentSummary]:
    """One directive as a consent record in JSON-LD."""
    return Call(path=path("contexts", context, "consents", named, "summary"), answer=ConsentSummary)


def verify_consent(context: str, named: str) -> Call[Verification]:
    """Check a directive's signature, authority, validity and standing again, from what this node holds."""
    return Call(
        method="POST", path=path("contexts", context, "consents", f"{named}:verify"), answer=Verification
    )
