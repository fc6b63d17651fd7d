"""Small copies of published datasets: read back as their truth says, and drawn alike from one seed."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_core import Dataset, DatasetRequest
from bench_core.data.fake import draw_fake
from bench_core.data.opening import Source, open_arrays
from bench_core.data.resize import Fit
from bench_core.declarations import resolve_entry
from bench_core.errors import DataError
from bench_core.options import complete_options
from bench_datasets.declared.layouts import LAYOUTS
from tests.helpers.published import DECLARED, draw, reader

OURS = ("kvasir-seg", "hyperkvasir", "cvc-clinicdb", "cvc-colondb", "etis", "ph2", "ham10000", "busi")


def content(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(("seed", "count"), [(0, 5), (1, 3)])
@pytest.mark.parametrize("name", OURS)
def test_a_copy_reads_back_as_its_truth_says(name: str, seed: int, count: int, tmp_path: Path) -> None:
    truth = draw(name, tmp_path, count, seed)
    rows = {row["id"]: row for row in truth["samples"]}
    opened = reader(name, tmp_path, allow_missing=True)
    samples = opened.samples()
    assert truth["traps"] or truth.get("layout") == "circulating"
    assert {sample.id for sample in samples} == set(rows) and len(samples) == count
    for sample in samples:
        image, mask = opened.read(sample)
        row = rows[sample.id]
        assert sample.group == row["group"] and dict(sample.attributes) == row.get("attributes", {})
        assert int(mask.sum()) == row["foreground"] and [mask.shape[1], mask.shape[0]] == row["size"]
        assert image.shape == (*mask.shape, DECLARED[name].task.channels)  # type: ignore[union-attr]


@pytest.mark.parametrize("declared", LAYOUTS, ids=lambda declared: declared.name)
def test_data_drawn_in_another_tool_s_layout_read_back_as_their_truth_says(
    declared: Dataset, tmp_path: Path
) -> None:
    drawn = draw_fake(declared, tmp_path, samples=7, seed=1)
    truth = json.loads(drawn.truth.read_text())
    options = complete_options(declared.options, truth["options"])
    task = declared.task_for(options)
    assert declared.open is not None and truth["traps"] and len(truth["samples"]) >= 7
    opened = resolve_entry(declared.open)(DatasetRequest(root=drawn.root, options=options))
    rows = {row["id"]: row for row in truth["samples"]}
    samples = opened.samples()
    assert [sample.id for sample in samples] == list(rows)
    assert not [remark for remark in opened.remarks() if "passed over" in remark]
    found = set()
    for sample in samples:
        image, mask = opened.read(sample)
        row = rows[sample.id]
        assert sample.group == row["group"] and [mask.shape[1], mask.shape[0]] == row["size"]
        assert dict(sample.attributes).items() >= row.get("attributes", {}).items()
        assert image.shape == (*mask.shape, task.channels)
        for label in (1, 2):
            # An outline's rim is half a pixel off.
            rim = 4 * row["pixels"][str(label)] ** 0.5 if declared.name == "coco" else 0
            assert abs(int((mask == label).sum()) - row["pixels"][str(label)]) <= rim
        found |= set(np.unique(mask).tolist())
    assert found == set(range(len(task.classes) + 1))
    source = Source("drawn", declared, task, str(drawn.root), options)
    left = open_arrays(source, Fit(64), tmp_path / "cache")
    assert set(left.groups) == {row["group"] for row in rows.values()}, left.remarks
    again = draw_fake(declared, tmp_path / "again", samples=7, seed=1)
    assert content(drawn.root) == content(again.root)


@pytest.mark.parametrize("name", OURS)
def test_a_folder_that_may_not_be_listed_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(name, tmp_path, 1)

    def refused(path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(DataError, match="Permission denied") as caught:
        reader(name, tmp_path, allow_missing=True).samples()
    assert str(caught.value.place).startswith(str(tmp_path))


@pytest.mark.parametrize("name", OURS)
def test_one_seed_draws_one_copy_and_another_seed_another(name: str, tmp_path: Path) -> None:
    for folder, seed in (("a", 2), ("b", 2), ("c", 4)):
        draw(name, tmp_path / folder, 1, seed)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


def test_copies_of_different_datasets_show_different_pictures(tmp_path: Path) -> None:
    seen: dict[bytes, str] = {}
    for name in OURS:
        draw(name, tmp_path / name, 2, seed=4)
        opened = reader(name, tmp_path / name, allow_missing=True)
        for sample in opened.samples():
            small = np.ascontiguousarray(opened.read(sample)[0][::90, ::90]).tobytes()
            other = seen.setdefault(small, name)
            assert other == name or {other, name} == {"kvasir-seg", "hyperkvasir"}


@pytest.mark.parametrize(("name", "samples"), [("cvc-clinicdb", 40), ("ham10000", 6)])
def test_images_of_a_group_look_alike(name: str, samples: int, tmp_path: Path) -> None:
    draw(name, tmp_path, samples)
    opened = reader(name, tmp_path, allow_missing=True)
    pictures: dict[str, list[np.ndarray[Any, Any]]] = {}
    for sample in opened.samples():
        pictures.setdefault(sample.group, []).append(opened.read(sample)[0].mean(axis=2)[::6, ::6])
    pairs = [group[:2] for group in pictures.values() if len(group) > 1]
    firsts = [group[0] for group in pictures.values()]
    assert len(pairs) >= 2
    alike = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs]
    different = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in itertools.pairwise(firsts)]
    assert min(alike) > np.median(different) and np.mean(alike) > 0.8
