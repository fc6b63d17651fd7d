"""For every check that `bench validate --help` lists: a spec that it fires on, at the place that it names."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.spec.catalog import CHECKS
from tests.helpers.check_cases import CASES, EPOCHS, FLIP, HEART, SIZE, TINY, VALID_TOO, Case
from tests.helpers.spec_files import VALID, edited, findings, small_registry, unmarked, write


@pytest.mark.parametrize("name", VALID_TOO)
def test_what_may_be_said_is_valid(name: str, tmp_path: Path) -> None:
    assert findings(write(tmp_path, VALID_TOO[name])) == []


def test_the_valid_spec_is_valid(tmp_path: Path) -> None:
    assert findings(write(tmp_path, VALID)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.check)
def test_each_check_fires_once_at_its_place_with_a_fix(case: Case, tmp_path: Path) -> None:
    text, place = unmarked(case.text)
    path = write(tmp_path, text)
    found = findings(path, case.overrides)
    assert [(item.check, item.severity) for item in found] == [(case.check, case.severity)], found
    (item,) = found
    if place is None:
        assert (item.path, item.line) == ("--set", len(case.overrides))
    else:
        assert (item.path, item.line, item.column) == (str(path), *place)
    assert item.message and case.fix in (item.fix or "")


def test_a_model_without_network_needs_no_pretrained_weights_nor_a_reason(tmp_path: Path) -> None:
    text = (
        edited((TINY, "  - {name: rule, options: {top: 5}}\n"))
        + "steps: [maps, {name: maps, label: b, options: {width: 3}}]\n"
    )
    assert findings(write(tmp_path, text)) == []


def test_plugins_that_fail_are_reported_where_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, "import os\nraise RuntimeError('not today')\n", "raising.py")
    write(tmp_path, "def broken(:\n", "syntax.py")
    write(tmp_path, "import sys\nsys.exit(3)\n", "leaving.py")
    hook = "from bench_core import hookimpl\n@hookimpl\ndef bench_modles():\n    return []\n"
    write(tmp_path, hook, "hook.py")
    good = "from bench_core import Analysis, hookimpl\n@hookimpl\ndef bench_analyses():\n"
    write(tmp_path, good + "    return [Analysis(name='mine-alone', help='x', section='x:y')]\n", "good.py")
    names = ["raising.py", "syntax.py", "leaving.py", "hook.py", "absent.py"]
    listed = "".join(f"  - {name}\n" for name in ["good.py", *names])
    path = write(tmp_path, f"plugins:\n{listed}analyses: [mine-alone]\n")
    from bench_core.spec.diagnostics import SpecError
    from bench_core.spec.load import load_spec

    with pytest.raises(SpecError) as caught:
        load_spec(path)
    found = [item for item in caught.value.diagnostics if item.check == "plugin"]
    assert [(item.line, item.column) for item in found] == [(line, 5) for line in range(3, 8)]
    assert "not today" in found[0].message and "raising.py:2" in (found[0].cause or "")
    assert "syntax.py:1" in (found[1].cause or "")
    assert "ends the program" in found[2].message
    assert "bench_modles" in found[3].message and "bench_models" in (found[3].fix or "")
    assert "does not exist" in found[4].message
    # The good plugin counts although others fail.
    assert not [item for item in caught.value.diagnostics if item.check == "analysis"]


def test_a_model_source_that_fails_is_no_traceback(tmp_path: Path) -> None:
    (found,) = findings(write(tmp_path, edited((TINY, "  - zoo:broken\n"))))
    assert found.check == "model" and "out of order" in found.message


def test_folds_of_a_file_are_not_stratified(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("".join(f"s{fold},{fold}\n" for fold in range(5)))
    both = ("root: data/skin", "root: data/skin\n    folds: f.csv\n    «stratify: [sex]")
    text, place = unmarked(edited(both))
    (found,) = findings(write(tmp_path, text), ())
    assert (found.check, (found.line, found.column)) == ("fold", place) and "no effect" in found.message


def test_every_check_of_the_help_is_shown_to_fire() -> None:
    assert {case.check for case in CASES} | {"plugin"} == set(CHECKS)


def test_the_help_lists_every_check() -> None:
    result = CliRunner().invoke(bench, ["validate", "--help"])
    listed = result.output.split("Checks:")[1]
    assert result.exit_code == 0
    entries = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    assert entries[: len(CHECKS)] == list(CHECKS)


def test_mistakes_do_not_hide_each_other(tmp_path: Path) -> None:
    text = edited(
        (TINY, "  - {nam: tiny}\n  - tini\n"),
        ("{name: boxy, options: {width: 8}}", "{name: boxy, optionz: 3, options: {width: 99}}"),
        (HEART, "  - hart\n"),
        (SIZE, "image_size: 100\n  bach_size: 3\n  loss: {dise: 1}"),
        ("name: adamw", "name: adamm"),
        (FLIP, "    - Flip\n    - 7\n"),
        ("folds: [0]", "folds: [7]"),
        (EPOCHS, "layout: rotated}"),
        ('because: "too slow"', "becaus: slow"),
    )
    found = findings(write(tmp_path, text))
    assert {item.check for item in found} >= {
        "missing-key", "unknown-key", "model", "option", "dataset", "image-size", "choice",
        "augmentation", "type", "fold", "reason",
    }  # fmt: skip
    assert sum(item.check == "unknown-key" for item in found) == 5
    assert [item.line for item in found] == sorted(item.line for item in found)


def test_defaults_of_wrong_values_cause_no_errors_of_their_own(tmp_path: Path) -> None:
    # Fold 6 exists in what the user meant; the default of 5 folds must not be held against it.
    text = edited(("folds: [0]", "folds: [6]"), ("folds: 5", "folds: seven"))
    assert [item.check for item in findings(write(tmp_path, text))] == ["type"]
    text = edited(
        (SIZE, "image_size: big"), ("{name: boxy, options: {width: 8}}", "{name: boxy, pretrained: 3}")
    )
    assert [item.check for item in findings(write(tmp_path, text))] == ["type", "type"]


def test_reasons_may_stand_where_they_are_declared(tmp_path: Path) -> None:
    entries = (
        "  - scratch\n  - {name: bare, pretrained: none, because: no weights exist}\n"
        "  - {name: tiny, pretrained: none, deviations: {precision: fp16, because: both differ}}\n"
    )
    assert findings(write(tmp_path, edited((TINY, entries)))) == []


def test_the_small_registry_has_what_the_cases_need() -> None:
    assert small_registry().model("zoo:lion").pretrained == ("imagenet", "none")
