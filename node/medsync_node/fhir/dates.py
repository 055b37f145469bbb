"""FHIR's partial dates and periods as half-open intervals of milliseconds.

Source: FHIR R4 and R5, data types `date`, `dateTime`, `instant` and `Period`: an end that names a day, month, year or
second includes all of it; a time of day has an offset, a date has none.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any, Final

from medsync_client.consents import WirePeriod
from medsync_node.fhir.refusal import NotComputed

DAY_MS: Final = 86_400_000
MAX_OFFSET: Final = 14 * 60  # minutes: FHIR's widest offset
_FORM: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d))?)?)?"
)
_EPOCH: Final = date(1970, 1, 1).toordinal()


def interval(text: Any, where: str, offset: int) -> tuple[int, int]:
    """[first, after) in ms since 1970 of what a date or dateTime names; `offset` in minutes holds for bare dates.

    Raises Refused for anything else.
    """
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _bad(where)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        first = date(int(year), int(month or 1), int(day or 1))
    except ValueError as error:
        raise _bad(where) from error
    start = (first.toordinal() - _EPOCH) * DAY_MS
    if hour is None:
        shift = offset * 60_000
        return start - shift, (_after(first, month, day) - _EPOCH) * DAY_MS - shift
    if int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        raise _bad(where)
    shift = 0 if zone == "Z" else _minutes(zone, where) * 60_000
    moment = start + ((int(hour) * 60 + int(minute)) * 60 + int(second)) * 1000 - shift
    if fraction is None:
        return moment, moment + 1000
    millis = int(fraction[:3].ljust(3, "0"))
    return moment + millis, moment + millis + 1


def _after(first: date, month: str | None, day: str | None) -> int:
    """The ordinal of the day after a day, month or year."""
    if day is not None:
        return first.toordinal() + 1
    if month is None:
        return date(first.year, 12, 31).toordinal() + 1
    last = date(first.year, 12, 31) if first.month == 12 else first.replace(month=first.month + 1) - timedelta(days=1)  # fmt: skip
    return last.toordinal() + 1


def _minutes(zone: str, where: str) -> int:
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    if minutes > MAX_OFFSET or int(zone[4:6]) > 59:
        raise _bad(where)
    return -minutes if zone[0] == "-" else minutes


def _bad(where: str) -> NotComputed:
    return NotComputed(
        f"{where} is no FHIR date", element=where, code="date", advice="give YYYY, YYYY-MM, YYYY-MM-DD, or a time with its offset"
    )  # fmt: skip


def period(value: Any, where: str, offset: int) -> tuple[int | None, int | None]:
    """(start, exclusive end) of a FHIR Period, None for an open side. Raises Refused."""
    if not isinstance(value, dict) or not set(value) <= {"start", "end", "id", "extension"}:
        raise NotComputed(
            f"{where} is no FHIR period", element=where, code="malformed", advice="validate the resource before importing it"
        )
    start = interval(value["start"], f"{where}.start", offset)[0] if "start" in value else None
    end = interval(value["end"], f"{where}.end", offset)[1] if "end" in value else None
    if start is None and end is None:
        raise NotComputed(
            f"{where} names no date", element=where, code="empty_list", advice="leave the period out, or give a side"
        )
    if start is not None and end is not None and end <= start:
        raise NotComputed(
            f"{where} ends before it begins", element=where, code="until_before_from", advice="swap or drop an end"
        )
    return start, end


def validity(value: Any, where: str, offset: int) -> WirePeriod:
    """When something holds. Before 1970 nobody asked: an earlier start is an open one. Raises Refused when all is over."""
    start, end = period(value, where, offset)
    if end is not None and end <= 0:
        raise NotComputed(f"{where} is over since before 1970", element=where, code="over", advice="import what still matters")
    return WirePeriod(start=start if start is not None and start > 0 else None, end=end)


def of_data(value: Any, where: str, offset: int, *, permit: bool) -> WirePeriod:
    """A period of data. One that begins before 1970 is narrowed for a permit and widened for a denial: never more access."""
    start, end = period(value, where, offset)
    if end is not None and end <= 0:
        raise NotComputed(
            f"{where} ends before 1970, which directives can't say",
            element=where, code="over",
            advice="leave the data period out",
        )
    if start is not None and start < 0:
        start = 0 if permit else None
    return WirePeriod(start=start, end=end)
