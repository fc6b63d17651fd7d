"""A file server in memory: what is there, and what was there a moment ago."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NoReturn

TICK_SECONDS = 0.001
"""What an operation takes."""


def fail(number: int, name: str) -> NoReturn:
    raise OSError(number, os.strerror(number), name)


@dataclass(eq=False)
class Node:
    """A file or folder, known by itself and not by its name."""

    number: int
    folder: bool
    entries: dict[str, list[tuple[float, Node | None]]] = field(default_factory=dict)
    """Of a folder: for each name what it meant, and since when."""
    contents: list[tuple[float, bytes]] = field(default_factory=list)
    names: int = 0
    """How many names it has."""
    gone: bool = False
    parent: tuple[Node, str] | None = None
    """Where a folder lies."""
    shown: float = 0.0
    """When it got its first name that others look up: nobody remembers it from before."""

    def entry(self, name: str, time: float) -> Node | None:
        """Return what a name meant at a time."""
        for since, node in reversed(self.entries.get(name, ())):
            if since <= time:
                return node
        return None

    def listed(self, time: float) -> dict[str, Node]:
        """Return what the folder held at a time."""
        found = {name: self.entry(name, time) for name in self.entries}
        return {name: node for name, node in found.items() if node is not None}

    def content(self, time: float) -> bytes:
        """Return what the file held at a time."""
        for since, content in reversed(self.contents):
            if since <= time:
                return content
        # Nobody remembers a file from before it had any content.
        return self.contents[0][1] if self.contents else b""


@dataclass(frozen=True)
class Change:
    """A change that is about to be made to an entry of a folder or, without a name, to a file."""

    what: str
    node: Node
    name: str = ""
    old: Node | None = None
    new: Node | None = None
    content: bytes = b""


class Server:
    """Does each operation at once and for all, on folders that it is handed, whatever they are called."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = 0
        self.root = self.new(folder=True)
        self.before: Callable[[Change], None] = lambda change: None
        """Hears of each change."""

    def new(self, *, folder: bool) -> Node:
        """Return a node without a name."""
        self._numbers += 1
        return Node(self._numbers, folder)

    def at(self, path: str) -> Node | None:
        """Return what lies at a path."""
        node: Node | None = self.root
        for name in path.strip("/").split("/"):
            node = node.entry(name, self.now) if node is not None and name else node
        return node

    def make(self, folder: Node, name: str) -> Node:
        """Create a folder."""
        if folder.entry(name, self.now) is not None:
            fail(errno.EEXIST, name)
        return self._put("make", folder, name, self.new(folder=True))

    def create(self, folder: Node, name: str) -> Node:
        """Create a file, or empty the one that is there."""
        found = folder.entry(name, self.now)
        if found is None:
            return self._put("create", folder, name, self.new(folder=False))
        if found.folder:
            fail(errno.EISDIR, name)
        self.write(found, b"")
        return found

    def write(self, file: Node, content: bytes) -> None:
        """Write over the beginning of a file."""
        self.before(Change("write", file, content=content))
        old = file.content(self.now)
        file.contents.append((self.now, content + (old[len(content) :] if content else b"")))

    def link(self, file: Node, folder: Node, name: str) -> None:
        """Give a file another name."""
        if folder.entry(name, self.now) is not None:
            fail(errno.EEXIST, name)
        self._put("link", folder, name, file)

    def unlink(self, folder: Node, name: str) -> None:
        """Remove a file's name."""
        found = folder.entry(name, self.now)
        if found is None:
            fail(errno.ENOENT, name)
        if found.folder:
            fail(errno.EISDIR, name)
        self._take("unlink", folder, name)

    def rmdir(self, folder: Node, name: str) -> None:
        """Remove an empty folder."""
        found = folder.entry(name, self.now)
        if found is None:
            fail(errno.ENOENT, name)
        if not found.folder:
            fail(errno.ENOTDIR, name)
        if found.listed(self.now):
            fail(errno.ENOTEMPTY, name)
        self._take("rmdir", folder, name)

    def rename(self, source: Node, name: str, target: Node, new: str) -> None:
        """Move an entry; over an empty folder or a file of its own kind, too."""
        moving, there = source.entry(name, self.now), target.entry(new, self.now)
        if moving is None:
            fail(errno.ENOENT, name)
        if there is moving:
            return
        if there is not None:
            if moving.folder and not there.folder:
                fail(errno.ENOTDIR, new)
            if there.folder and not moving.folder:
                fail(errno.EISDIR, new)
            if there.folder and there.listed(self.now):
                fail(errno.ENOTEMPTY, new)
        self.before(Change("rename from", source, name, moving, None))
        self.before(Change("rename to", target, new, there, moving))
        if there is not None:
            self._drop(there)
        source.entries[name].append((self.now, None))
        target.entries.setdefault(new, []).append((self.now, moving))
        moving.parent = (target, new)
        if name.startswith("."):
            moving.shown = self.now

    def _put(self, what: str, folder: Node, name: str, node: Node) -> Node:
        self.before(Change(what, folder, name, None, node))
        folder.entries.setdefault(name, []).append((self.now, node))
        node.names += 1
        node.parent = (folder, name)
        return node

    def _take(self, what: str, folder: Node, name: str) -> None:
        found = folder.entry(name, self.now)
        assert found is not None
        self.before(Change(what, folder, name, found, None))
        folder.entries[name].append((self.now, None))
        self._drop(found)

    @staticmethod
    def _drop(node: Node) -> None:
        node.names -= 1
        node.gone = node.names == 0


def way(node: Node) -> Iterator[str]:
    """Yield the names from a node up to the root."""
    while node.parent is not None:
        node, name = node.parent
        yield name
