"""A small U-Net that several processes train, and that can fail in one of them; run as a worker runs it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch

from bench_core.execute.crew import Crew
from bench_core.execute.crew_messages import Start
from bench_core.execute.job import run_job
from bench_core.execute.queue import Order, queue_job, queued
from bench_core.execute.ranks import OwnTeam, Team
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.protocol.run_options import RunOptions
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.small_study import PLUGIN

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 200

FRAGILE = '''

def build_fragile(request):
    """A U-Net of two scales with batch norm and dropout; what a file beside this one says happens to it.

    Without biases in front of batch norm: Adam makes whole steps of gradients that are 0 but for rounding.
    """
    import torch
    from torch import distributed, nn

    there = distributed.is_initialized()
    with Path(__file__).with_name("pids").open("a") as pids:
        pids.write(f"{distributed.get_rank() if there else 0} {os.getpid()}\\n")

    def block(inward, outward):
        return nn.Sequential(
            nn.Conv2d(inward, outward, 3, padding=1, bias=False),
            nn.BatchNorm2d(outward),
            nn.ReLU(),
            nn.Dropout(0.2),
        )

    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.deep = block(request.in_channels, 4), block(4, 8)
            self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
            self.out = nn.Conv2d(12, request.num_classes, 1)
            self.calls = 0

        def forward(self, images):
            self.calls += self.training
            wish = Path(__file__).with_name("wish")
            second = distributed.is_initialized() and distributed.get_rank() == 1
            if self.training and self.calls == 4 and second and wish.exists():
                what = wish.read_text()
                wish.unlink()
                if what == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if what == "bug":
                    raise ValueError("a bug in one process alone")
                if what == "data":
                    raise DataError("an image is gone", cause="it was there before", fix="put it back")
                if what == "stop":
                    os.kill(os.getpid(), signal.SIGSTOP)
                if what == "long":
                    # One step of the interpreter: no other thread of this process gets a turn meanwhile.
                    start = time.monotonic()
                    while time.monotonic() - start < 3:
                        sum(range(20_000_000))
                    sum(range(200_000_000))
                if what == "wait":
                    wish.with_name("waiting").write_text(str(os.getpid()))
                    time.sleep(1000)
            wide = self.down(images)
            return self.out(torch.cat([wide, self.up(self.deep(self.pool(wide)))], 1))

    return Fragile()

'''

SPEC = """
version: 1
name: together
plugins: [plugin.py]
models: [fragile-net]
datasets: [{name: dots, options: {count: 21}}]
protocol:
  image_size: 16
  channels: native
  batch_size: 4
  pretrained: none
  loss: {bce: 0.5, dice: 0.5}
  gradient_clipping: 1.0
  augmentation: [{RandomHorizontalFlip: {p: 0.5}}, {RandomAffine: {degrees: 20}}]
  learning_rate: 0.01
  evaluate: {folds: 3, epochs: 3, only: [0, 1, 2]}
"""


@dataclass
class Study:
    """Three queued jobs in a store of their own; where nothing else is said, the first is meant."""

    folder: Path
    jobs: tuple[Job, ...]
    store: Store
    runners: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, runner: str = "torch", **options: Any) -> Study:
        """Write the spec and queue its jobs, for a runner with options of its own."""
        folder.mkdir(parents=True)
        listed = "[\n        model("
        plugin = dedent(PLUGIN).replace(listed, f'{listed}"fragile-net", build_fragile),\n        model(', 1)
        (folder / "plugin.py").write_text(plugin + FRAGILE)
        model = f"{{name: fragile-net, runner: {runner}}}"
        (folder / "spec.yaml").write_text(SPEC.replace("[fragile-net]", f"[{model}]"))
        loaded = load_spec(folder / "spec.yaml")
        jobs = make_plan(loaded.spec, loaded.registry).jobs
        study = cls(folder, jobs, Store(folder / "store", create=True), {runner: options} if options else {})
        study.queue()
        return study

    @property
    def job(self) -> Job:
        """The first job."""
        return self.jobs[0]

    def queue(self) -> None:
        """Queue the jobs, as the next run does after a failure."""
        for job in self.jobs:
            failure = self.store.failure(job.digest)
            order = Order(
                plugins=(self.folder / "plugin.py",),
                options=RunOptions(runners=self.runners),
                retried=failure,
            )
            queue_job(self.store, job, order)

    def wish(self, what: str) -> None:
        """Let this happen once in the second process, in its fourth training step."""
        (self.folder / "wish").write_text(what)

    def pids(self, rank: int = 1) -> list[int]:
        """Return the process that was of this rank, for each job that was begun."""
        lines = (self.folder / "pids").read_text().splitlines()
        return [int(pid) for first, pid in map(str.split, lines) if int(first) == rank]

    def crew(self, *devices: str, look_seconds: float = 10.0) -> Crew:
        """Start the processes that share jobs with this one."""
        return Crew(Start(devices, 1, (self.folder / "plugin.py",)), look_seconds)

    def run_here(self, crew: Crew | None = None, job: Job | None = None) -> None:
        """Run a job with this process as its first, by itself or with a crew."""
        job = job or self.job
        _, order = queued(self.store, job.digest)
        devices = () if crew is None else crew.start.devices
        options = replace(order.options, devices=devices)
        registry = load_spec(self.folder / "spec.yaml").registry
        team = Team if crew is None else partial(OwnTeam, crew, job, order.options, self.store.cache)
        run_job(job, self.store, registry, options, lambda event: None, team=team,
                known_failure=order.retried)  # fmt: skip

    def worker(self, device: str, *before: str, **variables: str) -> subprocess.Popen[str]:
        """Start a worker for the one job."""
        start = before or (sys.executable,)
        return subprocess.Popen(
            [*start, "-m", "bench_core.execute.worker", str(self.store.path), self.job.digest, device],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, device: str, *before: str) -> tuple[int, str]:
        """Run the job and return the worker's exit code and what it said."""
        with self.worker(device, *before) as process:
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, said

    def log(self) -> str:
        """Return the job's log, wherever its folder is."""
        places = [
            self.store.folder(self.job.digest),
            *self.store.running.iterdir(),
            *self.store.failed.iterdir(),
        ]
        return "".join(path.read_text() for place in places for path in place.glob("log.txt"))

    def fingerprint(self, job: Job | None = None) -> dict[str, str]:
        """Return hashes of what must be equal to the last bit: weights, trace, counts and label maps."""
        digest = (job or self.job).digest
        sealed = self.store.folder(digest)
        weights = torch.load(sealed / "best.pt", weights_only=True)["state_dict"]
        found = {name: tensor.numpy().tobytes() for name, tensor in weights.items()}
        found |= {name: (sealed / name).read_bytes() for name in ("trace.jsonl", "counts.csv")}
        found["labels"] = self.store.predictions(digest).labels.tobytes()
        return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def wait_for(path: Path) -> str:
    """Wait until a file is there and return what it holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")
