"""Damage of a drawn copy of CAMUS, in both releases: each does it and returns what must be told of it."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from bench_datasets.declared.study import CAMUS
from tests.helpers.study_copies import cut, draw

BASE = "CAMUS_public/database_nifti"
SPLIT = "CAMUS_public/database_split"
OLD = "CAMUS_public/database"


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
