"""Groups and attributes of own images: from patterns and from tables beside them."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from bench_core.data.opening import Source, open_arrays
from bench_core.data.resize import Fit
from bench_core.options import differing
from bench_datasets.plugin import FOLDER
from tests.helpers.folders import problems_of
from tests.helpers.pictures import cache_folder, folder_options, open_folder, write_folder


@pytest.mark.parametrize("pattern", [r"case-(\d)", r"^case-(?P<group>\d)(\d)$", r"(?<=case-)\d"])
def test_groups_by_pattern(tmp_path: Path, pattern: str) -> None:
    samples = open_folder(write_folder(tmp_path, 12), group_pattern=pattern).samples()
    assert [sample.group for sample in samples] == ["0"] * 10 + ["1"] * 2


def test_a_pattern_that_finds_no_group_names_the_files(tmp_path: Path) -> None:
    assert "images/case-03.png: group_pattern" in problems_of(
        write_folder(tmp_path), group_pattern="case-0[012]"
    )


def test_groups_by_file(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    lines = [
        "id,group",
        "case-00,anna",
        "case-01.png,anna",
        "images/case-02.png,ben",
        "case-03,ben",
        "other,x",
    ]
    (tmp_path / "groups.csv").write_text("\ufeff" + "\r\n".join(lines))
    samples = open_folder(tmp_path, group_file="groups.csv").samples()
    assert [sample.group for sample in samples] == ["anna", "anna", "ben", "ben"]


def test_a_broken_group_file_is_named_with_its_lines(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    (tmp_path / "groups.csv").write_text("case-00,a\ncase-00,b\ncase-01\n")
    message = problems_of(tmp_path, group_file="groups.csv")
    assert "groups.csv:2: case-00 is given a second group" in message
    assert "groups.csv:3: expected two cells" in message
    assert "images/case-02.png: has no line in groups.csv" in message
    assert "cannot be read as CSV" in problems_of(tmp_path, group_file="missing.csv")
    (tmp_path / "groups.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as CSV" in problems_of(tmp_path, group_file="groups.csv")


def test_a_group_file_written_on_a_mac_fits(tmp_path: Path) -> None:
    write_folder(tmp_path, 2)
    for kind in ("images", "masks"):
        (tmp_path / kind / "case-00.png").rename(tmp_path / kind / unicodedata.normalize("NFC", "Zoé.png"))
    lines = [unicodedata.normalize("NFD", "Zoé,Zoé"), "case-01,ben"]
    (tmp_path / "groups.csv").write_text("\n".join(lines), encoding="utf-8")
    samples = open_folder(tmp_path, group_file="groups.csv").samples()
    assert {sample.id: sample.group for sample in samples} == {"Zoé": "Zoé", "case-01": "ben"}


@pytest.mark.parametrize("way", ["../groups.csv", "link.csv", "{absolute}", "folder/../../groups.csv"])
def test_a_group_file_outside_of_the_root_is_not_read(tmp_path: Path, way: str) -> None:
    root = write_folder(tmp_path / "data", 2)
    (tmp_path / "groups.csv").write_text("secret of another user\n")
    (root / "folder").mkdir()
    (root / "link.csv").symlink_to(tmp_path / "groups.csv")
    message = problems_of(root, group_file=way.format(absolute=tmp_path / "groups.csv"))
    assert "lies outside of the root" in message and "secret" not in message


def test_a_group_file_that_is_no_file_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path, 2)
    os.mkfifo(root / "pipe.csv")
    (root / "loop.csv").symlink_to("loop.csv")
    for name in ("pipe.csv", "images", "loop.csv", "a\0b"):
        assert "cannot be read as CSV" in problems_of(root, group_file=name)


def test_attributes_come_from_a_table(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    lines = [
        "image,age,sex,note",
        "case-00,41,f,1",
        "case-01.png,,m,2 of 3",
        "images/case-02.png,40.5,NA,",
        "x,9,f,",
    ]
    (tmp_path / "about.csv").write_text("\ufeff" + "\r\n".join(lines))
    samples = open_folder(tmp_path, attribute_file="about.csv").samples()
    assert [dict(sample.attributes) for sample in samples] == [
        {"age": 41.0, "sex": "f", "note": "1"},
        {"sex": "m", "note": "2 of 3"},
        {"age": 40.5},
        {},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line must name the columns"),
        ("id\ncase-00\n", "its first line must name the columns"),
        ("id,age,age\ncase-00,1,2\n", "its first line must name the columns"),
        ("id,age\ncase-00\n", "about.csv:2: expected 2 cells, found 1"),
        ("id,age\ncase-00,1\ncase-00,2\n", "about.csv:3: case-00 has a second line"),
        ("id,age\nnobody,1\n", "none of its ids is a sample, for example nobody"),
        ("id,sex\ncase-00,a\x1b[2J\n", "about.csv:2: a cell has more than 1024 or unprintable"),
        ("id,sex\ncase-00," + "x" * 2000 + "\n", "about.csv:2: a cell has more"),
    ],
)
def test_a_table_of_attributes_that_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    write_folder(tmp_path, 2)
    (tmp_path / "about.csv").write_text(text)
    assert message in problems_of(tmp_path, attribute_file="about.csv")


def test_a_table_of_attributes_stays_in_the_root(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 2)
    (tmp_path / "about.csv").write_text("id,age\ncase-00,3\n")
    assert "outside of the root" in problems_of(root, attribute_file="../about.csv")


def test_attributes_change_no_fingerprint_and_no_digest(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 3)
    plain = cache_folder(root, tmp_path / "cache")
    (root / "about.csv").write_text("id,age\ncase-00,3\n")
    options = folder_options(attribute_file="about.csv")
    assert differing(FOLDER.options, options) == differing(FOLDER.options, folder_options())
    source = Source("mine", FOLDER, FOLDER.task_for(options), str(root), options)
    other = open_arrays(source, Fit(16), tmp_path / "other")
    again = open_arrays(replace(source, options=folder_options()), Fit(16), tmp_path / "other")
    assert other.path == again.path and other.fingerprint == again.fingerprint
    assert other.attributes[0] == {"age": 3.0} and again.attributes[0] == {}
    assert (plain.masks == other.masks).all()
