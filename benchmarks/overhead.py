"""What the benchmark costs on top of PyTorch: `bench_torch` against a bare loop written by hand.

    python benchmarks/overhead.py [--model u-net] [--size 128] [--epochs 8] [--precision fp32] [--json]

Both train in one process on the same cached arrays, with the same network, augmentation, batch size and
precision, and validate after each epoch. They alternate epoch by epoch, so that whatever else the machine
does hits both alike. The runner's side is complete: contract, trace, checkpoints of every epoch on disk.
The bare loop saves nothing and writes nothing. Seconds are CPU seconds of the process on one thread and
wall seconds; the ratio of each pair of epochs is taken, after one pair to warm up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench_core import BuildRequest, DatasetRequest, JobEvent, Task
from bench_core.data.arrays import CachedArrays
from bench_core.data.cache import open_cache
from bench_core.data.folds import assign_folds
from bench_core.data.loader import Split
from bench_core.declarations import resolve_entry
from bench_core.execute.keeper import FolderKeeper
from bench_core.options import complete_options
from bench_core.plugins import load_registry
from bench_core.protocol.contract import Contract, RunOptions
from bench_core.protocol.trace import Trace
from bench_core.spec.protocol import Checkpoint, Metrics, Normalization, Optimizer, Schedule
from bench_core.spec.training import Training

AUGMENTATION: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RandomHorizontalFlip", {"p": 0.5}),
    ("RandomAffine", {"degrees": 15, "translate": [0.1, 0.1], "scale": [0.9, 1.1]}),
)
RATE = 1e-3
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class BareDataset(Dataset[tuple[Tensor, Tensor]]):
    """Cached samples through torchvision's transforms, as one would write it for a single experiment."""

    def __init__(self, arrays: CachedArrays, indices: np.ndarray, augment: bool) -> None:
        self.arrays, self.indices = arrays, indices
        steps = [getattr(v2, name)(**arguments) for name, arguments in AUGMENTATION]
        self.transform = v2.Compose(steps) if augment else None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        index = self.indices[position]
        image = torch.from_numpy(self.arrays.images[index].copy()).permute(2, 0, 1)
        mask = torch.from_numpy(self.arrays.masks[index].copy())
        if self.transform is not None:
            moved = self.transform(tv_tensors.Image(image), tv_tensors.Mask(mask[None]))
            image, mask = moved[0].as_subclass(Tensor), moved[1].as_subclass(Tensor)[0]
        return image, mask


class BareLoop:
    """The same training in plain PyTorch."""

    def __init__(
        self, model: nn.Module, training: BareDataset, validation: BareDataset, settings: argparse.Namespace
    ) -> None:
        self.device = torch.device(settings.device)
        self.model = model.to(self.device)
        self.train_loader = DataLoader(training, batch_size=settings.batch_size, shuffle=True)
        self.validation_loader = DataLoader(validation, batch_size=settings.batch_size)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        total = settings.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda epoch: (1 - epoch / total) / (0.5 + 0.5 * (1 - epoch / total))
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.precision == "fp16")
        self.precision = settings.precision

    def epoch(self) -> None:
        self.model.train()
        losses = []
        for images, masks in self.train_loader:
            loss = self.loss(self.logits(images), masks)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            losses.append(loss.detach())
        self.schedule.step()
        if not torch.stack(losses).isfinite().all():
            raise SystemExit("the bare loop diverged")
        self.validate()

    def validate(self) -> float:
        self.model.eval()
        counts = torch.zeros(3, dtype=torch.int64, device=self.device)
        with torch.no_grad():
            for images, masks in self.validation_loader:
                predicted = self.logits(images)[:, 0].float() > 0
                truth = masks.to(self.device).bool()
                hits = (predicted & truth).sum()
                counts += torch.stack([hits, predicted.sum() - hits, truth.sum() - hits])
        hits, false_positives, false_negatives = counts.tolist()
        return 2 * hits / max(1, 2 * hits + false_positives + false_negatives)

    def logits(self, images: Tensor) -> Tensor:
        dtype = AUTOCAST.get(self.precision)
        with torch.autocast(self.device.type, dtype=dtype) if dtype else nullcontext():
            logits: Tensor = self.model((images.to(self.device).float() / 255 - 0.5) / 0.5)
        return logits

    def loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        masks = masks.to(self.device)
        return functional.binary_cross_entropy_with_logits(logits[:, 0].float(), masks.float())


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
    assert declared.build is not None
    network: nn.Module = resolve_entry(declared.build)(
        BuildRequest(
            in_channels=3,
            num_classes=1,
            image_size=settings.size,
            pretrained="none",
            options=complete_options(declared.options, options),
        )
    )
    return network


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


def measure(settings: argparse.Namespace, folder: Path) -> list[dict[str, list[float]]]:
    """Return for each epoch the (wall, CPU) seconds of runner and bare loop."""
    arrays, folds = open_data(settings, folder)
    training, validation = np.flatnonzero(folds >= 2), np.flatnonzero(folds == 0)
    bare = BareLoop(
        build(settings), BareDataset(arrays, training, True), BareDataset(arrays, validation, False), settings
    )
    laps: list[dict[str, list[float]]] = []
    watch = Stopwatch(settings.device)

    def after_epoch(event: JobEvent) -> None:
        if event.kind == "epoch":
            ours = watch.lap()
            bare.epoch()
            laps.append({"bench_torch": list(ours), "bare": list(watch.lap())})

    job = folder / "job"
    job.mkdir()
    contract = Contract(
        job_name="overhead",
        seed=0,
        training=protocol(settings),
        task=Task(classes=("lesion",), channels=3),
        learning_rate=RATE,
        model=build(settings),
        train=Split(arrays, training, "rgb"),
        validation=Split(arrays, validation, "rgb"),
        test=None,
        keeper=FolderKeeper(job),
        trace=Trace(job / "trace.jsonl"),
        emit=after_epoch,
        digest="0" * 32,
    )
    fit = resolve_entry(load_registry().runner("torch").fit)
    fit(contract, RunOptions(device=settings.device, threads=settings.threads))
    return laps


def protocol(settings: argparse.Namespace) -> Training:
    """Return the contract's side of what the bare loop does."""
    return Training(
        epochs=settings.epochs,
        image_size=settings.size,
        resize="pad-square",
        channels="rgb",
        normalization=Normalization(),
        optimizer=Optimizer(),
        schedule=Schedule(),
        batch_size=settings.batch_size,
        precision=settings.precision,
        loss={"bce": 1.0},
        augmentation=AUGMENTATION,
        gradient_clipping=None,
        early_stopping=None,
        checkpoint=Checkpoint(),
        metrics=Metrics(),
    )


def summarize(laps: list[dict[str, list[float]]]) -> dict[str, Any]:
    """Return medians, minima and ratios, the first pair left out."""
    summary: dict[str, Any] = {}
    for column, clock in enumerate(("wall", "cpu")):
        ours = [lap["bench_torch"][column] for lap in laps[1:]]
        bare = [lap["bare"][column] for lap in laps[1:]]
        summary[clock] = {
            "bench_torch": {"median": statistics.median(ours), "min": min(ours)},
            "bare": {"median": statistics.median(bare), "min": min(bare)},
            "ratio": {
                "median of pairs": statistics.median(a / b for a, b in zip(ours, bare, strict=True)),
                "of sums": sum(ours) / sum(bare),
                "of minima": min(ours) / min(bare),
            },
        }
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
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
    with tempfile.TemporaryDirectory() as folder:
        laps = measure(settings, Path(folder))
    summary = {"settings": vars(settings), "epochs": laps, **summarize(laps)}
    if settings.json:
        print(json.dumps(summary, indent=2))
        return
    print(f"{settings.model}, {settings.size}x{settings.size}, {settings.precision}, {settings.device}")
    print(f"{'seconds an epoch':<18}{'bench_torch':>14}{'bare loop':>14}{'ratio':>10}")
    for clock in ("wall", "cpu"):
        ours, bare, ratio = (summary[clock][key] for key in ("bench_torch", "bare", "ratio"))
        for kind, pairs in (("median", "median of pairs"), ("min", "of minima")):
            print(f"{clock + ' ' + kind:<18}{ours[kind]:>14.3f}{bare[kind]:>14.3f}{ratio[pairs]:>10.3f}")


if __name__ == "__main__":
    main()
