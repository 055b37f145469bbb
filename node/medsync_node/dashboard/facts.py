"""What somebody asks for on a page that changes a membership, and the facts that the words about it rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medsync_client.contexts import ContextDetail, Voters
from medsync_client.devices import HeldChain
from medsync_client.governance import OpenBallot, Outlook, PolicyOffer, Proposal
from medsync_client.members import Member
from medsync_client.wire import RoleName

Parameters = Mapping[str, int | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a form asks for, unchecked but for the role and the parameters' form: members by id, `voters` by their first
    digits (250 whole ids are longer than an address may be), `proposal` and whether the vote is yes; `renewed`: who comes
    in the place of `member`; `chain`: the forked one that shall go on; `policy` with the `parameters` that were named."""

    member: str = ""
    role: RoleName = "member"
    voters: tuple[str, ...] = ()
    proposal: str = ""
    yes: bool = True
    renewed: str = ""
    chain: str = ""
    policy: str = ""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`context` None: the network's membership; `who`: whom it is about, where it is somebody; `renewed`: who comes in
    its place; `held`: the forked chain; `offer`: the policy asked for; `ballot`: what was voted for it so far."""

    place: str
    policy: str
    context: ContextDetail | None = None
    who: Member | None = None
    renewed: Member | None = None
    outlook: Outlook | None = None
    voters: Voters = field(default_factory=lambda: Voters(voters=(), quorum=0))
    chosen: tuple[str, ...] = ()
    proposal: Proposal | None = None
    held: HeldChain | None = None
    offer: PolicyOffer | None = None
    ballot: OpenBallot | None = None

    @property
    def name(self) -> str:
        """Whom it is about."""
        return "this node's member" if self.who is None else self.who.name


def told(parameters: Parameters) -> str:
    """Parameters as one writes them."""
    return " ".join(f"{name}={value}" for name, value in sorted(parameters.items()))


def named(policy: str, parameters: Parameters) -> str:
    """A policy with the parameters that were named."""
    return f"{policy} ({told(parameters)})" if parameters else policy
