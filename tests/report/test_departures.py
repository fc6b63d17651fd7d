"""Where a network departs from its paper or its default options: said wherever its numbers are."""

from __future__ import annotations

import pytest

from bench_core.analysis.facts import dataset_facts
from bench_core.declarations import Departure
from bench_core.plan.job import Job, JobDeviation
from bench_core.plugins.wiring import load_registry
from bench_core.report import names
from bench_core.report.compose import Report, compose
from bench_core.report.latex.render import to_latex
from bench_core.report.markdown import to_markdown
from bench_core.report.page import to_html
from bench_core.spec.model import DatasetEntry
from tests.helpers.fake_study import PLUGIN, Study, write_study
from tests.helpers.page import Page

DEPARTING = PLUGIN.replace("Architecture, Dataset", "Architecture, Dataset, Departure, Option").replace(
    'net("ring", "SMA", "RingNet")',
    'net("ring", "SMA", "RingNet", deviations=FP32, departures=(Departure(what="normalization", '
    'published="batch norm over 8 devices", here="batch norm over one", because="one device trains it"),), '
    'options={"variant": Option(type=str, default="l", help="size"), "rank": Option(type=int, default=8, '
    'help="rank"), "side": Option(type=int, default=None, help="pixels")})',
)
MODELS = "[broad, wide, {name: ring, options: {variant: s, rank: 8, side: 64}}]"
OPTIONS = "variant s (default: l), side 64 (default: not given)"
NOTE = "one weight tensor of the stem is new: four input channels"
WORDS = (
    "normalization: published: batch norm over 8 devices; here: batch norm over one, "
    "because one device trains it"
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"), plugin=DEPARTING, models=MODELS)


@pytest.fixture(scope="module")
def report(study: Study) -> Report:
    return compose(study.evidence(), study.loaded.registry)


def ring(study: Study) -> Job:
    return next(job for job in study.plan.jobs if job.model.label == "ring")


def test_a_departure_is_no_deviation_from_the_protocol(study: Study) -> None:
    (precision,), (departure,) = ring(study).model.deviations, ring(study).model.departures
    assert isinstance(precision, JobDeviation) and isinstance(departure, Departure)
    assert Job.from_json(ring(study).to_json()) == ring(study)


@pytest.mark.parametrize("form", [to_markdown, to_latex])
@pytest.mark.parametrize("name", ["study-mdsc", "folds"])
def test_tables_carry_departures_and_notes(report: Report, name: str, form) -> None:
    text = form(next(table for table in report.tables if table.name == name))
    assert WORDS in text and NOTE in text and f"options: {OPTIONS}" in text
    assert "precision: fp32 instead of fp16, because a product overflows in fp16" in text


def test_the_page_says_them_under_deviations(report: Report) -> None:
    text = Page(to_html(report)).text
    assert f"RingNet: {WORDS.replace(': published', ' published', 1)}" in text
    assert f"RingNet {NOTE}" in text
    assert f"RingNet: options {OPTIONS}" in text


def test_only_models_with_other_options_than_the_default_say_so(study: Study, report: Report) -> None:
    assert {model.label: bool(model.options) for model in study.evidence().models} == {
        "broad": False,
        "wide": False,
        "ring": True,
    }
    assert (
        to_markdown(next(table for table in report.tables if table.name == "folds")).count("options: ") == 1
    )


def test_a_dataset_with_other_options_than_the_default_says_so() -> None:
    registry = load_registry()
    given = DatasetEntry(name="neopolyp", root="data", options={"groups": "session"})
    assert names.options(dataset_facts("a", given, registry, {}, None)) == "groups session (default: none)"
    usual = DatasetEntry(name="neopolyp", root="data", options={"groups": "none"})
    assert names.options(dataset_facts("b", usual, registry, {}, None)) == ""


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("neopolyp", {}, "groups none (default)"),
        ("neopolyp", {"groups": "session"}, "groups session"),
        ("folder", {"classes": {"a": 1}, "group_pattern": "p([0-9]+)"}, "group_pattern p([0-9]+)"),
        ("isic2018", {}, ""),
    ],
)
def test_the_grouping_is_named_also_where_it_is_the_default(
    name: str, options: dict[str, object], said: str
) -> None:
    given = DatasetEntry(name=name, label="a", root="data", options=options)
    assert names.grouping(dataset_facts("a", given, load_registry(), {}, None)) == said
