"""YAML as plain values that know where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench_core.spec.diagnostics import Place

Loc = tuple[str | int, ...]
"""The way from the root to a value: keys and list indices."""
Scalar = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list of nodes or a mapping from text to nodes, with the place of each key and value."""

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)
    """Where each key of a mapping stands."""
    plain: bool = False
    """A scalar without quotes: what it holds after interpolation may be a number."""
    size: int = 1
    """Values in this node, aliases expanded."""

    @property
    def mapping(self) -> Mapping[str, Node] | None:
        """The mapping's nodes, or None for another kind of node."""
        return self.value if isinstance(self.value, Mapping) else None

    @property
    def items(self) -> tuple[Node, ...] | None:
        """The list's nodes, or None for another kind of node."""
        return self.value if isinstance(self.value, tuple) else None

    def child(self, step: str | int) -> Node | None:
        """Return the node one step down, or None."""
        if isinstance(self.value, Mapping):
            return self.value.get(step) if isinstance(step, str) else None
        if isinstance(self.value, tuple) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]
        return None


def mapping_node(entries: Mapping[str, Node], keys: Mapping[str, Place], place: Place) -> Node:
    """Return a mapping node; `keys` says where each key stands."""
    return Node(entries, place, keys, size=1 + sum(node.size for node in entries.values()))


def list_node(items: Sequence[Node], place: Place) -> Node:
    """Return a list node."""
    return Node(tuple(items), place, size=1 + sum(node.size for node in items))


def plain(node: Node) -> Any:
    """Return the node's value as dicts, lists and scalars."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return node.value


def place_of(node: Node, loc: Loc, *, key: bool = False) -> Place:
    """Return the place of the value at `loc` (or of its key), or of the nearest value above it."""
    place = node.place
    for depth, step in enumerate(loc):
        below = node.child(step)
        if below is None:
            break
        wants_key = key and depth == len(loc) - 1 and isinstance(step, str)
        # A block mapping starts where its first key does, so the key that holds it says more.
        holder = isinstance(below.value, Mapping) and isinstance(step, str)
        place = node.keys[str(step)] if wants_key or holder else below.place
        node = below
    return place


def scalars(node: Node, loc: Loc = ()) -> Iterator[tuple[Loc, Node]]:
    """Yield every scalar under a node with the way to it."""
    if isinstance(node.value, Mapping):
        for key, child in node.value.items():
            yield from scalars(child, (*loc, key))
    elif isinstance(node.value, tuple):
        for index, child in enumerate(node.value):
            yield from scalars(child, (*loc, index))
    else:
        yield loc, node


def dotted(loc: Loc) -> str:
    """Return a way as --set takes it, for example models.0.pretrained."""
    return ".".join(str(step) for step in loc)
