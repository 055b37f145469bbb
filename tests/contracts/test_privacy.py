"""What an observer of the chain can search for: identifiers, in clear or hashed without a salt (STARKNET §4).

The search knows every identifier there is and every hash that Starknet, Python and the contracts that came before
ours use, and looks through all calldata, cells and events of a context with real directives in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import permutations

import pytest
from Crypto.Hash import keccak

from medsync_chain.vm.pedersen import pedersen
from medsync_protocol.application import Label
from medsync_protocol.commitments import Commitments
from medsync_protocol.consent_map import ConsentMap
from medsync_protocol.crypto import blake2b
from medsync_protocol.directive import directive_label
from medsync_protocol.ids import OpId
from medsync_protocol.kinds import Audience, EntryKind
from medsync_protocol.log import operation_leaf
from medsync_protocol.poseidon import FIELD_PRIME, pair, poseidon_hash
from medsync_protocol.statement import detail_hash
from tests.consent_world import (
    ANN,
    CITY,
    COAST,
    CONTEXT,
    LAB,
    MERCY,
    NETWORK,
    RECORD,
    directive,
    key,
    named,
    permit,
)
from tests.contracts.anchored import Anchored, opened

RECORD_NUMBERS = [f"MRN-{number:06d}".encode() for number in range(200)]
PEOPLE = [b"Ann Example", b"ann", b"ann@example.org", b"1957-03-14", ANN, key("ann"), key("guardian")]
INSTITUTIONS = [b"mercy", b"city", b"coast", b"lab", MERCY, CITY, COAST, LAB, NETWORK, CONTEXT]
WORDS = [b"HRESCH", b"TREAT", b"ETREAT", b"permit", b"deny", b"laboratory"]
IDENTIFIERS = [*RECORD_NUMBERS, *PEOPLE, *INSTITUTIONS, *WORDS]
CELLS = ("head_k", "digests", "verifier", "recovery_delay", "recovery", "consents", "access_log", "balances")


def numbers(data: bytes) -> Iterator[int]:
    """The integers that a caller may make of bytes: whole, halved, cut to a felt."""
    whole = int.from_bytes(data, "big")
    yield from (whole, whole % FIELD_PRIME, whole & 2**250 - 1, int.from_bytes(data, "little") % FIELD_PRIME)
    if len(data) == 32:
        yield from (whole >> 128, whole & 2**128 - 1)
    if len(data) > 31:
        yield from (int.from_bytes(data[:31], "big"), int.from_bytes(data[31:], "big"))


def hashed(data: bytes) -> Iterator[bytes]:
    """Digests of the bytes that need no salt."""
    yield from (hashlib.new(name, data).digest() for name in ("sha256", "sha3_256", "sha512", "sha1", "md5"))
    yield from (hashlib.blake2b(data, digest_size=size).digest() for size in (16, 32, 64))
    yield hashlib.blake2s(data).digest()
    yield keccak.new(digest_bits=256, data=data).digest()


def images(data: bytes) -> Iterator[int]:
    """Every felt that would betray the bytes."""
    plain = set(numbers(data))
    yield from plain
    for digest in hashed(data):
        yield from numbers(digest)
    for number in plain:
        felt = number % FIELD_PRIME
        yield from (
            poseidon_hash([felt]),
            pair(felt, 0),
            pedersen(0, felt),
            pedersen(felt, 0),
            pedersen(pedersen(0, felt), 1),
        )
        yield from (cell(name, [felt]) for name in CELLS)


def pairs(left: bytes, right: bytes) -> Iterator[int]:
    """The same of two together, as the first MedSync contract keyed its consents."""
    a, b = int.from_bytes(left, "big") % FIELD_PRIME, int.from_bytes(right, "big") % FIELD_PRIME
    yield from (poseidon_hash([a, b]), pair(a, b), pedersen(a, b), pedersen(pedersen(pedersen(0, a), b), 2))
    yield from (cell(name, [a, b]) for name in CELLS)
    for digest in hashed(left + right):
        yield from numbers(digest)


def cell(name: str, keys: Iterable[int]) -> int:
    """Where a Cairo map keeps the value of these keys."""
    at = int.from_bytes(keccak.new(digest_bits=256, data=name.encode()).digest(), "big") & 2**250 - 1
    for one in keys:
        at = pedersen(at, one)
    return at


def betraying() -> set[int]:
    """Small numbers left out: lengths, k and the empty hash are no identifiers."""
    found = {number for data in IDENTIFIERS for number in images(data)}
    for left, right in permutations([*PEOPLE, *INSTITUTIONS], 2):
        found |= set(pairs(left, right))
    return {number for number in found if number > 10_000}


def visible(anchored: Anchored) -> set[int]:
    """Everything an observer can read, in the words it is written in."""
    stage = anchored.stage
    found = set(stage.calldata)
    found |= {at for _, at in stage.storage} | set(stage.storage.values())
    for event in stage.events:
        found |= {*event.keys, *event.data}
    return found


@pytest.fixture(scope="module")
def secrets() -> set[int]:
    return betraying()


def played() -> Anchored:
    """A context whose checkpoint holds real directives and operations."""
    anchored = opened(genesis=blake2b(b"a genesis header", CONTEXT))
    book = Commitments()
    operations = [OpId(blake2b(b"header", bytes([number]))) for number in range(6)]
    for number, op_id in enumerate(operations):
        signed = directive(permit(), number=number + 1)
        public = directive_label(signed, RECORD.subject_key)
        assert public[0] == named(signed)
        book.fold(Label(kind=EntryKind.DIRECTIVE, audience=Audience.ALL, public=public), op_id, True)
    consents = ConsentMap().put_many(book.changes())
    leaves = [operation_leaf(op_id, 0) for op_id in operations]
    anchored.advance(leaves, consent_root=consents.root, detail=detail_hash(blake2b(b"cut")))
    anchored.advance([1, 2], consent_root=consents.root)
    return anchored


def test_nothing_on_chain_is_an_identifier_or_an_unsalted_hash_of_one(secrets: set[int]) -> None:
    assert len(secrets) > 10_000
    assert visible(played()) & secrets == set()


@pytest.mark.parametrize(
    "leak",
    [
        int.from_bytes(b"MRN-000017", "big"),
        int.from_bytes(hashlib.sha256(b"MRN-000017").digest(), "big") % FIELD_PRIME,
        poseidon_hash([int.from_bytes(ANN, "big")]),
        pedersen(int.from_bytes(MERCY, "big") % FIELD_PRIME, int.from_bytes(LAB, "big") % FIELD_PRIME),
        int.from_bytes(CONTEXT, "big") & 2**128 - 1,
    ],
)
def test_the_search_finds_a_leak_when_there_is_one(secrets: set[int], leak: int) -> None:
    anchored = played()
    anchored.advance([5], consent_root=leak)
    assert visible(anchored) & secrets == {leak}
