"""What this product writes into FHIR resources beyond HL7's elements, so that a round trip keeps the meaning.

A Consent that names one of these policies says exactly: this base decision, and each provision by its own effect. Readers
that don't know the policy can't mistake it for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medsync_client.consents import EffectName

POLICIES: Final[Mapping[str, EffectName | None]] = {
    "urn:medsync:fhir:base:none": None,  # what no provision names is left to other consents and the context's rule
    "urn:medsync:fhir:base:permit": "permit",
    "urn:medsync:fhir:base:deny": "deny",
}
POLICY_OF: Final = {base: uri for uri, base in POLICIES.items()}
EFFECT: Final = "urn:medsync:fhir:effect"
"""Modifier extension of an R5 provision that doesn't negate the decision: valueCode permit or deny."""
OBLIGATION: Final = "urn:medsync:fhir:obligation"
"""Modifier extension of a permitting provision, for each condition of the permit: valueString."""
SUBJECT: Final = "urn:medsync:subject"
MEMBER: Final = "urn:medsync:member"
"""Identifier system: a member in hex, then its unit and user, percent-encoded, after slashes."""
GROUP: Final = "urn:medsync:group"
DIRECTIVE: Final = "urn:medsync:directive"
"""Identifier system: a directive's id in hex."""
