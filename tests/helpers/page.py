"""Reading a report page back: is it well-formed, what do its tables say, what would it load?"""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "base"}


class Page(HTMLParser):
    """Collects elements, attributes and table cells; raises ValueError where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.texts: list[tuple[str, str]] = []
        self._table = ""
        self._titles: dict[str, str] = {}
        self._cell: list[str] | None = None
        self.feed(html)
        self.close()
        if self.open:
            raise ValueError(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if len(found) != len(attrs):
            raise ValueError(f"attribute given twice: {tag} {attrs}")
        self.elements.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if found.get("class") == "scroll":
            self._table = found["aria-labelledby"].removeprefix("table-")
            self.tables[self._table] = []
        if tag == "tr" and self._table:
            self.tables[self._table].append([])
        if tag in ("td", "th") and self._table:
            self._cell = []

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            raise ValueError(f"</{tag}> closes {self.open[-3:]} at {self.getpos()}")
        self.open.pop()
        if tag in ("td", "th") and self._cell is not None:
            self.tables[self._table][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None
        if tag == "table":
            self._table = ""

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
        if self.open:
            self.texts.append((self.open[-1], data))

    @property
    def text(self) -> str:
        """Everything that a reader sees, whitespace collapsed."""
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("style", "script")).split())

    @property
    def loads(self) -> list[str]:
        """Every address that the page would fetch or link to, but its own anchors and data URIs."""
        keys = ("src", "href", "srcset", "action", "data", "poster", "xlink:href", "background")
        found = [attrs[key] for _, attrs in self.elements for key in keys if key in attrs]
        found += [match for tag, text in self.texts if tag == "style" for match in _css_loads(text)]
        found += [match for _, attrs in self.elements for match in _css_loads(attrs.get("style", ""))]
        return [item for item in found if not item.startswith(("#", "data:image/png;base64,"))]


def _css_loads(css: str) -> list[str]:
    return re.findall(r"url\(([^)]*)\)|@import\s+([^;]+)", css) and re.findall(
        r"(?:url\(|@import)\s*([^);]*)", css
    )
