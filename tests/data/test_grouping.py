"""Copies and patients are never on two sides, whatever the data; nothing else is moved."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core.data.arrays import CachedArrays
from bench_core.data.check import Dealing, Wanted, prepare
from bench_core.data.folds import assign_folds, check_leaks
from bench_core.data.grouping import Duplicates, across_folds, apply, find, present_fingerprint, same_content
from bench_core.data.opening import Source, deal, present_data
from bench_core.data.resize import Fit
from bench_core.data.strata import assign_stratified, strata_of
from bench_core.declarations import Task
from bench_core.errors import DataError
from bench_datasets.plugin import FOLDER
from tests.helpers.pictures import folder_options, in_memory

CONTENT = "a" * 64


def arrays_of(groups: list[int], equal: list[int], alike: list[int] | None = None) -> CachedArrays:
    """Samples with these groups, equal where `equal` is, of one study hash where `alike` is."""
    found = in_memory(len(groups), size=2)
    hashes = np.array([hash_of(value) for value in alike or range(len(groups))], dtype=np.uint64)
    return replace(
        found,
        groups=tuple(f"g{group}" for group in groups),
        pixel_hashes=tuple(f"p{value}" for value in equal),
        mask_hashes=tuple("m" for _ in groups),
        study_hashes=hashes,
        fingerprint=CONTENT,
    )


def hash_of(value: int) -> int:
    """Return hashes that are far apart."""
    return int(np.random.default_rng(value).integers(0, 2**63))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    count=st.integers(4, 30),
    folds=st.integers(2, 5),
    seed=st.integers(0, 99),
    rule=st.sampled_from(["exact", "study"]),
)
def test_no_copy_and_no_patient_is_on_two_sides(
    tmp_path: Path, data: st.DataObject, count: int, folds: int, seed: int, rule: str
) -> None:
    numbers = st.lists(st.integers(0, count), min_size=count, max_size=count)
    columns = [data.draw(numbers) for _ in range(3)]
    content = hashlib.sha256(repr(columns).encode()).hexdigest()
    arrays = replace(arrays_of(*columns), fingerprint=content)
    policy = data.draw(st.sampled_from(["group", "drop"]))
    stratified = data.draw(st.booleans())
    found = apply(arrays, Duplicates(policy, rule), tmp_path)
    if len(set(found.groups)) < folds:
        return
    if stratified:
        strata = np.random.default_rng(seed).random((len(found.ids), 3)) < (1, 0.5, 0.1)
        cut = assign_stratified(found.groups, strata, folds, seed)
    else:
        cut = assign_folds(found.ids, found.groups, folds, seed)
    check_leaks(found, cut)
    assert set(cut.tolist()) == set(range(folds)) and across_folds(found, cut.tolist()) == []
    fold_of = dict(zip(found.ids, cut.tolist(), strict=True))
    declared = dict(zip(arrays.ids, arrays.groups, strict=True))
    places: dict[str, set[int]] = {}
    for sample, fold in fold_of.items():
        places.setdefault(declared[sample], set()).add(fold)
    assert all(len(there) == 1 for there in places.values())
    for cluster in find(arrays, rule):
        there = {fold_of[arrays.ids[number]] for number in cluster if arrays.ids[number] in fold_of}
        assert len(there) == 1
        if policy == "drop":
            kept = [arrays.ids[number] for number in cluster if arrays.ids[number] in fold_of]
            assert kept == [max(arrays.ids[number] for number in cluster)]


def test_groups_join_through_copies_and_are_named_after_the_first(tmp_path: Path) -> None:
    arrays = arrays_of([3, 3, 2, 2, 5, 6], [0, 1, 1, 4, 4, 9])
    found = apply(arrays, Duplicates(), tmp_path)
    assert found.groups == ("g2",) * 5 + ("g6",) and found.ids == arrays.ids
    assert found.copies == (("s001", "s002"), ("s003", "s004"))
    (remark,) = found.remarks
    assert remark == (
        "4 images look like copies and stay in one fold with theirs: s001 and s002; s003 and s004"
    )


def test_folds_stay_as_they_are_where_copies_lie_in_one_group_already(tmp_path: Path) -> None:
    arrays = arrays_of([0, 0, 1, 2], [5, 5, 1, 2])
    found = apply(arrays, Duplicates(), tmp_path)
    assert (found.groups, found.fingerprint, found.remarks) == (arrays.groups, CONTENT, ())


@pytest.mark.parametrize("duplicates", [Duplicates("report"), Duplicates("group", given=True)])
def test_nothing_is_moved_where_copies_are_only_told(tmp_path: Path, duplicates: Duplicates) -> None:
    arrays = arrays_of([0, 1, 2], [5, 5, 1])
    found = apply(arrays, duplicates, tmp_path)
    assert (found.groups, found.ids, found.fingerprint) == (arrays.groups, arrays.ids, CONTENT)
    assert across_folds(found, [0, 1, 1]) == [
        "1 cluster of images in different folds looks like copies of each other: s000 and s001"
    ]
    assert across_folds(found, [1, 1, 0]) == []


def test_the_fingerprint_tells_groupings_apart_and_keeps_the_content(tmp_path: Path) -> None:
    arrays = arrays_of([0, 1, 2, 3], [5, 5, 1, 2])
    kinds = [Duplicates(), Duplicates("drop"), Duplicates("report")]
    found = [apply(arrays, kind, tmp_path).fingerprint for kind in kinds]
    assert len(set(found)) == 3 and all(same_content(one, CONTENT) and len(one) == 64 for one in found)
    assert [present_fingerprint(CONTENT, kind, tmp_path) for kind in kinds] == found
    assert present_fingerprint(CONTENT, Duplicates("drop", "study"), tmp_path) is None
    assert present_fingerprint("b" * 64, Duplicates(), tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"clusters": [[0, 99]]}', '{"clusters": [[0, 1], [1, 2]]}', '{"clusters": [7]}']
)
def test_a_damaged_note_of_copies_is_written_anew(tmp_path: Path, text: str) -> None:
    arrays = arrays_of([0, 1, 2], [5, 5, 1])
    before = apply(arrays, Duplicates(), tmp_path)
    (note,) = tmp_path.glob("copies-*.json")
    whole = note.read_text()
    note.write_text(text)
    again = apply(arrays, Duplicates(), tmp_path)
    assert (again.groups, again.fingerprint) == (before.groups, before.fingerprint)
    assert note.read_text() == whole


def test_equal_images_with_other_masks_are_told(tmp_path: Path) -> None:
    arrays = replace(arrays_of([0, 0, 1], [5, 5, 1]), mask_hashes=("a", "b", "a"))
    found = apply(arrays, Duplicates("report"), tmp_path)
    assert found.remarks == (
        "images are equal, but their masks are not, so that one of them must be wrong: s000 and s001",
    )


def test_a_cluster_of_a_third_of_the_data_is_told(tmp_path: Path) -> None:
    arrays = arrays_of(list(range(30)), [0] * 11 + list(range(100, 119)))
    found = apply(arrays, Duplicates("report"), tmp_path)
    assert "one cluster of copies holds 11 of 30 images, s000 and s010 among them" in found.remarks[0]
    few = apply(arrays_of(list(range(40)), [0] * 11 + list(range(100, 129))), Duplicates("report"), tmp_path)
    assert few.remarks == ()


def test_groups_that_copies_join_to_most_of_the_data_are_told(tmp_path: Path) -> None:
    arrays = arrays_of([number // 6 for number in range(30)], [*range(6), 5, *range(7, 30)])
    assert any(
        "copies join 2 groups to one of 12 of 30 images" in text
        for text in apply(arrays, Duplicates(), tmp_path).remarks
    )


def test_strata_are_spread_where_groups_allow_it() -> None:
    random = np.random.default_rng(0)
    rare = random.random(200) < 0.1
    strata = np.stack([np.ones(200, dtype=bool), rare], axis=1)
    groups = [f"g{number}" for number in range(200)]
    for seed in range(20):
        cut = assign_stratified(groups, strata, 5, seed)
        per_fold = np.bincount(cut[rare], minlength=5)
        assert np.ptp(np.bincount(cut, minlength=5)) <= 1 and np.ptp(per_fold) <= 1
    assert (assign_stratified(groups, strata, 5, 1) != assign_stratified(groups, strata, 5, 2)).any()


def test_strata_are_classes_texts_and_ranges() -> None:
    found = in_memory(8, size=2)
    labels = tuple({0: 2, 1 + number % 2: 2} if number < 4 else {0: 4} for number in range(8))
    rows = tuple({"sex": "f" if number < 3 else "m", "age": float(number)} for number in range(7))
    arrays = replace(found, labels=labels, attributes=(*rows, {}))
    columns = strata_of(arrays, ["classes", "sex", "age"], ["a", "b"]).astype(int).T.tolist()
    shown = ["".join(map(str, column)) for column in columns]
    assert shown[:4] == ["11111111", "10100000", "01010000", "00001111"]
    assert shown[4:7] == ["11100000", "00011110", "00000001"]
    assert np.array(columns[7:]).sum(axis=0).tolist() == [1] * 8 and columns[-1] == [0] * 7 + [1]
    with pytest.raises(DataError, match="stratified by 'scanner'") as error:
        strata_of(arrays, ["scanner"], ["a", "b"])
    assert "classes, age, sex" in str(error.value)


def pictures(root: Path, count: int = 12) -> Source:
    """Write noise with copies: the last two images turn and brighten the first two."""
    from PIL import Image

    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    random = np.random.default_rng(0)
    drawn = []
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        image = np.asarray(small.resize((48, 40), Image.Resampling.BICUBIC))
        if number == count - 2:
            image = np.ascontiguousarray(np.rot90(drawn[0]))
        if number == count - 1:
            image = (drawn[1] * 0.8).astype(np.uint8)
        drawn.append(image)
        Image.fromarray(image).save(root / f"images/s{number:02d}.png")
        mask = np.zeros(image.shape[:2], dtype=np.uint8)
        mask[4:20, 6 : 20 + number] = 255
        Image.fromarray(mask).save(root / f"masks/s{number:02d}.png")
    options = folder_options()
    return Source("mine", FOLDER, FOLDER.task_for(options), str(root), options)


def test_folds_of_files_keep_copies_together(tmp_path: Path) -> None:
    source = pictures(tmp_path / "data")
    for seed in range(8):
        (ready,) = prepare([Wanted(source, Fit(32), (Dealing(4, seed),))], tmp_path / "cache")
        (cut,) = ready.samples.folds.values()
        assert cut[0] == cut[10] and cut[1] == cut[11]
        assert ready.samples.groups[10] == "s00" and ready.samples.groups[11] == "s01"
    assert ready.warnings == (
        "4 images look like copies and stay in one fold with theirs: s00 and s10; s01 and s11",
    )
    assert present_data(source, tmp_path / "cache").fingerprint == ready.samples.fingerprint
    elsewhere = present_data(source, tmp_path / "other")
    assert elsewhere.ungrouped and same_content(elsewhere.fingerprint or "", ready.samples.fingerprint)


def test_copies_that_leave_too_few_groups_are_named(tmp_path: Path) -> None:
    arrays = apply(arrays_of([0, 1, 2, 3], [5, 5, 6, 6]), Duplicates(), tmp_path)
    source = Source("mine", FOLDER, Task(classes=("a",), channels=3), None, {})
    with pytest.raises(DataError, match="2 groups cannot fill 3 folds") as error:
        deal(source, arrays, 3, seed=1)
    assert "4 images look like copies" in str(error.value) and "duplicates: report" in str(error.value)


def test_dropped_files_are_gone_everywhere(tmp_path: Path) -> None:
    import pickle

    source = replace(pictures(tmp_path / "data"), duplicates=Duplicates("drop"))
    whole = replace(source, duplicates=Duplicates("report"))
    ready, all_of_them = (
        prepare([Wanted(item, Fit(32), (Dealing(4, 1),))], tmp_path / "cache")[0] for item in (source, whole)
    )
    arrays, complete = ready.arrays, all_of_them.arrays
    assert arrays.left_out == ("s00", "s01") and ready.samples.ids == complete.ids[2:]
    assert arrays.images.shape == (10, 32, 32, 3) and arrays.masks.shape == (10, 32, 32)
    for place in (arrays, pickle.loads(pickle.dumps(arrays))):
        numbers = np.array([9, 0, 3])
        for mine, theirs in zip(place.read(numbers), complete.read(numbers + 2), strict=True):
            assert (mine == theirs).all()
        assert (np.asarray(place.masks[3]) == complete.masks[5]).all()
    assert (np.asarray(arrays.images) == complete.images[2:]).all()
    again = arrays.take(np.array([8, 1]))
    assert again.ids == ("s10", "s03") and (again.images[0] == complete.images[10]).all()
    assert ready.warnings[0].startswith("2 of 12 images are left out as copies: s00 and s10; s01 and s11")


def test_a_file_of_folds_may_name_what_is_left_out(tmp_path: Path) -> None:
    source = pictures(tmp_path / "data")
    lines = "".join(f"s{number:02d},{number % 3}\n" for number in range(12))
    (tmp_path / "folds.csv").write_text(lines)
    given_folds = replace(source, folds=str(tmp_path / "folds.csv"), duplicates=Duplicates("drop"))
    (ready,) = prepare([Wanted(given_folds, Fit(32), (Dealing(3, 1),))], tmp_path / "cache")
    assert next(iter(ready.samples.folds.values())) == tuple(number % 3 for number in range(2, 12))


def test_equal_images_in_two_folds_of_a_file_are_refused_unless_only_told(tmp_path: Path) -> None:
    import shutil

    source = pictures(tmp_path / "data")
    shutil.copy(tmp_path / "data/images/s03.png", tmp_path / "data/images/s05.png")
    lines = "".join(f"s{number:02d},{number % 3}\n" for number in range(12))
    (tmp_path / "folds.csv").write_text(lines)
    mine = replace(source, folds=str(tmp_path / "folds.csv"))
    wanted = Wanted(mine, Fit(32), (Dealing(3, 1),))
    with pytest.raises(DataError, match=r"identical pixels in s03 \(fold 0\) and s05 \(fold 2\)"):
        prepare([wanted], tmp_path / "cache")
    told = replace(wanted, source=replace(mine, duplicates=Duplicates("report")))
    (ready,) = prepare([told], tmp_path / "cache")
    assert any("equal, but their masks are not" in text for text in ready.warnings)
    assert any("in different folds look like copies" in text for text in ready.warnings)


def test_folds_are_stratified_by_classes_and_attributes(tmp_path: Path) -> None:
    task = Task(classes=("a",), channels=3)
    source = Source("mine", FOLDER, task, None, {}, stratify=("classes", "sex"))
    labels = tuple({0: 3, 1: 1} if number % 4 == 0 else {0: 4} for number in range(40))
    attributes = tuple({"sex": "f" if number % 8 < 4 else "m"} for number in range(40))
    arrays = replace(in_memory(40, size=2), labels=labels, attributes=attributes)
    cut = deal(source, arrays, 5, seed=3)
    assert np.bincount(cut).tolist() == [8] * 5
    assert np.bincount(cut[::4], minlength=5).tolist() == [2] * 5
    with pytest.raises(DataError, match="stratified by 'age'") as error:
        deal(replace(source, stratify=("age",)), arrays, 5, seed=3)
    assert error.value.place == "dataset mine"
    with pytest.raises(DataError, match="2 groups cannot fill 5 folds"):
        deal(source, replace(arrays, groups=("x",) * 20 + ("y",) * 20), 5, seed=3)
