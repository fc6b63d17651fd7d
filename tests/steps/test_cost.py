"""The step `cost`: what it leaves is what a hand counts, is verified, and no measurement breaks equality."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from bench_core.declarations import Task
from bench_core.errors import TrainingError
from bench_core.metrics.costs import MEASURED, OPERATIONS, read_measured, read_operations
from bench_core.metrics.tables import TableError
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plan.job import Job
from bench_core.plugins.wiring import load_registry
from bench_core.spec.loss import losses
from bench_core.spec.protocol import AdamW, Best, Normalization, Rex
from bench_core.spec.training import Training
from bench_core.store.store import Store
from bench_steps.cost import energy
from bench_steps.cost.asked import resolve
from bench_steps.cost.clock import LEAST, Effort, quartiles, timed
from bench_steps.cost.counting import count
from bench_steps.cost.measuring import Subject, Wanted, measurements
from bench_steps.cost.memory import LIVE, watching
from tests.helpers.bench import call_bench
from tests.helpers.changing import changed, in_json
from tests.helpers.small_study import run
from tests.helpers.step_study import in_table, planned, write_boxes

CPU = torch.device("cpu")
QUICK = "repeats: 3, seconds: 0.01"
STEPS = f"[{{name: cost, options: {{{QUICK}}}}}, {{name: cost, label: bare, options: {{{QUICK}, operations: false, training: false, energy: false, batches: [3, 2, 3]}}}}]"  # noqa: E501


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Store, dict[str, Job]]:
    """A study of one model of which the first fold and its two jobs of cost are done."""
    base = tmp_path_factory.mktemp("cost")
    spec, store = write_boxes(base / "spec", STEPS), Store(base / "results", create=True)
    registry, plan = planned(spec)
    assert [job.fold.index for job in plan.jobs if job.stage in ("cost", "bare")] == [0, 0]
    wanted = {job.stage: job for job in plan.jobs if job.fold.index == 0}
    for job in wanted.values():
        run(job, store, registry)
    return spec, store, wanted


def test_values_and_tables_are_those_of_the_network(measured: tuple[Path, Store, dict[str, Job]]) -> None:
    """3x3 of 1 to 4 channels and 1x1 of 4 to 3 at 16 x 16, between them a ReLU."""
    _, store, jobs = measured
    digest = jobs["cost"].digest
    macs, other = 256 * (4 * 9 + 3 * 4), 256 * (4 + 3) + 256 * 4
    assert store.result(digest).values == {
        "parameters": 55,
        "trainable": 55,
        "gmac": macs / 1e9,
        "other-gflop": other / 1e9,
        "gflop": (2 * macs + other) / 1e9,
    }
    found = {item.operation: item for item in read_operations(store.records(digest, OPERATIONS))}
    assert found["aten::convolution"].calls == 2 and found["aten::convolution"].macs == macs
    assert found["aten::relu"].other == 256 * 4
    bare = store.result(jobs["bare"].digest)
    assert bare.values == {"parameters": 55, "trainable": 55}
    assert bare.artifacts == ("records/cost-measured.csv",)


def test_each_batch_and_a_training_step_are_measured(measured: tuple[Path, Store, dict[str, Job]]) -> None:
    _, store, jobs = measured
    found = {(item.phase, item.what, item.batch): item for item in
             read_measured(store.records(jobs["cost"].digest, MEASURED))}  # fmt: skip
    assert list(found) == [
        *((phase, what, batch) for phase, batch, kinds in
          (("inference", 1, ("memory", "time")), ("inference", 4, ("memory", "time", "energy")),
           ("training", 4, ("memory", "time", "energy"))) for what in kinds)
    ]  # fmt: skip
    assert {item.setting for item in found.values()} == {next(iter(found.values())).setting}
    setting = found["inference", "time", 1].setting
    assert (setting.version, setting.device, setting.precision) == (1, "cpu", "fp32")
    assert setting.device_name and torch.__version__ in setting.software and setting.threads >= 1
    assert all(item.runs == 3 and item.low <= item.value <= item.high
               for item in found.values() if item.what == "time")  # fmt: skip
    # Image, weights, the convolution's output and the ReLU's: nothing else lives at the same time.
    memory = found["inference", "memory", 1]
    assert memory.value == 4 * (256 + 55 + 2 * 4 * 256) and memory.how == LIVE
    assert found["inference", "memory", 4].value == 4 * (4 * 256 + 55 + 4 * 2 * 4 * 256)
    # Gradients, two moments and what the backward keeps.
    assert found["training", "memory", 4].value > found["inference", "memory", 4].value + 3 * 4 * 55
    bare = read_measured(store.records(jobs["bare"].digest, MEASURED))
    assert {(item.phase, item.batch, item.what) for item in bare} == {
        ("inference", batch, what) for batch in (2, 3) for what in ("memory", "time")
    }


@pytest.fixture
def verify(measured: tuple[Path, Store, dict[str, Job]]) -> Callable[..., dict[str, list[str]]]:
    spec, store, _ = measured

    def ask(*options: str) -> dict[str, list[str]]:
        done = call_bench("verify", spec, "--store", store.path, "--json", *options)
        return {
            check["name"]: [item["message"] for item in check["findings"] if item["level"] == "error"]
            for check in json.loads(done.stdout)["checks"]
            if any(item["level"] == "error" for item in check["findings"])
        }

    return ask


def test_verify_asks_operations_again_and_no_times(
    measured: tuple[Path, Store, dict[str, Job]], verify: Callable[..., dict[str, list[str]]]
) -> None:
    assert not verify("--data") and not verify("--data", "--predict")
    _, store, jobs = measured

    def slower(rows: list[dict[str, str]]) -> None:
        for row in rows:
            for name in ("value", "low", "high") if row["what"] == "time" else ():
                row[name] = repr(2 * float(row[name]))

    with changed(store.folder(jobs["cost"].digest), in_table(MEASURED, slower)):
        assert not verify("--data", "--predict")


FORGED: dict[str, tuple[str, str, str, str]] = {
    "a lower count": (OPERATIONS, "macs", "12287", "follows from what it left"),
    "a time of a version of its own": (MEASURED, "version", "x", "is not what cost leaves"),
    "a negative time": (MEASURED, "value", "-1.0", "is not what cost leaves"),
    "a median beyond its quartiles": (MEASURED, "value", "999.0", "is not what cost leaves"),
    "a measurement of something else": (MEASURED, "what", "speed", "is not what cost leaves"),
}


@pytest.mark.parametrize("case", FORGED)
def test_what_no_step_leaves_is_found(
    case: str,
    measured: tuple[Path, Store, dict[str, Job]],
    verify: Callable[..., dict[str, list[str]]],
) -> None:
    table, column, cell, message = FORGED[case]
    _, store, jobs = measured

    def forge(rows: list[dict[str, str]]) -> None:
        rows[0][column] = cell

    with changed(store.folder(jobs["cost"].digest), in_table(table, forge)):
        assert any(message in text for found in verify().values() for text in found)


def test_fewer_parameters_and_a_forged_count_are_found_by_counting_again(
    measured: tuple[Path, Store, dict[str, Job]], verify: Callable[..., dict[str, list[str]]]
) -> None:
    _, store, jobs = measured
    folder = store.folder(jobs["cost"].digest)

    def smaller(result: dict[str, Any]) -> None:
        result["values"]["parameters"] = 54.0

    with changed(folder, in_json("result.json", smaller)):
        assert any("'parameters' is 54.0, 55.0 comes out again" in text
                   for found in verify("--data", "--predict").values() for text in found)  # fmt: skip


def test_batches_are_numbers_of_images() -> None:
    for wrong in (["1"], [True], [0], [5000], [1.5]):
        with pytest.raises(ValueError, match="a batch has 1 to 4096 images"):
            resolve({"batches": wrong}, {})
    assert resolve({"batches": [8, 1, 8]}, {})["batches"] == [1, 8]


def test_passes_warm_up_and_end_with_their_time() -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)

    assert len(timed(act, CPU, Effort(2, 7, 60.0))) == 7 and len(calls) == 9
    calls.clear()
    assert len(timed(act, CPU, Effort(50, 1000, 0.0))) == LEAST and len(calls) == 1 + LEAST
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (3.0, 2.0, 4.0)


def test_live_tensors_are_those_that_somebody_holds() -> None:
    """A chain frees what it has used; views hold nothing of their own; training keeps what backward needs."""
    x = torch.zeros(1000)
    with watching(CPU, [x], 0) as peak:
        for _ in range(5):
            y = x.view(10, 100).t() + 1
            y.add_(1)
            del y
    assert peak.bytes == 2 * 4000
    layer = nn.Linear(1000, 1000, bias=False)
    with watching(CPU, [x, layer.weight], 0) as peak:
        layer(x).sum().backward()
    assert peak.bytes >= 4000 + 2 * 4_000_000
    with watching(CPU, [x, layer.weight], 0) as again:
        layer.zero_grad()
        layer(x).sum().backward()
    assert again.bytes == pytest.approx(peak.bytes, rel=1e-3)


def test_rapl_adds_packages_and_turns_of_their_counters(tmp_path: Path) -> None:
    for name, now in (("intel-rapl:0", 900), ("intel-rapl:1", 5), ("intel-rapl:0:0", 77)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{now}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000\n")
    meter = energy.RaplMeter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("100\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("25\n")
    assert meter.joules() == pytest.approx(220e-6)
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("gone\n")
    with pytest.raises(energy.UnknownEnergyError, match="cannot be read: ValueError"):
        meter.joules()
    with pytest.raises(energy.UnknownEnergyError, match="no RAPL counters"):
        energy.RaplMeter(tmp_path / "none")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A driver's library with a GPU of one identity, whose counter the test moves."""

    class NVMLError(Exception):
        pass

    board = SimpleNamespace(NVMLError=NVMLError, millijoules=5000, asked=[])
    board.nvmlInit = lambda: None
    board.nvmlDeviceGetHandleByUUID = lambda name: board.asked.append(name) or name
    board.nvmlDeviceGetTotalEnergyConsumption = lambda handle: board.millijoules
    monkeypatch.setitem(sys.modules, "pynvml", board)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="ab-12"))
    yield board


def test_nvml_counts_the_board_of_the_device(nvml: SimpleNamespace) -> None:
    meter = energy.meter_of(torch.device("cuda", 0))
    nvml.millijoules += 1500
    assert meter.joules() == pytest.approx(1.5) and nvml.asked == ["GPU-ab-12"]

    def refuse(handle: str) -> int:
        raise nvml.NVMLError("Not Supported")

    nvml.nvmlDeviceGetTotalEnergyConsumption = refuse
    with pytest.raises(energy.UnknownEnergyError, match="Not Supported"):
        energy.meter_of(torch.device("cuda", 0))


def test_without_a_counter_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(energy.UnknownEnergyError, match="nvidia-ml-py"):
        energy.meter_of(torch.device("cuda", 0))
    with pytest.raises(energy.UnknownEnergyError, match="no counter is known"):
        energy.meter_of(torch.device("meta"))


def test_a_table_is_read_within_bounds(measured: tuple[Path, Store, dict[str, Job]]) -> None:
    _, store, jobs = measured
    rows = store.records(jobs["cost"].digest, MEASURED)
    assert all(math.isnan(item.value) == (not item.runs) for item in read_measured(rows))
    for column, cell in (("batch", "0"), ("batch", "9" * 30), ("value", "inf"), ("unit", "h"), ("runs", "0")):
        with pytest.raises(TableError):
            read_measured([{**rows[0], column: cell}])
    with pytest.raises(TableError, match="twice"):
        read_measured([rows[0], rows[0]])
    with pytest.raises(TableError, match="columns"):
        read_measured([{"what": "time"}])
    with pytest.raises(TableError, match="no operation"):
        read_operations([])


def test_a_device_that_is_not_there_is_refused_with_a_fix(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    spec = write_boxes(tmp_path / "spec", "[{name: cost, options: {device: cuda}}]")
    store = Store(tmp_path / "results", create=True)
    registry, plan = planned(spec)
    run(plan.jobs[0], store, registry)
    with pytest.raises(TrainingError, match="'cuda' is not available") as caught:
        run(next(job for job in plan.jobs if job.stage == "cost"), store, registry)
    assert "option `device`" in str(caught.value.fix)


REGISTRY = load_registry()
SMALL = [name for name, model in REGISTRY.models.items() if model.family in ("SMA", "GP-VM")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.usefixtures("one_thread")
def test_every_architecture_is_measured(name: str) -> None:
    """Small variants: training takes more memory and time than inference; counted again they are the same."""
    model = REGISTRY.model(name)
    size, options = max(64, model.size_minimum), complete_options(model.options, model.small)

    def build() -> nn.Module:
        torch.manual_seed(0)
        return build_network(model, in_channels=3, num_classes=1, image_size=size, options=options)

    subject = Subject(build, planned_training(2), Task(classes=("lesion",), channels=3), 3, size, CPU)
    wanted = Wanted((1,), training=True, energy=False, effort=Effort(1, 3, 0.0))
    found = {(item.phase, item.what): item.value for item in measurements(subject, wanted)}
    assert 0 < found["inference", "memory"] < found["training", "memory"]
    assert 0 < found["inference", "time"] < found["training", "time"]
    assert count(build(), 3, size) == count(build(), 3, size)


def planned_training(batch_size: int) -> Training:
    """Return a protocol of one epoch with usual settings."""
    return Training(epochs=1, normalization=Normalization(), optimizer=AdamW(), schedule=Rex(),
                    batch_size=batch_size, precision="fp32", loss=losses("bce"), augmentation=(),
                    gradient_clipping=1.0, early_stopping=None, checkpoint=Best())  # fmt: skip
