"""Whose fault an error is (DESIGN §4): the peer's, a rule's or the operator's. Messages never hold patient data."""

from __future__ import annotations


class MedSyncError(Exception):
    """Base of every error the product raises on purpose."""


class Invalid(MedSyncError):
    """A peer's bytes break the protocol: drop them and count against that peer."""


class Malformed(Invalid):
    """Bytes that are not the canonical encoding of what they claim to be."""


class BadSignature(Invalid):
    """A signature that does not verify under the key it names."""


class BrokenChain(Invalid):
    """An operation whose `prev` is not the operation before it, or that names another network or context."""


class Refused(MedSyncError):
    """A rule says no: tell the user why and what would be needed."""

    def __init__(self, message: str, *, code: str = "refused", advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.advice = advice


class Denied(Refused):
    """A decision answered DENY (command line: exit code 3)."""


class ConsentMissing(Refused):
    """No directive covers the request."""


class NotPermitted(Refused):
    """The caller lacks the role, key or capability for this operation."""


class UnknownSubject(Refused):
    """No such subject here, or none that the caller may know of: both read the same."""


class OperatorError(MedSyncError):
    """Something the operator of this node can mend; `advice` says how."""

    def __init__(self, message: str, *, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class KeyFileLocked(OperatorError):
    """The key file can't be opened: wrong passphrase, or none given."""


class DiskFull(OperatorError):
    """A commit failed for want of space: nothing was acknowledged."""


class ClockSkew(OperatorError):
    """This machine's clock is further from the members' median than the allowed skew."""
