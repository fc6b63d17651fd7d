"""The files of a user's own plugin: its content, and that of the modules beside it that it names."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

MOST_FILES = 200
"""Of one plugin; a folder of more is a package, which has a version."""
_ENTRY = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*")
"""A builder or reader named as "module:attribute"."""


def plugin_contents(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a plugin file and of each file beside it that it imports, by relative name.

    Modules count that lie in the plugin's folder and are imported anywhere in it, or named as
    "module:attribute"; what is installed has a version of its own. A file that cannot be read counts as
    empty.
    """
    folder = path.parent
    waiting, found = [path], dict[Path, str]()
    while waiting and len(found) < MOST_FILES:
        file = waiting.pop()
        if file in found:
            continue
        content = _read(file)
        found[file] = hashlib.sha256(content).hexdigest()
        waiting += [other for other in _named(content, file, folder) if other not in found]
    return {str(file.relative_to(folder).as_posix()): digest for file, digest in sorted(found.items())}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _named(content: bytes, file: Path, folder: Path) -> Iterator[Path]:
    for level, module in _modules(content):
        base = folder if level == 0 else _above(file, level)
        if base == folder or folder in base.parents:
            yield from _files(base, module)


# Each job of a worker loads the spec's plugins anew: their text is taken apart once.
@lru_cache(maxsize=64)
def _modules(content: bytes) -> tuple[tuple[int, str], ...]:
    """Return the modules that a file names, each with the folders up it is looked for (0: the plugin's)."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = f"{node.module}." if node.module else ""
            found += [(node.level, f"{above}{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            entry = _ENTRY.fullmatch(node.value)
            if entry is not None:
                found.append((0, entry.group(1)))
    return tuple(dict.fromkeys(found))


def _above(file: Path, level: int) -> Path:
    for _ in range(level):
        file = file.parent
    return file


def _files(base: Path, module: str) -> Iterator[Path]:
    """Yield the files of a dotted module, its packages' included, as far as they lie below `base`."""
    place = base
    for part in module.split("."):
        place = place / part
        for file in (place.with_name(f"{part}.py"), place / "__init__.py"):
            if file.is_file():
                yield file
