"""What the benchmark costs: its runners against a bare PyTorch loop, and against MMEngine's own runner.

    python benchmarks/overhead.py [--runner torch|mmseg|all] [--model u-net] [--size 128] [--epochs 8]
                                  [--precision fp32] [--json]

All train in one process on the same cached arrays, with the same network, augmentation, batch size, loss and
precision, and validate after each epoch. They take turns epoch by epoch, so that whatever else the machine
does hits all alike. The runner's side is complete: contract, trace, checkpoints of every epoch on disk. The
bare loop (`bare_loop.py`) saves nothing and writes nothing, nor does MMEngine's runner (`stock_mmengine.py`),
which `mmseg` is compared with as well. Seconds are CPU seconds of the process on one thread and wall seconds;
the ratio within each turn is taken, after one turn to warm up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from bare_loop import AUGMENTATION, RATE, BareDataset, BareLoop
from torch import nn

from bench_core import DatasetRequest, JobEvent, Task
from bench_core.data.arrays import CachedArrays
from bench_core.data.cache import open_cache
from bench_core.data.folds import assign_folds
from bench_core.data.loader import Split
from bench_core.declarations import resolve_entry
from bench_core.execute.keeper import FolderKeeper
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plan.job import Job, JobDataset, JobFold, JobModel, Train
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.contract import Contract, RunOptions
from bench_core.protocol.site import Site
from bench_core.protocol.trace import Trace
from bench_core.spec.loss import losses
from bench_core.spec.protocol import AdamW, Best, Normalization, Rex
from bench_core.spec.training import Pixels, Scoring, Training

Laps = list[dict[str, list[float]]]
"""For each epoch, each contestant's (wall, CPU) seconds."""


class Rival(Protocol):
    def epoch(self) -> None: ...


class Stopwatch:
    """Wall and CPU seconds since the last call, with the device's work finished."""

    def __init__(self, device: str) -> None:
        self.wait: Callable[[], None] = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
        self.last = (0.0, 0.0)
        self.lap()

    def lap(self) -> tuple[float, float]:
        self.wait()
        now = (time.perf_counter(), time.process_time())
        wall, cpu = now[0] - self.last[0], now[1] - self.last[1]
        self.last = now
        return wall, cpu


def build(settings: argparse.Namespace) -> nn.Module:
    """Return the network with the same random weights each time."""
    declared = load_registry().model(settings.model)
    options = {"width": settings.width} if "width" in declared.options else {}
    torch.manual_seed(0)
    return build_network(
        declared,
        in_channels=3,
        num_classes=1,
        image_size=settings.size,
        options=complete_options(declared.options, options),
    )


def open_data(settings: argparse.Namespace, folder: Path) -> tuple[CachedArrays, np.ndarray]:
    """Return the cached images and each one's fold of five."""
    dataset = load_registry().dataset("synthetic")
    options = complete_options(dataset.options, {"samples": settings.samples, "size": settings.size})
    assert dataset.open is not None
    arrays = open_cache(
        resolve_entry(dataset.open)(DatasetRequest(root=None, options=options)),
        dataset=dataset.name,
        version=dataset.version,
        options=options,
        image_size=settings.size,
        resize="pad-square",
        root=folder / "cache",
    )
    return arrays, assign_folds(arrays.ids, arrays.groups, 5, 0)


def rivals(
    runner: str,
    arrays: CachedArrays,
    training: np.ndarray,
    validation: np.ndarray,
    settings: argparse.Namespace,
    folder: Path,
) -> dict[str, Rival]:
    """Return what a runner is compared with."""

    def samples() -> tuple[BareDataset, BareDataset]:
        return BareDataset(arrays, training, True), BareDataset(arrays, validation, False)

    found: dict[str, Rival] = {"bare loop": BareLoop(build(settings), *samples(), settings)}
    if runner == "mmseg":
        from stock_mmengine import StockRunner

        found["stock MMEngine"] = StockRunner(build(settings), *samples(), settings, folder / "stock")
    return found


def measure(runner: str, settings: argparse.Namespace, folder: Path) -> Laps:
    """Return each epoch's seconds of the runner and of what it is compared with."""
    arrays, folds = open_data(settings, folder)
    training, validation = np.flatnonzero(folds >= 2), np.flatnonzero(folds == 0)
    others = rivals(runner, arrays, training, validation, settings, folder)
    laps: Laps = []
    watch = Stopwatch(settings.device)

    def after_epoch(event: JobEvent) -> None:
        if event.kind != "epoch":
            return
        lap = {runner: list(watch.lap())}
        for name, rival in others.items():
            rival.epoch()
            lap[name] = list(watch.lap())
        laps.append(lap)

    job = folder / f"job-{runner}"
    job.mkdir()
    contract = Contract(
        Site(
            job_of(runner, settings),
            train=Split(arrays, training, "rgb"),
            validation=Split(arrays, validation, "rgb"),
            test=None,
            emit=after_epoch,
            device=settings.device,
        ),
        learning_rate=RATE,
        model=build(settings),
        keeper=FolderKeeper(job),
        trace=Trace(job / "trace.jsonl"),
    )
    fit = resolve_entry(load_registry().runner(runner).fit)
    watch.lap()
    fit(contract, RunOptions(device=settings.device, threads=settings.threads))
    return laps


def job_of(runner: str, settings: argparse.Namespace) -> Job:
    """Return the job that does what the others do; its search fold tests no images."""
    training = Training(
        epochs=settings.epochs,
        normalization=Normalization(),
        optimizer=AdamW(),
        schedule=Rex(),
        batch_size=settings.batch_size,
        precision=settings.precision,
        loss=losses("bce"),
        augmentation=AUGMENTATION,
        gradient_clipping=None,
        early_stopping=None,
        checkpoint=Best(),
    )
    return Job(
        digest="0" * 32,
        stage="search",
        model=JobModel(settings.model, settings.model, "SMA", 1, runner, "none", None, {}),
        dataset=JobDataset("synthetic", "synthetic", 1, Task(classes=("lesion",), channels=3), None, {}),
        fold=JobFold(0, 5, "rotate", (2, 3, 4), (0,), ()),
        pixels=Pixels(image_size=settings.size, resize="pad-square", channels="rgb"),
        scoring=Scoring(),
        seed=0,
        work=Train(training, RATE, "miou"),
    )


def summarize(runner: str, laps: Laps) -> dict[str, Any]:
    """Return medians, minima and ratios over each other contestant, the first turn left out."""
    summary: dict[str, Any] = {}
    for column, clock in enumerate(("wall", "cpu")):
        seconds = {name: [lap[name][column] for lap in laps[1:]] for name in laps[0]}
        ours = seconds[runner]
        summary[clock] = {
            "seconds": {
                name: {"median": statistics.median(values), "min": min(values)}
                for name, values in seconds.items()
            },
            "ratio": {
                name: {
                    "median of turns": statistics.median(a / b for a, b in zip(ours, values, strict=True)),
                    "of sums": sum(ours) / sum(values),
                    "of minima": min(ours) / min(values),
                }
                for name, values in seconds.items()
                if name != runner
            },
        }
    return summary


def show(runner: str, summary: dict[str, Any]) -> None:
    for clock in ("wall", "cpu"):
        seconds, ratios = summary[clock]["seconds"], summary[clock]["ratio"]
        for name, ratio in ratios.items():
            for kind, turns in (("median", "median of turns"), ("min", "of minima")):
                print(
                    f"{runner} / {name:<16}{clock + ' ' + kind:<12}{seconds[runner][kind]:>9.3f} s"
                    f"{seconds[name][kind]:>9.3f} s{ratio[turns]:>8.3f}"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runner", choices=("torch", "mmseg", "all"), default="torch")
    parser.add_argument("--model", default="u-net")
    parser.add_argument("--width", type=int, default=16, help="of u-net")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    settings = parser.parse_args()
    torch.set_num_threads(settings.threads)
    report: dict[str, Any] = {"settings": vars(settings), "runners": {}}
    for runner in ("torch", "mmseg") if settings.runner == "all" else (settings.runner,):
        with tempfile.TemporaryDirectory() as folder:
            laps = measure(runner, settings, Path(folder))
        report["runners"][runner] = {"epochs": laps, **summarize(runner, laps)}
    if settings.json:
        print(json.dumps(report, indent=2))
        return
    print(f"{settings.model}, {settings.size}x{settings.size}, {settings.precision}, {settings.device}")
    for runner, summary in report["runners"].items():
        show(runner, summary)


if __name__ == "__main__":
    main()
