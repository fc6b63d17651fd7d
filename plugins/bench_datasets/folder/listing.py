"""Finds images and their masks, and says everything at once that does not fit together."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_core.data.samples import Sample
from bench_core.errors import DataError
from bench_datasets.folder.attributes import find_attributes
from bench_datasets.folder.groups import find_groups
from bench_datasets.folder.search import EXTENSIONS, extension_of, searched, shown, unread_files
from bench_datasets.folder.tables import composed

MOST_FOLDERS = 1000
"""Sub-folders in which files are looked for that a pattern does not reach."""
LISTED = 20
"""Problems that a message lists; the rest are counted."""


def list_samples(root: Path, options: Mapping[str, Any]) -> list[Sample]:
    """Return one sample per image, sorted by id; raise DataError with every problem of the layout."""
    if not root.is_dir():
        raise DataError(
            "the dataset's root is not a folder",
            place=str(root),
            fix="correct `root:` of the dataset in the spec",
        )
    problems: list[str] = []
    masks = _find(root, str(options["masks"]), str(options["mask_suffix"]), problems)
    taken = {path for path, _ in masks}
    images = _find(root, str(options["images"]), str(options["image_suffix"]), problems, taken)
    image_of = _by_key(root, images, "image", problems)
    mask_of = _by_key(root, masks, "mask", problems)
    unread = unread_files(root, str(options["masks"]))
    if image_of and not mask_of and not unread:
        problems.append(_nothing(root, str(options["masks"]), "masks"))
    for key in sorted(image_of.keys() - mask_of.keys()) if mask_of or unread else ():
        wanted = f"{key}{options['mask_suffix']}"
        problems.append(
            f"{shown(root, image_of[key])}: has no mask (expected {wanted} under {options['masks']})"
            + _instead(root, unread.get(wanted))
        )
    unread = unread_files(root, str(options["images"]))
    if not image_of and not unread and not problems:
        problems.append(_nothing(root, str(options["images"]), "images"))
    for key in sorted(mask_of.keys() - image_of.keys()) if image_of or unread else ():
        other = unread.get(f"{key}{options['image_suffix']}")
        problems.append(f"{shown(root, mask_of[key])}: has no image" + _instead(root, other))
    keys = sorted(image_of.keys() & mask_of.keys())
    names = {key: shown(root, image_of[key]) for key in keys}
    groups = find_groups(root, names, str(options["group_pattern"]), str(options["group_file"]), problems)
    attributes = find_attributes(root, names, str(options["attribute_file"]), problems)
    if problems:
        raise DataError(
            f"{len(problems)} problem(s) in the folder:\n  " + "\n  ".join(_cut(problems)),
            place=str(root),
            cause="each image needs one mask of the same name, and each sample one group",
            fix="correct the files, or the dataset's options in the spec (images, masks, suffixes, groups)",
        )
    return [Sample(key, groups[key], (image_of[key], mask_of[key]), attributes.get(key, {})) for key in keys]


def _find(
    root: Path, where: str, suffix: str, problems: list[str], taken: set[Path] | None = None
) -> list[tuple[Path, str]]:
    """Return files and their keys: the path below the searched folder, without extension and suffix."""
    base, pattern = searched(root, where)
    if not base.is_dir():
        problems.append(f"{where}: no such folder")
        return []
    found = []
    # Path.glob passes over broken links.
    for name in sorted(glob.glob(pattern, root_dir=base, recursive=True)):  # noqa: PTH207
        path = base / name
        extension = extension_of(path.name)
        if extension is None or path.name.startswith(".") or path in (taken or ()):
            continue
        key = composed(Path(name).as_posix()[: -len(extension)])
        if not key.endswith(suffix):
            continue
        if not _printable(key):
            problems.append(f"{name!a}: the name holds characters that cannot be printed")
        elif not path.is_file():
            kind = "a folder" if path.is_dir() else "a broken link or no regular file"
            problems.append(f"{shown(root, path)}: is {kind}")
        else:
            found.append((path, key[: len(key) - len(suffix)]))
    return found


def _instead(root: Path, path: Path | None) -> str:
    return "" if path is None else f"; {shown(root, path)} is there, in a format that is not read"


def _nothing(root: Path, where: str, what: str) -> str:
    """Return in words that a folder holds nothing, or which of its sub-folders does."""
    message = f"{where}: holds no {what} ({', '.join(EXTENSIONS)})"
    base, pattern = searched(root, where)
    if pattern != "*":
        return message
    for seen, (folder, folders, names) in enumerate(os.walk(base)):
        folders.sort()
        depth = len(Path(folder).relative_to(base).parts)
        if depth and any(extension_of(name) for name in names):
            inner = Path(folder).relative_to(base).as_posix()
            return f"{message}, but its sub-folder {inner} does: write {where}/{'*/' * depth}*"
        if seen == MOST_FOLDERS:
            break
    return message


def _by_key(root: Path, files: list[tuple[Path, str]], kind: str, problems: list[str]) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for path, key in files:
        if key in table:
            problems.append(f"{shown(root, path)}: second {kind} for {key}, beside {table[key].name}")
        else:
            table[key] = path
    return table


def _printable(text: str) -> bool:
    return text.isprintable() and text.encode("utf-8", "ignore").decode() == text


def _cut(problems: list[str]) -> list[str]:
    rest = len(problems) - LISTED
    return [*problems[:LISTED], f"and {rest} more"] if rest > 0 else problems
