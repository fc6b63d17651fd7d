"""What a report's section is made of: a plugin's analysis returns the same pieces as the first-party ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from bench_core.report.tables import Table


@dataclass(frozen=True)
class Prose:
    """Paragraphs of plain text."""

    paragraphs: tuple[str, ...]
    strong: bool = False
    """The finding itself, set larger."""


@dataclass(frozen=True)
class Callout:
    """Something that a reader must not miss."""

    kind: Literal["warning", "note", "good"]
    text: str
    items: tuple[str, ...] = ()
    code: str = ""
    """A command that helps."""


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a series' swatch and its name."""

    label: str
    svg: str


@dataclass(frozen=True)
class Panel:
    """One chart of a figure."""

    title: str
    svg: str
    """Markup from bench_core.report.svg: it escapes what it prints."""


@dataclass(frozen=True)
class Figure:
    """Charts side by side (below each other where the screen is narrow) with one legend and caption."""

    panels: tuple[Panel, ...]
    keys: tuple[Key, ...] = ()
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """An image as a data URI."""

    label: str
    source: str
    alt: str


@dataclass(frozen=True)
class Example:
    """One case: its pictures side by side and what they are."""

    title: str
    detail: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Gallery:
    """Examples of one row, for example of one model."""

    title: str
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class View:
    """What is drawn over an image: its label, and data URIs of two transparent layers."""

    label: str
    detail: str
    alt: str
    fill: str = ""
    """Empty: the image alone."""
    outline: str = ""
    facets: Mapping[str, str] = field(default_factory=dict)
    """What the view is one of, by the Comparison's filters; those that it lacks do not choose it."""


@dataclass(frozen=True)
class Compared:
    """One image, again and again, under the views of truth and models."""

    key: str
    """By which an Explorer knows the image; empty where it does not."""
    title: str
    detail: str
    photo: str
    """A data URI."""
    width: int
    height: int
    views: tuple[View, ...]
    facets: Mapping[str, str] = field(default_factory=dict)
    """As of a view."""


@dataclass(frozen=True)
class Comparison:
    """Images under the same views; the reader switches between fill and outlines, and makes them larger."""

    name: str
    """Unique in the page."""
    rows: tuple[Compared, ...]
    keys: tuple[tuple[str, str], ...]
    """The legend: an SVG swatch and its name."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Facets that the reader chooses by, in order, and what is shown without a script; empty: all."""
    layers: tuple[str, str, str] = ("error map", "outlines", "nothing")
    """What the choices of what lies over the image are called."""
    together: bool = False
    """Whether outlines lie over the fill, too."""


@dataclass(frozen=True)
class Explorer:
    """The tools that look at single images, made by the page's script; at most one in a page."""

    data: Mapping[str, Any]
    """Plain JSON data, as templates/js/explorer.js reads it; numbers are rounded to what is shown."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """PNG and JPEG files that the data name: part of the page, or beside it."""
    instead: str = ""
    """What is read where there is no script."""


@dataclass(frozen=True)
class Swatch:
    """A class's color and pattern in pictures."""

    label: str
    source: str


@dataclass(frozen=True)
class Swatches:
    """The legend of pictures."""

    items: tuple[Swatch, ...]
    caption: str = ""


@dataclass(frozen=True)
class Facts:
    """Terms and values; a flagged value differs where it should not."""

    rows: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class Code:
    """Text to be copied."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks behind a heading that can be opened."""

    title: str
    blocks: tuple[Block, ...]
    open: bool = False


@dataclass(frozen=True)
class Choice:
    """Blocks of which the reader sees one at a time, the first to begin with."""

    name: str
    """Unique in the page."""
    label: str
    options: tuple[tuple[str, tuple[Block, ...]], ...]


Block: TypeAlias = (
    Prose
    | Callout
    | Table
    | Figure
    | Gallery
    | Comparison
    | Explorer
    | Swatches
    | Facts
    | Code
    | Details
    | Choice
)


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    name: str
    """The analysis's name; its anchor in the page."""
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""
    """One sentence that says how to read it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON data that `bench report --json` says of it; numbers at full precision."""


def tables_of(blocks: tuple[Block, ...]) -> tuple[Table, ...]:
    """Return all tables in order, those inside other blocks included."""
    found: list[Table] = []
    for block in blocks:
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Details):
            found.extend(tables_of(block.blocks))
        elif isinstance(block, Choice):
            for _, inner in block.options:
                found.extend(tables_of(inner))
    return tuple(found)
