"""`extends`: specs over base specs, merged key by key, each value keeping its own place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench_core.spec.compose import MOST_VALUES, compose
from bench_core.spec.diagnostics import Diagnostic, Place, SpecError, UnreadableSpecError, diagnose
from bench_core.spec.interpolate import Filling
from bench_core.spec.nodes import Loc, Node, mapping_node
from bench_core.spec.reader import read_text

EXTENDS = "extends"
LONGEST_CHAIN = 40
"""Specs of which each extends the next."""
MOST_MERGED = 10 * MOST_VALUES
"""Values of all base specs, each counted as often as it is merged."""
FORMS: Mapping[Loc, tuple[str, str]] = {
    ("protocol", "optimizer"): ("name", "adamw"),
    ("protocol", "schedule"): ("name", "rex"),
    ("protocol", "checkpoint"): ("choose", "best"),
}
"""Sections of several forms: the key that tells them apart, and the usual form."""


def read_layers(path: Path, report: list[Diagnostic], environment: dict[str, str]) -> Node:
    """Return the spec at `path` merged over the specs that it extends, without the key `extends`.

    Each file is read once, however many extend it. Raises UnreadableSpecError if `path` itself cannot be
    read, SpecError where a layer has no structure, or where chains or values are beyond reason.
    """
    return _Layers(report, Filling(environment, report)).read(path, str(path), ())


def merge(base: Node, over: Node, loc: Loc = ()) -> Node:
    """Return `over` laid over `base`: mappings key by key, everything else (lists too) replaced.

    A section that names another form (another optimizer, say) is replaced as a whole, since the settings of
    the one mean nothing to the other; so is a pool, since each key of one narrows it.
    """
    if len(loc) == 2 and loc[0] == "pools":
        return over
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


@dataclass
class _Layers:
    report: list[Diagnostic]
    filling: Filling
    complete: dict[Path, Node] = field(default_factory=dict)
    """Files with all that they extend."""
    merged: int = 0

    def read(self, path: Path, name: str, chain: tuple[Path, ...]) -> Node:
        root = compose(read_text(path, name), name, self.report)
        if root.mapping is None:
            raise SpecError([*self.report, _not_a_mapping(root)])
        if EXTENDS not in root.mapping:
            return root
        own = mapping_node(
            {key: node for key, node in root.mapping.items() if key != EXTENDS},
            {key: place for key, place in root.keys.items() if key != EXTENDS},
            root.place,
        )
        result: Node | None = None
        chain = (*chain, _real(path))
        for target in self.targets(root.mapping[EXTENDS]):
            base = self.base(path, name, target, chain)
            if base is None:
                continue
            self.merged += base.size
            if self.merged > MOST_MERGED:
                raise self.stop(
                    target.place,
                    f"the base specs hold more than {MOST_MERGED:,} values together",
                    "each is counted as often as it is extended",
                    "extend fewer files",
                )
            result = base if result is None else merge(result, base)
        return own if result is None else merge(result, own)

    def targets(self, node: Node) -> Sequence[Node]:
        node = self.filling.fill(node)
        targets = list(node.items) if node.items is not None else [node]
        good = [item for item in targets if isinstance(item.value, str) and item.value]
        for item in targets:
            if not isinstance(item.value, str) or not item.value:
                self.add(
                    item.place,
                    "`extends` takes a path or a list of paths",
                    "it names specs that this one is laid over",
                    "write `extends: base.yaml`",
                )
        return good

    def base(self, path: Path, name: str, target: Node, chain: tuple[Path, ...]) -> Node | None:
        base = path.parent / str(target.value)
        real = _real(base)
        if real in self.complete:
            return self.complete[real]
        if real in chain:
            circle = " -> ".join(item.name for item in (*chain[chain.index(real) :], real))
            self.add(target.place, "`extends` runs in a circle", circle, "remove one link of the circle")
            return None
        if len(chain) >= LONGEST_CHAIN:
            raise self.stop(
                target.place,
                f"more than {LONGEST_CHAIN} specs extend each other in a row",
                f"{name} is extended by {chain[-2].name}, and so on up to {chain[0].name}",
                "merge some of them",
            )
        base_name = os.path.normpath(Path(name).parent / str(target.value))
        try:
            self.complete[real] = self.read(base, base_name, chain)
        except UnreadableSpecError as error:
            self.add(
                target.place,
                f"cannot read the base spec {base_name}: {error.message}",
                error.cause or "`extends` is relative to the file that holds it",
                error.fix or "correct the path",
            )
            return None
        return self.complete[real]

    def add(self, place: Place, message: str, cause: str, fix: str) -> None:
        self.report.append(diagnose(place, EXTENDS, message, cause=cause, fix=fix))

    def stop(self, place: Place, message: str, cause: str, fix: str) -> SpecError:
        return SpecError([*self.report, diagnose(place, EXTENDS, message, cause=cause, fix=fix)])


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # A NUL: reading it says so.
        return path


def _not_a_mapping(root: Node) -> Diagnostic:
    kind = "a list" if root.items is not None else "a single value"
    return diagnose(
        root.place,
        "documents",
        f"a spec is a mapping, this file holds {kind}",
        cause="a spec starts with keys such as `version: 1`",
        fix="write `key: value` lines, or correct the path",
    )
