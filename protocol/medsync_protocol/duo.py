"""GA4GH's Data Use Ontology in rules: its codes to purposes, its modifiers to obligations, and what no program can decide.

One table for code, docs and tests. What a rule then means is `decision.py`'s; who may sign it is `authority.py`'s.
Codes and labels: Data Use Ontology, release 2021-02-23, by GA4GH and its contributors, CC BY 4.0; the mapping is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Final

from medsync_protocol.errors import Refused
from medsync_protocol.rule import MAX_CODE, Actor, ActorKind, Effect, Rule

RELEASE: Final = "2021-02-23"
RESEARCH: Final = ("HRESCH",)
BIOMEDICAL: Final = ("BIORCH", "CLINTRCH", "DSRCH", "TRANSRCH")
"""All of HRESCH's but POARCH: DUO's health or medical or biomedical research leaves ancestry out."""
ANCESTRY: Final = ("POARCH",)
CARE: Final = ("TREAT",)


class Sort(Enum):
    """What a code makes of a rule."""

    PERMISSION = "permission"  # the purposes that are permitted; exactly one
    WIDENS = "widens"  # adds purposes
    FORBIDS = "forbids"  # an exception that denies purposes
    ACTORS = "actors"  # the rule has to name its actors so narrowly
    OBLIGATION = "obligation"  # binds whoever releases, word for word
    ABSTAIN = "abstain"  # a person has to decide: INDETERMINATE wherever it would have been PERMIT


class Detail(Enum):
    """What stands after the code's "=", and what it has to look like."""

    NONE = "nothing", r""
    DISEASE = "a disease, as MONDO:0004992", r"MONDO:[0-9]{7}"
    REGION = "a country or region of ISO 3166, as FI or US-CA", r"[A-Z]{2}(-[A-Z0-9]{1,3})?"
    DATE = "a date, as 2027-01-31", r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    MONTHS = "a number of months, as 12", r"[1-9][0-9]{0,2}"
    TEXT = "a few words", r"[^\s=](.{0,98}[^\s])?"

    @property
    def words(self) -> str:
        """For people."""
        return self.value[0]

    def fits(self, text: str) -> bool:
        """Whether a detail is one of these."""
        return re.fullmatch(self.value[1], text) is not None and (self is not Detail.DATE or _is_date(text))


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Term:
    """A code that a consent can carry. `purposes`: permitted, added or denied ones, as `sort` says; None: any."""

    short: str
    label: str
    sort: Sort
    purposes: tuple[str, ...] | None = ()
    detail: Detail = Detail.NONE


TERMS: Final[Mapping[str, Term]] = {
    "DUO:0000004": Term("NRES", "no restriction", Sort.PERMISSION, None),
    "DUO:0000042": Term("GRU", "general research use", Sort.PERMISSION, RESEARCH),
    "DUO:0000006": Term("HMB", "health or medical or biomedical research", Sort.PERMISSION, BIOMEDICAL),
    "DUO:0000007": Term("DS", "disease specific research", Sort.PERMISSION, ("DSRCH",), Detail.DISEASE),
    "DUO:0000011": Term("POA", "population origins or ancestry research only", Sort.PERMISSION, ANCESTRY),
    "DUO:0000043": Term("CC", "clinical care use", Sort.WIDENS, CARE),
    "DUO:0000044": Term("NPOA", "population origins or ancestry research prohibited", Sort.FORBIDS, ANCESTRY),
    "DUO:0000026": Term("US", "user specific restriction", Sort.ACTORS),
    "DUO:0000028": Term("IS", "institution specific restriction", Sort.ACTORS),
    "DUO:0000012": Term("RS", "research specific restrictions", Sort.ABSTAIN, (), Detail.TEXT),
    "DUO:0000015": Term("NMDS", "no general methods research", Sort.OBLIGATION),
    "DUO:0000016": Term("GSO", "genetic studies only", Sort.OBLIGATION),
    "DUO:0000018": Term("NPUNCU", "not for profit, non commercial use only", Sort.OBLIGATION),
    "DUO:0000019": Term("PUB", "publication required", Sort.OBLIGATION),
    "DUO:0000020": Term("COL", "collaboration required", Sort.OBLIGATION),
    "DUO:0000021": Term("IRB", "ethics approval required", Sort.OBLIGATION),
    "DUO:0000022": Term("GS", "geographical restriction", Sort.OBLIGATION, (), Detail.REGION),
    "DUO:0000024": Term("MOR", "publication moratorium", Sort.OBLIGATION, (), Detail.DATE),
    "DUO:0000025": Term("TS", "time limit on use", Sort.OBLIGATION, (), Detail.MONTHS),
    "DUO:0000027": Term("PS", "project specific restriction", Sort.OBLIGATION, (), Detail.TEXT),
    "DUO:0000029": Term("RTN", "return to database or resource", Sort.OBLIGATION),
    "DUO:0000045": Term("NPU", "not for profit organisation use only", Sort.OBLIGATION),
    "DUO:0000046": Term("NCU", "non-commercial use only", Sort.OBLIGATION),
}  # fmt: skip
"""Every code of that release that a data set can be marked with. DS binds by its disease as well: no purpose names one."""

NO_MARKS: Final[Mapping[str, str]] = {
    "DUO:0000001": "it is the class of all permissions: name one of them",
    "DUO:0000017": "it is the class of all modifiers: name one of them",
    "DUO:0000005": "it is obsolete: say DUO:0000042 and DUO:0000043",
    "DUO:0000014": "it is obsolete: leave DUO:0000043 out",
}
"""Codes that DUO has, or had, and that mark no data."""

_FORM: Final = re.compile(r"DUO:[0-9]{7}")
_NARROW: Final = {"DUO:0000026": 3, "DUO:0000028": 1}
"""How long an actor's path has to be: down to a user, or to a member."""


def permit(marks: Iterable[str], actors: tuple[Actor, ...] | None) -> Rule:
    """The rule that marks such as `DUO:0000007=MONDO:0004992` amount to, for `actors` (ascending; None: anyone).

    Raises Refused for whatever can't be computed: unknown and obsolete codes, two permissions or none, a missing or
    misshapen detail, marks that contradict each other, actors wider than a mark allows.
    """
    found = _parsed(marks)
    permissions = [code for code in found if TERMS[code].sort is Sort.PERMISSION]
    if len(permissions) != 1:
        raise _refused("one of DUO's permissions is needed, and no more", "each further one is a rule of its own")
    permission = TERMS[permissions[0]]
    forbidden = tuple(sorted({one for code in found for one in _of(code, Sort.FORBIDS)}))
    if permission.purposes is None and len(found) > 1:
        raise _refused("DUO:0000004 says that nothing restricts, and other marks do", "leave one of them out")
    if permission.purposes is not None and set(permission.purposes) <= set(forbidden):
        raise _refused(f"{permissions[0]} permits what another mark prohibits", "leave one of them out")
    for code in found:
        if TERMS[code].sort is Sort.ACTORS:
            _require_narrow(code, actors)
    purposes = permission.purposes
    if purposes is not None:
        purposes = tuple(sorted({*purposes, *(one for code in found for one in _of(code, Sort.WIDENS))}))
    return Rule(
        effect=Effect.PERMIT, actors=actors, purposes=purposes, obligations=_obligations(found),
        exceptions=(Rule(effect=Effect.DENY, purposes=forbidden),) if forbidden else None,
    )  # fmt: skip


def abstains(obligation: str) -> bool:
    """Whether an obligation says that a person has to decide."""
    term = TERMS.get(obligation.partition("=")[0])
    return term is not None and term.sort is Sort.ABSTAIN


def in_words(obligation: str) -> str | None:
    """An obligation by DUO's label; None for one that is not DUO's."""
    code, _, detail = obligation.partition("=")
    term = TERMS.get(code)
    return None if term is None else f"{term.label}{f' ({detail})' if detail else ''}"


def _of(code: str, sort: Sort) -> tuple[str, ...]:
    term = TERMS[code]
    return (term.purposes or ()) if term.sort is sort else ()


def _obligations(found: Mapping[str, str]) -> tuple[str, ...] | None:
    """What binds, ascending: all that neither purposes nor actors say."""
    said = (Sort.WIDENS, Sort.FORBIDS, Sort.ACTORS)
    binding = {
        code: detail for code, detail in found.items()
        if TERMS[code].sort not in said and (detail or TERMS[code].sort is not Sort.PERMISSION)
    }  # fmt: skip
    return tuple(sorted(f"{code}={detail}" if detail else code for code, detail in binding.items())) or None


def _parsed(marks: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for mark in marks:
        code, given, detail = mark.partition("=")
        if code in NO_MARKS:
            raise _refused(f"{code} marks no data", NO_MARKS[code])
        if code not in TERMS:
            known = "there is no such code in DUO" if _FORM.fullmatch(code) else "a code of DUO looks like DUO:0000042"
            raise _refused(f"{code[:MAX_CODE]!r} is unknown", f"{known}; protocol/README.md §7 lists those of {RELEASE}")
        if code in found:
            raise _refused(f"{code} stands twice", "say it once; alternatives are rules of their own")
        wanted = TERMS[code].detail
        if wanted is Detail.NONE and given:
            raise _refused(f"{code} takes no detail", f"write {code}")
        if wanted is not Detail.NONE and not wanted.fits(detail):
            raise _refused(f"{code} needs {wanted.words}", f"write {code}=…")
        found[code] = detail
    return found


def _require_narrow(code: str, actors: tuple[Actor, ...] | None) -> None:
    length = _NARROW[code]
    if actors is None or any(one.kind is not ActorKind.ORGANISATION or len(one.path) < length for one in actors):
        who = "users" if length > 1 else "institutions"
        raise _refused(f"{code} limits use to approved {who}, and the rule doesn't name them", f"name the {who} as actors")


def _refused(why: str, advice: str) -> Refused:
    return Refused(why, code="duo", advice=advice)
