"""BLAKE2b-256 over the source of each shipped policy and of what it rests on. Written by scripts/pin-policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PINS: Final[Mapping[str, str]] = {
    "ruling": "f4224921e81d5e2483c957d93c140c1a2aa42dd62de7623ae5e8b7047808156e",
    "any_admin": "ad2f6f049156b55fe82881fb4cb7182b3e27624c1f0eb6891e8dbdb943e67534",
    "both_out": "5a29914d539717403fd495608451d3fe372e8a4c837cb5a2da55d4186abe3eea",
    "forward_only": "5b18e49e28545b2a6926eace894c586d171edd615fe0500d1749086f112b4a57",
    "founder": "fc6e77c04b142c4eb38b29389f39eabce997e644f00d1647d05d1dafaef097ba",
    "k_of_n": "8003c442b8bfd71078ac5ebe626a51aa08e170468cc72374a9d4f174288e85df",
    "majority": "73fc6356d99f890c1d130f9c8a41ce1ee76d6e491289a13420cc4310a0a0242e",
    "onchain_list": "e9058f173c211a0a96cf3b91ee6d8962a04be5e4c3434bd139f62e41742d2856",
    "seniority": "be544d6ce95441eaefdd1c71a6a243e80324bd542f2129b71e24e0504868723a",
    "sponsor_and_vote": "4e8ec65d154767630b0328141b684f35a1f857633df08972a0cdec9e034d7143",
    "supermajority": "2dd5895d2975544a683806e8d55bfe53f0432f1321d31a26dc2d11efe987329d",
}
