"""A small world for tests of consent: members, a patient, and documents by the dozen, all from fixed seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from medsync_protocol.access import Request, make_request
from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.decision import ConsentSettings, Decision, decide
from medsync_protocol.directive import (
    Basis,
    Directive,
    Revocation,
    Signed,
    directive_id,
    sign_directive,
    sign_revocation,
)
from medsync_protocol.drafts import directive_draft, link_draft, revocation_draft, subject_draft
from medsync_protocol.heartbeat import Heartbeat, HeartbeatBook, make_heartbeat
from medsync_protocol.ids import (
    ChainId,
    ContextId,
    DeviceId,
    DirectiveId,
    Instant,
    MemberId,
    NetworkId,
    OpId,
    SubjectRef,
)
from medsync_protocol.kinds import Verdict
from medsync_protocol.rule import Effect, Rule
from medsync_protocol.subject import Link, SubjectRecord

NETWORK = NetworkId(b"N" * 32)
CONTEXT = ContextId(b"C" * 32)
DAY = 24 * 3_600_000
NOW = Instant(1_800_000_000_000)


def seed(name: str) -> bytes:
    """A 32-byte seed that stands for a name."""
    return blake2b(b"seed", name.encode())


def key(name: str) -> bytes:
    """The Ed25519 public key of a name."""
    return signing_public(seed(name))


def member(name: str) -> MemberId:
    """A member by name."""
    return MemberId(key(name))


def chain_of(name: str) -> ChainId:
    """The one chain of a member's one device."""
    return ChainId(key(name + " device") + bytes(8))


def salt(text: str) -> bytes:
    """16 bytes from a text."""
    return blake2b(text.encode(), size=16)


MERCY, CITY, COAST, LAB = (member(name) for name in ("mercy", "city", "coast", "lab"))
NAMES = {member(name): name for name in ("mercy", "city", "coast", "lab", "clinic")}
DEVICES = {DeviceId(key(name + " device")): one for one, name in NAMES.items()}

RECORD = SubjectRecord(
    salt=salt("ann"),
    founder=MERCY,
    subject_key=seed("ann subject key"),
    custodians=tuple(sorted((MERCY, CITY))),
    homes=tuple(sorted((MERCY, CITY, COAST))),
    patient_keys=(key("ann"),),
    delegate_keys=(key("guardian"),),
)
ANN = RECORD.pseudonym(NETWORK, CONTEXT)


def directive(
    *rules: Rule,
    signer: str = "ann",
    number: int = 1,
    base: Effect | None = None,
    subject: SubjectRef = ANN,
    valid_from: int = 0,
    until: int | None = None,
    supersedes: Iterable[DirectiveId] = (),
    basis: Basis = Basis.PATIENT_SIGNED,
    signed_at: int = NOW - DAY,
    context: ContextId = CONTEXT,
    mark: str = "",
) -> Signed:
    """A signed directive."""
    document = Directive(
        network=NETWORK,
        context=context,
        subject=subject,
        signer=key(signer),
        number=number,
        base=base,
        rules=rules,
        valid_from=Instant(valid_from),
        until=None if until is None else Instant(until),
        supersedes=tuple(sorted(supersedes)),
        basis=basis,
        signed_at=Instant(signed_at),
        salt=salt(f"{signer} {number} {mark}"),
    )
    return sign_directive(document, seed(signer))


def revocation(
    *targets: DirectiveId,
    signer: str = "ann",
    series: str = "",
    all_before: int = 0,
    subject: SubjectRef = ANN,
) -> Signed:
    """A signed revocation."""
    document = Revocation(
        network=NETWORK,
        context=CONTEXT,
        subject=subject,
        signer=key(signer),
        targets=tuple(sorted(targets)),
        series=key(series) if series else b"",
        all_before=all_before,
        signed_at=Instant(NOW - DAY),
        salt=salt(f"revocation {signer} {series} {all_before}"),
    )
    return sign_revocation(document, seed(signer))


def named(signed: Signed) -> DirectiveId:
    """A directive's id."""
    return directive_id(signed.document)


def permit(**dimensions: Any) -> Rule:
    """A permitting rule."""
    return Rule(effect=Effect.PERMIT, **dimensions)


def deny(**dimensions: Any) -> Rule:
    """A denying rule."""
    return Rule(effect=Effect.DENY, **dimensions)


def request(**changes: Any) -> Request:
    """The lab asks for one patient's data for research."""
    fields: dict[str, Any] = {
        "purposes": ("HRESCH",),
        "action": "disclose",
        "time": NOW,
        "salt": salt("request"),
    }
    subject = changes.pop("subject", ANN)
    requester = changes.pop("requester", LAB)
    return make_request(NETWORK, CONTEXT, subject, requester, **{**fields, **changes})


def opened(draft: Draft, author: str, seq: int, *, index: int = 0, hlc: int = NOW) -> OpenedEntry:
    """A draft as a replica would hand it over, from the author's chain."""
    chain = chain_of(author)
    return OpenedEntry(
        op_id=OpId(blake2b(chain, seq.to_bytes(8, "big"))),
        index=index,
        kind=draft.kind,
        payload=draft.payload,
        subject=draft.subject,
        author=member(author),
        chain=chain,
        seq=seq,
        hlc=hlc << 16,
    )


@dataclass
class World:
    """An application with its entries, and heartbeats of all homes."""

    application: MedSyncApplication = field(default_factory=lambda: MedSyncApplication(NETWORK, CONTEXT))
    book: HeartbeatBook = field(default_factory=HeartbeatBook)
    held: dict[ChainId, int] = field(default_factory=dict)
    entries: list[tuple[OpenedEntry, Verdict]] = field(default_factory=list)
    clock: int = NOW

    @classmethod
    def enrolled(cls, settings: ConsentSettings | None = None) -> World:
        """Ann is enrolled by Mercy; all three homes have just been heard."""
        world = cls(application=MedSyncApplication(NETWORK, CONTEXT, settings))
        world.add(subject_draft(RECORD), "mercy")
        world.hear("mercy", "city", "coast")
        return world

    def add(
        self, draft: Draft, author: str, verdict: Verdict = Verdict.EFFECTIVE, *, hlc: int = NOW
    ) -> OpenedEntry:
        """Fold a draft as the author's next operation."""
        chain = chain_of(author)
        seq = self.held.get(chain, 0)
        self.held[chain] = seq + 1
        entry = opened(draft, author, seq, hlc=hlc)
        self.fold(entry, verdict)
        return entry

    def fold(self, entry: OpenedEntry, verdict: Verdict) -> None:
        """Fold an entry under a verdict."""
        self.entries.append((entry, verdict))
        self.application.fold(entry, verdict)

    def direct(self, signed: Signed, carrier: str = "mercy", verdict: Verdict = Verdict.EFFECTIVE, **more: Any) -> OpenedEntry:  # fmt: skip
        """Carry a directive."""
        return self.add(directive_draft(signed, RECORD.subject_key), carrier, verdict, **more)

    def revoke(
        self, signed: Signed, carrier: str = "mercy", verdict: Verdict = Verdict.EFFECTIVE
    ) -> OpenedEntry:
        """Carry a revocation."""
        return self.add(revocation_draft(signed, RECORD.subject_key), carrier, verdict)

    def link(self, link: Link, carrier: str = "mercy") -> OpenedEntry:
        """Carry a link."""
        return self.add(link_draft(link), carrier)

    def heartbeat(
        self, name: str, *, at: int | None = None, vector: dict[ChainId, int] | None = None
    ) -> Heartbeat:
        """A home's heartbeat, by default of now and of everything held."""
        return make_heartbeat(
            NETWORK,
            CONTEXT,
            member(name),
            device=DeviceId(key(name + " device")),
            device_seed=seed(name + " device"),
            time=Instant(self.clock if at is None else at),
            vector=self.held if vector is None else vector,
        )

    def hear(self, *names: str, at: int | None = None, vector: dict[ChainId, int] | None = None) -> None:
        """Hear heartbeats."""
        for name in names:
            self.book.take(
                self.heartbeat(name, at=at, vector=vector), Instant(self.clock if at is None else at)
            )

    def ask(self, asked: Request | None = None, *, now: int | None = None) -> Decision:
        """Decide a request, by default the lab's."""
        moment = Instant(self.clock if now is None else now)
        wanted = asked or request()
        view, _ = self.application.view(wanted.subject, now=moment, held=self.held, book=self.book)
        return decide(view, wanted, moment)
