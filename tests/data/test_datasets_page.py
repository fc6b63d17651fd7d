"""The page about datasets: its examples are run, and its tables name every option with its default."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench_core import DatasetRequest
from bench_core.conformance import datasets as suite
from bench_core.data.cache import open_cache
from bench_core.data.folds import assign_folds, check_leaks
from bench_core.declarations import Dataset, resolve_entry
from bench_core.errors import DataError
from bench_core.options import complete_options
from bench_core.plan.expand import make_plan
from bench_core.plugins.wiring import load_registry
from bench_core.spec.load import load_spec
from bench_datasets.plugin import FOLDER, MNI152, SYNTHETIC
from tests.helpers.pictures import picture

PAGE = (Path(__file__).resolve().parents[2] / "docs/datasets.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_the_folder_example_is_planned_and_read(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "my-data" / kind).mkdir(parents=True)
    for patient in range(4):
        for number in (1, 2):
            name = f"patient{patient:02d}-{number}.png"
            mask = np.zeros((20, 24), np.uint8)
            mask[4:16, 4:16], mask[8:12, 8:12] = 255, 128
            Image.fromarray(picture(patient * 2 + number)).save(tmp_path / "my-data/images" / name)
            Image.fromarray(mask).save(tmp_path / "my-data/masks" / name)
    (tmp_path / "my-study.yaml").write_text(block("yaml"))
    loaded = load_spec(tmp_path / "my-study.yaml")
    job = make_plan(loaded.spec, loaded.registry).jobs[0]
    declared, data = loaded.registry.dataset(job.dataset.name), job.dataset
    assert declared.open is not None and data.root is not None
    arrays = open_cache(
        resolve_entry(declared.open)(DatasetRequest(root=Path(data.root), options=data.options)),
        dataset=data.name,
        version=data.version,
        options=data.options,
        image_size=32,
        resize=job.pixels.resize,
        root=tmp_path / "cache",
        task=data.task,
    )
    assert data.task.classes == ("cup", "disc") and set(np.unique(arrays.masks)) == {0, 1, 2}
    assert sorted(set(arrays.groups)) == ["patient00", "patient01", "patient02", "patient03"]
    check_leaks(arrays, assign_folds(arrays.ids, arrays.groups, job.fold.count, job.seed))


def test_the_reader_example_is_loaded_and_read(tmp_path: Path) -> None:
    (tmp_path / "my_arrays.py").write_text(block("python"))
    declared = load_registry([tmp_path / "my_arrays.py"]).dataset("my-arrays")
    for name in ("a_1", "a_2", "b_1"):
        mask = np.zeros((9, 9), np.uint8)
        mask[2:5, 2:7] = 1
        image = picture(len(name) + ord(name[0]) * 9 + ord(name[2]), 9, 9, 1)
        np.savez(tmp_path / f"{name}.npz", image=image, mask=mask)
    assert declared.open is not None
    reader = resolve_entry(declared.open)(DatasetRequest(root=tmp_path))
    settings = {"dataset": "my-arrays", "version": 1, "options": {}, "image_size": 8, "resize": "stretch"}
    arrays = open_cache(reader, root=tmp_path / "cache", task=declared.task_for({}), **settings)
    assert arrays.ids == ("a_1", "a_2", "b_1") and arrays.groups == ("a", "a", "b")
    (tmp_path / "b_1.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"b_1\.npz: cannot be read"):
        open_cache(reader, root=tmp_path / "cache", task=declared.task_for({}), **settings)


def test_the_reader_example_has_every_property(tmp_path: Path) -> None:
    plugin, root = tmp_path / "my_arrays.py", tmp_path / "data"
    plugin.write_text(block("python"))
    root.mkdir()
    for number, name in enumerate(("a_1", "a_2", "b_1", "c_1")):
        mask = np.zeros((9, 9), np.uint8)
        mask[2:5, 2:7] = 1
        np.savez(root / f"{name}.npz", image=picture(number, 9, 9, 1), mask=mask)
    subject = suite.subject_of(load_registry([plugin]), "my-arrays", {}, root)
    found = [suite.judge(item, subject) for item in suite.PROPERTIES]
    assert [item for item in found if item.state == "wrong"] == []
    skipped = {item.name for item in found if item.state == "skipped"}
    assert skipped == {
        "the declared number is there",
        "a missing file is named",
        "other images are decoded as its own",
    }


@pytest.mark.parametrize("declared", [SYNTHETIC, MNI152, FOLDER], ids=lambda declared: declared.name)
def test_the_tables_name_every_option_with_its_default(declared: Dataset) -> None:
    start = PAGE.index(f"`{declared.name}`\n")
    following = PAGE.find("\n## ", start)
    section = PAGE[start : following if following > 0 else None]
    for name, default in complete_options(declared.options, {}).items():
        row = next(
            (
                line
                for line in section.splitlines()
                if line.startswith("|") and f"`{name}`" in line.split("|")[1]
            ),
            None,
        )
        assert row is not None, name
        if isinstance(default, (int, float)) or (isinstance(default, str) and default):
            assert str(default).lower() in row.split("|")[2], row
