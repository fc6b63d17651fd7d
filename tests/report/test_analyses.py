"""Parts of the report come through the hook: the first-party ones, and the page's example of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench_core.declarations import Analysis
from bench_core.errors import BenchError, PluginError
from bench_core.plugins.wiring import load_registry
from bench_core.report.compose import compose
from bench_core.report.page import to_html
from tests.helpers.fake_study import PLUGIN, write_study
from tests.helpers.page import Page

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text()
FIRST_PARTY = (
    "summary",
    "folds",
    "comparisons",
    "ranks",
    "families",
    "expected",
    "claims",
    "per-class",
    "baselines",
    "subgroups",
    "failures",
    "suspects",
    "transfer",
    "corruption",
    "grad-cam",
    "cost",
    "search",
    "curves",
    "predictions",
    "steps",
    "provenance",
)


def test_first_party_parts_come_through_the_entry_point() -> None:
    registry = load_registry()
    assert tuple(registry.analyses)[: len(FIRST_PARTY)] == FIRST_PARTY
    assert registry.plugins["bench_report"].startswith("entry point")


@pytest.mark.parametrize("name", FIRST_PARTY)
def test_every_part_and_option_is_in_the_guide(name: str) -> None:
    analysis: Analysis = load_registry().analysis(name)
    row = next(line for line in GUIDE.splitlines() if line.startswith(f"| `{name}`"))
    assert analysis.help
    for option, declared in analysis.options.items():
        assert re.search(rf"`{option}\b", row), option
        assert declared.help


def test_the_guides_example_is_a_part(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert example is not None
    more = "analyses:\n  - {name: worst-images, options: {count: 2}}\n"
    study = write_study(tmp_path, plugin=example[1] + PLUGIN, more=more)
    report = compose(study.evidence(), study.loaded.registry)
    assert [table.name for table in report.tables] == ["worst-images"]
    assert len(report.tables[0].rows) == 45 * 2
    shown = Page(to_html(report)).tables["worst-images"]
    assert shown[1][0] == "evaluate/broad/moles/fold-0"


def test_a_part_that_returns_something_else_is_named(tmp_path: Path) -> None:
    plugin = (
        "from bench_core import Analysis, hookimpl\n\n@hookimpl\ndef bench_analyses():\n"
        "    return [Analysis(name='wrong', help='x', section=lambda evidence, options: 'text')]\n" + PLUGIN
    )
    study = write_study(tmp_path, keep=lambda job: False, plugin=plugin, more="analyses: [wrong]\n")
    with pytest.raises(PluginError, match="instead of a Section") as caught:
        compose(study.evidence(), study.loaded.registry)
    assert caught.value.place == "analyses: wrong"


def test_one_part_twice_is_refused_before_files_overwrite_each_other(tmp_path: Path) -> None:
    study = write_study(tmp_path, keep=lambda job: job.fold.index == 0, more="analyses: [summary, folds]\n")
    spec = study.loaded.spec
    twice = spec.model_copy(update={"analyses": [*(spec.analyses or []), *(spec.analyses or [])]})
    evidence = study.evidence()
    report = compose(replace(evidence, spec=twice), study.loaded.registry)
    with pytest.raises(BenchError, match="two tables of the report are called 'study-mdsc'"):
        _ = report.tables
