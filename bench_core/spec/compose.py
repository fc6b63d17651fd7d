"""YAML text to nodes: strict where YAML is lax, and bounded in depth, size and aliases."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from bench_core.spec.diagnostics import Diagnostic, Place, SpecError, diagnose
from bench_core.spec.nodes import Node, Scalar, list_node, mapping_node
from bench_core.spec.scalars import resolve
from bench_core.spec.syntax import syntax_error

MOST_VALUES = 100_000
"""Values in a file, aliases expanded; a text counts as one more for each LONG characters."""
LONG = 100
MOST_MISTAKES = 1000
"""Mistakes of structure after which a file is given up: nobody reads more."""
MOST_COMPARED = 1000
"""Anchors among which the nearest one is looked for."""
FEW = 20
"""Unknown anchors for which that is done."""
DEEPEST = 40
"""Levels of nesting."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_MERGE = "<<"


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    place: Place
    is_mapping: bool
    anchor: str | None
    size: int = 1
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    key: str | None = None
    key_place: Place | None = None
    """Set between a key and its value."""
    drop: bool = False
    """The value that follows belongs to a key that was refused."""
    is_merge: bool = False
    """The value that follows is merged in."""


def compose(
    text: str, name: str, report: list[Diagnostic], *, place: Callable[[int, int], Place] | None = None
) -> Node:
    """Return the one document in `text`; mistakes that leave its structure readable go to `report`.

    `place` maps a line and column of the text, from 1, to a place (default: in the file `name`). Raises
    SpecError where there is no structure to work with: syntax, several or no documents, alias bombs.
    """
    locate = place or (lambda line, column: Place(name, line, column))
    return _Composer(text, locate, report).run()


class _Composer:
    def __init__(self, text: str, locate: Callable[[int, int], Place], report: list[Diagnostic]) -> None:
        self.text = text
        self.locate = locate
        self.report = report
        self.open: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.root: Node | None = None
        self.count = 0
        self.compared = 0

    def run(self) -> Node:
        for event in self.events():
            mark = event.start_mark
            place = self.locate(mark.line + 1, mark.column + 1) if mark is not None else self.locate(1, 1)
            if isinstance(event, yaml.DocumentStartEvent):
                if self.root is not None:
                    raise self.stop(
                        place,
                        "documents",
                        "the file holds several YAML documents",
                        "a spec is one document",
                        "put each document into its own file, or remove the `---`",
                    )
            elif isinstance(event, yaml.ScalarEvent):
                self.scalar(event, place)
            elif isinstance(event, yaml.AliasEvent):
                self.alias(str(event.anchor), place)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.begin(event, place)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.end()
        if self.root is None:
            raise self.stop(
                self.locate(1, 1),
                "documents",
                "the file is empty",
                "a spec needs at least version, name, models, datasets and protocol",
                "start from a file in specs/",
            )
        return self.root

    def events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self.text, Loader=_LOADER)
        except yaml.YAMLError as error:
            raise SpecError([*self.report, syntax_error(error, self.text, self.locate)]) from None

    def scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        is_plain = event.style in (None, "") and event.tag is None
        value: Scalar = event.value
        if is_plain or (event.tag is not None and event.tag not in ("!", f"{_CORE}str")):
            try:
                value = resolve(event.value)
            except ValueError as error:
                self.add_error(place, "number", f"{error}, which is too long", fix="shorten it")
                value = 0
        if event.tag is not None:
            self.check_tag(event.tag, value, place)
        size = 1 + len(event.value) // LONG
        self.finish(Node(value, place, plain=is_plain, size=size), event.anchor)

    def check_tag(self, tag: str, value: Scalar, place: Place) -> None:
        kinds: dict[str, tuple[type, ...]] = {
            "null": (type(None),),
            "bool": (bool,),
            "int": (int,),
            "float": (float, int),
        }
        kind = tag.removeprefix(_CORE)
        fits = tag in ("!", f"{_CORE}str") or (
            kind in kinds
            and isinstance(value, kinds[kind])
            and (kind == "bool" or not isinstance(value, bool))
        )
        if not fits:
            self.add_error(
                place,
                "tag",
                f"tag {tag.replace(_CORE, '!!')} is not allowed here",
                cause="tags can name code or disagree with the value",
                fix="remove the tag; quote the value if it is text",
            )

    def alias(self, anchor: str, place: Place) -> None:
        if any(frame.anchor == anchor for frame in self.open):
            raise self.stop(
                place, "alias", f"*{anchor} lies inside of &{anchor}", "the value would contain itself",
                "write the value out",
            )  # fmt: skip
        if anchor not in self.anchors:
            near = self.nearest(anchor)
            self.add_error(
                place,
                "alias",
                f"*{anchor} names no anchor",
                cause="an anchor is defined, as &name, before it is used",
                fix=f"did you mean *{near[0]}?" if near else f"define &{anchor} above, or quote the value",
            )
        target = self.anchors.get(anchor)
        node = target if target is not None else Node(None, place)
        self.finish(node, None, place)

    def begin(self, event: yaml.CollectionStartEvent, place: Place) -> None:
        if len(self.open) >= DEEPEST:
            raise self.stop(
                place, "nesting", f"values are nested more than {DEEPEST} levels deep",
                "no part of a spec is that deep", "flatten it",
            )  # fmt: skip
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", f"{_CORE}map" if is_mapping else f"{_CORE}seq"):
            self.add_error(
                place,
                "tag",
                f"tag {event.tag.replace(_CORE, '!!')} is not allowed here",
                cause="tags can name code",
                fix="remove the tag",
            )
        self.open.append(_Open(place, is_mapping, event.anchor))

    def end(self) -> None:
        frame = self.open.pop()
        if not frame.is_mapping:
            self.finish(list_node(frame.items, frame.place), frame.anchor)
            return
        entries, keys = dict(frame.entries), dict(frame.keys)
        for source in frame.merged:
            for key, node in (source.mapping or {}).items():
                if key not in entries:
                    entries[key], keys[key] = node, source.keys[key]
        self.finish(mapping_node(entries, keys, frame.place), frame.anchor)

    def finish(self, node: Node, anchor: str | None, place: Place | None = None) -> None:
        """Put a complete node where it belongs: the root, a list, a key or a value."""
        self.count += 1
        frame = self.open[-1] if self.open else None
        if frame is not None:
            frame.size += node.size
        if self.count > MOST_VALUES or (frame is not None and frame.size > MOST_VALUES):
            raise self.stop(
                place or node.place,
                "alias" if place else "file-size",
                f"the file holds more than {MOST_VALUES} values" + (", aliases expanded" if place else ""),
                "aliases of aliases multiply" if place else "no spec needs that many",
                "write the values out" if place else "shorten the file",
            )
        if anchor is not None:
            self.anchors[anchor] = node
        if frame is None:
            self.root = node
        elif not frame.is_mapping:
            frame.items.append(node)
        elif frame.key_place is None:
            self.take_key(frame, node, place or node.place)
        else:
            self.take_value(frame, node)

    def take_key(self, frame: _Open, node: Node, place: Place) -> None:
        frame.key_place, frame.drop = place, False
        if not isinstance(node.value, str):
            self.refuse_key(frame, node, place)
        elif node.value == _MERGE and node.plain:
            frame.is_merge = True
        elif node.value in frame.keys:
            self.add_error(
                place,
                "duplicate-key",
                f"key {node.value!r} is given twice",
                cause=f"it is already given at {frame.keys[node.value]}",
                fix="remove one of the two",
            )
            frame.drop = True
        else:
            frame.key = node.value
            frame.keys[node.value] = place

    def refuse_key(self, frame: _Open, node: Node, place: Place) -> None:
        frame.drop = True
        if node.mapping is not None or node.items is not None:
            kind = "a mapping" if node.mapping is not None else "a list"
            fix = "write a word; quote values that start with { or ["
        else:
            kind = "empty" if node.value is None else f"{node.value!r}".lower() + ", which is not text"
            fix = "write a word" if node.value is None else f'quote it: "{node.value!r}":'.lower()
            # The value counts all the same: what it is for is not missing, too.
            key = "null" if node.value is None else f"{node.value!r}".lower()
            if key not in frame.keys:
                frame.key, frame.keys[key], frame.drop = key, place, False
        self.add_error(place, "key-type", f"a key is {kind}", cause="keys are text", fix=fix)

    def take_value(self, frame: _Open, node: Node) -> None:
        key, key_place, is_merge = frame.key, frame.key_place, frame.is_merge
        frame.key, frame.key_place, frame.is_merge = None, None, False
        if frame.drop or key_place is None:
            return
        if key is not None:
            frame.entries[key] = node
        elif is_merge:
            self.merge(frame, node, key_place)

    def merge(self, frame: _Open, node: Node, key_place: Place) -> None:
        sources = node.items if node.items is not None else (node,)
        if any(source.mapping is None for source in sources):
            self.add_error(
                key_place,
                "merge-key",
                "<< takes a mapping or a list of mappings",
                cause="it copies the keys of mappings that stand elsewhere in the file",
                fix="write <<: *name, where &name marks a mapping",
            )
            return
        frame.merged.extend(sources)

    def add_error(
        self, place: Place, check: str, message: str, *, cause: str | None = None, fix: str
    ) -> None:
        self.report.append(diagnose(place, check, message, cause=cause, fix=fix))
        if len(self.report) >= MOST_MISTAKES:
            raise SpecError(self.report)

    def nearest(self, anchor: str) -> list[str]:
        """Return the anchor that looks most like this one; each comparison takes microseconds, so few do."""
        self.compared += 1
        names = islice(self.anchors, MOST_COMPARED) if self.compared <= FEW else ()
        return difflib.get_close_matches(anchor, names, n=1)

    def stop(self, place: Place, check: str, message: str, cause: str, fix: str) -> SpecError:
        return SpecError([*self.report, diagnose(place, check, message, cause=cause, fix=fix)])
