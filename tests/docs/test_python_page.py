"""The page on the Python interface: its code runs in order, and what it prints is what the store holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench_core
from bench_core import open_study
from bench_core.errors import StoreError
from bench_core.execute.prepare import open_data
from bench_core.plugins.registry import UnknownNameError
from bench_core.protocol.normalization import Normalize
from bench_core.store.store import Store
from bench_core.study import StudyResults
from tests.docs.test_steps_page import study as step_study
from tests.helpers.small_study import run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with spec.yaml and the finished jobs of all folds but the last one."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("study")
    loaded, plan, store = step_study(folder)
    for job in plan.jobs:
        if job.fold.index < 2:
            run(job, store, loaded.registry)
    return folder


@pytest.fixture
def results(folder: Path) -> StudyResults:
    return open_study(folder / "spec.yaml", folder / "results")


def test_the_code_of_the_page_runs_in_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for code in CODE:
        exec(code, names)
    printed = capsys.readouterr().out
    assert "small ('dots-net', 'bright') ('dots',) False" in printed
    assert "evaluate/dots-net/dots/fold-0 done" in printed and "fold-2 todo" in printed
    assert names["true_positives"] >= 0 and len(names["maps"]) == 10


def test_importing_the_door_is_light(folder: Path) -> None:
    assert "open_study" in bench_core.__all__
    names = ("numpy", "pydantic", "torch")
    code = f"import sys, bench_core; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
    with pytest.raises(StoreError, match="not a folder of results"):
        open_study(folder / "spec.yaml", folder)


def test_rows_agree_with_the_files(results: StudyResults, folder: Path) -> None:
    store = Store(folder / "results")
    done = results.job("dots-net", "dots", fold=1)
    counts = store.counts(done.job.digest)
    rows = [row for row in results.counts("dots-net", "dots") if row["fold"] == 1]
    assert [row["id"] for row in rows] == list(counts.ids)
    assert [[row["tp"], row["fp"], row["fn"]] for row in rows] == counts.values[:, 0].tolist()
    tp, fp, fn = counts.values.sum(axis=(0, 1))
    (score,) = [
        row["value"] for row in results.scores("miou") if (row["model"], row["fold"]) == ("dots-net", 1)
    ]
    assert score == (tp / (tp + fp + fn) if tp + fp + fn else None)
    study = {row["model"]: row for row in results.table("study-miou")}
    mean = np.mean([float(row["value"]) for row in results.scores("miou") if row["model"] == "bright"])  # type: ignore[arg-type]
    assert study["bright"]["dots_mean"] == pytest.approx(mean) and study["bright"]["dots_folds"] == 2
    for name, labels in results.predictions("dots-net", "dots", fold=1).items():
        kept = store.predictions(done.job.digest)
        np.testing.assert_array_equal(labels, kept.labels[kept.ids.index(name)])


def test_the_network_predicts_what_is_stored(results: StudyResults, folder: Path) -> None:
    done = results.job("dots-net", "dots")
    network = results.network("dots-net", "dots")
    data = open_data(done.job, results.registry, folder / "results" / "cache")
    images, _ = data.tested.read(range(len(data.tested)))
    normalize = Normalize(done.job.training.normalization, 1)
    with torch.no_grad():
        labels = (network(normalize(images))[:, 0] > 0).numpy()
    for row, sample in enumerate(data.tested.ids):
        np.testing.assert_array_equal(results.predictions("dots-net", "dots", 0)[sample], labels[row])


def test_what_steps_left_is_there(results: StudyResults) -> None:
    rows = results.records("agreement", "dots-net", "dots", "mirrored")
    assert [row["fold"] for row in rows] == [0] * 5 + [1] * 5
    kept = results.job("dots-net", "dots", stage="mirrored").artifact("agreement.npy")
    assert np.load(kept).tolist() == [float(row["share"]) for row in rows[:5]]
    maps = results.predictions("dots-net", "dots", stage="mirrored")
    assert maps.keys() == results.predictions("dots-net", "dots").keys()
    assert results.finished("bright", "dots", "mirrored") == ()


@pytest.mark.parametrize(
    ("ask", "near"),
    [
        (lambda study: study.counts("dots-nett", "dots"), "'dots-net'"),
        (lambda study: study.predictions("dots-net", "dot"), "'dots'"),
        (lambda study: study.finished("dots-net", "dots", "evaluat"), "'evaluate'"),
        (lambda study: study.table("study-mdcs"), "'study-mdsc'"),
        (lambda study: study.scores("miuo"), "'miou'"),
    ],
)
def test_unknown_names_are_told_the_nearest(ask: Any, near: str, results: StudyResults) -> None:
    with pytest.raises(UnknownNameError) as caught:
        ask(results)
    assert near in (caught.value.fix or "")


def test_a_job_that_is_not_finished_says_how_to_run_it(results: StudyResults) -> None:
    for ask in (results.job, results.network):
        with pytest.raises(StoreError, match="fold-2 is not finished") as caught:
            ask("dots-net", "dots", fold=2)
        assert (caught.value.fix or "").startswith("bench run ")


def test_overrides_change_the_study(folder: Path) -> None:
    other = open_study(folder / "spec.yaml", folder / "results", ["protocol.batch_size=2"])
    assert {row["state"] for row in other.jobs() if row["model"] == "dots-net"} == {"stale", "todo"}
