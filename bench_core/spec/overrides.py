"""`--set PATH=VALUE`: values from the command line, laid over the file's."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.spec.compose import DEEPEST, compose
from bench_core.spec.diagnostics import Diagnostic, Place, SpecError, diagnose
from bench_core.spec.nodes import Node, list_node, mapping_node
from bench_core.spec.reader import decode
from bench_core.spec.words import shown

SOURCE = "--set"


def apply_overrides(root: Node, overrides: Sequence[str], report: list[Diagnostic]) -> Node:
    """Return the tree with each `PATH=VALUE` applied in order; the value is read as YAML.

    A path is keys and list indices with dots between them, for example models.0.pretrained.
    """
    for number, text in enumerate(overrides, start=1):
        try:
            root = _apply(root, text, number, report)
        except SpecError as error:
            report.extend(error.diagnostics)
    return root


def _apply(root: Node, text: str, number: int, report: list[Diagnostic]) -> Node:
    start = Place(SOURCE, number, 1)
    path, equals, value = text.partition("=")
    steps = path.strip().split(".")
    if not equals or not all(steps) or len(steps) > DEEPEST:
        raise SpecError(
            [
                diagnose(
                    start,
                    "set",
                    f"{shown(text)} is not PATH=VALUE",
                    cause="a path is keys and list indices with dots between them",
                    fix="write for example --set protocol.batch_size=4",
                )
            ]
        )
    return _set(root, steps, 0, _value(value, len(path) + 1, number, report), start)


def _value(text: str, offset: int, number: int, report: list[Diagnostic]) -> Node:
    def locate(line: int, column: int) -> Place:
        return Place(SOURCE, number, column + offset if line == 1 else column)

    clean = decode(text.encode("utf-8", "surrogateescape"), SOURCE)
    if not clean.strip():
        return Node(None, locate(1, 1), plain=True)
    return compose(clean, SOURCE, report, place=locate)


def _set(node: Node, steps: Sequence[str], depth: int, value: Node, place: Place) -> Node:
    if depth == len(steps):
        return value
    step = steps[depth]
    if node.items is not None:
        index = _index(node, steps, depth, place)
        changed = _set(node.items[index], steps, depth + 1, value, place)
        return list_node([*node.items[:index], changed, *node.items[index + 1 :]], node.place)
    if node.mapping is None and node.value is not None:
        holder, rest = ".".join(steps[:depth]), ".".join(steps[depth:])
        raise SpecError(
            [
                diagnose(
                    place,
                    "set",
                    f"{holder} is {node.value!r}, which has no {rest!r} inside",
                    cause="only mappings and lists have something inside",
                    fix=f"replace it as a whole: --set '{holder}={{{step}: ...}}'",
                )
            ]
        )
    entries = dict(node.mapping or {})
    below = entries.get(step, Node(None, place))
    entries[step] = _set(below, steps, depth + 1, value, place)
    return mapping_node(entries, {**node.keys, step: place}, node.place)


def _index(node: Node, steps: Sequence[str], depth: int, place: Place) -> int:
    items, step = node.items or (), steps[depth]
    if step.isascii() and step.isdigit() and len(step) < 9 and int(step) < len(items):
        return int(step)
    holder = ".".join(steps[:depth])
    last = len(items) - 1
    raise SpecError(
        [
            diagnose(
                place,
                "set",
                f"{holder} has no entry {step!r}",
                cause=f"it is a list of {len(items)}" + (f", numbered 0 to {last}" if items else ""),
                fix=f"write {holder}.{last}, or replace the list as a whole" if items else "replace the list",
            )
        ]
    )
