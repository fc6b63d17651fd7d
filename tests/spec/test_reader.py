from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.spec.diagnostics import SpecError, UnreadableSpecError
from bench_core.spec.reader import LARGEST_FILE, decode, read_text


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [
        (b"\xff\xfea", 1, 1),
        (b"a: 1\nb: \xe9\n", 2, 4),
        ("a: é".encode() + b"\x80", 1, 5),
        (b"a: 1\n\x00\x00", 2, 1),
        (b"a: \x1b[31m\n", 1, 4),
        (b"\x89PNG\r\n\x1a\n", 1, 1),
    ],
)
def test_binary_input_names_the_first_bad_byte(raw: bytes, line: int, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        decode(raw, "x.yaml")
    (found,) = caught.value.diagnostics
    assert (found.check, found.line, found.column) == ("encoding", line, column)


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode(b"\xef\xbb\xbfa: 1", "x.yaml") == "a: 1"


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_one_error_inside_of_them(raw: bytes) -> None:
    try:
        text = decode(raw, "x.yaml")
    except SpecError as error:
        (found,) = error.diagnostics
        lines = raw.decode("latin-1").splitlines() or [""]
        assert 1 <= found.line <= max(1, len(raw.splitlines()) + 1, len(lines))
        assert found.column >= 1
    else:
        assert text.encode() == raw.removeprefix(b"\xef\xbb\xbf")


def test_large_files_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"#" * LARGEST_FILE)
    assert len(read_text(path, "huge.yaml")) == LARGEST_FILE
    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    with pytest.raises(SpecError) as caught:
        read_text(path, "huge.yaml")
    assert caught.value.diagnostics[0].check == "file-size"


def test_a_missing_file_suggests_its_neighbor(tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_text("a: 1")
    with pytest.raises(UnreadableSpecError) as caught:
        read_text(tmp_path / "papr.yaml", "papr.yaml")
    assert "paper.yaml" in (caught.value.fix or "")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("results", [False, True])
def test_a_folder_in_place_of_a_spec_is_told_from_a_store(results: bool, tmp_path: Path) -> None:
    if results:
        (tmp_path / "store.json").write_text("{}")
    with pytest.raises(UnreadableSpecError, match="this is a folder") as caught:
        read_text(tmp_path, "a b")
    assert ("--store 'a b'" in (caught.value.fix or "")) == results
