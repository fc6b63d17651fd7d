"""The spec of an archive or a store, before what it names is opened: it leads nowhere but beside it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath, PureWindowsPath

from bench_core.errors import StoreError
from bench_core.spec.compose import compose
from bench_core.spec.diagnostics import Diagnostic
from bench_core.spec.layers import EXTENDS
from bench_core.spec.nodes import Loc, dotted, scalars
from bench_core.spec.reader import read_text
from bench_core.store.archive_names import FOLDS, PLUGINS, SPEC

_ROOT = re.compile(r"data/[A-Za-z0-9][A-Za-z0-9._+-]*")
_VARIABLE = re.compile(r"\$(?!\$)")


def check_packed_spec(folder: Path, files: Collection[str], archive: Path) -> None:
    """Raise StoreError where an unpacked spec names a file, a folder or a variable of the reader's machine.

    `files` are the members beside it. What segtrial wrote never does: its folds and plugins are members, its
    roots are `data/LABEL`. Raises SpecError where it is no YAML. `archive` may be a study of a store.
    """
    report: list[Diagnostic] = []
    tree = compose(read_text(folder / SPEC, f"{archive}: {SPEC}"), f"{archive}: {SPEC}", report)
    if tree.mapping is not None and EXTENDS in tree.mapping:
        raise _refused(archive, (EXTENDS,), "it extends another file")
    for loc, node in scalars(tree):
        if isinstance(node.value, str):
            problem = _problem(loc, node.value, files)
            if problem is not None:
                raise _refused(archive, loc, problem)


def _problem(loc: Loc, text: str, files: Collection[str]) -> str | None:
    key = next((step for step in reversed(loc) if isinstance(step, str)), "")
    if _VARIABLE.search(text.replace("$$", "")):
        return f"{text!a:.80} asks for a variable of this machine"
    if loc[0] == "plugins" and not (text.startswith(f"{PLUGINS}/") and text in files):
        return f"{text!a:.80} is not a plugin of the archive"
    if key == "root" and not _ROOT.fullmatch(text):
        return f"{text!a:.80} is a folder of this machine"
    if key == "folds" and not (text.startswith(f"{FOLDS}/") and text in files):
        return f"{text!a:.80} is not a file of folds of the archive"
    if key == "weights":
        return f"{text!a:.80} is a file of this machine"
    if loc[0] == "models" and ":" in text and _leads_out(text.partition(":")[2]):
        return f"{text!a:.80} is a file of this machine"
    return None


def _leads_out(text: str) -> bool:
    kinds = (PurePosixPath(text), PureWindowsPath(text))
    return text.startswith("~") or any(path.is_absolute() or ".." in path.parts for path in kinds)


def _refused(archive: Path, loc: Loc, cause: str) -> StoreError:
    return StoreError(
        "the spec leads out of the archive or the store that brought it",
        place=f"{archive}: {SPEC}: {dotted(loc)}",
        cause=cause,
        fix="trust no such file: segtrial writes none",
    )
