"""The images that a user names: files, and what lies in folders; each gets a name of its own."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_core.data.loose import LooseReader
from bench_core.declarations import LooseRequest, resolve_entry
from bench_core.declarations.code import call
from bench_core.errors import DataError, PluginError
from bench_core.export.names import file_names
from bench_core.options import complete_options
from bench_core.plan.job import JobDataset
from bench_core.plugins.registry import Registry

MOST_FILES = 1_000_000


@dataclass(frozen=True)
class Input:
    """An image to predict."""

    name: str
    """Of its outputs, without a suffix; different for every input."""
    stem: str
    """Of its first file."""
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Inputs:
    """All images, and what was passed over."""

    images: tuple[Input, ...]
    passed_over: int
    """Files in folders whose names are not those of images."""


def loose_reader(dataset: JobDataset, registry: Registry) -> LooseReader:
    """Return what decodes images as the dataset's reader does; where nothing says how, as plain pictures.

    Raises PluginError for a plugin that fails, DataError where no plugin reads pictures.
    """
    declared, channels = registry.dataset(dataset.name), dataset.task.channels
    options = dict(dataset.options)
    if declared.loose is None:
        others = [other for other in registry.datasets.values() if other.own_files and other.loose]
        plain = next((other for other in others if "intensity" in other.options), None)
        if plain is None:
            raise DataError(
                f"dataset {declared.name} does not say how other images are read",
                fix="add `loose=` to its declaration (see docs/predict.md)",
            )
        declared, options = plain, dict(complete_options(plain.options, {}))
    assert declared.loose is not None
    opener = resolve_entry(declared.loose)
    request = LooseRequest(channels=channels, options=options)
    reader = call(f"loose of dataset {declared.name!r}", lambda: opener(request), expected=(ValueError,))
    if not all(callable(getattr(reader, name, None)) for name in ("group", "open")):
        raise PluginError(f"loose of dataset {declared.name!r} returned {type(reader).__name__}")
    found: LooseReader = reader
    return found


def find_inputs(given: Sequence[Path], reader: LooseReader, out: Path) -> Inputs:
    """Return the images that paths name, folders looked through in the order of names.

    A file that is named is taken whatever its name ends in, a file that is named twice once; links to folders
    and hidden files inside folders are passed by, and so is what lies in `out`. Raises DataError for a path
    that does not exist, a folder without images, and too many files.
    """
    paths: dict[Path, None] = {}
    passed = 0
    for path in given:
        if not path.is_dir():
            if not path.is_file():
                what = "is not a regular file" if path.exists() else "no such image or folder"
                raise DataError(what, place=str(path), fix="correct the path")
            paths.setdefault(path)
            continue
        if os.path.realpath(path) == os.path.realpath(out):
            fix = "choose another folder with --out"
            raise DataError("is the folder of --out, where no image is looked for", place=str(path), fix=fix)
        before = len(paths)
        for file in _inside(path, out):
            if file.name.lower().endswith(tuple(reader.suffixes)):
                paths.setdefault(file)
            else:
                passed += 1
            if len(paths) + passed > MOST_FILES:
                raise DataError(
                    f"holds more than {MOST_FILES:,} files", place=str(path), fix="name parts of it"
                )
        if len(paths) == before:
            endings = ", ".join(reader.suffixes)
            raise DataError(
                "holds no image",
                place=str(path),
                cause=f"known names end in {endings}",
                fix="name another folder, or the files themselves, whose names may end as they like",
            )
    once = {os.path.realpath(path): path for path in reversed(paths)}
    images = reader.group([path for path in paths if once[os.path.realpath(path)] is path])
    return Inputs(tuple(_named(images)), passed)


def _inside(folder: Path, out: Path) -> Iterator[Path]:
    left_out = os.path.realpath(out)
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and os.path.realpath(here / name) != left_out
        )
        if os.path.realpath(here) != left_out:
            shown = (here / name for name in sorted(files) if not name.startswith("."))
            yield from (path for path in shown if path.is_file())


def _named(images: Sequence[tuple[Path, ...]]) -> Iterator[Input]:
    """Yield images under their stems; those of one stem are told apart by a hash of their paths."""
    stems = [stem_of(files[0]) for files in images]
    alike = Counter(stem.lower() for stem in stems)
    texts = []
    for stem, files in zip(stems, images, strict=True):
        digits = hashlib.sha256(os.fsencode(files[0].absolute())).hexdigest()
        marked = f"{stem}-{digits[:8]}"
        texts.append(stem if alike[stem.lower()] == 1 else marked if marked not in alike else digits)
    names = file_names(texts)
    for stem, text, files in zip(stems, texts, images, strict=True):
        yield Input(names[text], stem, files)


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, of which NIfTI has two."""
    name = path.name
    for ending in (".nii.gz", ".nii"):
        if name.lower().endswith(ending):
            return name[: -len(ending)] or name
    return path.stem
