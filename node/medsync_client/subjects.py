"""Subjects: pseudonyms of patients, their homes, custodians and keys, and the card that a patient carries."""

from __future__ import annotations

from pydantic import Field

from medsync_client.calls import Call, path
from medsync_client.wire import Body, Hex16, Hex32, HexBytes, Level, Named, View


class SubjectEnrol(Body):
    """Enrol a new subject. Members by id or name; this node's member when none is named."""

    custodians: tuple[Named, ...] = Field(default=(), max_length=16)
    homes: tuple[Named, ...] = Field(default=(), max_length=3)
    patient_keys: tuple[Hex32, ...] = Field(default=(), max_length=16)
    delegate_keys: tuple[Hex32, ...] = Field(default=(), max_length=16)


class SubjectKeys(Body):
    """Keys that a custodian adds to, or takes from, a subject's record."""

    add_patient: tuple[Hex32, ...] = Field(default=(), max_length=16)
    add_delegate: tuple[Hex32, ...] = Field(default=(), max_length=16)
    drop: tuple[Hex32, ...] = Field(default=(), max_length=16)


class SubjectMove(Body):
    """What one member is to a subject, custodian, home or both, becomes another's; nobody's without `entering`."""

    leaving: Named
    entering: Named | None = None


class SubjectLink(Body):
    """Two pseudonyms of one patient: this custodian says so, or the patient by `signer` and `signature`."""

    other: Hex16
    signer: Hex32 | None = None
    signature: HexBytes | None = None


class SubjectKey(View):
    """A key of the record, and the number that its next directive must bear."""

    key: Hex32
    kind: str = Field(description="patient, delegate or custodian")
    next_number: int


class Subject(View):
    """A subject as the effective revisions of its record have it."""

    subject: Hex16
    network: Hex32
    context: Hex32
    card: str
    custodians: tuple[Hex32, ...]
    homes: tuple[Hex32, ...]
    keys: tuple[SubjectKey, ...] = ()
    linked: tuple[Hex16, ...] = ()
    revision: int
    names: dict[str, str] = Field(default_factory=dict, description="of custodians and homes, by id")


class SubjectRow(View):
    """A subject in a list: `consents` are those that permit or deny now; `pseudonyms` counts linked ones, itself included."""

    subject: Hex16
    custodians: tuple[Hex32, ...]
    homes: tuple[Hex32, ...]
    consents: int
    pseudonyms: int
    revision: int


class SubjectPage(View):
    """Subjects by pseudonym; give `next` as `after` for those further on. A page may hold fewer than were asked for."""

    subjects: tuple[SubjectRow, ...]
    next: Hex16 | None = None


def enrol_subject(context: str, body: SubjectEnrol, level: Level = "local") -> Call[Subject]:
    """A new subject with a random pseudonym."""
    return Call(
        method="POST", path=path("contexts", context, "subjects"), body=body, answer=Subject,
        query={"level": level},
    )  # fmt: skip


def subject(context: str, named: str) -> Call[Subject]:
    """One subject, by pseudonym or card. NotFound when it isn't held, or not for this caller."""
    return Call(path=path("contexts", context, "subjects", named), answer=Subject)


def subjects(
    context: str, begins: str = "", *, everyone: bool = False, after: str | None = None, limit: int = 50
) -> Call[SubjectPage]:
    """Subjects that this node's member is a custodian or home of, or all (`everyone`); `begins`: digits of the pseudonym."""
    query = {"begins": begins or None, "everyone": everyone or None, "after": after, "limit": limit}
    return Call(path=path("contexts", context, "subjects"), query=query, answer=SubjectPage)


def link_subject(context: str, named: str, body: SubjectLink) -> Call[Subject]:
    """Say that another pseudonym is the same patient's."""
    return Call(
        method="POST", path=path("contexts", context, "subjects", named, "links"), body=body, answer=Subject
    )


def change_keys(context: str, named: str, body: SubjectKeys) -> Call[Subject]:
    """Write a new revision of the record with other keys."""
    return Call(
        method="POST", path=path("contexts", context, "subjects", named, "keys"), body=body, answer=Subject
    )


def move_subject(context: str, named: str, body: SubjectMove) -> Call[Subject]:
    """Write a new revision of the record with another custodian or home. Refused where the leaving one is neither."""
    return Call(
        method="POST", path=path("contexts", context, "subjects", named, "members"), body=body, answer=Subject
    )


def export_subject_path(context: str, subject: str) -> str:
    """Where everything that is held of a subject streams from, a JSON object a line."""
    return path("contexts", context, "subjects", subject, "export")
