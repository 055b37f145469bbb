"""The language: loops, ranges, text, options, closures, hashes, panics, events, against Python's words for the same."""

from __future__ import annotations

import hashlib
import math
import pytest
from Crypto.Hash import keccak
from ecdsa import SECP256k1, SigningKey  # type: ignore[import-untyped]
from medsync_chain.keccak import selector
from medsync_chain.vm.pedersen import pedersen
from medsync_protocol.poseidon import poseidon_hash
from medsync_protocol.stark import public_key, sign
from tests.contracts.toolchain.world import FIELD_PRIME, World, array, option, short_string, text, u256

pytestmark = pytest.mark.long  # compiles four contracts


def big_keccak(data: bytes) -> int:
    return int.from_bytes(keccak.new(digest_bits=256, data=data).digest(), "big")


def little_keccak(data: bytes) -> int:
    return int.from_bytes(keccak.new(digest_bits=256, data=data).digest(), "little")


def two_limbs(number: int) -> list[int]:
    return [number & 2**192 - 1, number >> 192]


def test_loops(world: World) -> None:
    cases: list[tuple[int, list[int]]] = [(0, []), (1, [10]), (4, [10, 20, 30]), (8, [30, 1, 2, 30])]
    for n, xs in cases:
        o = [sum(xs)]
        for i in range(n):
            if i == 2:
                continue
            if i == 5:
                break
            o.append(i)
        o += [i * 10 for i in range(3, n + 1)] + [i * 100 for i in range(1, n + 1) if i % 2]
        i = n
        while i <= 3:
            i += 1
        o += [i * 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 2, 1, 0, short_string("a"), 2 * short_string("b")]
        o += [i * 10 + j for i in range(3) for j in range(i)] + [x + 1 for x in xs]
        o += [
            *option([xs.index(30)] if 30 in xs else None),
            1,
            *array(list(range(n))),
            sum(range(n)),
            len(xs),
            0,
            13,
            0,
            14,
        ]
        world.gives(array(o), "lang", "loops", n, array(xs))


def test_ranges(world: World) -> None:
    for a, b in [(0, 0), (0, 5), (5, 0), (3, 7), (250, 255), (255, 255), (0, 255), (255, 0), (6, 5), (5, 5)]:
        t = sum(2**128 + 1 + i for i in range(3))
        world.gives(
            array(
                [
                    max(0, b - a),
                    max(0, b - a + 1),
                    int(a <= 5 < b),
                    int(a <= 5 <= b),
                    int(a >= b),
                    int(a > b),
                    a,
                    *u256(t),
                    10,
                ]
            ),
            "lang",
            "ranges",
            a,
            b,
        )


def test_text(world: World) -> None:
    for s, n in [("abc", 1), ("", 0), ("q" * 31, 30), ("r" * 40, 35), ("hello", 9)]:
        c = s + ", and more text than fits into one word!xy"
        d = "x" + s
        h = 0
        for ch in d.encode():
            h = (h * 7 + ch) % FIELD_PRIME
        world.gives(
            array(
                [
                    len(s),
                    *option([ord(s[n])] if n < len(s) else None),
                    *text(c),
                    *text(d),
                    0,
                    *text(d[::-1]),
                    ord("x"),
                    h,
                ]
            ),
            "lang",
            "bytes",
            text(s),
            n,
        )
    world.gives(text("n=255 hex ff s=-7 p=Pair { a: 5, b: 6 } felt 5 true"), "lang", "format", 255, -7, 5, 6)


def test_options_and_results(world: World) -> None:
    for x in (None, 0, 4, 100, 101):
        for ok, y in ((0, 21), (1, 9)):
            o = (
                option([x + 1] if x is not None and x <= 100 else None)
                + ([0, y * 2] if ok == 0 else [1, y])
                + [9 if x is None else x]
            )
            o += (
                option(None if x is None else [x * 3])
                + option([x] if x is not None and x > 3 else None)
                + ([1, short_string("none")] if x is None else [0, x])
            )
            o += (
                [int(x == 4), 1 if x is None else x + 1, int(ok == 0)]
                + option([y] if ok == 0 else None)
                + ([0, y + 5] if ok == 0 else [1, y])
                + ([0, y] if ok == 0 else [1, y + 1])
                + [y]
            )
            o += (
                ([] if x is None else [x + 1000])
                + [short_string("no") if x is None else x]
                + [y if ok == 0 else short_string("err")]
            )
            world.gives(array(o), "lang", "options", option(None if x is None else [x]), ok, y)


def test_closures(world: World) -> None:
    world.gives(array([11, 12, 11 * 12, 15 + 16, 15 * 16, 20, 30]), "lang", "closures", 10, [2, 10, 20])
    world.panics("u32_add Overflow", "lang", "closures", 2**32 - 1, [0])


def test_hashes(world: World) -> None:
    for a, b, k in [(1, 2, 3), (FIELD_PRIME - 1, 2**64 - 1, 77)]:
        world.gives(
            array(
                [
                    poseidon_hash([a, b]),
                    poseidon_hash([k, a, b, 1]),
                    pedersen(pedersen(k, a), b),
                    poseidon_hash([a, b, k]),
                    pedersen(a, k),
                    *u256(little_keccak(k.to_bytes(32, "big"))),
                    *u256(little_keccak(b"abc")),
                ]
            ),
            "lang",
            "hashes",
            a,
            b,
            k,
        )


def test_enums_traits_arrays_and_matches(world: World) -> None:
    world.gives(array([short_string("quit"), 1, 1, 0, *text("Msg::Quit(())")]), "lang", "messages", 0)
    world.gives(
        array([12, 1, 0, 1, 5, 7, *text("Msg::Move(Pair { a: 5, b: 7 })")]), "lang", "messages", 1, 5, 7
    )
    world.gives(array([2, 1, 0, 2, *text("hi"), *text('Msg::Say("hi")')]), "lang", "messages", 2, *text("hi"))
    world.gives(
        array([9, -12, -3, 1, 0, 21, -24, 4, 101, 3, 5, 7, -4, 3, 0, 0, 5, 0]), "lang", "own", 3, -4, 5, 6
    )
    world.gives(
        array(
            [
                4,
                60,
                2,
                20,
                30,
                1,
                10,
                40,
                600,
                0,
                10,
                6,
                20,
                30,
                40,
                5,
                1,
                2,
                0,
                7,
                1,
                4,
                1,
                1,
                short_string("x"),
            ]
        ),
        "lang",
        "arrays",
        [4, 10, 20, 30, 40],
    )
    for n, t in ((0, (1, 0)), (1, (1, 0)), (2, (0, 2)), (3, (0, 3)), (9, (1, 9))):
        world.gives(
            [
                short_string({0: "zero", 1: "few", 2: "few", 3: "three"}.get(n, "many"))
                + (3 if not t[0] else 1 if n == t[1] else 2)
            ],
            "lang",
            "matches",
            n,
            *t,
        )


def test_panics(world: World) -> None:
    for n, why in enumerate(
        (
            '"formatted 1 and 120"',
            "'short'",
            '"long message 2"',
            "'Index out of bounds'",
            "'Option::unwrap failed.'",
            "'Result::unwrap failed.'",
            "'u8_sub Overflow'",
            None,
            "'a'), 0x62 ('b'",
            "'expected'",
            "'Division by 0'",
            "'Option::unwrap failed.'",
        )
    ):
        if why:
            world.panics(why, "lang", "fails", n)
    world.gives([1], "lang", "fails", 12)


def test_signatures_and_hash_functions(world: World) -> None:
    pk = public_key(12345)
    r, s = sign(987, 12345)
    world.gives([1], "lang", "ecdsa", 987, pk, r, s)
    world.gives([0], "lang", "ecdsa", 988, pk, r, s)
    world.gives([0], "lang", "ecdsa", 987, pk, r, 0)
    for m in (b"", b"abc", b"m" * 55, b"m" * 64, b"n" * 150):
        d = hashlib.sha256(m).digest()
        world.gives([int.from_bytes(d[i : i + 4], "big") for i in range(0, 32, 4)], "lang", "sha", text(m))
    sk = SigningKey.from_secret_exponent(424242, SECP256k1)
    h = big_keccak(b"hello")
    pub = sk.verifying_key.to_string()
    want = big_keccak(pub) & 2**160 - 1
    rr, s_ = sk.sign_digest_deterministic(
        h.to_bytes(32, "big"), hashfunc=hashlib.sha256, sigencode=lambda r, s, n: (r, s)
    )
    answers = [world.call("lang", "eth", u256(h), u256(rr), u256(s_), o) for o in (0, 1)]
    assert [want] in answers


def test_addresses_inverses_and_powers(world: World) -> None:
    world.gives(array([1, 0, 0x1234, 0]), "lang", "addresses", 0)
    world.gives(array([0, 1, 0x1234, 0]), "lang", "addresses", 0x1234)
    world.panics("Failed to deserialize", "lang", "addresses", FIELD_PRIME - 1)
    for a, n in [(3, 7), (2, 4), (2**200 + 1, 2**256 - 189), (0, 5), (1, 1)]:
        g = math.gcd(a, n)
        world.gives(
            array(u256(pow(a, -1, n)) if g == 1 and n > 1 else [short_string("none")]),
            "lang",
            "inverse",
            u256(a),
            u256(n),
        )
    for a, n in [(3, 0), (3, 1), (3, 5), (2**31, 8), (1, 77), (0, 0), (0, 5)]:
        world.gives(array([*u256(a**n), 2**n, (-3) ** n, 100]), "lang", "powers", u256(a), n)
    world.panics("u256_mul Overflow", "lang", "powers", u256(2**16), 16)
    world.panics("mul Overflow", "lang", "powers", u256(1), 81)


def test_384_bits(world: World) -> None:
    for a in (
        0,
        1,
        2**96 - 1,
        2**96,
        2**127 + 2**95,
        2**128 - 1,
        2**128,
        2**192 - 1,
        2**192,
        2**256 - 1,
        0xDEADBEEF << 200 | 0xFEED << 100 | 0xC0FFEE,
    ):
        for b in (0, 2**96, 2**128 + 1, 2**192 - 1, 2**192, FIELD_PRIME - 1):
            o = [
                *two_limbs(a),
                *option(u256(a)),
                *option([a] if a < 2**128 else None),
                *two_limbs(b),
                int(b < 2**192),
            ]
            if b < 2**192:
                v = b | 5 << 192
                o += option(u256(v) if v < 2**256 else None)
            world.gives(array(o), "lang", "u384", u256(a), b)


def test_dictionaries(world: World) -> None:
    world.gives(array([1, 2, 1, 2, 7, 4, 5, 6, 1]), "lang", "dicts", 4, 3, 9, 4, 9)
    world.panics("dict", "lang", "fails", 7)


def test_nested_events(world: World) -> None:
    world.gives([], "lang", "send", 5, 3)
    A = world.addresses["lang"]
    assert world.told() == [
        (
            A,
            [selector("Many"), 5, 1, 1],
            [3, 0, 1, 2, *text("an event with a text of more than thirty-one bytes")],
        ),
        (A, [selector("One")], [3]),
        (A, [selector("Deep")], [4]),
    ], world.told()
