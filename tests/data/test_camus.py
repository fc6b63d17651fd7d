"""CAMUS as published, in both releases: the right way up, patients as groups, and told when it is damaged."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from bench_core import FakeRequest
from bench_core.conformance.datasets import PROPERTIES, DatasetSubject, Property, judge, subject_of
from bench_core.errors import DataError
from bench_core.plugins.wiring import load_registry
from bench_datasets.declared.study import CAMUS
from bench_datasets.fakes.camus import fake_camus_mhd
from bench_datasets.readers.camus_pixels import to_gray, to_labels
from bench_datasets.readers.mhd import read_mhd
from tests.helpers.damaged_camus import BASE, DAMAGES, MISSING, OLD, OLDER, SPLIT, image_of, patient_of, shown
from tests.helpers.study_copies import Damage, copied, draw, problems, reader, told

Drawn = tuple[Path, Mapping[str, Any]]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    root = tmp_path_factory.mktemp("camus") / "root"
    return root, draw(CAMUS, root, samples=20)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    root = tmp_path_factory.mktemp("camus-mhd")
    return root, fake_camus_mhd(FakeRequest(root=root, samples=12))


@pytest.fixture
def root(drawn: Drawn, tmp_path: Path) -> Path:
    return copied(drawn[0], tmp_path)


@pytest.fixture
def older_root(older: Drawn, tmp_path: Path) -> Path:
    return copied(older[0], tmp_path)


@pytest.mark.parametrize("release", ["drawn", "older"])
def test_samples_tables_and_pixels_are_those_of_the_truth(
    release: str, request: pytest.FixtureRequest
) -> None:
    root, truth = request.getfixturevalue(release)
    opened = reader(CAMUS, root)
    samples = opened.samples()
    rows = {row["id"]: row for row in truth["samples"]}
    assert {sample.id for sample in samples} == set(rows)
    told_of = ("view", "phase", "image_quality", "sex", "age", "ef", "split")
    for sample in samples:
        row = rows[sample.id]
        assert sample.group == row["group"]
        assert sample.attributes == {key: row[key] for key in told_of if key in row}
        image, mask = opened.read(sample)
        assert [mask.shape[1], mask.shape[0]] == row["size"] and image.shape == (*mask.shape, 1)
        counts = np.bincount(mask.reshape(-1), minlength=4).tolist()
        assert counts[1:] == list(row["pixels"].values())


@pytest.mark.parametrize("release", ["drawn", "older"])
def test_the_probe_is_on_top(release: str, request: pytest.FixtureRequest) -> None:
    root, _ = request.getfixturevalue(release)
    opened = reader(CAMUS, root)
    for sample in opened.samples():
        image, mask = opened.read(sample)
        lit = (image[:, :, 0] > 0).sum(axis=1)
        height = len(lit)
        # The fan starts narrow, and the ventricle's tip points to the probe: the atrium lies below it.
        assert lit[: height // 5].max() < lit[height // 2 : 4 * height // 5].min()
        rows = np.arange(height)[:, None] * np.ones_like(mask, dtype=float)
        assert rows[mask == 3].mean() > rows[mask == 1].mean()


def test_spacing_is_down_and_across_in_mm(drawn: Drawn, older: Drawn) -> None:
    assert {sample.spacing for sample in reader(CAMUS, drawn[0]).samples()} == {(1.232, 1.232)}
    assert {sample.spacing for sample in reader(CAMUS, older[0]).samples()} == {(0.616, 1.232)}


def test_one_spacing_whatever_unit_the_header_has(root: Path) -> None:
    path = image_of(root)
    image = nibabel.load(path)
    image.header.set_xyzt_units("meter")
    image.header.set_zooms((0.0005, 0.0003))
    image.to_filename(path)
    found = {sample.files[0]: sample.spacing for sample in reader(CAMUS, root).samples()}
    assert found[path] == (0.3, 0.5)


def test_patients_are_groups_of_four(drawn: Drawn) -> None:
    samples = reader(CAMUS, drawn[0]).samples()
    groups = {sample.group for sample in samples}
    assert all(sum(sample.group == group for sample in samples) == 4 for group in groups) and len(groups) == 5


def test_the_split_comes_from_the_files(drawn: Drawn) -> None:
    root, truth = drawn
    found = {sample.group: sample.attributes["split"] for sample in reader(CAMUS, root).samples()}
    assert found == {row["group"]: row["split"] for row in truth["samples"]}
    assert set(found.values()) == {"training", "validation", "testing"}


def test_the_copy_has_what_makes_the_published_data_hard(drawn: Drawn) -> None:
    root, truth = drawn
    traps = truth["traps"]
    (backwards,) = traps["ED after ES"]
    table = (root / BASE / backwards / "Info_2CH.cfg").read_text().splitlines()
    cells = dict(line.split(": ") for line in table)
    assert int(cells["ED"]) > int(cells["ES"]) == 1
    opened = reader(CAMUS, root)
    samples = {sample.id: sample for sample in opened.samples()}
    for key in traps["truth beyond the fan"]:
        image, mask = opened.read(samples[key])
        assert np.count_nonzero((image[:, :, 0] == 0) & (mask > 0)) > 20
    kinds = {text.partition(": ")[2] for text in traps["stored as"]}
    assert kinds == {"floats", "a third axis", "no gzip, no unit"}
    assert list(root.glob(f"{BASE}/*/*.nii")) and list(root.glob(f"{BASE}/*/*half_sequence_gt.nii.gz"))
    assert len({opened.read(sample)[1].shape for sample in samples.values()}) > 2


def test_without_the_split_files_there_is_no_split(root: Path) -> None:
    shutil.rmtree(root / SPLIT)
    opened = reader(CAMUS, root)
    assert all("split" not in sample.attributes for sample in opened.samples())
    assert "database_split/ is not there: images have no attribute `split`" in opened.remarks()


def test_the_folder_of_patients_may_be_the_root(drawn: Drawn, root: Path) -> None:
    expected = [sample.id for sample in reader(CAMUS, drawn[0]).samples()]
    assert [sample.id for sample in reader(CAMUS, root / BASE).samples()] == expected


def test_parts_of_the_older_release_count_from_one_and_never_collide(older_root: Path) -> None:
    opened = reader(CAMUS, older_root)
    assert {sample.id.partition("-")[0] for sample in opened.samples()} == {"training"}
    assert "not used: 1 patient in testing/, published without ground truth" in opened.remarks()
    testing = older_root / OLD / "testing" / "patient0001"
    for path in sorted(testing.glob("*_E?.mhd")):
        for ending in (".mhd", ".raw"):
            truth = path.with_name(f"{path.stem}_gt{ending}")
            source = older_root / OLD / "training" / "patient0001" / truth.name
            if ending == ".raw":
                truth.write_bytes(bytes(path.with_suffix(".raw").stat().st_size))
            else:
                truth.write_text(path.read_text().replace(f"{path.stem}.raw", f"{path.stem}_gt.raw"))
            assert source.is_file()
    samples = reader(CAMUS, older_root).samples()
    ids = [sample.id for sample in samples]
    assert len(set(ids)) == len(ids) == 16
    assert {"training-patient0001", "testing-patient0001"} <= {sample.group for sample in samples}


def test_compressed_and_big_endian_data_are_read_alike(older_root: Path) -> None:
    path = older_root / OLD / "training" / "patient0001" / "patient0001_2CH_ED.mhd"
    expected, _ = read_mhd(path)
    path.with_suffix(".zraw").write_bytes(zlib.compress(expected.astype(">u2").tobytes()))
    text = path.read_text().replace("CompressedData = False", "CompressedData = True")
    text = (
        text.replace("MET_UCHAR", "MET_USHORT").replace("MSB = False", "MSB = True").replace(".raw", ".zraw")
    )
    path.write_text(text)
    found, spacing = read_mhd(path)
    assert (found == expected).all() and found.dtype == np.uint16 and spacing == (0.616, 1.232)
    assert any(path.with_suffix(".zraw") in sample.files for sample in reader(CAMUS, older_root).samples())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[0.0, 300.0]], "values from 0 to 300, published as 0 to 255"),
        ([[-3.0, 3.0]], "values from -3 to 3"),
        ([[0.0, 0.9]], "values from 0 to 0.9: rescaled?"),
        ([[0.0, np.nan]], "not finite"),
    ],
)
def test_gray_values_are_never_cut(values: list[list[float]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        to_gray(np.array(values), Path("image.nii"))
    assert to_gray(np.array([[0.4, 254.6, 7.5]]), Path("x"))[:, :, 0].tolist() == [[0, 255, 8]]


@pytest.mark.parametrize("value", [4, -1, 0.5])
def test_other_labels_are_refused(value: float) -> None:
    with pytest.raises(DataError, match=f"the mask holds {value:g}, published are the labels 0 to 3"):
        to_labels(np.array([[0, 1, value]]), Path("mask.nii"))


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "strict"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_told_once_with_its_path(damage: Damage, allowed: bool, root: Path, tmp_path: Path) -> None:
    line = damage(root)
    text = told(CAMUS, root, tmp_path, allow_missing=allowed)
    assert text.count(line) == 1, text


@pytest.mark.parametrize("damage", MISSING, ids=lambda damage: damage.__name__)
def test_what_is_missing_is_an_error_unless_it_is_allowed(damage: Damage, root: Path) -> None:
    line = damage(root)
    assert sum(line in problem for problem in problems(CAMUS, root, allow_missing=False)) == 1
    remarks = [remark for remark in reader(CAMUS, root).remarks() if line in remark]
    assert len(remarks) == 1 and remarks[0].startswith("missing and allowed: ")


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "strict"])
@pytest.mark.parametrize("damage", OLDER, ids=lambda damage: damage.__name__)
def test_damage_of_the_older_release_is_told_once(
    damage: Damage, allowed: bool, older_root: Path, tmp_path: Path
) -> None:
    line = damage(older_root)
    text = told(CAMUS, older_root, tmp_path, allow_missing=allowed)
    assert text.count(line) == 1, text


@pytest.mark.parametrize("release", ["drawn", "older"])
def test_the_same_seed_draws_the_same_bytes(
    release: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root, truth = request.getfixturevalue(release)
    if release == "drawn":
        assert draw(CAMUS, tmp_path / "again", samples=20) == truth
    else:
        assert fake_camus_mhd(FakeRequest(root=tmp_path / "again", samples=12)) == truth
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    again = tmp_path / "again"
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((root / path).read_bytes() == (again / path).read_bytes() for path in files)


@pytest.mark.parametrize("item", PROPERTIES, ids=lambda item: item.name)
def test_the_older_release_is_what_every_dataset_must_be(
    item: Property[DatasetSubject], older: Drawn
) -> None:
    subject = subject_of(load_registry(), "camus", {"allow_missing": True}, older[0])
    assert judge(item, subject).state in ("ok", "skipped")


def test_odd_seeds_draw_the_older_release(tmp_path: Path) -> None:
    draw(CAMUS, tmp_path / "odd", seed=1)
    assert (tmp_path / "odd" / OLD / "training" / "patient0001" / "patient0001_2CH_ED.raw").is_file()


def link_to_nowhere(root: Path) -> Path:
    path = image_of(root, "2CH_ES_gt")
    path.unlink()
    path.symlink_to("nowhere.nii.gz")
    return path


def test_a_link_to_nowhere_is_missing(root: Path) -> None:
    path = link_to_nowhere(root)
    found = problems(CAMUS, root, allow_missing=False)
    assert f"{shown(path, root)}: the file is missing" in found


def test_files_of_other_names_are_remarked_upon(root: Path) -> None:
    patient = patient_of(root)
    (patient / f"{patient.name}_2CH_ED_GT.nii.gz").write_bytes(b"x")
    (patient / "patient0999_2CH_ED.nii.gz").write_bytes(b"x")
    (remark,) = [text for text in reader(CAMUS, root).remarks() if text.startswith("passed over: ")]
    assert "2 other files in database_nifti" in remark and f"{patient.name}_2CH_ED_GT.nii.gz" in remark
