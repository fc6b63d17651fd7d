"""Jobs of the GPU check: generated discs, one of the study's networks, the contract and the native runner."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import spawn

from bench_core.data.arrays import CachedArrays
from bench_core.data.loader import Split
from bench_core.declarations import Task
from bench_core.execute.follow import SharedKeeper
from bench_core.execute.keeper import FolderKeeper
from bench_core.execute.ranks import join
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plan.job import Job, JobDataset, JobFold, JobModel, Train
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.contract import Contract
from bench_core.protocol.devices import deterministic
from bench_core.protocol.ranks import ALONE, Ranks
from bench_core.protocol.run_options import RunOptions
from bench_core.protocol.site import Site
from bench_core.protocol.trace import Trace
from bench_core.spec.loss import losses
from bench_core.spec.protocol import AdamW, Best, Normalization, Rex
from bench_core.spec.training import Pixels, Scoring, Training
from bench_core.store.folder import TRACE
from bench_steps.cost.clock import Effort
from bench_steps.cost.counting import count
from bench_steps.cost.measuring import Subject, Wanted, measurements
from bench_torch.fit import fit

State = dict[str, torch.Tensor]
TASK = Task(classes=("lesion",), channels=3)
AUGMENTATION: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RandomHorizontalFlip", {}),
    ("RandomAffine", {"degrees": 15.0, "scale": [0.9, 1.1]}),
    ("ColorJitter", {"brightness": 0.2, "contrast": 0.2}),
)
FAST = ("as it is", "channels-last", "TF32", "cudnn.benchmark", "compile")
"""Settings that may cost equal results; the first is today's."""


class Check:
    """Where a phase writes, and at which size."""

    def __init__(self, dry: bool, out: Path | None) -> None:
        self.dry, self.out = dry, out
        self.device = "cpu" if dry else "cuda"
        self.size, self.batch = (64, 2) if dry else (512, 8)
        self.precision = "fp32" if dry else "fp16"
        self.found: dict[str, Any] = {}

    def note(self, key: str, value: Any) -> None:
        """Keep a measurement, on disk too."""
        self.found[key] = value
        if self.out is not None:
            self.out.write_text(json.dumps(self.found, indent=1) + "\n")

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the models to try: in a dry run two that are quick."""
        return names[:2] if self.dry else names


def network_of(check: Check, name: str) -> nn.Module:
    declared = load_registry().model(name)
    options = complete_options(declared.options, declared.small if check.dry else {})
    size = max(check.size, declared.size_minimum)
    torch.manual_seed(0)
    return build_network(declared, in_channels=3, num_classes=1, image_size=size, options=options)


def job_of(check: Check, name: str, epochs: int) -> Job:
    declared = load_registry().model(name)
    precision: Any = "fp32" if "precision" in declared.deviations else check.precision
    training = Training(
        epochs=epochs,
        normalization=Normalization(),
        optimizer=AdamW(),
        schedule=Rex(),
        batch_size=check.batch,
        precision=precision,
        loss=losses("bce"),
        augmentation=AUGMENTATION,
        gradient_clipping=None,
        early_stopping=None,
        checkpoint=Best(),
    )
    model = JobModel(name, name, declared.family, declared.version, "torch", "none", None, {})
    data = JobDataset("discs", "discs", 1, TASK, None, {})
    size = max(check.size, declared.size_minimum)
    pixels = Pixels(image_size=size, resize="stretch", channels="rgb")
    fold = JobFold(0, 3, "rotate", (0,), (1,), (2,))
    return Job("0" * 32, "evaluate", model, data, fold, pixels, Scoring(), 7, Train(training, 1e-3, "miou"))


def arrays_of(size: int, count: int) -> CachedArrays:
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    masks = np.zeros((count, size, size), np.uint8)
    images = random.integers(0, 120, (count, size, size, 3), np.uint8)
    for number in range(count):
        row, column = random.uniform(0.3, 0.7, 2) * size
        masks[number][np.hypot(rows - row, columns - column) < 0.15 * size] = 1
        images[number][masks[number] == 1] += 100
    ids = tuple(f"disc-{number:03d}" for number in range(count))
    return CachedArrays(
        ids=ids, groups=ids, images=images, masks=masks, fingerprint="discs", pixel_hashes=ids
    )


def contract_of(
    check: Check, name: str, folder: Path, epochs: int, workers: int = 0, ranks: Ranks = ALONE
) -> Contract:
    folder.mkdir(parents=True, exist_ok=True)
    job = job_of(check, name, epochs)
    batch = check.batch
    arrays = arrays_of(job.pixels.image_size, 6 * batch)
    parts = [range(4 * batch), range(4 * batch, 5 * batch), range(5 * batch, 6 * batch)]
    training, validation, test = (Split(arrays, part, "rgb") for part in parts)
    return Contract(
        Site(job, training, validation, test, device=check.device, loader_workers=workers, ranks=ranks),
        learning_rate=1e-3,
        model=network_of(check, name),
        keeper=SharedKeeper(ranks, FolderKeeper(folder) if ranks.first else None),
        trace=Trace(folder / TRACE if ranks.first else None),
    )


def cost_of(check: Check, name: str) -> dict[str, Any]:
    """Return operations in GMAC and what is measured, as the step `cost` has it, by phase and batch."""
    job, found = job_of(check, name, epochs=1), dict[str, Any]()
    network = network_of(check, name)
    operations = count(network, 3, job.pixels.image_size)
    found["GMAC"] = round(sum(item.done.macs for item in operations) / 1e9, 2)
    found["other GFLOP"] = round(sum(item.done.other for item in operations) / 1e9, 2)
    device, size = torch.device(check.device), job.pixels.image_size
    subject = Subject(lambda: network_of(check, name), job.training, TASK, 3, size, device)
    effort = Effort(warm_up=2, repeats=3, seconds=0.1) if check.dry else Effort(3, 10, 0.6)
    wanted = Wanted((1, check.batch), training=True, energy=True, effort=effort)
    for item in measurements(subject, wanted):
        told = {"value": item.value, "low": item.low, "high": item.high, "runs": item.runs, "how": item.how}
        found[f"{item.phase} {item.what}, batch {item.batch}"] = told if item.known else item.how
        found["setting"] = asdict(item.setting)
    return found


class _CutError(Exception):
    """The kill in the middle of a job."""


def train(check: Check, name: str, folder: Path, epochs: int, stop_after: int | None = None) -> State:
    """Train a job under the native runner and return its weights; `stop_after` epochs it is cut off."""
    contract = contract_of(check, name, folder, epochs)
    if stop_after is not None:

        def cut(*_: Any) -> None:
            if contract.model.training and contract.epochs_done >= stop_after:
                raise _CutError

        contract.model.register_forward_hook(cut)
    with contextlib.closing(contract), contextlib.suppress(_CutError):
        fit(contract, RunOptions(device=check.device))
    return state_of(contract.model)


Pair = tuple[str, str]
"""A network and a precision."""


def train_in(rank: int, world: int, port: int, dry: bool, jobs: tuple[Pair, ...], folder: Path) -> None:
    """Train jobs as one of `world` processes on one device; the first leaves trace and figures of each."""
    torch.set_num_threads(1 if dry else 4)
    check, ranks = Check(dry, None), ALONE
    if world > 1:
        store = TCPStore("127.0.0.1", port, world, is_master=False)
        ranks = join(check.device, direct=False, store=store, rank=rank, world=world)
    for name, check.precision in jobs:
        if not dry:
            torch.cuda.reset_peak_memory_stats()
        place = folder / f"{name} {check.precision}"
        contract = contract_of(check, name, place, epochs=3, workers=0 if dry else 2, ranks=ranks)
        with contextlib.closing(contract):
            outcome = fit(contract, RunOptions(device=check.device))
        if ranks.first and outcome.training is not None:
            seconds = [round(record.train_seconds, 3) for record in outcome.training.history]
            peak = None if dry else round(torch.cuda.max_memory_allocated() / 2**30, 2)
            figures = {"seconds by epoch": seconds, "peak GiB": peak, "parameters": contract.parameters}
            (place / "figures.json").write_text(json.dumps(figures))
    ranks.tell(None)
    if world > 1:
        dist.destroy_process_group()
        # Without what libraries do at the end: it aborts a process now and then.
        os._exit(0)


def train_together(check: Check, jobs: tuple[Pair, ...], folder: Path, world: int) -> None:
    """Train jobs in so many processes on one device."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    words = (world, store.port, check.dry, jobs, folder)
    spawn(train_in, args=words, nprocs=world)  # type: ignore[no-untyped-call]


def together(check: Check, jobs: tuple[Pair, ...], folder: Path) -> dict[Pair, dict[str, Any]]:
    """Return losses, samples, validations and figures of those jobs that ended."""
    found = {}
    for name, precision in jobs:
        place = folder / f"{name} {precision}"
        if not (place / "figures.json").exists():
            continue
        lines = [json.loads(line) for line in (place / TRACE).read_text().splitlines()]
        figures: dict[str, Any] = json.loads((place / "figures.json").read_text())
        figures["images per second"] = round(4 * check.batch / min(figures["seconds by epoch"]), 1)
        figures["losses"] = [line["loss"] for line in lines if "step" in line]
        figures["samples"] = [line["ids"] for line in lines if "step" in line]
        figures["validation"] = [line["validation"]["miou"] for line in lines if "step" not in line]
        found[name, precision] = figures
    return found


def state_of(network: nn.Module) -> State:
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def train_watched(check: Check, name: str, folder: Path, workers: int) -> tuple[float, float]:
    """Return the seconds that two epochs waited for batches, and all of their seconds."""
    contract = contract_of(check, name, folder, 2, workers)
    waited = [0.0]
    batches = contract.train_batches

    def watched(epoch: int) -> Iterator[Any]:
        source = iter(batches(epoch))
        while True:
            start = time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            finally:
                waited[0] += time.perf_counter() - start
            yield batch
            wait(check)

    contract.train_batches = watched  # type: ignore[method-assign]
    start = time.perf_counter()
    with contextlib.closing(contract):
        fit(contract, RunOptions(device=check.device, loader_workers=workers))
        return waited[0], time.perf_counter() - start


def step_times(check: Check, name: str, label: str, steps: int = 5, runs: int = 2) -> dict[str, Any]:
    """Return seconds of a step, images a second, peak memory, and whether `runs` are equal."""
    ended = []
    seconds: list[float] = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder, deterministic(torch.device(check.device)), fast(label):
            contract = contract_of(check, name, Path(folder), 1)
            network = contract.model.to(check.device)
            last = label == "channels-last"
            if last:
                network.to(memory_format=torch.channels_last)
            if not check.dry:
                torch.cuda.reset_peak_memory_stats()
            contract.prepare(torch.device(check.device), channels_last=last)
            run = torch.compile(network) if label == "compile" else network
            batch = next(iter(contract.train_batches(0)))
            contract.begin_step(0, 0)
            for _ in range(steps + 1):
                wait(check)
                start = time.perf_counter()
                with contract.autocast():
                    logits = run(batch.images)
                loss = contract.loss(logits, batch.masks)
                contract.optimize(loss)
                wait(check)
                seconds.append(time.perf_counter() - start)
            if not torch.isfinite(loss).item():
                raise FloatingPointError("the loss is not finite")
            ended.append(state_of(network))
    best = min(seconds[1:])
    found = {
        "seconds": round(best, 4),
        "images per second": round(check.batch / best, 1),
        "loss": loss.item(),
    }
    if not check.dry:
        found["peak GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    if len(ended) == 2:
        found["two runs differ by"] = largest_difference(*ended)
    return found


def largest_difference(one: State, other: State) -> float:
    """Return the largest absolute difference of two states; 0 where they are equal."""
    return max(
        float((one[key].double() - other[key].double()).abs().max()) for key in one if one[key].numel()
    )


def wait(check: Check) -> None:
    if not check.dry:
        torch.cuda.synchronize()


@contextlib.contextmanager
def fast(label: str) -> Iterator[None]:
    """Allow inside what the setting is about; channels-last and compile are about the network alone."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    # cuDNN allows TF32 by itself: "as it is" keeps that, and says so by the difference to none.
    if label == "TF32":
        matmul.allow_tf32 = cudnn.allow_tf32 = True
    if label == "cudnn.benchmark":
        cudnn.benchmark, cudnn.deterministic = True, False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
