"""MedSegBench: parts of one npz, read within bounds, and what is told of damaged files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.layouts import opened, told, write_medsegbench

FILE = "kvasir_32.npz"


def store(**changes: Any) -> Callable[[Path], object]:
    """Replace arrays of the file; None takes one out."""

    def harm(root: Path) -> None:
        with np.load(root / FILE) as found:
            arrays = {**found, **changes}
        np.savez_compressed(
            root / FILE, **{name: value for name, value in arrays.items() if value is not None}
        )

    return harm


ONES = np.ones((5, 32, 32), np.uint8)
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no file": (lambda root: (root / FILE).unlink(), ".", "holds no file NAME_SIZE.npz"),
    "cut off": (
        lambda root: (root / FILE).write_bytes((root / FILE).read_bytes()[:900]), FILE, "cannot be read"
    ),
    "not an archive": (lambda root: (root / FILE).write_text("<html>"), FILE, "cannot be read"),
    "two files": (lambda root: (root / "busi_32.npz").write_bytes(b""), ".", "write which `file` is meant"),
    "no labels": (store(train_label=None), FILE, "array 'train_label' is missing"),
    "labels of a category": (
        store(train_label=None, train_label_C1=ONES), FILE, "write `category`, one of C1"
    ),
    "labels of another size": (store(train_label=ONES[:, :16]), FILE, "expected uint8 [5, 32, 32]"),
    "one label less": (store(train_label=ONES[:4]), FILE, "expected uint8 [5, 32, 32]"),
    "images as floats": (store(train_images=np.zeros((5, 32, 32, 3))), FILE, "is float64"),
    "objects": (store(train_images=np.array([{}], dtype=object)), FILE, "which is not plain numbers"),
    "other channels": (store(train_images=ONES), FILE, "write `channels: 1`, not 3"),
    "labels of 255": (store(train_label=ONES * 255), FILE, "values that mean no class: 255"),
    "other arrays": (
        lambda root: np.savez(root / FILE, images=ONES), FILE, "it is not of MedSegBench"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told_once(name: str, tmp_path: Path) -> None:
    harm, path, words = CASES[name]
    root = tmp_path / "root"
    write_medsegbench(root)
    harm(root)
    lines = told("medsegbench", root, tmp_path / "cache")
    assert len(lines) == 1 and lines[0].startswith(f"{path}: ") and words in lines[0], lines


@pytest.mark.parametrize("gray", [False, True])
def test_images_and_labels_are_those_of_the_file(gray: bool, tmp_path: Path) -> None:
    arrays = write_medsegbench(tmp_path, gray=gray)
    reader = opened("medsegbench", tmp_path, channels=1 if gray else 3)
    samples = reader.samples()
    assert [sample.id for sample in samples] == list(arrays)
    assert [sample.attributes["part"] for sample in samples] == ["train"] * 5 + ["val"] * 2 + ["test"] * 3
    for sample in reversed(samples):
        image, mask = reader.read(sample)
        assert (image.squeeze() == arrays[sample.id][0]).all() and (mask == arrays[sample.id][1]).all()


def test_an_array_is_decompressed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench_core.files.arrays import Arrays

    read: list[str] = []
    original = Arrays.read

    def counted(self: Arrays, name: str, *rest: Any) -> Any:
        read.append(name)
        return original(self, name, *rest)

    monkeypatch.setattr(Arrays, "read", counted)
    write_medsegbench(tmp_path)
    reader = opened("medsegbench", tmp_path)
    for sample in reader.samples():
        reader.read(sample)
    assert sorted(read) == sorted(
        f"{part}_{kind}" for part in ("train", "val", "test") for kind in ("images", "label")
    )


def test_a_category_is_read_if_asked(tmp_path: Path) -> None:
    write_medsegbench(tmp_path)
    changes = {
        f"{part}_label_C1": np.ones((count, 32, 32), np.uint8)
        for part, count in (("train", 5), ("val", 2), ("test", 3))
    }
    store(**changes)(tmp_path)
    reader = opened("medsegbench", tmp_path, category="C1")
    assert all(reader.read(sample)[1].all() for sample in reader.samples())


@pytest.mark.parametrize("file", ["../kvasir_32.npz", "/etc/passwd"])
def test_a_file_outside_of_the_root_is_an_error_of_the_spec(file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out of the root"):
        opened("medsegbench", tmp_path, file=file)
