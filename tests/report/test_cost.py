"""The part `cost`: tables say what was measured, fronts are those of the definition, machines stay apart."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.analysis.costs import AXES, best_within, costs, front
from bench_core.errors import UnknownNameError
from bench_core.options import complete_options
from bench_core.report.blocks import Callout, Choice, Figure, Section, tables_of
from bench_core.report.compose import compose
from bench_core.report.delimited import to_csv
from bench_core.report.numbers import numbers_of
from bench_core.report.page import to_html
from bench_core.report.paretoplot import Point, Sense, pareto_plot
from bench_core.report.sections.cost import section
from bench_core.report.sections.cost_tables import figure as text_of
from bench_core.report.tables import Table
from tests.helpers.chromium import CHROMIUM, MISSING, Browser
from tests.helpers.cost_study import COSTS, CPU, GPU, measured_of, write_costs
from tests.helpers.fake_study import Study

POINTS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=2),
    st.tuples(st.integers(1, 6).map(float), st.integers(1, 6).map(float)),
    max_size=9,
)


@given(points=POINTS)
def test_the_front_is_whom_nobody_dominates(points: dict[str, tuple[float, float]]) -> None:
    def dominated(mine: tuple[float, float]) -> bool:
        return any(all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
                   for other in points.values())  # fmt: skip

    found = front(points)
    assert set(found) == {label for label, point in points.items() if not dominated(point)}
    assert list(found) == sorted(found, key=lambda label: points[label])


@given(points=POINTS, budget=st.integers(0, 7).map(float))
def test_the_best_within_a_budget_is_affordable_and_no_other_is_better(
    points: dict[str, tuple[float, float]], budget: float
) -> None:
    found, affordable = best_within(points, budget), {k: v for k, v in points.items() if v[0] <= budget}
    assert bool(found) == bool(affordable)
    assert all(points[label][1] == min(order for _, order in affordable.values()) for label in found)
    assert set(found) & set(front(affordable)) or not found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Four models; what they cost on hearts was measured on another machine."""
    names = ("u-net", "hiformer", "segnext", "transnext")
    return write_costs(tmp_path_factory.mktemp("costs"), names=names, settings={"hearts": CPU})


def shown(study: Study, **options: object) -> Section:
    declared = study.loaded.registry.analysis("cost").options
    return section(study.evidence(), complete_options(declared, options))


def table(found: Section, name: str) -> Table:
    return next(item for item in tables_of(found.blocks) if item.name == f"cost-{name}")


def cells(found: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(found))))


def test_the_table_of_networks_holds_the_counts(study: Study) -> None:
    rows = cells(table(shown(study), "network"))
    assert len(rows) == 4 * 3
    for row in rows:
        parameters, gmac, _ = COSTS[row["model"].removeprefix("its-")]
        assert float(row["parameters"]) == float(row["parameters_trainable"]) == parameters * 1e6
        assert float(row["gmac"]) == pytest.approx(gmac)
        assert float(row["gflop"]) == pytest.approx(2 * gmac + float(row["other_gflop"]))
        assert row["largest"] == "convolution 80% and bmm 20%"


def test_measurements_stand_under_their_machine(study: Study) -> None:
    found = shown(study)
    shown_table = table(found, "machine")
    assert [name.partition(":")[2].strip().partition(",")[0] for name, _ in shown_table.groups] == [
        GPU.device_name,
        CPU.device_name,
    ]
    for row in cells(shown_table):
        setting = CPU if row["dataset"] == "hearts" else GPU
        assert setting.device_name in row["machine"] and setting.software in row["machine"]
        assert row["precision"] == setting.precision
        known = {(item.phase, item.what, item.batch): item.value
                 for item in measured_of(row["model"].removeprefix("its-"), setting)}  # fmt: skip
        assert float(row["latency_ms"]) == pytest.approx(1e3 * known["inference", "time", 1])
        assert float(row["latency_ms_low"]) < float(row["latency_ms"]) < float(row["latency_ms_high"])
        assert float(row["throughput_images_per_s"]) == pytest.approx(8 / known["inference", "time", 8])
        assert float(row["memory_MB"]) == pytest.approx(known["inference", "memory", 1] / 1e6)
        assert float(row["training_memory_MB"]) == pytest.approx(known["training", "memory", 8] / 1e6)
        assert float(row["energy_J_per_image"]) == pytest.approx(known["inference", "energy", 8])
    notes = [block for block in found.blocks if isinstance(block, Callout)]
    assert len(notes) == 1 and "2 machines" in notes[0].text and "not compared" in notes[0].text


def test_training_times_are_those_of_the_results(study: Study) -> None:
    for row in cells(table(shown(study), "training")):
        folds = [study.store.result(job.digest) for job in study.plan.jobs
                 if job.stage == "evaluate" and job.cell == (row["model"], row["dataset"])]  # fmt: skip
        assert float(row["epoch_s"]) == 2.5 and len(folds) == 5 == int(row["total_s_jobs"])
        assert float(row["total_s"]) == pytest.approx(sum(item.seconds for item in folds))


def test_plots_ring_the_front_of_each_dataset_and_machine(study: Study) -> None:
    choices = [block for block in shown(study).blocks if isinstance(block, Choice)]
    assert [choice.label for choice in choices] == ["By formula", "Inference", "Training"]
    titles = [title for choice in choices for title, _ in choice.options]
    assert titles == [
        "Parameters (M)", "Multiply-adds (GMAC)", "Latency (ms)", "Throughput (images/s)", "Memory (MB)",
        "Energy (J/image)", "Training (s/epoch)", "Training memory (MB)", "Training energy (J/image)",
    ]  # fmt: skip
    for choice in choices:
        for _, (figure,) in choice.options:
            assert isinstance(figure, Figure) and len(figure.panels) == 3
            assert all(panel.svg.count(f">its-{name}<") or panel.svg.count(f">{name}<")
                       for panel in figure.panels for name in ("u-net", "segnext"))  # fmt: skip
    # Of moles u-net alone is not on the front: it costs most but one and scores least.
    gmac = choices[0].options[1][1][0]
    assert isinstance(gmac, Figure)
    assert gmac.panels[0].svg.count('class="ring') == 3


def test_budgets_are_those_at_which_the_best_model_changes_or_those_that_are_asked_for(study: Study) -> None:
    def moles(**options: object) -> list[tuple[float, str]]:
        rows = cells(table(shown(study, **options), "budget"))
        mine = [row for row in rows if (row["cost"], row["dataset"]) == ("gmac", "moles")]
        return [(float(row["budget"]), row["model"]) for row in mine]

    assert moles() == [(41.9, "its-hiformer"), (69.1, "its-segnext"), (244.1, "its-transnext")]
    assert moles(budgets={"gmac": [10, 100]}) == [(10.0, ""), (100.0, "its-segnext")]
    fast = [row for row in cells(table(shown(study), "budget")) if row["cost"] == "throughput"]
    for dataset in ("moles", "polyps"):
        limits = [float(row["budget"]) for row in fast if row["dataset"] == dataset]
        assert limits == sorted(limits, reverse=True) and len(limits) > 1
    wrong: list[Mapping[str, object]] = [
        {"speed": [1]}, {"gmac": []}, {"gmac": [0]}, {"gmac": ["a"]}, {"gmac": [True]}, {"gmac": {}}
    ]  # fmt: skip
    for budgets in wrong:
        with pytest.raises(UnknownNameError) as caught:
            shown(study, budgets=budgets)
        assert caught.value.fix


def test_other_versions_are_left_out_and_unknown_energy_is_said(tmp_path: Path) -> None:
    old = replace(CPU, version=2)
    study = write_costs(tmp_path, names=("u-net", "segnext"), settings={"hearts": old}, energy=False)
    found = shown(study)
    rows = cells(table(found, "machine"))
    assert {row["dataset"] for row in rows} == {"moles", "polyps"}
    assert any("2 jobs measured by another version" in block.text for block in found.blocks
               if isinstance(block, Callout))  # fmt: skip
    assert "Energy is not known: NVML needs nvidia-ml-py." in table(found, "machine").caption
    energy = next(axis for axis in AXES if axis.key == "energy")
    assert not costs(study.evidence())[0].of(energy)
    assert {row["dataset"] for row in cells(table(found, "network"))} == {"moles", "polyps", "hearts"}


@given(
    costs=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=12),
    more=st.booleans(),
    lower=st.booleans(),
)
def test_names_stay_in_the_plot_and_every_point_is_drawn(costs: list[float], more: bool, lower: bool) -> None:
    points = [Point(f"network-of-a-long-name-{n}", n, cost, float(n % 5)) for n, cost in enumerate(costs)]
    svg = pareto_plot("t", ("cost", "score"), points, [points[0].label], Sense(more, lower))
    assert svg.count("data-row") == len(points) and svg.count('class="ring') == 1 and "nan" not in svg
    assert svg.count('class="label"') == len(points)


def test_every_cost_can_be_quoted_and_read(study: Study) -> None:
    found = shown(study)
    keys = {item.key: item.text for item in numbers_of(tables_of(found.blocks))}
    (told,) = json.loads(json.dumps(found.data))["steps"]
    assert told["step"] == "cost" and set(told["machines"]) == {"A", "B"}
    for network in told["networks"]:
        place = f"cost/cost/{network['model']}/{network['dataset']}"
        parameters, gmac, _ = COSTS[network["model"].removeprefix("its-")]
        assert network["parameters"] == parameters * 1e6
        assert float(keys[f"{place}/parameters"].removesuffix("M")) == pytest.approx(parameters, abs=0.06)
        assert network["operations"]["gmac"] == pytest.approx(gmac)
        assert float(keys[f"{place}/gmac"]) == pytest.approx(gmac, rel=0.01)
    machines = {letter: machine["device_name"] for letter, machine in told["machines"].items()}
    for item in told["costs"]:
        hearts = item["dataset"] == "hearts"
        if item["machine"] is not None:
            assert machines[item["machine"]] == (CPU if hearts else GPU).device_name
        for model, amount in item["models"].items():
            place = f"cost/cost/{model}/{item['dataset']}"
            if item["machine"] is not None:
                quoted = f"{place}/{item['cost']}/{item['machine']}"
                assert keys[quoted] == text_of(amount["value"])
                assert keys[f"{quoted}/low"] == text_of(amount["low"])
            elif item["cost"] == "epoch":
                assert keys[f"{place}/trained/C/epoch"] == text_of(amount["value"])
        assert set(item["front"]) <= set(item["models"])
    kinds = {item["cost"] for item in told["costs"]}
    assert kinds == {axis.key for axis in AXES}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_the_part_is_readable_on_desktop_phone_and_dark(
    study: Study, chromium: Browser, tmp_path: Path
) -> None:
    report = compose(study.evidence(), study.loaded.registry)
    report = replace(
        report, sections=tuple(part for part in report.sections if part.name == "cost"), status=()
    )
    path = tmp_path / "report.html"
    path.write_text(to_html(report), encoding="utf-8")
    for width, height, dark in ((1200, 900, False), (390, 844, False), (1200, 900, True)):
        chromium.screen(width, height, dark=dark)
        chromium.open(path.as_uri() + "#cost")
        wide = chromium.run("document.documentElement.scrollWidth")
        assert wide <= width, "the page does not scroll sideways; wide tables do in themselves"
        seen = chromium.run(LOOK)
        assert seen["plots"] >= 3 and seen["outside"] == [] and seen["small"] == [], (width, seen)
        chromium.run("document.querySelectorAll('#cost label')[1].click()")
        assert chromium.run(LOOK)["plots"] >= 3, "another kind of cost is one click away"
        chromium.picture(tmp_path / f"cost-{width}-{dark}.png", whole=True)
    chromium.screen(1200)


LOOK = """(() => {
    const part = document.querySelector('#cost');
    const shown = [...part.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 0);
    const outside = [], small = [];
    for (const svg of shown) {
        const frame = svg.getBoundingClientRect();
        for (const text of svg.querySelectorAll('text')) {
            const box = text.getBoundingClientRect();
            if (box.width === 0) continue;
            if (box.left < frame.left - 2 || box.right > frame.right + 2) outside.push(text.textContent);
            if (box.height < 6) small.push(text.textContent);
        }
    }
    return {plots: shown.length, outside, small};
})()"""
