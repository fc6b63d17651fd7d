"""Small files do not ask for work out of proportion: counted in steps, not in seconds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench_core.spec import layers
from tests.helpers.spec_files import VALID, edited, findings, write


def test_files_that_extend_each_other_twice_are_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    original = layers.read_text

    def counted(path: Path, name: str) -> str:
        reads[path.name] += 1
        return original(path, name)

    monkeypatch.setattr(layers, "read_text", counted)
    write(tmp_path, VALID, "0.yaml")
    for index in range(1, 29):
        write(tmp_path, f"extends: [{index - 1}.yaml, {index - 1}.yaml]\n", f"{index}.yaml")
    assert not findings(tmp_path / "28.yaml")
    assert set(reads.values()) == {1} and len(reads) == 29


def test_mistakes_of_a_file_that_two_extend_are_told_once(tmp_path: Path) -> None:
    write(tmp_path, VALID + "seed: 1\nseed: 2\n", "base.yaml")
    write(tmp_path, "extends: base.yaml\n", "left.yaml")
    write(tmp_path, "extends: base.yaml\n", "right.yaml")
    found = findings(write(tmp_path, "extends: [left.yaml, right.yaml]\n"))
    assert [item.check for item in found] == ["duplicate-key"]


def test_a_long_chain_is_one_error_at_its_place(tmp_path: Path) -> None:
    for index in range(1100):
        write(tmp_path, f"extends: {index + 1}.yaml\n", f"{index}.yaml")
    write(tmp_path, VALID, "1100.yaml")
    (found,) = findings(tmp_path / "0.yaml")
    assert found.check == "extends" and "40 specs" in found.message
    assert found.path.endswith("39.yaml") and (found.line, found.column) == (1, 10)
    assert not findings(tmp_path / "1061.yaml")


def test_bases_without_end_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "exclude: [" + "1," * 50_000 + "]", "base.yaml")
    (found,) = findings(write(tmp_path, "extends: [" + "base.yaml, " * 5000 + "]"))
    assert found.check == "extends" and "1,000,000 values" in found.message


@pytest.mark.parametrize("kind", ["alias", "variable", "unknown-key", "model", "duplicate-key"])
def test_suggestions_are_looked_for_a_bounded_number_of_times(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import difflib

    compared = 0
    original = difflib.SequenceMatcher.set_seq1

    def counted(self: difflib.SequenceMatcher[str], word: str) -> None:
        nonlocal compared
        compared += 1
        original(self, word)

    monkeypatch.setattr(difflib.SequenceMatcher, "set_seq1", counted)
    many = range(4_000)
    texts = {
        "alias": "description: [" + ", ".join(f"&a{i} x, *b{i}" for i in range(3_000)) + "]\n",
        "variable": "analyses:\n" + "".join("  - ${V" + f"{i}}}\n" for i in many),
        "unknown-key": "".join(f"k{i}: 1\n" for i in many),
        "duplicate-key": "seed: 1\n" * 4_000,
        "model": "",
    }
    text = VALID + texts[kind]
    if kind == "model":
        text = edited(("  - tiny\n", "".join(f"  - m{i}\n" for i in many)))
    found = findings(write(tmp_path, text))
    assert {item.check for item in found} >= {kind}
    assert len(found) <= 2000
    assert compared < 20_000


def test_aliases_of_long_texts_count_by_their_length(tmp_path: Path) -> None:
    text = VALID + "description: &a " + "x" * 500_000 + "\nplugins: [" + "*a, " * 1000 + "]\n"
    (found,) = findings(write(tmp_path, text))
    assert found.check == "alias" and "100000 values" in found.message


def test_variables_do_not_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONG", "x" * 100_000)
    found = findings(write(tmp_path, VALID + "description: " + "${LONG}" * 1000 + "\n"))
    assert [item.check for item in found] == ["variable"] and "1,048,576" in found[0].message


def test_a_path_of_set_without_end_is_one_error(tmp_path: Path) -> None:
    (found,) = findings(write(tmp_path, VALID), [".".join("a" * 5000) + "=1"])
    assert found.check == "set" and len(found.message) < 200
