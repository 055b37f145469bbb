"""What a decision costs in the core, with many directives held: python -m scripts.benchmarks.decisions --subjects 300000.

Folds signed directives of many patients as a replica would, each signature verified, then decides for patients at random:
latencies (the view made anew, and kept), decisions a second on one thread, bytes of memory for each directive. No network,
no disk, no receipt: what those cost is `scripts/bench`'s.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from medsync_protocol.access import Answer, Request, make_request
from medsync_protocol.application import Draft, OpenedEntry
from medsync_protocol.consent import MedSyncApplication
from medsync_protocol.crypto import blake2b, signing_public
from medsync_protocol.decision import decide
from medsync_protocol.directive import Basis, Directive, sign_directive
from medsync_protocol.drafts import directive_draft, subject_draft
from medsync_protocol.heartbeat import HeartbeatBook, make_heartbeat
from medsync_protocol.ids import ChainId, ContextId, DeviceId, Instant, MemberId, NetworkId, OpId, SubjectRef
from medsync_protocol.kinds import Verdict
from medsync_protocol.rule import Effect, Rule, member_actor
from medsync_protocol.subject import SubjectRecord

NETWORK, CONTEXT = NetworkId(b"N" * 32), ContextId(b"C" * 32)
NOW = Instant(1_800_000_000_000)
DAY = 86_400_000
SEED = blake2b(b"the hospital's seed")
HOSPITAL = MemberId(signing_public(SEED))
LAB = MemberId(signing_public(blake2b(b"the lab's seed")))
CHAIN = ChainId(DeviceId(signing_public(SEED)) + bytes(8))
LAB_ACTOR = member_actor(LAB)
KINDS: Sequence[tuple[Rule, ...]] = (
    (Rule(effect=Effect.PERMIT, actors=(LAB_ACTOR,), purposes=("HRESCH",)),),
    (Rule(effect=Effect.PERMIT, purposes=("TREAT",), exceptions=(Rule(effect=Effect.DENY, labels=("PSY",)),)),),
    (Rule(effect=Effect.DENY, purposes=("HMARKT",)), Rule(effect=Effect.PERMIT, types=("Observation",), purposes=("PUBHLTH",))),
    (Rule(effect=Effect.DENY, labels=("SEX",), purposes=("HPAYMT",)),),
)  # fmt: skip
"""What directives say, in turn: a grant for research, one with an exception, two rules, a denial that is beside the point."""


class Load:
    """An application with the consents of many patients."""

    def __init__(self) -> None:
        self.application = MedSyncApplication(NETWORK, CONTEXT)
        self.book = HeartbeatBook()
        self.subjects: list[SubjectRef] = []
        self.directives = 0
        self._seq = 0

    def enrol(self, number: int, directives: int) -> None:
        """One patient with so many directives."""
        record = SubjectRecord(
            salt=blake2b(number.to_bytes(8, "big"), size=16), founder=HOSPITAL, subject_key=blake2b(b"key", number.to_bytes(8, "big")),
            custodians=(HOSPITAL,), homes=(HOSPITAL,), patient_keys=(HOSPITAL,), delegate_keys=(),
        )  # fmt: skip
        subject = record.pseudonym(NETWORK, CONTEXT)
        self._fold(subject_draft(record))
        for index in range(directives):
            document = Directive(
                network=NETWORK, context=CONTEXT, subject=subject, signer=HOSPITAL, number=index + 1, base=None,
                rules=KINDS[index % len(KINDS)], valid_from=Instant(NOW - DAY), until=Instant(NOW + 365 * DAY),
                basis=Basis.PATIENT_SIGNED, signed_at=Instant(NOW - DAY), salt=blake2b(subject, index.to_bytes(4, "big"), size=16),
            )  # fmt: skip
            self._fold(directive_draft(sign_directive(document, SEED), record.subject_key))
        self.subjects.append(subject)
        self.directives += directives

    def _fold(self, draft: Draft) -> None:
        entry = OpenedEntry(
            op_id=OpId(blake2b(CHAIN, self._seq.to_bytes(8, "big"))), index=0, kind=draft.kind, payload=draft.payload,
            subject=draft.subject, author=HOSPITAL, chain=CHAIN, seq=self._seq, hlc=(NOW - DAY) << 16,
        )  # fmt: skip
        self.application.fold(entry, Verdict.EFFECTIVE)
        self._seq += 1

    def hear(self) -> None:
        """The home's heartbeat of now."""
        self.book.take(
            make_heartbeat(NETWORK, CONTEXT, HOSPITAL, device=DeviceId(HOSPITAL), device_seed=SEED, time=NOW, vector=self.held), NOW
        )

    @property
    def held(self) -> dict[ChainId, int]:
        """Everything is held and readable."""
        return {CHAIN: self._seq}

    def decide(self, request: Request) -> Answer:
        """As a custodian's desk does before it signs."""
        view, _ = self.application.view(request.subject, now=NOW, held=self.held, book=self.book)
        return decide(view, request, NOW).answer


def spread(subjects: int, directives: int) -> Iterator[int]:
    """How many directives each patient has, so that they are so many together."""
    each, more = divmod(directives, subjects)
    for number in range(subjects):
        yield each + (number < more)


def requests(subjects: Sequence[SubjectRef]) -> list[Request]:
    """The lab's, for research, one for each."""
    return [
        make_request(NETWORK, CONTEXT, one, LAB, purposes=("HRESCH",), action="access", time=NOW, salt=bytes(16), types=("Observation",))
        for one in subjects
    ]


def timed(load: Load, asked: Sequence[Request]) -> tuple[list[float], list[float]]:
    """Milliseconds of each decision by the clock and of this thread's CPU, each ascending: they differ on a busy machine."""
    elapsed, used = [], []
    for request in asked:
        start, cpu = time.perf_counter(), time.thread_time()
        answer = load.decide(request)
        used.append((time.thread_time() - cpu) * 1000)
        elapsed.append((time.perf_counter() - start) * 1000)
        assert answer is Answer.PERMIT, answer
    return sorted(elapsed), sorted(used)


def percentile(ascending: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    return round(ascending[min(len(ascending) - 1, int(len(ascending) * share))], 4)


def resident() -> int:
    """Bytes of memory at the peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(subjects: int, directives: int, asked: int, tell: Callable[[str], None]) -> dict[str, float | int]:
    """All figures of one size."""
    load = Load()
    gc.collect()
    before, started = resident(), time.perf_counter()
    for number, count in enumerate(spread(subjects, directives)):
        load.enrol(number, count)
        if number % 20_000 == 0:
            tell(f"{load.directives} directives after {time.perf_counter() - started:.0f} s")
    load.hear()
    gc.collect()
    grown = resident() - before
    draw = random.Random(7)
    cold = requests(draw.sample(load.subjects, min(asked, subjects)))
    anew = timed(load, cold)
    few = requests(draw.sample(load.subjects, min(1_000, subjects)))
    timed(load, few)
    warm = [few[index % len(few)] for index in range(asked)]
    kept = timed(load, warm)
    start, cpu = time.perf_counter(), time.thread_time()
    for request in warm:
        load.decide(request)
    rate, rate_cpu = len(warm) / (time.perf_counter() - start), len(warm) / (time.thread_time() - cpu)
    figures: dict[str, float | int] = {"subjects": subjects, "directives": directives, "asked": asked}
    for name, (elapsed, used) in (("view_anew", anew), ("view_kept", kept)):
        for share in (0.5, 0.99):
            label = f"{name}_p{round(share * 100)}"
            figures |= {f"{label}_ms": percentile(elapsed, share), f"{label}_cpu_ms": percentile(used, share)}
    figures |= {
        "decisions_per_second": round(rate), "decisions_per_cpu_second": round(rate_cpu),
        "bytes_per_directive": round(grown / directives),
    }  # fmt: skip
    return figures


def main() -> None:
    """From the command line to one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=30_000)
    parser.add_argument("--directives", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=20_000, help="decisions that are timed")
    given = parser.parse_args()

    def tell(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    print(json.dumps(measure(given.subjects, given.directives, given.asked, tell)))


if __name__ == "__main__":
    main()
