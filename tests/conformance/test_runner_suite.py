"""The suite that compares runners: a correct one passes, and each broken one fails by the item it breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench_core.conformance.compare import Row, compare, first_difference
from bench_core.conformance.job import (
    KILLED_AT_STEP,
    KILLED_IN_EPOCH,
    Kind,
    Subject,
    make_job,
    parse_subject,
)
from bench_core.conformance.observe import observe
from bench_core.conformance.record import AFTER, OUTCOME, STOPPED, TRAINING, Record
from bench_core.conformance.verdict import SHORT, Observed, Verdict, judge
from bench_core.conformance.watcher import Interrupt
from bench_core.plugins.registry import Registry
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.contract import RunOptions
from tests.helpers import broken_runners
from tests.helpers.bench import call_bench
from tests.helpers.broken_runners import BROKEN, Broken

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN = Path(broken_runners.__file__)
SMALL, SIZE = Subject("small-net"), 32
LOADED_SECONDS = 2400
"""For twelve processes that each import two frameworks first: on a busy machine they take many minutes."""


class Killed(BaseException):
    """Ends a training as nothing that a runner could handle."""


def kill(epoch: int, step: int) -> None:
    if (epoch, step) == (KILLED_IN_EPOCH, KILLED_AT_STEP):
        raise Killed


def go_on(epoch: int, step: int) -> None:
    """Interrupt nothing."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry([PLUGIN])


def observed(
    registry: Registry,
    runner: str,
    folder: Path,
    *,
    subject: Subject = SMALL,
    exact: bool = True,
    beside: Observed | None = None,
) -> Observed:
    """Train all jobs in this process; beside another runner, none after that in which a fault is seen.

    No later one changes which difference is the first.
    """

    def train(kind: Kind, name: str, interrupt: Interrupt = go_on) -> Record:
        job = make_job(registry.model(subject.name), subject, runner, kind, SIZE, exact)
        return observe(job, registry, folder / name, RunOptions(), interrupt)

    whole, resumed = train("whole", "whole"), None
    if beside is not None and first_difference(compare(beside.whole, whole, exact=exact)) is not None:
        return Observed(whole, None)
    try:
        train("whole", "broken", kill)
    except Killed:
        resumed = train("whole", "broken")
    short = {kind: train(kind, kind) for kind in SHORT}
    return Observed(whole, resumed, "", short)


@pytest.fixture(scope="module")
def reference(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    return observed(registry, "torch", tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def loose_reference(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    return observed(registry, "torch", tmp_path_factory.mktemp("torch"), exact=False)


def faults(verdict: Verdict) -> list[Row]:
    return [row for row in verdict.rows if row.state != "equal"]


def test_a_correct_loop_passes(registry: Registry, reference: Observed, tmp_path: Path) -> None:
    found = judge("small-net", reference, observed(registry, "correct", tmp_path), exact=True)
    assert faults(found) == []
    assert found.equal and found.first is None


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_runner_fails_by_the_item_that_it_breaks(
    registry: Registry, reference: Observed, tmp_path: Path, broken: Broken
) -> None:
    right = observed(registry, broken.name, tmp_path, beside=reference)
    found = judge("small-net", reference, right, exact=True)
    assert not found.equal
    assert found.first is not None
    assert found.first.item == broken.item, found.first


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_tolerances_let_no_fault_pass(
    registry: Registry, loose_reference: Observed, tmp_path: Path, broken: Broken
) -> None:
    if broken.name == "own-stopping":
        pytest.skip("without AdamW the metric rises to the end, and the runner has no reason to stop")
    right = observed(registry, broken.name, tmp_path, exact=False, beside=loose_reference)
    found = judge("small-net", loose_reference, right, exact=False)
    # There the last epoch is the best one, and only the job that is made for it tells them apart.
    last_is_best = broken.name in ("tests-last-weights", "reports-other-epoch")
    assert found.first is not None
    assert found.first.item == ("bf16 job" if last_is_best else broken.item), found.first


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small-net", 'u-net={"width": 4}'])
def test_more_threads_are_equal_within_the_tolerances(registry: Registry, tmp_path: Path, name: str) -> None:
    subject = parse_subject(name)
    records = [
        observe(
            make_job(registry.model(subject.name), subject, "torch", exact=False),
            registry,
            tmp_path / str(threads),
            RunOptions(threads=threads),
        )
        for threads in (1, 2)
    ]
    # The item that says how many threads there are must be the only one.
    assert [row.item for row in compare(*records, exact=False) if row.state != "equal"] == ["precision"]


def test_mmengine_trains_the_same_bits(registry: Registry, reference: Observed, tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    found = judge("small-net", reference, observed(registry, "mmseg", tmp_path), exact=True)
    assert faults(found) == []


@pytest.mark.slow
def test_mmengine_trains_the_same_bits_of_a_whole_network(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("mmengine")
    name = 'u-net={"width": 2}'
    subject = parse_subject(name)
    torch_runner, mmseg_runner = (
        observed(registry, runner, tmp_path / runner, subject=subject) for runner in ("torch", "mmseg")
    )
    assert faults(judge(name, torch_runner, mmseg_runner, exact=True)) == []


def test_the_jobs_use_what_runners_can_break(reference: Observed) -> None:
    """Training stops early, the chosen epoch is not the last one, and the last batch is smaller."""
    whole, short = reference.whole, reference.short["bf16"]
    assert whole.sections[(AFTER, STOPPED)].values["stopping epoch"] == ["4 of 6 epochs trained"]
    assert [len(ids) for ids in whole.sections[(0, TRAINING)].values["sample order"]] == [4, 4, 4, 4, 4, 2]
    assert short.sections[(AFTER, OUTCOME)].values["chosen checkpoint"][0]["epoch"] == 1
    assert (1, TRAINING) in short.sections


def test_what_was_seen_before_a_failure_is_compared(
    registry: Registry, reference: Observed, tmp_path: Path
) -> None:
    found = judge("small-net", reference, observed(registry, "fails", tmp_path), exact=True)
    rows = {row.item: row for row in found.rows}
    assert rows["loss"].state == "not compared"
    assert rows["loss"].note == "equal until the runner failed"
    assert rows["test counts"].note == "not reached"
    assert rows["end"].note.startswith("trained and tested / ValueError: the log is full (broken_runners.py:")


def bench(*arguments: str, seconds: int = 280) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.helpers.bench", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=seconds)


@pytest.mark.slow
def test_bench_tests_a_plugins_runner_in_processes_that_are_killed() -> None:
    done = bench("test", "runner:own-rate", "--plugin", str(PLUGIN), "--model", "small-net", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["runners"], found["exact"], found["equal"]) == (["torch", "own-rate"], True, False)
    assert found["models"][0]["first_difference"] == "learning rate"
    items = {item["item"]: item for item in found["models"][0]["items"]}
    assert items["sample order"]["state"] == "equal"
    # It resumes after the kill as it began: wrong, but equal to itself.
    assert items["resume after a kill"]["state"] == "equal"


@pytest.mark.slow
@pytest.mark.timeout(LOADED_SECONDS)
def test_the_default_comparison_is_equal_bit_for_bit() -> None:
    pytest.importorskip("mmengine")
    done = bench("conformance", seconds=LOADED_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 networks equal bit for bit under torch and mmseg" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["test", "runner:tortch"], "did you mean 'torch'?"),
        (["conformance", "--runner", "torch"], "two --runner are compared, not 1"),
        (["conformance", "--runner", "torch", "--runner", "torch", "--model", "unet"], "did you mean"),
        (["test", "runner:torch", "--model", 'u-net={"width"}'], "not a JSON object"),
        (["test", "runner:torch", "--model", 'u-net={"depth": 3}'], "unknown option 'depth'"),
    ],
)
def test_what_cannot_be_tried_exits_with_2(arguments: list[str], words: str) -> None:
    done = call_bench(*arguments)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_network_that_cannot_be_built_exits_with_2(tmp_path: Path) -> None:
    plugin = tmp_path / "planned.py"
    plugin.write_text(
        "from bench_core import Architecture, hookimpl\n\n"
        "@hookimpl\n"
        "def bench_models():\n"
        "    why = 'not built yet'\n"
        "    return [Architecture(name='planned', family='', runner='torch', version=1, unavailable=why)]\n"
    )
    done = call_bench("test", "runner:torch", "--model", "planned", "--plugin", str(plugin))
    assert done.returncode == 2, done.stdout
    assert "the runners cannot be compared here" in done.stderr and "not built yet" in done.stderr
    assert "Traceback" not in done.stderr
