"""Datasets from their declaration: what lies there now, the user's folds, all problems at once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench_core import Dataset, Task
from bench_core.data import hashing
from bench_core.data.check import Dealing, Roles, Wanted, prepare
from bench_core.data.opening import (
    Source,
    cut_folds,
    open_arrays,
    planned_folds,
    present_data,
)
from bench_core.data.resize import Fit
from bench_core.errors import DataError
from bench_core.fold_files import read_folds
from bench_core.options import Option, complete_options
from bench_datasets.plugin import FOLDER, SYNTHETIC
from tests.helpers.pictures import blob, folder_options, picture, write_folder


def source(root: Path, label: str = "mine", **given: Any) -> Source:
    options = folder_options(**given)
    return Source(label, FOLDER, FOLDER.task_for(options), str(root), options)


def current_fingerprint(mine: Source, cache: Path) -> str | None:
    return present_data(mine, cache).fingerprint


def test_the_present_fingerprint_is_that_of_the_opened_data(tmp_path: Path) -> None:
    mine = source(write_folder(tmp_path / "data"))
    before = current_fingerprint(mine, tmp_path / "cache")
    assert not (tmp_path / "cache").exists(), "asking leaves nothing behind"
    arrays = open_arrays(mine, Fit(16), tmp_path / "cache")
    assert before == arrays.fingerprint == current_fingerprint(mine, tmp_path / "cache")
    assert open_arrays(mine, Fit(8, "stretch"), tmp_path / "cache").fingerprint == before


def _correct_a_mask(root: Path) -> None:
    Image.fromarray(blob(9)).save(root / "masks/case-01.png")


def _add_an_image(root: Path) -> None:
    Image.fromarray(picture(9)).save(root / "images/new.png")
    Image.fromarray(blob(9)).save(root / "masks/new.png")


def _remove_an_image(root: Path) -> None:
    (root / "images/case-01.png").unlink()
    (root / "masks/case-01.png").unlink()


def _swap_two_masks(root: Path) -> None:
    (root / "masks/case-01.png").rename(root / "masks/other")
    (root / "masks/case-02.png").rename(root / "masks/case-01.png")
    (root / "masks/other").rename(root / "masks/case-02.png")


CHANGES = (_correct_a_mask, _add_an_image, _remove_an_image, _swap_two_masks)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_have_another_fingerprint(tmp_path: Path, change: Any) -> None:
    root = write_folder(tmp_path / "data")
    before = open_arrays(source(root), Fit(16), tmp_path / "cache").fingerprint
    change(root)
    assert current_fingerprint(source(root), tmp_path / "cache") not in (before, None)


def test_touched_and_copied_files_are_the_same_data(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    before = open_arrays(source(root), Fit(16), tmp_path / "cache").fingerprint
    for path in (root / "masks").iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (1, 1))
    assert current_fingerprint(source(root), tmp_path / "cache") == before


def test_large_unknown_data_are_not_read_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1.0)
    mine = source(write_folder(tmp_path / "data"))
    found = present_data(mine, tmp_path / "cache", most_bytes=100)
    assert found.fingerprint is None and "new to this cache" in found.because
    known = open_arrays(mine, Fit(16), tmp_path / "cache").fingerprint
    assert present_data(mine, tmp_path / "cache", most_bytes=100).fingerprint == known


@pytest.mark.parametrize(("root", "because"), [("nowhere", "root is not a folder"), ("empty", "2 problems")])
def test_data_that_cannot_be_looked_at_say_why(tmp_path: Path, root: str, because: str) -> None:
    (tmp_path / "empty").mkdir()
    found = present_data(source(tmp_path / root), tmp_path / "cache")
    assert found.fingerprint is None and because in found.because


def _explode(request: Any) -> Any:
    raise KeyError("surprise")


def test_a_reader_that_fails_is_no_end_of_a_command(tmp_path: Path) -> None:
    broken = Dataset(
        name="broken", version=1, task=Task(classes=("a",), channels=1), open=_explode, needs_root=False
    )
    found = present_data(Source("broken", broken, Task(classes=("a",), channels=1)), tmp_path)
    assert found.fingerprint is None and "KeyError" in found.because


def test_an_option_added_at_its_default_changes_no_fingerprint(tmp_path: Path) -> None:
    mine = source(write_folder(tmp_path / "data"))
    later = replace(FOLDER, options={**FOLDER.options, "later": Option(type=int, default=3, help="later")})
    options = {**mine.options, "later": 3}
    assert current_fingerprint(replace(mine, declared=later, options=options), tmp_path) == (
        current_fingerprint(mine, tmp_path)
    )
    other = replace(mine, declared=later, options={**mine.options, "later": 4})
    assert current_fingerprint(other, tmp_path) != current_fingerprint(mine, tmp_path)


def _with_folds(mine: Source, path: Path, text: str) -> Source:
    path.write_text(text)
    return replace(mine, folds=str(path), folds_content=read_folds(path).content)


FOLDS = "id,fold\n" + "".join(f"case-{number:02d},{number % 3}\n" for number in range(6))


def test_the_users_folds_take_the_place_of_the_seeds(tmp_path: Path) -> None:
    mine = _with_folds(source(write_folder(tmp_path / "data")), tmp_path / "folds.csv", FOLDS)
    ids = [f"case-{number:02d}" for number in range(6)]
    assert cut_folds(mine, ids, ids, 3, seed=1).tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(DataError, match="holds 3 folds, the study 5"):
        cut_folds(mine, ids, ids, 5, seed=1)


def test_folds_that_changed_since_the_plan_are_refused(tmp_path: Path) -> None:
    mine = _with_folds(source(write_folder(tmp_path / "data")), tmp_path / "folds.csv", FOLDS)
    (tmp_path / "folds.csv").write_text(FOLDS.replace("case-00,0", "case-00,1"))
    with pytest.raises(DataError, match="folds of dataset mine have changed since the study was planned"):
        planned_folds(mine)
    (tmp_path / "folds.csv").write_text("\ufeff" + FOLDS.replace(",", ";"))
    assert planned_folds(mine) is not None, "another spelling of the same folds"


def three_folds(count: int = 3) -> tuple[Dealing, ...]:
    roles = tuple(
        Roles(index, tuple({*range(count)} - {index, (index + 1) % count}), (index,), ((index + 1) % count,))
        for index in range(count)
    )
    return (Dealing(count, 7, roles),)


def test_all_datasets_are_opened_before_any_is_used(tmp_path: Path) -> None:
    good = source(write_folder(tmp_path / "good"), "good")
    heard: list[tuple[str, int, int]] = []
    ready = prepare(
        [Wanted(good, Fit(16), three_folds())], tmp_path / "cache", lambda *heard_: heard.append(heard_)
    )
    assert heard[-1] == ("good", 6, 6) and ready[0].warnings == ()
    assert ready[0].samples.fingerprint == ready[0].arrays.fingerprint
    folds = ready[0].samples.folds["3 folds, seed 7"]
    assert sorted(folds) == [0, 0, 1, 1, 2, 2]
    assert cut_folds(good, ready[0].arrays.ids, ready[0].arrays.groups, 3, 7).tolist() == list(folds)


def test_the_problems_of_all_datasets_are_told_together(tmp_path: Path) -> None:
    bad = source(write_folder(tmp_path / "bad"), "bad")
    Image.fromarray(blob(0, 5, 5)).save(tmp_path / "bad/masks/case-03.png")
    few = source(write_folder(tmp_path / "few", 2), "few")
    leaking = source(write_folder(tmp_path / "leaking"), "leaking")
    Image.fromarray(picture(1)).save(tmp_path / "leaking/images/case-02.png")
    parted = _with_folds(leaking, tmp_path / "folds.csv", FOLDS)
    good = source(write_folder(tmp_path / "good"), "good")
    wanted = [Wanted(item, Fit(16), three_folds()) for item in (bad, good, few, parted)]
    with pytest.raises(DataError) as caught:
        prepare(wanted, tmp_path / "cache")
    message = str(caught.value)
    assert "3 datasets cannot be used" in message
    assert "case-03.png: the mask is 5 x 5 pixels" in message
    assert "2 groups cannot fill 3 folds" in message
    assert "identical pixels in case-01 (fold 1) and case-02 (fold 2)" in message
    assert "good" not in message.replace(str(tmp_path), "")


def test_what_a_fold_lacks_is_said(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    for number in (0, 3):
        Image.fromarray(np.zeros((20, 24), np.uint8)).save(root / f"masks/case-{number:02d}.png")
    mine = _with_folds(source(root), tmp_path / "folds.csv", FOLDS)
    (ready,) = prepare([Wanted(mine, Fit(16), three_folds())], tmp_path / "cache")
    assert ready.warnings == (
        "2 masks (case-00, case-03) are without foreground",
        "no pixel of any class is in fold 0's validation images: no epoch and no learning rate can be chosen "
        "by them",
        "no pixel of any class is in fold 1's training images: nothing can be learned from them",
        "no pixel of any class is in fold 2's test images: most scores on them are undefined",
    )
    assert list(ready.samples.folds) == [f"given, {mine.folds_content[:16]}"]


def test_wrong_mask_values_that_are_all_background_are_said(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", value=200)
    mine = source(root, classes={"lesion": 1}, background="rest")
    (ready,) = prepare([Wanted(mine, Fit(16))], tmp_path / "cache")
    assert ready.warnings == ("no pixel of any class (lesion) is in any of the 6 masks",)


def test_a_generated_dataset_needs_no_files(tmp_path: Path) -> None:
    options = complete_options(SYNTHETIC.options, {"samples": 6, "size": 16})
    drawn = Source("drawn", SYNTHETIC, SYNTHETIC.task_for(options), None, options)
    assert current_fingerprint(drawn, tmp_path) == open_arrays(drawn, Fit(16), tmp_path).fingerprint
