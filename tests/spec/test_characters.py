"""Characters that nobody sees: line ends of other alphabets, terminal escapes, marks that reverse text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import BenchError
from bench_core.spec.compose import compose
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec
from bench_core.spec.nodes import plain
from bench_core.spec.reader import decode
from bench_core.text import visible
from tests.helpers.spec_files import VALID, edited, findings, small_registry, write

BREAKS = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
"""What Python's splitlines, YAML 1.1 or editors take for the end of a line, besides LF and CR."""
HIDDEN = ["\x00", "\x07", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066"]


@pytest.mark.parametrize("letter", [*BREAKS, *HIDDEN])
def test_nothing_hidden_stands_in_a_file(letter: str, tmp_path: Path) -> None:
    (found,) = findings(write(tmp_path, f"# note{letter}seed: 7\n" + VALID))
    assert (found.check, found.line, found.column) == ("encoding", 1, 7)
    assert f"{ord(letter):02X}" in found.message
    assert visible(str(found)) == str(found)


PARTS = st.sampled_from([*BREAKS, "\n", "\r", "\r\n", "a", ": 1", "#", " "])


@given(st.lists(PARTS, max_size=12).map("".join))
def test_a_comment_ends_where_every_reader_says_it_ends(text: str) -> None:
    """What is read is what YAML 1.2 and an editor show: only LF and CR end a comment."""
    try:
        content = decode(f"k: v  # {text}".encode(), "x.yaml")
        data = plain(compose(content, "x.yaml", []))
    except SpecError:
        return
    assert not set(content) & set(BREAKS)
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    expected = "\n".join(line.partition(" #")[0] for line in lines)
    assert data == yaml.safe_load(expected) or not isinstance(data, dict)


VALUES = [
    ('name: "a\\0b"', ("name: small-study", 'name: "a\\0b"'), "U+0000"),
    ("a reason", ('"too slow"', '"\\e[31mtoo slow"'), "U+001B"),
    ("a root", ("data/skin", '"data/\\u202Eskin"'), "U+202E"),
    ("a path of bytes", ("data/skin", "${BYTES}"), "0xff"),
    ("a key", ("width: 8", '"wid\\nth": 8'), "U+000A"),
    ("a line end", ('"too slow"', '"too\\u2028slow"'), "U+2028"),
]


@pytest.mark.parametrize(("edit", "shown"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_escapes_and_variables_bring_nothing_hidden_in(
    edit: tuple[str, str], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYTES", os.fsdecode(b"\xff"))
    found = findings(write(tmp_path, edited(edit)))
    assert any(item.check == "text" and shown in item.message for item in found), found


def test_the_command_line_brings_nothing_hidden_in(tmp_path: Path) -> None:
    found = findings(write(tmp_path, VALID), ['description="\\e[2J"'])
    assert [(item.check, item.path) for item in found] == [("text", "--set")]


def test_lines_and_tabs_of_a_description_are_text(tmp_path: Path) -> None:
    assert not findings(write(tmp_path, VALID + "description: |\n  one\n  two\tthree\n"))


def test_a_spec_in_a_folder_out_of_utf_8_is_refused(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    path = write(folder, VALID)
    with pytest.raises(BenchError, match="the spec cannot be used") as caught:
        load_spec(path, registry=small_registry())
    assert "0xff" in str(caught.value)
    str(caught.value).encode()


CLASSES: list[tuple[Any, str]] = [
    ("a\x1bb", "U+001B"),
    ("", "empty"),
    (" a", "starts or ends"),
    ("x" * 65, "longer"),
    ("a\nb", "U+000A"),
]


@pytest.mark.parametrize(("name", "shown"), CLASSES, ids=["escape", "empty", "space", "long", "line"])
def test_class_names_are_looked_at(name: Any, shown: str, tmp_path: Path) -> None:
    import dataclasses

    from bench_core import Task

    registry = small_registry()
    skin = dataclasses.replace(registry.datasets["skin"], task=Task(classes=("lesion", name), channels=3))
    registry = dataclasses.replace(registry, datasets={**registry.datasets, "skin": skin})
    with pytest.raises(SpecError) as caught:
        load_spec(write(tmp_path, VALID), registry=registry)
    (found,) = caught.value.diagnostics
    assert found.check == "name" and shown in found.message and found.line == 7
