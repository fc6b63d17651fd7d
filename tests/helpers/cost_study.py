"""A study of eleven models with known scores and known costs, written straight into a store."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from unittest import mock

from bench_core.metrics.costs import (
    MEASURED,
    OPERATIONS,
    Done,
    Measured,
    Setting,
    measured_rows,
    operation_rows,
    operation_values,
)
from bench_core.plan.job import Job
from bench_core.store.result import Result
from tests.helpers import fake_study
from tests.helpers.fake_study import PLUGIN, Study, write_study

FAMILY = {"u-net": "SMA", "u-kan": "SMA", "swin-umamba": "SMA", "hiformer": "SMA", "missformer": "SMA"}
COSTS = {
    "u-net": (31.0, 192.7, 0.880),
    "u-kan": (25.4, 42.1, 0.872),
    "swin-umamba": (59.9, 163.5, 0.899),
    "hiformer": (25.5, 41.9, 0.881),
    "missformer": (42.5, 98.8, 0.861),
    "segformer": (47.2, 77.1, 0.912),
    "segnext": (48.8, 69.1, 0.915),
    "internimage": (58.4, 234.2, 0.909),
    "transnext": (57.7, 244.1, 0.921),
    "vw-mit": (51.4, 68.7, 0.908),
    "vw-conv": (57.0, 77.4, 0.910),
}
"""Parameters in millions, GMAC, and what the model scores."""
GPU = Setting(1, "cuda", "NVIDIA H100 80GB HBM3", "torch 2.11.0+cu130, CUDA 13.0, cuDNN 91002", 0, "fp16")
CPU = Setting(1, "cpu", "Some CPU @ 2.0 GHz", "torch 2.14.1+cpu", 1, "fp32")


def write_costs(
    folder: Path,
    *,
    settings: Mapping[str, Setting] | None = None,
    more: str = "",
    names: Iterable[str] = COSTS,
    energy: bool = True,
) -> Study:
    """Write the study; `settings` are those of datasets whose costs were measured elsewhere than on a GPU."""
    names = tuple(names)
    nets = "".join(f'        net("its-{n}", "{FAMILY.get(n, "GP-VM")}", "{n}"),\n' for n in names)
    begin, end = PLUGIN.index('        net("broad"'), PLUGIN.index("    ]\n\n\ndef data")
    plugin = PLUGIN[:begin] + nets + PLUGIN[end:]
    with mock.patch.dict(fake_study.SKILL, {f"its-{name}": COSTS[name][2] for name in names}):
        study = write_study(
            folder,
            keep=lambda job: job.stage == "evaluate",
            models=f"[{', '.join(f'its-{name}' for name in names)}]",
            plugin=plugin,
            more=f"steps: [cost]\n{more}",
        )
    with mock.patch("os.fsync"):
        for job in study.plan.jobs:
            if job.stage == "cost":
                setting = (settings or {}).get(job.dataset.label, GPU)
                name = job.model.name.removeprefix("its-")
                write_cost(study, job, name, done_of(name), measured_of(name, setting, energy))
    return study


def done_of(name: str) -> list[Done]:
    """Return operations that add up to the model's count."""
    macs = round(COSTS[name][1] * 1e9)
    return [Done("aten::convolution", 60, macs - macs // 5, 10**7), Done("aten::bmm", 12, macs // 5, 0),
            Done("aten::gelu", 12, 0, 10**8), Done("aten::view", 99, 0, 0)]  # fmt: skip


def measured_of(name: str, setting: Setting, energy: bool = True) -> list[Measured]:
    """Return measurements that go with the count: a slower machine, a larger batch, a costlier training."""
    parameters, gmac, _ = COSTS[name]
    slow = 1.0 if setting.device == "cuda" else 60.0
    found = []
    for phase, batch, times in (("inference", 1, 1.0), ("inference", 8, 5.0), ("training", 8, 16.0)):
        seconds = slow * times * (0.004 + gmac * 4e-5 + len(name) * 2e-4)
        memory = 4e6 * parameters * (1 + 2 * (phase == "training")) + gmac * 2e6 * batch
        for what, value, wide, runs in (("time", seconds, 0.04, 20), ("memory", memory, 0.0, 1)):
            found.append(
                Measured(
                    what, phase, batch, value, value * (1 - wide), value * (1 + wide), runs, "it", setting
                )
            )
        if batch == 8:
            joules = seconds / batch * 300 if energy else math.nan
            how = "NVML, board" if energy else "NVML needs nvidia-ml-py"
            found.append(Measured("energy", phase, batch, joules, joules, joules, int(energy), how, setting))
    return found


def write_cost(study: Study, job: Job, name: str, done: list[Done], measured: list[Measured]) -> None:
    """Write one job of the step on a model of this name."""
    source = study.store.result(job.needs[0].digest)
    folder = study.store.prepare(job) / "records"
    folder.mkdir()
    tables = {OPERATIONS: [*operation_rows(done)], MEASURED: [*measured_rows(measured)]}
    for table, rows in tables.items():
        with (folder / f"{table}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    parameters = COSTS[name][0] * 1e6
    result: Result = replace(
        source,
        digest=job.digest,
        training=None,
        network=None,
        values={"parameters": parameters, "trainable": parameters, **operation_values(done)},
        artifacts=tuple(f"records/{table}.csv" for table in tables),
        files={},
    )
    study.store.complete(job.digest, result)
    study.store.seal(job.digest)
