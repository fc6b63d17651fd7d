"""A bare name in `models`, `datasets`, `steps` or `analyses`, or as a step's dataset, means {name: ...}."""

from __future__ import annotations

from bench_core.spec.nodes import Node, list_node, mapping_node

LISTS = ("models", "datasets", "steps", "analyses")


def expand_shorthand(root: Node) -> Node:
    """Return the tree with bare names written out."""
    if root.mapping is None:
        return root
    entries = {
        key: list_node([_entry(key, item) for item in node.items], node.place)
        if key in LISTS and node.items is not None
        else node
        for key, node in root.mapping.items()
    }
    return mapping_node(entries, root.keys, root.place)


def _entry(kind: str, item: Node) -> Node:
    entry = _expand(item)
    dataset = entry.child("dataset") if kind == "steps" else None
    if entry.mapping is None or dataset is None:
        return entry
    return mapping_node({**entry.mapping, "dataset": _expand(dataset)}, entry.keys, entry.place)


def _expand(item: Node) -> Node:
    if not isinstance(item.value, str):
        return item
    return mapping_node({"name": item}, {"name": item.place}, item.place)
