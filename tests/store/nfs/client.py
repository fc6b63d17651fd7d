"""What a machine sees of the server: by what it remembers, which may be a minute old, and with lost answers.

A name is looked up in memory: as far as `stale`, the answer is the oldest that is still allowed. A folder
that is opened is asked anew (close-to-open), unless `weak`; an operation of the machine's own shows it the
folder as it is from then on. What is done is done on the server, to the folder that was found: if it has
another name by now, there, and if it is gone, not at all (ESTALE).
"""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from bench_core.files.system import FileSystem, Kind, Name
from tests.store.nfs.server import TICK_SECONDS, Node, Server, fail

REMEMBERED_SECONDS = 60.0
CHANGES = ("make", "create", "overwrite", "write", "link", "rename", "unlink", "rmdir")
GROWS = ("make", "create", "write", "link", "rename")
"""What a full disk refuses."""
READS = ("open", "names", "kind", "read", "changed")
LOST = {"make": errno.EEXIST, "create": 0, "write": 0, "link": errno.EEXIST, "rename": errno.ENOENT,
        "unlink": errno.ENOENT, "rmdir": errno.ENOENT}  # fmt: skip
"""What the second try of an operation says whose first answer was lost; 0: what the first one said."""


def possible(what: str) -> tuple[str, ...]:
    """Return the faults that an operation can have."""
    faults: tuple[str, ...] = ("crash before",)
    if what in CHANGES:
        faults += ("crash after", "done, answer lost", "done, EIO", "EIO")
    if what in GROWS:
        faults += ("EDQUOT",)
    if what in READS:
        faults += ("ESTALE",)
    return faults


class Crash(BaseException):
    """The machine is off."""


@dataclass(frozen=True)
class Memory:
    """How a machine remembers names."""

    stale: bool = False
    weak: bool = False


@dataclass
class Machine:
    """What one machine remembers."""

    memory: Memory
    known: dict[int, float] = field(default_factory=dict)
    """For each folder the time up to which it has seen its changes."""
    forgot: float = 0.0
    """When it last forgot everything."""
    lag: Callable[[], float] = lambda: REMEMBERED_SECONDS


class Stepping(Protocol):
    """Decides before each operation who goes on, and what goes wrong."""

    def step(self, what: str) -> str:
        """Return the fault of this operation, "" for none."""

    def machine(self) -> Machine:
        """Return the machine of who runs now."""

    def sleep(self, seconds: float) -> None:
        """Let who runs now wait."""


class SimulatedFileSystem(FileSystem):
    """The operations of `FileSystem` on a server in memory."""

    def __init__(self, server: Server, steps: Stepping) -> None:
        self._server, self._steps = server, steps
        self._open: dict[int, Node] = {}
        self._numbers = 2**20

    def open_folder(self, path: Name, at: int | None = None) -> int:
        def look() -> int:
            node = self._found(path, at)
            if node is None:
                fail(errno.ENOENT, str(path))
            if not node.folder:
                fail(errno.ENOTDIR, str(path))
            if node.gone:
                self._forget()
                fail(errno.ESTALE, str(path))
            if not self._machine.memory.weak:
                self._saw(node)
            return self._number(node)

        return self._done("open", look)

    def close(self, number: int) -> None:
        del self._open[number]

    def names(self, at: int) -> dict[str, Kind]:
        def look() -> dict[str, Kind]:
            node = self._open[at]
            if node.gone:
                fail(errno.ESTALE, "")
            listed = node.listed(self._time(node))
            return {name: "folder" if found.folder else "file" for name, found in listed.items()}

        return self._done("names", look)

    def kind(self, path: Name, at: int | None = None) -> Kind | None:
        def look() -> Kind | None:
            try:
                node = self._found(path, at)
            except FileNotFoundError:
                return None
            return None if node is None else "folder" if node.folder else "file"

        return self._done("kind", look)

    def is_folder(self, path: Path) -> bool:
        return self.kind(path) == "folder"

    def read(self, path: Name, most_bytes: int, at: int | None = None) -> bytes:
        def look() -> bytes:
            node = self._file(path, at)
            return node.content(self._time(node) if self._machine.memory.weak else self._server.now)

        return self._done("read", look)[:most_bytes]

    def read_end(self, path: Path, most_bytes: int) -> bytes:
        return self.read(path, 2**30)[-most_bytes:]

    def changed(self, path: Name, at: int | None = None) -> int:
        return self._done("changed", lambda: int(self._file(path, at).contents[-1][0] * 1e9))

    def make(self, path: Name) -> None:
        def act() -> None:
            folder, name = self._place(path, None)
            if folder.entry(name, self._time(folder)) is not None:
                fail(errno.EEXIST, name)
            self._alive(folder)
            self._saw(self._server.make(folder, name))
            self._saw(folder)

        self._done("make", act)

    @contextmanager
    def writing(self, path: Path) -> Iterator[IO[bytes]]:
        number = self._created(path, None)
        content = io.BytesIO()
        try:
            yield content
            self._written(number, content.getvalue(), "write")
        finally:
            self.close(number)

    def create(self, path: Name, content: bytes, at: int | None = None) -> int:
        number = self._created(path, at)
        try:
            self._written(number, content, "write")
        except BaseException:
            self.close(number)
            raise
        return number

    def overwrite(self, number: int, content: bytes) -> None:
        self._written(number, content, "overwrite")

    def copy(self, source: Path, target: Path) -> None:
        content = self.read(source, 2**30)
        self.close(self.create(target, content))

    def link(self, source: Path, target: Path) -> None:
        def act() -> None:
            file = self._file(source, None)
            folder, name = self._place(target, None)
            self._alive(folder)
            self._server.link(file, folder, name)
            self._saw(folder)

        self._done("link", act)

    def rename(
        self, source: Name, target: Name, source_at: int | None = None, target_at: int | None = None
    ) -> None:
        def act() -> None:
            folder, name = self._place(source, source_at)
            there, new = self._place(target, target_at)
            if folder.entry(name, self._time(folder)) is None:
                fail(errno.ENOENT, name)
            self._alive(folder, there)
            self._server.rename(folder, name, there, new)
            self._saw(folder, there)

        self._done("rename", act)

    def unlink(self, path: Name, at: int | None = None) -> None:
        self._done("unlink", lambda: self._removed(self._server.unlink, path, at))

    def rmdir(self, path: Name, at: int | None = None) -> None:
        self._done("rmdir", lambda: self._removed(self._server.rmdir, path, at))

    def remove(self, path: Name, at: int | None = None) -> None:
        number = self.open_folder(path, at)
        try:
            for name, kind in self.names(number).items():
                if kind == "folder":
                    self.remove(name, number)
                else:
                    self.unlink(name, number)
        finally:
            self.close(number)
        self.rmdir(path, at)

    def flush(self, path: Path) -> None:
        pass

    def pause(self, seconds: float) -> None:
        self._steps.sleep(seconds)

    @property
    def _machine(self) -> Machine:
        return self._steps.machine()

    def _done(self, what: str, act: Callable[[], Any]) -> Any:
        fault = self._steps.step(what)
        if fault == "crash before":
            raise Crash
        if fault in ("ESTALE", "EIO", "ENOSPC", "EDQUOT"):
            fail(getattr(errno, fault), what)
        self._server.now += TICK_SECONDS
        found = act()
        if fault == "crash after":
            raise Crash
        if fault == "done, EIO":
            fail(errno.EIO, what)
        if fault == "done, answer lost" and LOST[what]:
            fail(LOST[what], what)
        return found

    def _created(self, path: Name, at: int | None) -> int:
        def act() -> int:
            folder, name = self._place(path, at)
            self._alive(folder)
            node = self._server.create(folder, name)
            self._saw(folder)
            return self._number(node)

        number: int = self._done("create", act)
        return number

    def _written(self, number: int, content: bytes, what: str) -> None:
        def act() -> None:
            file = self._open[number]
            if file.gone:
                fail(errno.ESTALE, "")
            self._server.write(file, content)
            self._saw(file)

        self._done(what, act)

    def _removed(self, remove: Callable[[Node, str], None], path: Name, at: int | None) -> None:
        folder, name = self._place(path, at)
        if folder.entry(name, self._time(folder)) is None:
            fail(errno.ENOENT, name)
        self._alive(folder)
        remove(folder, name)
        self._saw(folder)

    def _place(self, path: Name, at: int | None) -> tuple[Node, str]:
        *parents, name = self._parts(path)
        folder = self._walk(parents, at)
        if folder is None:
            fail(errno.ENOENT, str(path))
        return folder, name

    def _found(self, path: Name, at: int | None) -> Node | None:
        return self._walk(self._parts(path), at)

    def _file(self, path: Name, at: int | None) -> Node:
        node = self._found(path, at)
        if node is None:
            fail(errno.ENOENT, str(path))
        if node.gone:
            self._forget()
            fail(errno.ESTALE, str(path))
        return node

    @staticmethod
    def _parts(path: Name) -> list[str]:
        return [part for part in str(path).split("/") if part not in ("", ".")]

    def _walk(self, names: list[str], at: int | None) -> Node | None:
        node: Node | None = self._server.root if at is None else self._open[at]
        for name in names:
            if node is None or not node.folder:
                return None
            node = node.entry(name, self._time(node))
        return node

    def _alive(self, *folders: Node) -> None:
        if any(folder.gone for folder in folders):
            self._forget()
            fail(errno.ESTALE, "")

    def _time(self, node: Node) -> float:
        machine, now = self._machine, self._server.now
        if not machine.memory.stale:
            return now
        time = max(machine.known.get(node.number, 0.0), machine.forgot, node.shown, now - machine.lag())
        machine.known[node.number] = time
        return time

    def _saw(self, *nodes: Node) -> None:
        for node in nodes:
            self._machine.known[node.number] = self._server.now

    def _forget(self) -> None:
        """Ask for everything anew: the machine was told that a folder it remembers is gone."""
        self._machine.known.clear()
        self._machine.forgot = self._server.now

    def _number(self, node: Node) -> int:
        self._numbers += 1
        self._open[self._numbers] = node
        return self._numbers
