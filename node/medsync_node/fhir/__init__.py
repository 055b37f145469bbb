"""FHIR Consent resources, R4 and R5, as what a directive says; what can't be computed is refused with the reason."""

from medsync_node.fhir.consent import FindRecipient, directive_text, patient_reference, release_of

__all__ = ["FindRecipient", "directive_text", "patient_reference", "release_of"]
