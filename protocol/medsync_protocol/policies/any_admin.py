"""Policy `any_admin`, the default: every admin admits, removes and changes roles at once; the senior survives a duel."""

from __future__ import annotations

from medsync_protocol.ruling import Rules


class AnyAdmin(Rules):
    """The common ground and nothing else."""

    name = "any_admin"
    about = "every admin changes the membership at once; of two who remove each other the senior stays"
