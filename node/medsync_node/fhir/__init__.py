"""FHIR Consent resources, R4 and R5, as what a directive says; what can't be computed is refused with the reason."""

from medsync_node.fhir.consent import directive_text, patient_reference, release_of
from medsync_node.fhir.provisions import FindRecipient
from medsync_node.fhir.refusal import NotComputed

__all__ = ["FindRecipient", "NotComputed", "directive_text", "patient_reference", "release_of"]
