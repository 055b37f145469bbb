"""Starknet's Patricia tries as values: setting a key gives a new root that shares everything unchanged with the old one.

A node's hash is computed when it is first asked for, so a block's changes are hashed once each. Structure:
Starknet's documentation, "State": binary nodes H(left, right), edges H(child, path) + length, leaves themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from medsync_chain.vm.field import FIELD_PRIME

__all__ = ["Binary", "Edge", "Node", "Trie"]

Hash = Callable[[int, int], int]


class Binary:
    """Two children; below the lowest one they are leaves."""

    __slots__ = ("known", "left", "right")

    def __init__(self, left: Node, right: Node) -> None:
        self.left = left
        self.right = right
        self.known: int | None = None  # its hash


class Edge:
    """A path without branches: `length` bits down to a binary node or a leaf."""

    __slots__ = ("child", "known", "length", "path")

    def __init__(self, length: int, path: int, child: Binary | int) -> None:
        self.length = length
        self.path = path
        self.child = child
        self.known: int | None = None


Node = Binary | Edge | int  # a leaf is its value


@dataclass(frozen=True, slots=True)
class Trie:
    """One version. `height` is the keys' length in bits; a key that is 0 is not there."""

    height: int
    hash: Hash
    top: Node | None = None

    def updated(self, changes: Iterable[tuple[int, int]]) -> Trie:
        """With these keys set."""
        top = self.top
        for key, value in changes:
            top = _set(top, self.height, key, value)
        return Trie(self.height, self.hash, top)

    def get(self, key: int) -> int:
        """The value at a key."""
        node, height = self.top, self.height
        while True:
            match node:
                case None:
                    return 0
                case int():
                    return node
                case Binary():
                    height -= 1
                    node = node.right if key >> height & 1 else node.left
                case Edge():
                    height -= node.length
                    if key >> height & ((1 << node.length) - 1) != node.path:
                        return 0
                    node = node.child

    def path(self, key: int) -> list[Binary | Edge]:
        """The nodes from the root towards a key, as far as they go: a proof that it is there, or is not."""
        found: list[Binary | Edge] = []
        node, height = self.top, self.height
        while isinstance(node, Binary | Edge):
            found.append(node)
            if isinstance(node, Binary):
                height -= 1
                node = node.right if key >> height & 1 else node.left
                continue
            height -= node.length
            if key >> height & ((1 << node.length) - 1) != node.path:
                break
            node = node.child
        return found

    @property
    def root(self) -> int:
        """The root's hash; 0 for an empty trie."""
        return 0 if self.top is None else self.hash_of(self.top)

    def hash_of(self, node: Node) -> int:
        """A node's hash."""
        if isinstance(node, int):
            return node
        if node.known is None:
            if isinstance(node, Binary):
                node.known = self.hash(self.hash_of(node.left), self.hash_of(node.right))
            else:
                node.known = (self.hash(self.hash_of(node.child), node.path) + node.length) % FIELD_PRIME
        return node.known


def _set(node: Node | None, height: int, key: int, value: int) -> Node | None:
    """The node for the low `height` bits of a key, with the key set."""
    if height == 0:
        return value or None
    match node:
        case None:
            return Edge(height, key, value) if value else None
        case Binary():
            return _set_binary(node, height - 1, key, value)
        case Edge():
            return _set_edge(node, height, key, value)
        case int():
            raise AssertionError("a leaf above the lowest level")


def _set_binary(node: Binary, below: int, key: int, value: int) -> Node:
    low = key & ((1 << below) - 1)
    if key >> below:
        left: Node | None = node.left
        right = _set(node.right, below, low, value)
    else:
        left, right = _set(node.left, below, low, value), node.right
    if left is None or right is None:
        remaining = right if left is None else left
        assert remaining is not None, "a binary node has two children, and one key was changed"
        return _edge(1, int(left is None), remaining)
    return Binary(left, right)


def _set_edge(node: Edge, height: int, key: int, value: int) -> Node | None:
    below = height - node.length
    differing = (key >> below) ^ node.path
    if differing == 0:
        child = _set(node.child, below, key & ((1 << below) - 1), value)
        return None if child is None else _edge(node.length, node.path, child)
    if value == 0:
        return node
    level = below + differing.bit_length() - 1  # height of the children where the two part
    rest = level - below
    kept: Node = node.child if rest == 0 else Edge(rest, node.path & ((1 << rest) - 1), node.child)
    new: Node = value if level == 0 else Edge(level, key & ((1 << level) - 1), value)
    branch = Binary(kept, new) if key >> level & 1 else Binary(new, kept)
    common = height - level - 1
    return _edge(common, key >> (level + 1), branch) if common else branch


def _edge(length: int, path: int, child: Node) -> Edge:
    """An edge to a child, merged with the child if that is an edge too."""
    if isinstance(child, Edge):
        return Edge(length + child.length, path << child.length | child.path, child.child)
    return Edge(length, path, child)
