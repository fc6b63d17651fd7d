"""Published datasets in tests: their small copies, damaged, and every line that is told of the damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench_core import DatasetRequest, FakeRequest
from bench_core.data.cache import open_cache
from bench_core.data.layout import LayoutError
from bench_core.data.samples import UInt8Array
from bench_core.declarations import Task, resolve_entry
from bench_core.errors import DataError
from bench_core.options import complete_options
from bench_datasets.declared import PUBLISHED

DECLARED = {declared.name: declared for declared in PUBLISHED}


def draw(name: str, root: Path, samples: int, seed: int = 0) -> Mapping[str, Any]:
    """Draw a small copy into an empty folder and return its truth."""
    root.mkdir(parents=True, exist_ok=True)
    entry = DECLARED[name].fake
    assert entry is not None
    truth: Mapping[str, Any] = resolve_entry(entry)(FakeRequest(root=root, samples=samples, seed=seed))
    return truth


def reader(name: str, root: Path, **given: Any) -> Any:
    """Open a published dataset."""
    declared = DECLARED[name]
    assert declared.open is not None
    return resolve_entry(declared.open)(
        DatasetRequest(root=root, options=complete_options(declared.options, given))
    )


def told(name: str, root: Path, cache: Path, **given: Any) -> list[str]:
    """Return each line that a user is told when this folder is prepared: paths below the root, then words."""
    declared = DECLARED[name]
    assert isinstance(declared.task, Task)
    try:
        open_cache(
            reader(name, root, **given),
            dataset=name,
            version=declared.version,
            options=complete_options(declared.options, given),
            image_size=16,
            resize="stretch",
            root=cache,
            task=declared.task,
        )
    except LayoutError as error:
        return list(error.problems)
    except DataError as error:
        lines = error.message.splitlines()
        found = [f"{error.place}: {error.message}"] if len(lines) == 1 else lines[1:]
        return [line.strip().replace(f"{root}/", "") for line in found]
    return []


@dataclass(frozen=True)
class Damage:
    """What is done to a folder, and what must be told of it."""

    name: str
    harm: Callable[[Path], object]
    path: str
    words: str
    missing: bool = False
    """Whether `allow_missing` excuses it."""


def check_damage(damage: Damage, dataset: str, whole: Path, before: Collection[str], tmp_path: Path) -> None:
    """Assert that the damage is told once, with its path, and is excused only if something is missing.

    `before` is what is told of the whole copy.
    """
    root = tmp_path / "copy"
    shutil.copytree(whole, root)
    damage.harm(root)
    strict = [line for line in told(dataset, root, tmp_path / "strict") if line not in before]
    about = [line for line in strict if damage.path in line]
    assert len(about) == 1 and damage.words in about[0], strict
    allowed = told(dataset, root, tmp_path / "allowed", allow_missing=True)
    if damage.missing:
        assert allowed == []
        remarks = [
            line for line in reader(dataset, root, allow_missing=True).remarks() if damage.path in line
        ]
        assert len(remarks) == 1 and damage.words in remarks[0], remarks
    else:
        assert [line for line in allowed if damage.path in line] == about


def remove(path: str) -> Callable[[Path], object]:
    """Delete a file or folder."""
    return lambda root: shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()


def cut(path: str, part: float = 0.5) -> Callable[[Path], object]:
    """Keep only the first part of a file."""

    def harm(root: Path) -> None:
        content = (root / path).read_bytes()
        (root / path).write_bytes(content[: int(len(content) * part)])

    return harm


def write(path: str, content: str | bytes) -> Callable[[Path], object]:
    """Replace a file, or add one."""
    return lambda root: (root / path).write_bytes(content.encode() if isinstance(content, str) else content)


def edit(path: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    """Change the text of a file."""
    return lambda root: (root / path).write_text(change((root / path).read_text()))


def copy(source: str, target: str) -> Callable[[Path], object]:
    """Copy a file to another name."""
    return lambda root: shutil.copy(root / source, root / target)


def repaint(path: str, change: Callable[[UInt8Array], Any], **how: Any) -> Callable[[Path], object]:
    """Change the pixels of a picture."""

    def harm(root: Path) -> None:
        with Image.open(root / path) as image:
            pixels = np.array(image.convert("RGB") if image.mode == "RGBA" else image)
        Image.fromarray(change(pixels)).save(root / path, **how)

    return harm


def smaller(path: str) -> Callable[[Path], object]:
    """Halve a picture."""
    return repaint(path, lambda pixels: np.ascontiguousarray(pixels[::2, ::2]))


def link(path: str) -> Callable[[Path], object]:
    """Replace a file by a link to nowhere."""

    def harm(root: Path) -> None:
        (root / path).unlink()
        (root / path).symlink_to("nowhere")

    return harm


def both(*harms: Callable[[Path], object]) -> Callable[[Path], object]:
    """Do one after the other."""
    return lambda root: [harm(root) for harm in harms]
