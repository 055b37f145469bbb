"""What becomes of every HL7 example of Consent, AuditEvent, Provenance and Permission: the table in node/fhir.md.

Run as a program with the two unpacked npm packages, it prints the table.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medsync_client.consents import DirectiveText
from medsync_node.fhir import NotComputed, directive_text

PACKAGES = {"R4": ("hl7.fhir.r4.examples", "4.0.1"), "R5": ("hl7.fhir.r5.examples", "5.0.0")}
KINDS = ("Consent", "AuditEvent", "Provenance", "Permission")


def examples(unpacked: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file name without its ending, resource) of each example of the four kinds, by kind and name."""
    for kind in KINDS:
        for file in sorted(unpacked.glob(f"{kind}-*.json")):
            yield file.stem, json.loads(file.read_bytes())


def outcome(resource: dict[str, Any]) -> str:
    """What it says here, or why it says nothing, in a cell."""
    try:
        text = directive_text(resource, subject="51cf")
    except NotComputed as error:
        if error.code == "not_a_consent":
            return f"refused, no Consent: {error.advice}"
        where = f" at `{error.element}`" if error.element else ""
        return f"refused{where}: {error}"
    return f"computed: {_says(text)}"


def _says(text: DirectiveText) -> str:
    rules = ", ".join(
        f"{rule.effect}{f' with {len(rule.exceptions)} exceptions' if rule.exceptions else ''}" for rule in text.rules
    )
    return f"base {text.base or 'none'}{f'; {rules}' if rules else ''}"


def table(release: str, unpacked: Path) -> list[str]:
    """Rows of the page for one release."""
    return [f"| {release} | {name} | {outcome(resource).replace('|', '/')} |" for name, resource in examples(unpacked)]


if __name__ == "__main__":
    for release, directory in zip(PACKAGES, sys.argv[1:], strict=True):
        sys.stdout.writelines(f"{line}\n" for line in table(release, Path(directory)))
