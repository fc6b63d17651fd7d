"""`extends`: specs over base specs, merged key by key, each value keeping its own place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench_core.spec.compose import compose
from bench_core.spec.diagnostics import Diagnostic, Place, SpecError, UnreadableSpecError, diagnose
from bench_core.spec.interpolate import interpolate
from bench_core.spec.nodes import Loc, Node, mapping_node
from bench_core.spec.reader import read_text

EXTENDS = "extends"
FORMS: Mapping[Loc, tuple[str, str]] = {
    ("protocol", "optimizer"): ("name", "adamw"),
    ("protocol", "schedule"): ("name", "rex"),
    ("protocol", "checkpoint"): ("choose", "best"),
}
"""Sections of several forms: the key that tells them apart, and the usual form."""


def read_layers(path: Path, report: list[Diagnostic], environment: dict[str, str]) -> Node:
    """Return the spec at `path` merged over the specs that it extends, without the key `extends`.

    Raises UnreadableSpecError if `path` itself cannot be read, SpecError where a layer has no structure.
    """
    return _read(path, str(path), report, environment, ())


def merge(base: Node, over: Node, loc: Loc = ()) -> Node:
    """Return `over` laid over `base`: mappings key by key, everything else (lists too) replaced.

    A section that names another form (another optimizer, say) is replaced as a whole, since the settings of
    the one mean nothing to the other.
    """
    if loc in FORMS:
        key, usual = FORMS[loc]
        base, over = _written_out(base, key), _written_out(over, key)
        if _form(over, key, _form(base, key, usual)) != _form(base, key, usual):
            return over
    if base.mapping is None or over.mapping is None:
        return over
    entries, keys = dict(base.mapping), dict(base.keys)
    for key, node in over.mapping.items():
        entries[key] = merge(entries[key], node, (*loc, key)) if key in entries else node
        keys[key] = over.keys[key]
    return mapping_node(entries, keys, over.place)


def _form(node: Node, key: str, usual: object) -> object:
    named = node.child(key)
    return usual if named is None else named.value


def _written_out(node: Node, key: str) -> Node:
    """Return a bare word as the form that it is short for."""
    if not isinstance(node.value, str):
        return node
    return mapping_node({key: node}, {key: node.place}, node.place)


def _read(
    path: Path, name: str, report: list[Diagnostic], environment: dict[str, str], chain: tuple[Path, ...]
) -> Node:
    root = compose(read_text(path, name), name, report)
    if root.mapping is None:
        kind = "a list" if root.items is not None else "a single value"
        raise SpecError(
            [
                *report,
                diagnose(
                    root.place,
                    "documents",
                    f"a spec is a mapping, this file holds {kind}",
                    cause="a spec starts with keys such as `version: 1`",
                    fix="write `key: value` lines, or correct the path",
                ),
            ]
        )
    if EXTENDS not in root.mapping:
        return root
    own = mapping_node(
        {key: node for key, node in root.mapping.items() if key != EXTENDS},
        {key: place for key, place in root.keys.items() if key != EXTENDS},
        root.place,
    )
    merged: Node | None = None
    for target in _targets(root.mapping[EXTENDS], report, environment):
        base = _base(path, name, target, report, environment, (*chain, path.resolve()))
        if base is not None:
            merged = base if merged is None else merge(merged, base)
    return own if merged is None else merge(merged, own)


def _targets(node: Node, report: list[Diagnostic], environment: dict[str, str]) -> list[Node]:
    node = interpolate(node, environment, report)
    targets = list(node.items) if node.items is not None else [node]
    good = [item for item in targets if isinstance(item.value, str) and item.value]
    for item in targets:
        if item not in good:
            report.append(
                diagnose(
                    item.place,
                    "extends",
                    "`extends` takes a path or a list of paths",
                    cause="it names specs that this one is laid over",
                    fix="write `extends: base.yaml`",
                )
            )
    return good


def _base(
    path: Path,
    name: str,
    target: Node,
    report: list[Diagnostic],
    environment: dict[str, str],
    chain: tuple[Path, ...],
) -> Node | None:
    base = path.parent / str(target.value)
    resolved = base.resolve()
    if resolved in chain:
        names = " -> ".join(item.name for item in (*chain[chain.index(resolved) :], resolved))
        report.append(
            diagnose(
                target.place,
                "extends",
                "`extends` runs in a circle",
                cause=names,
                fix="remove one link of the circle",
            )
        )
        return None
    base_name = os.path.normpath(Path(name).parent / str(target.value))
    try:
        return _read(base, base_name, report, environment, chain)
    except UnreadableSpecError as error:
        report.append(_unreadable(target.place, base_name, error))
        return None


def _unreadable(place: Place, base_name: str, error: UnreadableSpecError) -> Diagnostic:
    return diagnose(
        place,
        "extends",
        f"cannot read the base spec {base_name}: {error.message}",
        cause="`extends` is relative to the file that holds it",
        fix=error.fix or "correct the path",
    )
