"""MMEngine's logs, and what it leaves in the process: nothing."""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("mmengine")

from mmengine.logging import MessageHub, MMLogger, print_log
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from bench_core.errors import MissingDependencyError, TrainingError
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.contract import RunOptions
from bench_mmseg import fit as mmseg
from bench_mmseg.backends import BACKENDS
from tests.helpers.left_behind import Left, assert_equal
from tests.helpers.tiny_jobs import tiny_contract

MANAGERS = (MMLogger, MessageHub, Visualizer, DefaultScope)


pytestmark = pytest.mark.usefixtures("one_thread")


def _options(folder: Path | None = None, **given: Any) -> RunOptions:
    declared = load_registry().runner("mmseg").options
    return RunOptions(runners={"mmseg": complete_options(declared, given)}, folder=folder)


def _process_state() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "instances": [list(manager._instance_dict) for manager in MANAGERS],
        "root": (root.level, list(root.handlers)),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "threads": torch.get_num_threads(),
        "kernels": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
    }


@pytest.mark.parametrize("logged", [False, True])
def test_many_jobs_leave_nothing_in_the_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], logged: bool
) -> None:
    before = _process_state()
    networks = []
    for job in range(4):
        contract = tiny_contract(epochs=1)
        networks.append(weakref.ref(contract.model))
        options = _options(tmp_path / str(job), log=logged, visual=["LocalVisBackend"] if logged else [])
        mmseg.fit(contract, options)
        del contract
    assert _process_state() == before
    # Without the collector: a network on a GPU must go when its job is done. The first job imports packages,
    # some of which keep their callers' frames until the collector comes.
    assert [network() for network in networks[1:]] == [None, None, None]
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert any(tmp_path.rglob("*")) == logged


def test_a_failed_job_leaves_nothing_either(tmp_path: Path) -> None:
    before = _process_state()
    for failure, expected in (
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), TrainingError),
        (TypeError("a mistake in the network"), TypeError),
    ):
        contract = tiny_contract()

        def fail(module: nn.Module, inputs: object, failure: BaseException = failure) -> None:
            raise failure

        contract.model.register_forward_pre_hook(fail)
        with pytest.raises(expected) as caught:
            mmseg.fit(contract, _options(tmp_path / "runner", log=True))
        if expected is TrainingError:
            assert "out of memory" in str(caught.value)
        assert _process_state() == before


def test_logs_change_no_bit_and_are_kept_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "runner"
    logged = Left(
        mmseg.fit,
        tmp_path / "logged",
        _options(folder, log=True, visual=["LocalVisBackend"], interval=2),
    )
    assert_equal(logged, Left(mmseg.fit, tmp_path / "quiet"))
    (text,) = folder.glob("*/*.log")
    lines = text.read_text().splitlines()
    assert any("Epoch(train) [1][2/3]" in line and "loss:" in line for line in lines)
    assert any("Epoch(val) [4][1/1]" in line and "mdsc:" in line for line in lines)
    (scalars,) = folder.glob("*/vis_data/scalars.json")
    written = [json.loads(line) for line in scalars.read_text().splitlines()]
    steps = [json.loads(line) for line in logged.trace.splitlines()]
    rates = {entry["iter"]: entry["lr"] for entry in written if "lr" in entry}
    ours = [line["lr"] for line in steps if "step" in line]
    assert rates
    assert all(rates[step] == ours[step - 1] for step in rates)


def test_the_logs_of_attempts_stand_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps = iter(["20260101_000000", "20260101_000001"])
    monkeypatch.setattr("bench_mmseg.logs.time.strftime", lambda pattern: next(stamps))
    for _ in range(2):
        mmseg.fit(tiny_contract(epochs=1), _options(tmp_path, log=True))
    assert len(list(tmp_path.glob("*/*.log"))) == 2


@pytest.mark.parametrize("options", [_options, lambda folder: _options(None, log=True)])
def test_nothing_is_written_unless_asked_for(tmp_path: Path, options: Callable[[Path], RunOptions]) -> None:
    mmseg.fit(tiny_contract(epochs=1), options(tmp_path / "runner"))
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_is_not_installed_is_named_with_its_install_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_mmseg.logs._installed", lambda package: False)
    with pytest.raises(MissingDependencyError) as caught:
        mmseg.fit(tiny_contract(), _options(tmp_path, visual=["LocalVisBackend", "TensorboardVisBackend"]))
    assert "'tensorboard'" in caught.value.message
    assert "pip install tensorboard" in (caught.value.fix or "")
    assert list(tmp_path.iterdir()) == []


def test_the_backends_on_offer_are_mmengines() -> None:
    from mmengine.registry import VISBACKENDS

    assert all(VISBACKENDS.get(name) is not None for name in BACKENDS)


def test_warnings_of_mmengine_reach_the_jobs_log(caplog: pytest.LogCaptureFixture) -> None:
    contract = tiny_contract(epochs=1)

    def warn(module: nn.Module, inputs: object) -> None:
        print_log("mind the gap", logger="current", level=logging.WARNING)
        print_log("nothing of interest", logger="current")

    contract.model.register_forward_pre_hook(warn)
    mmseg.fit(contract, RunOptions())
    assert "mind the gap" in caplog.text
    assert "nothing of interest" not in caplog.text


def test_logged_memory_leaves_the_peak_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU, the job's peak memory is recorded with its result."""

    def reset(device: object = None) -> None:
        raise AssertionError("the peak was reset")

    monkeypatch.setattr("mmengine.runner.log_processor.is_cuda_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    mmseg.fit(tiny_contract(epochs=1), _options(tmp_path, log=True, interval=1))
    (text,) = tmp_path.glob("*/*.log")
    assert "memory: 0" in text.read_text()


@pytest.mark.slow
def test_the_engine_imports_mmengine_alone() -> None:
    code = (
        "import sys, bench_mmseg.fit\n"
        "print([name for name in ('mmseg', 'mmcv', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
