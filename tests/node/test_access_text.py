"""What `medsync access request` prints for people: a consent that was taken back doesn't read as one that never was."""

from __future__ import annotations

from medsync_client.accesses import AccessAnswer, Ended
from medsync_node.commands.access import _lines

REASON = "no directive applies: the context's implicit rule answers"


def lines(*ended: Ended) -> list[str]:
    return list(_lines(AccessAnswer(answer="NO_CONSENT", reason=REASON, custodian="c" * 64, ended=ended, time=0)))


def test_a_refusal_after_a_revocation_says_so_first_and_names_the_documents() -> None:
    early = Ended(consent="a" * 64, why="superseded", document="b" * 64, signed_at=1_000, recorded=1_000)
    late = Ended(consent="b" * 64, why="revoked", document="d" * 64, signed_at=60_000, recorded=60_000)
    first, _, *named = lines(late, early)
    assert first == "NO_CONSENT: a consent permitted this until it was revoked on 1970-01-01T00:01:00Z, and no other does"
    assert named == [
        f"consent {'b' * 16} was revoked by revocation {'d' * 16}, signed 1970-01-01T00:01:00Z",
        f"consent {'a' * 16} was superseded by consent {'b' * 16}, signed 1970-01-01T00:00:01Z",
    ]


def test_a_refusal_where_nobody_ever_consented_gives_the_decisions_own_reason() -> None:
    assert lines()[0] == f"NO_CONSENT: {REASON}"
