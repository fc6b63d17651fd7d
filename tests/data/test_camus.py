"""CAMUS as published, in both releases: the right way up, patients as groups, and told when it is damaged."""

from __future__ import annotations

import gzip
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
from tests.helpers.study_copies import Damage, copied, cut, draw, problems, reader, told

BASE = "CAMUS_public/database_nifti"
SPLIT = "CAMUS_public/database_split"
OLD = "CAMUS_public/database"
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


def patient_of(root: Path, place: int = 0) -> Path:
    return sorted((root / BASE).iterdir())[place]


def image_of(root: Path, what: str = "4CH_ED", place: int = 0) -> Path:
    patient = patient_of(root, place)
    return patient / f"{patient.name}_{what}.nii.gz"


def shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def no_view(root: Path) -> str:
    patient = patient_of(root)
    for path in patient.glob("*4CH*"):
        path.unlink()
    return f"{shown(patient, root)}: has no view 4CH"


def no_truth(root: Path) -> str:
    path = image_of(root, "2CH_ES_gt")
    path.unlink()
    return f"{shown(path, root)}: the file is missing"


def no_image(root: Path) -> str:
    path = image_of(root, "4CH_ED")
    path.unlink()
    return f"{shown(path, root)}: the file is missing"


def no_table(root: Path) -> str:
    path = patient_of(root) / "Info_2CH.cfg"
    path.unlink()
    return f"{shown(path, root)}: the file is missing"


def empty_patient(root: Path) -> str:
    patient = patient_of(root)
    for path in patient.iterdir():
        path.unlink()
    return f"{shown(patient, root)}: is empty"


def no_patient(root: Path) -> str:
    shutil.rmtree(patient_of(root))
    return f"{BASE}: holds 4 of 500 published patients: without patient0001"


def no_split_file(root: Path) -> str:
    (root / SPLIT / "subgroup_testing.txt").unlink()
    return f"{SPLIT}/subgroup_testing.txt: the file is missing"


def cut_image(root: Path) -> str:
    path = image_of(root)
    cut(path)
    return f"{shown(path, root)}: cannot be decoded: "


def cut_truth(root: Path) -> str:
    path = image_of(root, "4CH_ES_gt")
    cut(path)
    return f"{shown(path, root)}: cannot be decoded: "


def empty_image(root: Path) -> str:
    path = image_of(root)
    path.write_bytes(b"")
    return f"{shown(path, root)}: cannot be decoded: "


def a_web_page(root: Path) -> str:
    path = image_of(root)
    path.write_text("<html></html>")
    return f"{shown(path, root)}: cannot be decoded: "


def save(path: Path, values: Any) -> None:
    image = nibabel.Nifti1Image(values, np.diag([1.232, 1.232, 1, 1]))
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def another_size(root: Path) -> str:
    path = image_of(root, "4CH_ED_gt")
    save(path, np.ones((40, 30), np.uint8))
    return f"{shown(path, root)}: the mask is 40 x 30 pixels, its image "


def a_sequence(root: Path) -> str:
    path = image_of(root)
    shutil.copy(image_of(root, "4CH_half_sequence"), path)
    return f"{shown(path, root)}: is "


def other_labels(root: Path) -> str:
    path = image_of(root, "4CH_ED_gt")
    values = np.asarray(nibabel.load(path).dataobj).copy()
    values[0, 0] = 7
    save(path, values)
    return f"{shown(path, root)}: the mask holds 7, published are the labels 0 to 3"


def other_grays(root: Path) -> str:
    path = image_of(root)
    save(path, np.asarray(nibabel.load(path).dataobj).astype(np.int16) * 16)
    return f"{shown(path, root)}: holds values from 0 to "


def a_bomb(root: Path) -> str:
    path = image_of(root)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:46] = np.array([32_000, 32_000], "<i2").tobytes()
    path.write_bytes(gzip.compress(content))
    return f"{shown(path, root)}: its header promises 32000 x 32000 pixels"


def second_file(root: Path) -> str:
    path = image_of(root)
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    return f"{shown(path.with_suffix(''), root)}: is a second file beside {path.name}: remove one of them"


def strange_quality(root: Path) -> str:
    path = patient_of(root) / "Info_4CH.cfg"
    lines = [line for line in path.read_text().splitlines() if "Quality" not in line]
    path.write_text("\n".join([*lines, "ImageQuality: Splendid"]))
    return f"{shown(path, root)}: ImageQuality is 'Splendid', expected Good or Medium or Poor"


def strange_age(root: Path) -> str:
    path = patient_of(root) / "Info_4CH.cfg"
    path.write_text(path.read_text().replace("Age: ", "Age: about "))
    return f"{shown(path, root)}: Age is 'about "


def no_table_lines(root: Path) -> str:
    path = patient_of(root) / "Info_4CH.cfg"
    path.write_text("<html>\n")
    return f"{shown(path, root)}: holds the line '<html>', expected `Key: value`"


def strange_patient(root: Path) -> str:
    patient = patient_of(root)
    shutil.copytree(patient, patient.with_name("patient0777"))
    for path in patient.with_name("patient0777").iterdir():
        path.rename(path.with_name(path.name.replace(patient.name, "patient0777")))
    return f"{BASE}/patient0777: is not among the published patients"


def in_two_parts(root: Path) -> str:
    name = (root / SPLIT / "subgroup_training.txt").read_text().split()[0]
    with (root / SPLIT / "subgroup_testing.txt").open("a") as file:
        file.write(f"{name}\n")
    return f"{SPLIT}/subgroup_testing.txt: {name} stand in subgroup_training.txt as well"


def strange_split(root: Path) -> str:
    (root / SPLIT / "subgroup_validation.txt").write_text("1\n2\n")
    return f"{SPLIT}/subgroup_validation.txt: holds '1', expected patients such as patient0001"


DAMAGES = (
    no_view, no_truth, no_image, no_table, empty_patient, no_patient, no_split_file, cut_image, cut_truth,
    empty_image, a_web_page, another_size, a_sequence, other_labels, other_grays, a_bomb, second_file,
    strange_quality, strange_age, no_table_lines, strange_patient, in_two_parts, strange_split,
)  # fmt: skip
MISSING = (no_view, no_truth, no_image, no_table, empty_patient, no_patient, no_split_file)


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


def header(root: Path) -> Path:
    return root / OLD / "training" / "patient0002" / "patient0002_4CH_ES.mhd"


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def no_data(root: Path) -> str:
    header(root).with_suffix(".raw").unlink()
    return f"{shown(header(root).with_suffix('.raw'), root)}: the file is missing"


def short_data(root: Path) -> str:
    cut(header(root).with_suffix(".raw"))
    return f"{shown(header(root).with_suffix('.raw'), root)}: holds "


def long_data(root: Path) -> str:
    with header(root).with_suffix(".raw").open("ab") as file:
        file.write(b"more")
    return f"{shown(header(root).with_suffix('.raw'), root)}: "


def out_of_the_folder(root: Path) -> str:
    change(header(root), "patient0002_4CH_ES.raw", "../patient0001/patient0001_4CH_ES.raw")
    return f"{shown(header(root), root)}: its header names the data file '../patient0001/"


def an_absolute_path(root: Path) -> str:
    change(header(root), "patient0002_4CH_ES.raw", "/etc/passwd")
    return (
        f"{shown(header(root), root)}: its header names the data file '/etc/passwd', which is not beside it"
    )


def local_data(root: Path) -> str:
    change(header(root), "patient0002_4CH_ES.raw", "LOCAL")
    return f"{shown(header(root), root)}: its header names no data file"


def claimed_size(root: Path) -> str:
    lines = header(root).read_text().splitlines()
    sides = next(line for line in lines if line.startswith("DimSize"))
    change(header(root), sides, "DimSize = 99999999 99999999")
    return f"{shown(header(root), root)}: its header promises '99999999 99999999' pixels"


def unknown_type(root: Path) -> str:
    change(header(root), "MET_UCHAR", "MET_OTHER")
    return f"{shown(header(root), root)}: its pixels are 'MET_OTHER', which is not read"


def no_header(root: Path) -> str:
    header(root).write_text("\x00\x01 nothing")
    return f"{shown(header(root), root)}: its header holds the line "


def older_no_view(root: Path) -> str:
    for path in header(root).parent.glob("*2CH*"):
        path.unlink()
    return f"{shown(header(root).parent, root)}: has no view 2CH"


def a_second_training(root: Path) -> str:
    shutil.copytree(root / OLD / "training", root / "copy" / "training")
    return "copy/training: holds patients too, as CAMUS_public/database/training does: set `root` to one"


def both_releases(root: Path) -> str:
    draw(CAMUS, root / "again", samples=12)
    return "again/CAMUS_public/database_nifti: holds patients too, as CAMUS_public/database/testing does"


OLDER = (no_data, short_data, long_data, out_of_the_folder, an_absolute_path, local_data, claimed_size,
         unknown_type, no_header, older_no_view, a_second_training, both_releases)  # fmt: skip


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
