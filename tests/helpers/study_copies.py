"""Small copies of published datasets in a test's own folder, and readers opened on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench_core import Dataset, DatasetRequest, FakeRequest
from bench_core.data.cache import open_cache
from bench_core.data.layout import LayoutError
from bench_core.declarations import resolve_entry
from bench_core.errors import DataError
from bench_core.options import complete_options


def draw(declared: Dataset, root: Path, samples: int = 12, seed: int = 0) -> Mapping[str, Any]:
    """Draw the dataset's small copy into a new folder and return its truth."""
    root.mkdir(parents=True)
    assert declared.fake is not None
    truth: Mapping[str, Any] = resolve_entry(declared.fake)(
        FakeRequest(root=root, samples=samples, seed=seed)
    )
    return truth


def reader(declared: Dataset, root: Path, **options: Any) -> Any:
    """Open the dataset; `allow_missing` is true unless given, since copies are small."""
    assert declared.open is not None
    complete = complete_options(declared.options, {"allow_missing": True, **options})
    return resolve_entry(declared.open)(DatasetRequest(root=root, options=complete))


def copied(root: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may damage."""
    return Path(shutil.copytree(root, tmp_path / "copy"))


def told(declared: Dataset, root: Path, tmp_path: Path, **options: Any) -> str:
    """Return all that opening the dataset through the cache says: the error, or the remarks."""
    opened = reader(declared, root, **options)
    try:
        open_cache(
            opened,
            dataset=declared.name,
            version=declared.version,
            options=options,
            image_size=16,
            resize="pad-square",
            root=tmp_path / "cache",
            task=declared.task if not callable(declared.task) else None,
        )
    except DataError as error:
        return str(error)
    return "\n".join(opened.remarks())


def problems(declared: Dataset, root: Path, **options: Any) -> tuple[str, ...]:
    """Return the lines of the layout's error."""
    with pytest.raises(LayoutError) as caught:
        reader(declared, root, **options).samples()
    return caught.value.problems


def cut(path: Path, keep: float = 0.5) -> None:
    """Leave only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


Damage = Callable[[Path], str]
"""Damages a copy and returns the path, below the root, that the message must begin a line with."""
