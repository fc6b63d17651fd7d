"""Files of the study's datasets with any content: an error with its path or a dataset, and nothing else."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench_core import FakeRequest
from bench_core.data.samples import Sample
from bench_core.errors import DataError
from bench_core.files.bounded import BoundError
from bench_datasets.declared.study import CAMUS, ISIC2018, NEOPOLYP
from bench_datasets.fakes.camus import fake_camus_mhd
from bench_datasets.readers.archives import members
from bench_datasets.readers.mhd import read_mhd
from bench_datasets.readers.stored import bare_members
from tests.helpers.study_copies import draw, reader

FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.sampled_from([
    "DimSize", "ElementType", "ElementDataFile", "ElementSpacing", "CompressedData", "MET_UCHAR", "True", "=",
    ":", "\n", "0", "-1", "1e308", "nan", "9" * 30, "../../etc/passwd", "LOCAL", "Age", "ImageQuality",
    "Good", "patient0001", "\x00", "é",
])  # fmt: skip
TEXTS = st.lists(WORDS, max_size=20).map(" ".join).map(str.encode) | st.binary(max_size=300)


@pytest.fixture(scope="module")
def camus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("any") / "camus"
    draw(CAMUS, root, samples=12)
    return root


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("older")
    fake_camus_mhd(FakeRequest(root=root, samples=12))
    return root


def used(declared, root: Path, path: Path) -> None:
    """List and read what names this file; a DataError must name a place below the root."""
    opened = reader(declared, root)
    try:
        samples: list[Sample] = list(opened.samples())
        for sample in samples:
            if path in sample.files:
                opened.read(sample)
        opened.remarks()
    except DataError as error:
        assert str(root) in str(error)


@FEW
@given(content=TEXTS)
@pytest.mark.parametrize(
    "name", ["Info_2CH.cfg", "_2CH_ED.nii.gz", "_2CH_ED_gt.nii.gz", "subgroup_testing.txt"]
)
def test_any_content_in_the_files_of_camus(name: str, content: bytes, camus: Path) -> None:
    path = sorted(path for path in camus.rglob("*") if path.name.endswith(name))[0]
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        used(CAMUS, camus, path)
    finally:
        path.write_bytes(before)


@FEW
@given(place=st.integers(0, 347), value=st.integers(0, 255))
def test_any_byte_of_a_nifti_header(place: int, value: int, camus: Path) -> None:
    path = sorted(camus.rglob("*_2CH_ED.nii.gz"))[0]
    before = path.read_bytes()
    content = bytearray(gzip.decompress(before))
    content[place] = value
    path.write_bytes(gzip.compress(content, 1))
    try:
        used(CAMUS, camus, path)
    finally:
        path.write_bytes(before)


@FEW
@given(content=TEXTS)
def test_any_mhd_header(content: bytes, older: Path) -> None:
    path = sorted(older.rglob("*_2CH_ED.mhd"))[0]
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        used(CAMUS, older, path)
    finally:
        path.write_bytes(before)


@FEW
@given(line=st.integers(0, 8), words=st.lists(WORDS, min_size=1, max_size=4))
def test_any_value_in_an_mhd_header(line: int, words: list[str], older: Path) -> None:
    path = sorted(older.rglob("*_2CH_ED.mhd"))[0]
    before = path.read_text()
    lines = before.splitlines()
    lines[line] = f"{lines[line].partition('=')[0]}= {' '.join(words)}"
    path.write_text("\n".join(lines))
    try:
        pixels, spacing = read_mhd(path)
        assert pixels.ndim == 2 and (spacing is None or min(spacing) > 0)
    except DataError as error:
        assert str(path.parent) in str(error)
    finally:
        path.write_text(before)


@FEW
@given(content=st.binary(max_size=400))
def test_any_archive(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.zip"
    path.write_bytes(content)
    with pytest.raises(BoundError):
        members(path)


@FEW
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_any_byte_of_an_archive(place: float, value: int, tmp_path: Path) -> None:
    path = tmp_path / "one.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/one.jpg", bytes(range(256)) * 3)
        archive.writestr("folder/two.jpg", b"two")
    whole = {name: stored.content() for name, stored in bare_members(path).items()}
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] = value
    path.write_bytes(content)
    try:
        found = {name: stored.content() for name, stored in bare_members(path).items()}
    except (BoundError, DataError):
        return
    assert all(content in whole.values() for content in found.values())


@FEW
@given(content=TEXTS)
@pytest.mark.parametrize("declared", [ISIC2018, NEOPOLYP], ids=lambda declared: declared.name)
def test_any_content_of_an_image_or_mask(
    declared, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"any-{declared.name}"
    if not folder.exists():
        draw(declared, folder, samples=10)
    sample = reader(declared, folder).samples()[0]
    for path in sample.files:
        before = path.read_bytes()
        path.write_bytes(content)
        try:
            used(declared, folder, path)
        finally:
            path.write_bytes(before)


def test_a_folder_that_is_a_file_and_a_root_that_is_none(tmp_path: Path) -> None:
    for declared in (ISIC2018, NEOPOLYP, CAMUS):
        root = tmp_path / declared.name
        with pytest.raises(DataError, match="root is not a folder"):
            reader(declared, root).samples()
        root.mkdir()
        with pytest.raises(DataError, match="published folder is missing"):
            reader(declared, root).samples()
        shutil.rmtree(root)
        root.write_text("a file")
        with pytest.raises(DataError, match="root is not a folder"):
            reader(declared, root).samples()
