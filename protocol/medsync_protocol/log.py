"""The log: a Poseidon Merkle mountain range over operations, with append and inclusion proofs (STARKNET §2).

What a leaf says and in which order leaves come is the checkpoint's business; where nodes are stored, the
store's. The Cairo twin is `contracts/src/log.cairo`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from medsync_protocol.errors import Malformed
from medsync_protocol.poseidon import Felt, felt_bytes, pair, split_digest, tagged_hash, want_felts
from medsync_protocol.refusal import AnchorRefusal, Reason, require

MAX_LOG_SIZE = 1 << 32  # leaves; the contract's bound
_NODE = 32  # bytes a stored node takes


def operation_leaf(op_id: bytes, verdict: int) -> Felt:
    """The log's leaf for one operation: its id and its verdict's number (PROTOCOL §5)."""
    return tagged_hash("MEDSYNC_LOG_OP_1", [*split_digest(op_id), verdict])


def log_root(size: int, peaks: Sequence[int]) -> Felt:
    """The root of a log of `size` leaves with these peaks, highest (leftmost) first."""
    return tagged_hash("MEDSYNC_LOG_1", [size, *peaks])


EMPTY_LOG_ROOT = log_root(0, ())


class Log:
    """A growing log. Nodes lie in the order in which they come to be, so that storage only ever appends."""

    def __init__(self, nodes: bytes = b"") -> None:
        """Restore from stored nodes (what every `append` returned, concatenated). Raises Malformed."""
        self._size = _size_of(len(nodes))
        self._nodes = bytearray(nodes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def nodes(self) -> bytes:
        """All nodes, 32 bytes each, in storage order."""
        return bytes(self._nodes)

    def append(self, leaves: Iterable[int]) -> bytes:
        """Add the leaves in order; returns the nodes that came to be, to be stored after those before."""
        start = len(self._nodes)
        for leaf in leaves:
            if self._size >= MAX_LOG_SIZE:
                raise Malformed("the log is full")
            self._nodes += felt_bytes(leaf)
            node, left = leaf, self._size
            height = 0
            while left >> height & 1:
                node = pair(self._node(height, (left >> height) - 1), node)
                self._nodes += felt_bytes(node)
                height += 1
            self._size += 1
        return bytes(self._nodes[start:])

    def truncate(self, size: int) -> None:
        """Forget all leaves from `size` on: a candidate that was not accepted."""
        self._want_size(size)
        del self._nodes[_node_count(size) * _NODE :]
        self._size = size

    def leaf(self, index: int) -> Felt:
        """The leaf at `index`."""
        self._want_size(index + 1)
        return self._node(0, index)

    def peaks(self, size: int | None = None) -> list[Felt]:
        """Peaks of the first `size` leaves (all by default), highest first."""
        size = self._size if size is None else size
        self._want_size(size)
        return [self._node(height, at >> height) for at, height in _aligned(0, size)]

    def root(self, size: int | None = None) -> Felt:
        """Root of the first `size` leaves (all by default)."""
        size = self._size if size is None else size
        return log_root(size, self.peaks(size))

    def append_proof(self, old: int, new: int | None = None) -> list[Felt]:
        """Nodes that `extend` needs to get from the peaks at `old` to those at `new` leaves."""
        new = self._size if new is None else new
        self._want_size(new)
        return [self._node(height, at >> height) for at, height in _aligned(old, new)]

    def path(self, index: int, size: int | None = None) -> list[Felt]:
        """Siblings of the leaf at `index` up to its peak, lowest first, in the log of `size` leaves."""
        size = self._size if size is None else size
        self._want_size(size)
        _, height = _mountain_of(index, size)
        return [self._node(level, (index >> level) ^ 1) for level in range(height)]

    def _want_size(self, size: int) -> None:
        if not 0 <= size <= self._size:
            raise Malformed(f"the log has {self._size} leaves, not {size}")

    def _node(self, height: int, index: int) -> Felt:
        last = ((index + 1) << height) - 1  # its node comes with this leaf, after those below it
        at = (_node_count(last) + height) * _NODE
        return Felt(int.from_bytes(self._nodes[at : at + _NODE], "big"))


def grow(size: int, peaks: Sequence[int], leaves: Iterable[int]) -> tuple[bytes, list[Felt]]:
    """(nodes that come to be, in storage order; new peaks) when leaves are added to a log known by its peaks alone."""
    nodes = bytearray()
    held = [Felt(peak) for peak in peaks]
    for leaf in leaves:
        if size >= MAX_LOG_SIZE:
            raise Malformed("the log is full")
        node = Felt(leaf)
        nodes += felt_bytes(node)
        left = size
        while left & 1:
            node = pair(held.pop(), node)
            nodes += felt_bytes(node)
            left >>= 1
        held.append(node)
        size += 1
    return bytes(nodes), held


def grown_proof(old: int, new: int, nodes: bytes) -> list[Felt]:
    """The append proof from `old` to `new` leaves, out of the nodes that `grow` gave."""
    start = _node_count(old)

    def node(height: int, index: int) -> Felt:
        at = (_node_count(((index + 1) << height) - 1) + height - start) * _NODE
        return Felt(int.from_bytes(nodes[at : at + _NODE], "big"))

    return [node(height, at >> height) for at, height in _aligned(old, new)]


def extend(old_size: int, old_peaks: Sequence[int], new_size: int, nodes: Sequence[int]) -> list[Felt]:
    """Peaks at `new_size` from those at `old_size` and an append proof. Raises AnchorRefusal, Malformed.

    The caller must know `old_peaks` to hash to the old root, and compares the answer's root with the new one.
    Walks the old size's bits from the lowest, carrying the node under construction (STARKNET §2).
    """
    require(new_size > old_size, Reason.LOG_NOT_LARGER)
    require(new_size <= MAX_LOG_SIZE, Reason.LOG_TOO_LARGE)
    want_felts((*old_peaks, *nodes))
    peaks, proof = [Felt(peak) for peak in old_peaks], iter(nodes)
    carry: Felt | None = None
    at, width, bits = old_size, 1, old_size
    while bits or carry is not None:
        if bits & 1 and carry is not None:
            carry = pair(_last_peak(peaks), carry)
        elif bits & 1 or carry is not None:
            if at + width > new_size:
                break
            right = _next_node(proof)
            carry = pair(_last_peak(peaks) if carry is None else carry, right)
            at += width
        bits >>= 1
        width <<= 1
    rest = [Felt(node) for node in proof]
    require((new_size - at).bit_count() == len(rest), Reason.BAD_APPEND_PROOF)
    return [*peaks, *([] if carry is None else [carry]), *rest]


def verify_append(
    old_size: int, old_root: int, old_peaks: Sequence[int], new_size: int, new_root: int, nodes: Sequence[int]
) -> None:
    """Raises AnchorRefusal (Malformed for non-felts) unless `new_root` is the log under `old_root` with leaves added."""
    want_felts(old_peaks)
    require(log_root(old_size, old_peaks) == old_root, Reason.BAD_PEAKS)
    extended = extend(old_size, old_peaks, new_size, nodes)
    require(log_root(new_size, extended) == new_root, Reason.BAD_APPEND_PROOF)


def verify_entry(
    root: int, size: int, index: int, leaf: int, peaks: Sequence[int], siblings: Sequence[int]
) -> None:
    """Raises AnchorRefusal, or Malformed, unless `leaf` is at `index` of the log of `size` leaves under `root`."""
    want_felts((leaf, *peaks, *siblings))
    require(log_root(size, peaks) == root, Reason.BAD_PEAKS)
    require(0 <= index < size, Reason.BAD_PATH)
    _, height = _mountain_of(index, size)
    require(len(siblings) == height, Reason.BAD_PATH)
    node = Felt(leaf)
    for level, sibling in enumerate(siblings):
        node = pair(sibling, node) if index >> level & 1 else pair(node, sibling)
    require(node == peaks[(size >> (height + 1)).bit_count()], Reason.NOT_UNDER_ROOT)


def _last_peak(peaks: list[Felt]) -> Felt:
    if not peaks:
        raise AnchorRefusal(Reason.BAD_PEAKS)
    return peaks.pop()


def _next_node(proof: Iterator[int]) -> Felt:
    node = next(proof, None)
    if node is None:
        raise AnchorRefusal(Reason.BAD_APPEND_PROOF)
    return Felt(node)


def _aligned(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest aligned subtrees that cover start…end, left to right, as (first leaf, height)."""
    while start < end:
        height = (end - start).bit_length() - 1
        if start:
            height = min(height, (start & -start).bit_length() - 1)
        yield start, height
        start += 1 << height


def _mountain_of(index: int, size: int) -> tuple[int, int]:
    """(first leaf, height) of the mountain of a log of `size` leaves that covers `index`."""
    for at, height in _aligned(0, size):
        if at <= index < at + (1 << height):
            return at, height
    raise Malformed(f"no leaf {index} in a log of {size}")


def _node_count(size: int) -> int:
    return 2 * size - size.bit_count()


def _size_of(stored: int) -> int:
    """Leaves in a log whose nodes take `stored` bytes. Raises Malformed when no log takes that."""
    count, odd = divmod(stored, _NODE)
    size = (count + 1) // 2
    while _node_count(size) < count:
        size += 1
    if odd or _node_count(size) != count:
        raise Malformed("stored log nodes are torn: no log has that many")
    return size
