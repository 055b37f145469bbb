"""The consent map: a compact sparse Poseidon map from salted directive commitments to status and validity.

A leaf sits at the shortest prefix it shares with nobody, so the root is a function of the set alone and
absence can be proven (STARKNET §2). What a status means to a decision is not this module's business.
The Cairo twin is `contracts/src/consent.cairo`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from medsync_protocol.codec import digest, pack, unpack, want_array, want_bytes
from medsync_protocol.errors import Malformed
from medsync_protocol.ids import Instant, OpId
from medsync_protocol.poseidon import Felt, felt_bytes, felt_of, pair, split_digest, tagged_hash, want_felts, want_uint
from medsync_protocol.refusal import AnchorRefusal, Reason, require

ABSENT = Felt(0)
"""The value of a key that is not in the map, and the root of an empty one."""

MAX_DEPTH = 128  # the path is the key's low 128 bits
_NO_END = (1 << 64) - 1  # `until` of a directive without end: later than every instant


class Status(IntEnum):
    """What a commitment stands for. Expiry is none of these: `until` is in the value, roots know no clock."""

    ACTIVE = 1
    REVOKED = 2
    SUPERSEDED = 3
    CONTESTED = 4  # in a void operation, yet in force until confirmed or lifted (PROTOCOL §3.5)
    SUSPENDED = 5  # a grant by a lost patient key, until signed again (PROTOCOL §1, Subject)


_STATUSES = frozenset(Status)


def commitment(salt: bytes, op_id: OpId, index: int) -> bytes:
    """32 bytes that name a directive and say nothing of it: BLAKE2b of salt (32), op id, index (4)."""
    return digest(want_bytes(salt, 32), want_bytes(op_id, 32), want_uint(index, 32).to_bytes(4, "big"))


def directive_key(committed: bytes) -> Felt:
    """The map's key for a commitment."""
    return tagged_hash("MEDSYNC_DIRECTIVE_1", split_digest(committed))


def pack_value(status: Status, valid_from: Instant, until: Instant | None) -> Felt:
    """status + from·2⁸ + until·2⁷², times in milliseconds; no end is the largest 64-bit number."""
    end = _NO_END if until is None else want_uint(until, 64)
    return Felt(status | want_uint(valid_from, 64) << 8 | end << 72)


def unpack_value(value: int) -> tuple[Status, Instant, Instant | None]:
    """(status, from, until) of a packed value. Raises Malformed."""
    if not 0 <= value < 1 << 136 or value & 0xFF not in _STATUSES:
        raise Malformed("not a consent value")
    end = value >> 72
    return Status(value & 0xFF), Instant(value >> 8 & _NO_END), None if end == _NO_END else Instant(end)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A key with its value, at whatever depth makes it alone."""

    hash: Felt
    key: Felt
    value: Felt


@dataclass(frozen=True, slots=True)
class Branch:
    """Two subtrees, not both empty, and not one of them empty and the other a leaf."""

    hash: Felt
    left: Leaf | Branch | None
    right: Leaf | Branch | None


Node = Leaf | Branch
Items = Sequence[tuple[Felt, Felt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentProof:
    """Siblings from the root down, and the leaf where the key's path ends (None: an empty place)."""

    siblings: tuple[Felt, ...]
    terminal: tuple[Felt, Felt] | None


class ConsentMap:
    """An immutable map; `put_many` gives another that shares all it can."""

    __slots__ = ("_top",)

    def __init__(self, top: Node | None = None) -> None:
        self._top = top

    @property
    def root(self) -> Felt:
        """0 when empty."""
        return _hash(self._top)

    def get(self, key: int) -> Felt:
        """The key's value, or ABSENT."""
        terminal = _descend(self._top, key)[1]
        return terminal[1] if terminal is not None and terminal[0] == key else ABSENT

    def put_many(self, items: Mapping[Felt, Felt]) -> ConsentMap:
        """The map with these values set (ABSENT removes), every touched node hashed once.

        Raises Malformed when two keys share their low 128 bits (2⁶⁴ trials to make, refused for all alike).
        """
        return ConsentMap(_put(self._top, _sorted(items), 0))

    def prove(self, key: int) -> ConsentProof:
        """Presence or absence of `key`, for `check` and the contract."""
        siblings, terminal = _descend(self._top, key)
        return ConsentProof(siblings=tuple(siblings), terminal=terminal)

    def items(self) -> Iterator[tuple[Felt, Felt]]:
        """All (key, value), in path order."""
        for node in _walk(self._top):
            if isinstance(node, Leaf):
                yield node.key, node.value

    def changes_since(self, before: ConsentMap) -> tuple[dict[bytes, bytes], set[bytes]]:
        """(nodes to store by hash, hashes to delete) that turn a stored `before` into this map."""
        added: dict[bytes, bytes] = {}
        dropped: set[bytes] = set()
        _compare(before._top, self._top, added, dropped)
        for name in added.keys() & dropped:  # a leaf that moved to another depth keeps its hash
            del added[name]
            dropped.discard(name)
        return added, dropped

    @classmethod
    def restore(cls, root: Felt, nodes: Mapping[bytes, bytes]) -> ConsentMap:
        """The map under `root` from stored nodes, not hashed again. Raises Malformed when one is missing."""
        return cls(_load(root, nodes))


def check(root: int, key: int, proof: ConsentProof) -> Felt:
    """The value of `key` under `root`, or ABSENT when that is proven. Raises AnchorRefusal, Malformed."""
    want_felts((key, *proof.siblings, *(proof.terminal or ())))
    require(len(proof.siblings) <= MAX_DEPTH, Reason.BAD_PATH)
    node, found = ABSENT, ABSENT
    if proof.terminal is not None:
        term_key, term_value = proof.terminal
        if not term_key or not term_value or (term_key ^ key) & ((1 << len(proof.siblings)) - 1):
            raise AnchorRefusal(Reason.BAD_TERMINAL)
        node = _leaf_hash(term_key, term_value)
        found = term_value if term_key == key else ABSENT
    for depth in range(len(proof.siblings) - 1, -1, -1):
        sibling = proof.siblings[depth]
        node = pair(sibling, node) if key >> depth & 1 else pair(node, sibling)
    require(node == root, Reason.NOT_UNDER_ROOT)
    return found


def _hash(node: Node | None) -> Felt:
    return ABSENT if node is None else node.hash


def _leaf_hash(key: int, value: int) -> Felt:
    return tagged_hash("MEDSYNC_CONSENT_1", [key, value])


def _path(key: int) -> int:
    """The low 128 bits mirrored: as numbers, in the order in which the tree holds them."""
    return int(f"{key & (1 << MAX_DEPTH) - 1:0128b}"[::-1], 2)


def _sorted(items: Mapping[Felt, Felt]) -> Items:
    return sorted(items.items(), key=lambda item: _path(item[0]))


def _join(left: Node | None, right: Node | None) -> Node | None:
    """The node over both; a leaf that lost its neighbour rises, so that no history shows."""
    if left is None and (right is None or isinstance(right, Leaf)):
        return right
    if right is None and isinstance(left, Leaf):
        return left
    return Branch(pair(_hash(left), _hash(right)), left, right)


def _put(node: Node | None, items: Items, depth: int) -> Node | None:
    """`node` at `depth` with the sorted items set."""
    if not items:
        return node
    if isinstance(node, Branch):
        left, right = _halves(items, depth)
        return _join(_put(node.left, left, depth + 1), _put(node.right, right, depth + 1))
    if isinstance(node, Leaf):
        items = _sorted({node.key: node.value, **dict(items)})
    return _build([item for item in items if item[1]], depth)


def _build(items: Items, depth: int) -> Node | None:
    if not items:
        return None
    if len(items) == 1:
        key, value = items[0]
        return Leaf(_leaf_hash(key, value), key, value)
    if depth == MAX_DEPTH:
        raise Malformed("two directive keys share their low 128 bits")
    left, right = _halves(items, depth)
    return _join(_build(left, depth + 1), _build(right, depth + 1))


def _halves(items: Items, depth: int) -> tuple[Items, Items]:
    """Items whose path goes left at `depth`, and right: sorted as they are, one cut."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle][0] >> depth & 1:
            high = middle
        else:
            low = middle + 1
    return items[:low], items[low:]


def _descend(node: Node | None, key: int) -> tuple[list[Felt], tuple[Felt, Felt] | None]:
    siblings: list[Felt] = []
    while isinstance(node, Branch):
        goes_right = key >> len(siblings) & 1
        siblings.append(_hash(node.left if goes_right else node.right))
        node = node.right if goes_right else node.left
    return siblings, None if node is None else (node.key, node.value)


def _walk(node: Node | None) -> Iterator[Node]:
    if node is None:
        return
    yield node
    if isinstance(node, Branch):
        yield from _walk(node.left)
        yield from _walk(node.right)


def _compare(old: Node | None, new: Node | None, added: dict[bytes, bytes], dropped: set[bytes]) -> None:
    if _hash(old) == _hash(new):
        return
    if isinstance(old, Branch) and isinstance(new, Branch):
        added[felt_bytes(new.hash)] = _encode(new)
        dropped.add(felt_bytes(old.hash))
        _compare(old.left, new.left, added, dropped)
        _compare(old.right, new.right, added, dropped)
        return
    dropped.update(felt_bytes(node.hash) for node in _walk(old))
    added.update((felt_bytes(node.hash), _encode(node)) for node in _walk(new))


def _encode(node: Node) -> bytes:
    if isinstance(node, Leaf):
        return pack([0, felt_bytes(node.key), felt_bytes(node.value)])
    return pack([1, felt_bytes(_hash(node.left)), felt_bytes(_hash(node.right))])


def _load(name: Felt, nodes: Mapping[bytes, bytes]) -> Node | None:
    if name == ABSENT:
        return None
    stored = nodes.get(felt_bytes(name))
    if stored is None:
        raise Malformed("a node of the consent map is missing: rebuild it from its directives")
    kind, first, second = want_array(unpack(stored), 3)
    one, two = felt_of(want_bytes(first, 32)), felt_of(want_bytes(second, 32))
    return Leaf(name, one, two) if kind == 0 else Branch(name, _load(one, nodes), _load(two, nodes))
