"""Changes a job's folder in a finished store and puts it back: its JSON, log, trace, counts or weights."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench_core.files.hashes import sha256_of
from bench_core.store import folder as files
from bench_core.store.manifest import write_manifest


@contextmanager
def changed(folder: Path, change: Callable[[Path], object], *, sealed: bool = True) -> Iterator[None]:
    """Change a job's folder and put it back; `sealed` writes the manifest anew, as a forger would."""
    kept = folder.with_name(f".{folder.name}")
    shutil.copytree(folder, kept)
    try:
        change(folder)
        if sealed:
            names = json.loads((kept / files.MANIFEST).read_text())["files"]
            rehash(folder)
            write_manifest(folder, [name for name in names if (folder / name).exists()])
        yield
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)


def rehash(folder: Path) -> None:
    """Write the hashes of the changed files into the result, as a careful forger would."""
    try:
        data = json.loads((folder / files.RESULT).read_text())
        for name in data["files"]:
            data["files"][name] = sha256_of(folder / name)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    (folder / files.RESULT).write_text(json.dumps(data))


def in_json(name: str, edit: Callable[[Any], object]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        data = json.loads((folder / name).read_text())
        edit(data)
        (folder / name).write_text(json.dumps(data))

    return change


def in_log(line: str, said: str) -> Callable[[Path], object]:
    """Let a line of the log say another number: `said` is a name and what it is to be."""

    def change(folder: Path) -> None:
        text = (folder / files.LOG).read_text()
        number = rf"{said.partition(' ')[0]} [0-9.]+"
        lines = [re.sub(number, said, each) if line in each else each for each in text.split("\n")]
        assert lines != text.split("\n")
        (folder / files.LOG).write_text("\n".join(lines))

    return change


def in_trace(edit: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        lines = [json.loads(line) for line in (folder / files.TRACE).read_text().splitlines()]
        edit(lines)
        (folder / files.TRACE).write_text("".join(json.dumps(line) + "\n" for line in lines))

    return change


def in_counts(edit: Callable[[list[list[str]], set[str]], object]) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        pictured = {case.id for case in files.read_cases(folder)}
        head, *rows = [line.split(",") for line in (folder / files.COUNTS).read_text().splitlines()]
        edit(rows, pictured)
        (folder / files.COUNTS).write_text("".join(",".join(row) + "\n" for row in [head, *rows]))

    return change


def row(rows: list[list[str]], pictured: set[str]) -> list[str]:
    return next(item for item in rows if item[0] not in pictured)


def saved(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Change what best.pt holds."""

    def change(folder: Path) -> None:
        content = torch.load(folder / files.BEST, weights_only=True)
        edit(content)
        torch.save(content, folder / files.BEST)

    return change


def cut(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return change
