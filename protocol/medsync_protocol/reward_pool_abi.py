"""The released reward pool class, its entry points and events by selector. Written by scripts/compile-contracts."""

from __future__ import annotations

from typing import Final

CLASS_HASH: Final = 0x008bf8a7973e75eccff0de7861306f754d2b0dd5bcdc628b15c17712742242f2

ENTRY_POINTS: Final[dict[str, int]] = {
    "activate": 0x02ddcfe2bdca6fca7e249c4b65cde226e8ae7fed33d9715bb1f2b8a8a9625b3c,
    "anchor": 0x03cc2a1f1be69bd92df3c38728af7a244d8aa76f0a6489d95271004fde8aac75,
    "claim": 0x00b758361d5e84380ef1e632f89d8e76a8677dbc3f4b93a4f9d75d2a6048f312,
    "claimed": 0x021fbb7b5e8287847a6faa1beb7c0acf2e79b359ed5145cb5b6fbd7d3b9023a9,
    "create_pool": 0x03f393dbd0861909a62ff3f4758e55f051219e2bc4a8747d8f0a0360dedb9949,
    "deposit": 0x00c73f681176fc7b3f9693986fd7b14581e8d540519e27400e88b8713932be01,
    "pending": 0x00d829413f0d2c4d74c8ff63e02c9925119a56008208dd29db841c5f35ed3ad3,
    "pool": 0x035b2940ca10a9581573918a0d9ed2422f97cc9196f63510c77f5a0ed5393cfd,
    "propose": 0x01bfd596ae442867ef71ca523061610682af8b00fc2738329422f4ad8d220b81,
    "sweep": 0x0265e923bc1fe6376bb4fc429ecb814739c4ce7af67fdb6d4e8f0a6e2fa14c30,
    "veto": 0x02258ae5be8bb5ee8d02da9f4f789b60c3c4406b419cda2681ea2abaec86a557,
}

EVENTS: Final[dict[str, int]] = {
    "Claimed": 0x035cc0235f835cc84da50813dc84eb10a75e24a21d74d6d86278c0f037cb7429,
    "Deposited": 0x0069105484e3b5f553164aa6de1f67321ea2757275a5e614365c90b9ed0a5e9b,
    "PoolCreated": 0x027dd458d081c22bd6e76f4dddbc87f11e477b7c5823b13f147d45f91ec098ee,
    "RootActivated": 0x017f862f6a191e10bdd9e301c90bd58610015e5c289b3750707699988210b1a8,
    "RootProposed": 0x00d4b9260c10781ac07c3c1ee72b4fdb5f4026aed27d1382e353f39fb86eb33f,
    "RootVetoed": 0x01489e94c4d7d9207cc44c497105e4b7e853e9d28c7af6771f7e857aa6198dd2,
    "Swept": 0x01e7bce6f763aee73fe19b84cdf5c07b72f7ed7396bbb9e958dd3636f8745bb0,
}
