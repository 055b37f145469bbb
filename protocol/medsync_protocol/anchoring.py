"""Where a context is anchored: the opening that its founder signs, and what every member keeps of it (STARKNET §2).

Members hand it on to each other; each checks the founder's signature itself. Asking the chain is the node's.
"""

from __future__ import annotations

from dataclasses import dataclass

from medsync_protocol import stark
from medsync_protocol.address import ChainAddress
from medsync_protocol.candidate import Signers
from medsync_protocol.codec import pack, unpack, want_array, want_bytes, want_int
from medsync_protocol.errors import Malformed, Refused
from medsync_protocol.ids import OpId
from medsync_protocol.membership import MembershipState
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of
from medsync_protocol.statement import (
    MAX_VOTERS, Statement, context_hash, members_hash, opening_digest, opening_statement,
)  # fmt: skip
from medsync_protocol.transition import MAX_RECOVERY_DELAY, MIN_RECOVERY_DELAY, Anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What `open_context` takes, signed by the founder's Stark key. `recovery_delay` in seconds."""

    anchor: Anchor
    founder: int
    genesis: OpId
    members: tuple[int, ...]
    verifier: int
    recovery_delay: int
    r: int
    s: int

    @property
    def context(self) -> Felt:
        """The context's public name."""
        return context_hash(self.founder, self.genesis)

    @property
    def statement(self) -> Statement:
        """Statement 0."""
        return opening_statement(self.context, self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchoring:
    """An opening and the block that holds it."""

    opening: Opening
    block: int

    @property
    def address(self) -> ChainAddress:
        """The context's public address."""
        anchor = self.opening.anchor
        return ChainAddress(
            chain_id=anchor.chain_id, contract=anchor.contract, context=self.opening.context
        )

    def encode(self) -> bytes:
        """Canonical bytes."""
        o = self.opening
        felts = [o.anchor.chain_id, o.anchor.contract, o.founder, o.verifier, o.r, o.s, *o.members]
        return pack([o.genesis, o.recovery_delay, self.block, [felt_bytes(x) for x in felts]])

    @staticmethod
    def decode(data: bytes) -> Anchoring:
        """Raises Malformed; the signature is `check_opening`'s."""
        genesis, delay, block, felts = want_array(unpack(data), 4)
        values = [felt_of(want_bytes(x, 32)) for x in want_array(felts, at_most=6 + MAX_VOTERS)]
        if len(values) < 7:
            raise Malformed("an opening names its chain, contract, keys and at least one voter")
        chain_id, contract, founder, verifier, r, s, *members = values
        opening = Opening(
            anchor=Anchor(chain_id=chain_id, contract=contract), founder=founder,
            genesis=OpId(want_bytes(genesis, 32)), members=tuple(members), verifier=verifier,
            recovery_delay=want_int(delay, MIN_RECOVERY_DELAY, MAX_RECOVERY_DELAY), r=r, s=s,
        )  # fmt: skip
        return Anchoring(opening=opening, block=want_int(block))


def sign_opening(
    secret: int, *, anchor: Anchor, genesis: OpId, signers: Signers, verifier: int, recovery_delay: int
) -> Opening:
    """The opening for this contract by the founder's Stark secret. Raises Refused before there are voters."""
    if not signers:
        raise Refused(
            "the context has no voters yet", code="no_voters", advice="wait for the members' voter keys"
        )
    founder = stark.public_key(secret)
    members = tuple(key for _, key in signers)
    digest = opening_digest(
        chain_id=anchor.chain_id, contract=anchor.contract, context=context_hash(founder, genesis),
        members=members_hash(members), verifier=verifier, recovery_delay=recovery_delay,
    )  # fmt: skip
    r, s = stark.sign(digest, secret)
    return Opening(
        anchor=anchor, founder=founder, genesis=genesis, members=members, verifier=verifier,
        recovery_delay=recovery_delay, r=r, s=s,
    )  # fmt: skip


def check_opening(opening: Opening, genesis: OpId, state: MembershipState) -> Signers:
    """Who signs the first checkpoint. Raises Malformed unless the context's founder opened it for its voters."""
    assert state.genesis is not None, "a replica holds its genesis"
    if opening.genesis != genesis:
        raise Malformed("the opening is another context's")
    if state.voter_keys.get(state.genesis.founder.member) != opening.founder:
        raise Malformed("the opening is not by the founder's voter key")
    digest = opening_digest(
        chain_id=opening.anchor.chain_id, contract=opening.anchor.contract, context=opening.context,
        members=members_hash(opening.members), verifier=opening.verifier,
        recovery_delay=opening.recovery_delay,
    )  # fmt: skip
    stark.verify(digest, opening.founder, opening.r, opening.s)
    holders = {key: member for member, key in state.voter_keys.items()}
    if any(key not in holders for key in opening.members):
        raise Malformed("the opening names voter keys that no member announced")
    return tuple((holders[key], key) for key in opening.members)
