"""What a payee signs to be paid: SNIP-12 typed data, revision 1, that any wallet can show and sign.

`account` in SNIP-12's sense is the payee's Stark key. Trap: version "1" and revision "1" are hashed as the number 1.
Source: SNIP-12 (starknet-io/SNIPs). The Cairo twin is `contracts/src/claim.cairo`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from medsync_protocol import stark
from medsync_protocol.poseidon import Felt, poseidon_hash, short_string, short_text, tagged_hash, want_uint

DOMAIN_TYPE: Final = 0x1FF2F602E42168014D405A94F75E8A93D640751D71D16311266E140D8B0A210
"""sn_keccak of "StarknetDomain"("name":"shortstring","version":"shortstring","chainId":"shortstring","revision":"shortstring")."""
CLAIM_TYPE: Final = 0x3F8A5F2E626F9A0C4AD800FA7D96D1AEDB466A83117DEACA7ECFDD21084B223
"""sn_keccak of "Claim"(…) with the fields of `TYPED_FIELDS`."""
DOMAIN_NAME: Final = "MedSync rewards"
TYPED_FIELDS: Final = (
    ("contract", "ContractAddress"), ("pool", "felt"), ("recipient", "ContractAddress"), ("cumulative", "u128"),
    ("deadline", "timestamp"),
)  # fmt: skip
_DOMAIN_FIELDS: Final = ("name", "version", "chainId", "revision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A wish to be paid up to `cumulative` to `recipient`, good until `deadline` (seconds, as block times are).

    Chain, contract and pool are part of what is signed: it counts nowhere else. Signing twice does no harm: a
    cumulative amount is paid once.
    """

    chain_id: int
    contract: int
    pool: int
    payee: int
    recipient: int
    cumulative: int
    deadline: int

    def digest(self) -> Felt:
        """What is signed. Raises Malformed for an amount or deadline out of range."""
        want_uint(self.cumulative, 128)
        want_uint(self.deadline, 64)
        domain = poseidon_hash([DOMAIN_TYPE, short_string(DOMAIN_NAME), 1, self.chain_id, 1])
        message = poseidon_hash(
            [CLAIM_TYPE, self.contract, self.pool, self.recipient, self.cumulative, self.deadline]
        )
        return tagged_hash("StarkNet Message", [domain, self.payee, message])

    def sign(self, secret: int) -> tuple[Felt, Felt]:
        """(r, s) by the payee's secret."""
        return stark.sign(self.digest(), secret)

    def typed_data(self) -> dict[str, Any]:
        """The document that a wallet hashes to the same digest, given the payee's key as its account."""
        return {
            "types": {
                "StarknetDomain": [{"name": name, "type": "shortstring"} for name in _DOMAIN_FIELDS],
                "Claim": [{"name": name, "type": kind} for name, kind in TYPED_FIELDS],
            },
            "primaryType": "Claim",
            "domain": {
                "name": DOMAIN_NAME, "version": "1", "chainId": short_text(self.chain_id), "revision": "1",
            },
            "message": {
                "contract": hex(self.contract), "pool": hex(self.pool), "recipient": hex(self.recipient),
                "cumulative": str(self.cumulative), "deadline": str(self.deadline),
            },
        }  # fmt: skip
