"""BLAKE2b-256 over the source of each shipped policy and of what it rests on. Written by scripts/pin-policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PINS: Final[Mapping[str, str]] = {
    "ruling": "16da6d9861711b28c15b355e343b2d1143e920908886e1d42b049e4ab5c657a2",
    "any_admin": "90ae205ecf649a83bbdea9b04d8f9de50babee4d2fcc2d81de1e80605959233c",
    "both_out": "01c50a96fdaa58e17bec3c3c4a85a49c7b7eb0afdd39cdbdf6b793eb9e87c917",
    "forward_only": "47d7def82503a59ff101d7ddba2807e503b84d9b8546d9cfff64fbc2e443b340",
    "founder": "450eb54314c65ba99ccd63f7abcd59d61f6b4cb2deb55af2865fc28f64880ada",
    "k_of_n": "67a0e0c36d6f319af050d555c809e36c4e113489e327b9d04c12a59c6d2f657c",
    "majority": "5798ea50bd8b602839f8fb706552eac35ecce379773f0823256e659bd1fed9cc",
    "onchain_list": "82868fde7ab082bd3928706dfa686cd734d25ee12cbcdf43c0714ebdc16a2135",
    "seniority": "a2b0fff7fc59d674f71e9755b19305523f6e2608f03f7dd87381ed9a9328bd37",
    "sponsor_and_vote": "7ff725e68cff8078a12ddd91a2284e4c05b190f6602e1989f243419ff57bd1a3",
    "supermajority": "e81183f67972766152625f200766e94a4fb8c4937a333202eaa3e1b82c337824",
}
