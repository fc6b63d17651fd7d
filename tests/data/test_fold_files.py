"""Folds as files: every form is read alike, and what cannot be used is named with its place."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.data.folds import match_folds
from bench_core.errors import DataError
from bench_core.fold_files import GivenFolds, read_folds, write_csv

FIVE = {"a": 0, "b": 1, "c": 2, "d": 0, "e": 1}
SPLIT = {"a": 0, "b": 1, "c": 2, "d": 0, "e": 0}


def read(tmp_path: Path, content: Any, name: str = "folds.csv") -> GivenFolds:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_folds(path)


KFOLD: dict[str, Any] = {
    "csv": "id,fold\na,0\nb,1\nc,2\nd,0\ne,1\n",
    "csv without a header": "a,0\nb,1\nc,2\nd,0\ne,1",
    "csv of a spreadsheet": "\ufeffimage;size;fold\r\na;1;0\r\nb;2;1\r\nc;3;2\r\n;;\r\nd;4;0\r\ne;5;1\r\n",
    "tabs": "fold\tname\n0\ta\n1\tb\n2\tc\n0\td\n1\te\n",
    "json of ids": {"dataset": "x", "folds": FIVE},
    "json of ids alone": FIVE,
    "json of lists": [["a", "d"], ["b", "e"], ["c"]],
    "json of lists in folds": {"folds": [["a", "d"], ["b", "e"], ["c"]]},
    "nnU-Net": [
        {"train": ["b", "c", "e"], "val": ["a", "d"]},
        {"train": ["a", "c", "d"], "val": ["b", "e"]},
        {"train": ["a", "b", "d", "e"], "val": ["c"]},
    ],
    "nnU-Net with tests": [
        {"train": ["c"], "val": ["a", "d"], "test": ["b", "e"]},
        {"train": ["a", "d"], "val": ["b", "e"], "test": ["c"]},
        {"train": ["b", "e"], "val": ["c"], "test": ["a", "d"]},
    ],
}
FIXED: dict[str, Any] = {
    "csv": "id,split\na,train\nb,val\nc,test\nd,Training\ne,train\n",
    "json": {"train": ["a", "d", "e"], "validation": ["b"], "test": ["c"], "remark": "official"},
    "json by id": {"folds": {"a": "train", "b": "val", "c": "test", "d": "train", "e": "train"}},
    "one split of nnU-Net": [{"train": ["a", "d", "e"], "val": ["b"], "test": ["c"]}],
}


@pytest.mark.parametrize("content", KFOLD.values(), ids=KFOLD)
def test_folds_in_every_form(tmp_path: Path, content: Any) -> None:
    found = read(tmp_path, content, "any name")
    assert dict(found.folds) == FIVE and not found.roles and found.count == 3 and found.sizes == (2, 2, 1)
    assert found.content == GivenFolds(FIVE, roles=False).content


@pytest.mark.parametrize("content", FIXED.values(), ids=FIXED)
def test_a_fixed_split_in_every_form(tmp_path: Path, content: Any) -> None:
    found = read(tmp_path, content)
    assert dict(found.folds) == SPLIT and found.roles and found.count == 3


def test_training_and_validation_alone_are_two_folds(tmp_path: Path) -> None:
    found = read(tmp_path, [{"train": ["a", "b"], "val": ["c"]}])
    assert dict(found.folds) == {"a": 0, "b": 0, "c": 1} and found.roles and found.count == 2


WRONG: dict[str, tuple[Any, str]] = {
    "empty": ("", "is empty"),
    "header alone": ("id,fold\n", "holds no samples"),
    "not text": (b"\xff\xfe\x00", "is not text"),
    "broken json": ('{"folds": ', "is not valid JSON"),
    "deep json": ("[" * 100_000, "is not valid JSON"),
    "a key twice": ('{"folds": {"a": 0, "a": 1}}', "key 'a' is given twice"),
    "no folds": ({"folds": 3, "a": "b"}, "expected a whole number"),
    "a number": ("[1, 2]", "holds no folds"),
    "a second fold": ("id,fold\na,0\nb,1\na,1\n", "folds.csv:4: a is given a second fold"),
    "a fold in words": ("id,fold\na,0\nb,first\n", "folds.csv:3: 'first' is neither a fold number"),
    "below zero": ("id,fold\na,0\nb,-1\n", "folds.csv:3: '-1' is neither"),
    "a number with a sign of another script": ("id,fold\na,0\nb,\u0661\n", "is neither a fold number"),
    "a cell too few": ("id,fold\na,0\nb\n", "folds.csv:3: expected an id and a fold"),
    "a gap": ({"folds": {"a": 0, "b": 2}}, "fold 1 has no samples"),
    "one fold": ({"folds": {"a": 0, "b": 0}}, "holds a single fold"),
    "true": ({"folds": {"a": 0, "b": True}}, "the fold of 'b' is True"),
    "a huge fold": ({"folds": {"a": 0, "b": 10**9}}, "beyond the 1000 that are possible"),
    "no test": ({"train": ["a"], "test": ["b"]}, "gives no validation samples"),
    "no training": ({"val": ["a"], "test": ["b"]}, "gives no train samples"),
    "an id that is a number": ({"train": [1], "val": ["b"]}, "1 is not a sample's id"),
    "a control character": ("id,fold\na\x1b[2J,0\nb,1\n", "is not a sample's id"),
    "twice validated": (
        [{"train": ["b"], "val": ["a", "c"]}, {"train": ["a"], "val": ["b", "c"]}],
        "c is validated on in two splits",
    ),
    "not the rest": (
        [{"train": ["b"], "val": ["a"]}, {"train": ["a"], "val": ["b", "c"]}],
        "split 0 does not train on all other samples: 'c'",
    ),
    "trained and validated": (
        [{"train": ["a", "b"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}],
        "split 0 does not train on all other samples: 'a'",
    ),
    "tests that do not rotate": (
        [
            {"train": ["b"], "val": ["a"], "test": ["c"]},
            {"train": ["c"], "val": ["b"], "test": ["a"]},
            {"train": ["a"], "val": ["c"], "test": ["b"]},
        ],
        "split 0 does not test what split 1 validates on",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert message in str(caught.value)
    assert str(caught.value.place).startswith(str(tmp_path / "folds.csv"))
    assert "\x1b" not in str(caught.value)


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path, tmp_path / ("x" * 300), Path("a\0b")):
        with pytest.raises(DataError, match="cannot be read"):
            read_folds(path)


names = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=12
).filter(lambda name: name == name.strip() and name.isprintable())


@given(
    st.dictionaries(names.map(lambda name: unicodedata.normalize("NFC", name)), st.integers(0, 3), min_size=4)
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, folds: dict[str, int]
) -> None:
    numbers = {fold: place for place, fold in enumerate(sorted(set(folds.values())))}
    folds = {sample: numbers[fold] for sample, fold in folds.items()}
    if len(numbers) < 2:
        return
    path = tmp_path_factory.mktemp("folds") / "folds.csv"
    path.write_text(write_csv(list(folds), list(folds.values())), encoding="utf-8")
    assert dict(read_folds(path).folds) == folds


def test_a_fixed_split_is_written_in_words(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text(write_csv(list(SPLIT), list(SPLIT.values()), roles=True))
    assert "b,validation\n" in (tmp_path / "split.csv").read_text()
    assert read_folds(tmp_path / "split.csv") == GivenFolds(SPLIT, roles=True)


def test_ids_are_matched_as_names_of_files(tmp_path: Path) -> None:
    composed, decomposed = "für", unicodedata.normalize("NFD", "für")
    found = read(tmp_path, f"id,fold\na.png,1\nb,0\nc.nii.gz,1\n{decomposed},0\n")
    assert match_folds(found, ["b", "a", composed, "c"], "folds.csv").tolist() == [0, 1, 0, 1]
    assert match_folds(found, ["b", "a", decomposed, "c"], "folds.csv").tolist() == [0, 1, 0, 1]


def test_folds_that_do_not_fit_the_data_name_the_samples() -> None:
    found = GivenFolds({"a": 0, "b": 1, "x": 0, "a.png": 1}, roles=False)
    with pytest.raises(DataError) as caught:
        match_folds(found, ["a", "b", "c"], "folds.csv")
    message = str(caught.value)
    assert "1 sample(s) of the data are not in it: c" in message
    assert "1 id(s) in it mean no sample of the data: x" in message
    assert "1 id(s) in it give a sample a second fold: a.png" in message


def test_long_lists_are_cut() -> None:
    found = GivenFolds({f"s{number}": number % 2 for number in range(50)}, roles=False)
    with pytest.raises(DataError) as caught:
        match_folds(found, ["other"], "folds.csv")
    assert "50 id(s) in it mean no sample of the data: s0, s1" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_an_assignment_is_an_array(tmp_path: Path) -> None:
    folds = match_folds(GivenFolds(FIVE, roles=False), list("edcba"), "folds.csv")
    assert folds.dtype == np.int64 and folds.tolist() == [1, 0, 2, 1, 0]
