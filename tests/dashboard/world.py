"""Three real nodes and a patient: north keeps her record and shows the dashboard, south asks, east comes and goes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx

from medsync_client.accesses import AccessAnswer, AccessBatch, AccessRequest, LoggedAccess
from medsync_client.consents import DirectiveText, Grant, SignedDocument, WireActor, WireRule
from medsync_client.documents import Signing, signed_directive
from medsync_client.glass import GlassBreak
from medsync_client.links import LinkCreate, PatientPlace
from medsync_client.subjects import Subject, SubjectEnrol
from medsync_node import patient_key
from medsync_node.testing import Cluster
from medsync_node.testing.waiting import until
from medsync_protocol.directive import Basis
from medsync_protocol.ids import ContextId, Instant, MemberId, NetworkId, SubjectRef

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REASON = "found unconscious"
DESKTOP, PHONE = (1280, 900), (380, 800)
PAPER = (718, 1016)  # A4 between margins of 1 cm, in CSS pixels


@dataclass
class World:
    """North keeps the patient's record and shows the dashboard; south asks; east is there to be voted on."""

    cluster: Cluster
    key_file: Path
    subject: Subject
    consents: list[str] = field(default_factory=list)
    answer: AccessAnswer | None = None

    def link(self, *scopes: str, patient: bool = False) -> str:
        place = PatientPlace(context="shared", subject=self.subject.subject) if patient else None
        body = LinkCreate(scopes=scopes or None, patient=place)
        return self.cluster["north"].client.open_dashboard(body).url

    @cached_property
    def base(self) -> str:
        return self.link("status").split("/enter")[0]

    @contextmanager
    def signed_in(self, *scopes: str) -> Iterator[httpx.Client]:
        """A session without a browser: what a page answers, not how it looks. Paths are under `base`."""
        with httpx.Client(base_url=self.base + "/", trust_env=False) as http:
            entered = http.post("enter", data={"code": self.link(*scopes).split("code=")[1]})
            assert entered.status_code == 303
            yield http


def _granted(world: World, purpose: str, number: int) -> str:
    north, south, _ = world.cluster
    key, one = patient_key.read(world.key_file), world.subject
    signing = Signing(
        network=NetworkId(bytes.fromhex(one.network)), context=ContextId(bytes.fromhex(one.context)),
        subject=SubjectRef(bytes.fromhex(one.subject)), signer=key.public, seed=key.seed, basis=Basis.PATIENT_SIGNED,
        now=Instant(time.time_ns() // 1_000_000), salt=os.urandom(16),
    )  # fmt: skip
    rule = WireRule(effect="permit", actors=(WireActor(member="south"),), purposes=(purpose,))
    text = DirectiveText(subject=one.subject, rules=(rule,))
    signed = signed_directive(text, signing, number, lambda _: MemberId(bytes.fromhex(south.member)))
    document = SignedDocument(document=signed.document.hex(), signature=signed.signature.hex())
    return north.client.grant("shared", Grant(signed=document)).id


@contextmanager
def open_world() -> Iterator[World]:
    """The nodes run until the block ends."""
    directory = Path(tempfile.mkdtemp(prefix="medsync-"))
    os.environ["MEDSYNC_API_LISTEN"] = "127.0.0.1:0"
    made = Cluster(directory, nodes=3)
    try:
        made.up(tied=True)
        key = patient_key.create(directory / "ann.key")
        north, south, _ = made
        subject = north.client.enrol_subject("shared", SubjectEnrol(patient_keys=(key.public.hex(),)))
        found = World(made, directory / "ann.key", subject)
        found.consents = [_granted(found, purpose, number) for number, purpose in enumerate(("HRESCH", "TREAT", "HQUALIMP"), 1)]
        made.converged()
        lone = LoggedAccess(
            half="disclosed", subject=subject.subject, requester=south.member, custodian=north.member,
            purposes=("TREAT",), unit="ward 7", user="dr-who",
        )  # fmt: skip
        north.client.append_accesses("shared", AccessBatch(entries=(lone,)))
        made["south"].client.break_glass("shared", GlassBreak(subject=subject.subject, reason=REASON, purpose="ETREAT", user="dr-haste"))
        found.answer = _permitted(found)
        made.converged()
        yield found
    finally:
        del os.environ["MEDSYNC_API_LISTEN"]
        made.down()
        shutil.rmtree(directory, ignore_errors=True)


def _permitted(world: World) -> AccessAnswer:
    """South's answer as soon as north's first heartbeat makes the view fresh."""
    answers: list[AccessAnswer] = []

    def permitted() -> bool:
        body = AccessRequest(subject=world.subject.subject, purposes=("HRESCH",))
        answers.append(world.cluster["south"].client.request_access("shared", body))
        return answers[-1].answer == "PERMIT"

    until(permitted, "a permit")
    return answers[-1]
