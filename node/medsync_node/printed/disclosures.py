"""An accounting as a sheet for the patient's file or for her. Whoever an agency had suspended is not named on it."""

from __future__ import annotations

from medsync_client.accounting import Accounting
from medsync_node.accounting import total
from medsync_node.printed.sheet import sheet

TITLES = {"hipaa528": "Accounting of disclosures", "all": "Access log of one patient"}


def accounting_sheet(found: Accounting, *, context: str, made: int, by: str, back: str | None = None) -> str:
    """One HTML document. `context`: its name; `made` in ms; `by`: the member whose log it is."""
    title = TITLES[found.mode]
    return sheet(
        "accounting.html", edge=f"{title} · patient {found.subject}", made=made, by=by, back=back, found=found, title=title,
        context=context, totals=total(found.lines) if found.lines else None,
    )  # fmt: skip
