"""One process and two that share a job: what is equal passes, and each fault is found and named."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench_core.conformance.job import Subject, make_job
from bench_core.conformance.observe import observe
from bench_core.conformance.record import AFTER, END, OUTCOME, TESTING, Record
from bench_core.conformance.sharing import shared
from bench_core.conformance.verdict import Observed, judge
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.contract import RunOptions
from tests.conformance.ranks import SMALL, observed
from tests.helpers import broken_runners
from tests.helpers.broken_runners import BROKEN_TOGETHER

pytestmark = pytest.mark.usefixtures("one_thread")
PLUGIN = Path(broken_runners.__file__)
NET = Subject("small-net")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Record:
    registry = load_registry([PLUGIN])
    job = make_job(registry.model(NET.name), NET, "torch", "shared", size=32)
    return observe(job, registry, tmp_path_factory.mktemp("alone"), RunOptions())


def outcome(record: Record, item: str) -> Any:
    return record.sections[(AFTER, OUTCOME)].values[item]


def other_loss(record: Record) -> None:
    outcome(record, "trace")[1]["loss"] += 3e-5


def other_order(record: Record) -> None:
    outcome(record, "trace")[0]["ids"].reverse()


def other_rate(record: Record) -> None:
    outcome(record, "trace")[2]["lr"] *= 1.0001


def undefined_loss(record: Record) -> None:
    outcome(record, "trace")[0]["loss"] = None


def other_metric(record: Record) -> None:
    outcome(record, "trace")[3]["validation"]["miou"] += 0.02


def fewer_lines(record: Record) -> None:
    outcome(record, "trace").pop()


def other_weights(record: Record) -> None:
    for value in record.sections[(1, END)].values["weights"][0].copies.values():
        if value.is_floating_point():
            value.mul_(1.01)


def other_counts(record: Record) -> None:
    counts = next(value for value in outcome(record, "test counts")[0].values() if isinstance(value, dict))
    counts["TP"] += 1000


def image_left_out(record: Record) -> None:
    outcome(record, "test counts")[0].popitem()


def other_checkpoint(record: Record) -> None:
    outcome(record, "chosen checkpoint")[0] |= {"epoch": 7, "value": 0.9}


def last_weights_tested(record: Record) -> None:
    outcome(record, "chosen checkpoint")[0]["tested"] = False


def failed(record: Record) -> None:
    record.error = "ValueError: out of paper"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_loss, "epoch 1 step 2: loss"),
        (other_order, "epoch 1 step 1: ids"),
        (other_rate, "epoch 1 step 3: lr"),
        (undefined_loss, "epoch 1 step 1: loss None"),
        (other_metric, "epoch 1: miou"),
        (fewer_lines, "7 / 8 lines of the trace"),
        (other_weights, "end of epoch 2: weights at a relative distance of"),
        (other_counts, "test counts differ by 1000 pixels"),
        (image_left_out, "test counts differ"),
        (other_checkpoint, "chosen checkpoint: epoch 7"),
        (last_weights_tested, "other weights were tested"),
        (failed, "process 1: ValueError: out of paper"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_difference_is_named(alone: Record, change: Callable[[Record], None], words: str) -> None:
    assert alone.error is None
    several = copy.deepcopy(alone)
    change(several)
    fault = shared(alone, [several, copy.deepcopy(alone)]).fault
    assert fault is not None and words in fault


def test_a_process_that_is_not_the_first_may_be_the_one_that_failed(alone: Record) -> None:
    broken = Record(error="OSError: no more disk")
    assert shared(alone, [alone, broken]).fault == "process 2: OSError: no more disk"
    assert "by one process: OSError" in (shared(broken, [alone, alone]).fault or "")


def test_equal_trainings_pass_and_make_a_row_of_the_table(alone: Record) -> None:
    found = shared(alone, [alone, alone])
    assert (found.loss, found.weights, found.pixels, found.fault) == (0.0, 0.0, 0, None)
    left = Observed(Record(), None, alone=alone, together=[alone, alone])
    row = judge("net", left, left, exact=True).rows[-1]
    assert (row.item, row.state) == ("2 processes", "equal")
    other = copy.deepcopy(alone)
    other_loss(other)
    right = Observed(Record(), None, alone=alone, together=[other, alone])
    row = judge("net", left, right, exact=True).rows[-1]
    assert row.state == "different"
    assert row.values == ("equal to one, losses within 0e+00", "differs from one")
    assert row.note.startswith("second runner, 2 processes / one: epoch 1 step 2: loss")


def test_a_pixel_may_tip_where_its_logits_are_nearly_tied(alone: Record) -> None:
    tied, several = copy.deepcopy(alone), copy.deepcopy(alone)
    tied.sections[(AFTER, TESTING)].values["test predictions"][0].copies["logits"].zero_()
    other_counts(several)
    found = shared(tied, [several, several])
    assert (found.pixels, found.fault) == (1000, None)
    assert found.ties >= 1024


@pytest.mark.slow
def test_both_runners_pass_and_what_only_several_processes_show_is_caught() -> None:
    runners = ["torch", "correct", *(broken.name for broken in BROKEN_TOGETHER)]
    found = observed([NET], runners=runners, plugin=PLUGIN)
    for runner in ("torch", "correct"):
        one = found[NET.label, runner]
        assert one.fault is None
        assert one.loss < 1e-5 and one.pixels == 0 and not math.isnan(one.weights)
    for broken in BROKEN_TOGETHER:
        assert (found[NET.label, broken.name].fault or "").startswith(broken.item), broken.name


@pytest.mark.slow
def test_networks_that_normalize_and_draw_are_equal_under_mmengine_too() -> None:
    """Batch norm, dropped paths and channels, windows, and bases drawn for each image."""
    pytest.importorskip("mmengine")
    wanted = [one for one in SMALL if one.name in ("segformer", "segnext", "swin-unet")]
    for key, one in observed(wanted, runners=["mmseg"]).items():
        assert one.fault is None, key
