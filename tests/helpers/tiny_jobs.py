"""Jobs small enough to train in a test: blobs on a dark ground, a three-layer network, state in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench_core.data.arrays import CachedArrays
from bench_core.data.loader import Split
from bench_core.declarations import JobEvent, Task
from bench_core.plan.job import Job, JobDataset, JobFold, JobModel, Train, Work
from bench_core.protocol.contract import Contract, Outcome, Predict
from bench_core.protocol.ranks import ALONE, Ranks
from bench_core.protocol.site import Site
from bench_core.protocol.trace import Trace
from bench_core.records import EpochRecord
from bench_core.spec.protocol import AdamW, Best, Normalization, Rex
from bench_core.spec.training import Pixels, Scoring, Training

SIZE = 16
BINARY = Task(classes=("lesion",), channels=3)
THREE = Task(classes=("left", "right"), channels=1)


def tiny_training(**changes: Any) -> Training:
    """Return a resolved protocol for SIZE x SIZE images, with these fields replaced."""
    settings: dict[str, Any] = {
        "epochs": 4,
        "normalization": Normalization(),
        "optimizer": AdamW(),
        "schedule": Rex(),
        "batch_size": 4,
        "precision": "fp32",
        "loss": {"bce": 1.0},
        "augmentation": (("RandomHorizontalFlip", {}), ("RandomAffine", {"degrees": 20.0})),
        "gradient_clipping": None,
        "early_stopping": None,
        "checkpoint": Best(),
    }
    return Training(**(settings | changes))


def tiny_job(
    task: Task = BINARY,
    *,
    seed: int = 5,
    tested: bool = True,
    channels: str = "rgb",
    scoring: Scoring | None = None,
    training: Training | None = None,
    rate: float = 0.02,
    work: Work | None = None,
) -> Job:
    """Return a job over SIZE x SIZE images; three folds, of which the last is tested."""
    return Job(
        digest="d" * 32,
        stage="evaluate" if tested else "search",
        model=JobModel("tiny", "tiny", "SMA", 1, "torch", "none", None, {}),
        dataset=JobDataset("blobs", "blobs", 1, task, None, {}),
        fold=JobFold(0, 3, "rotate", (0,), (1,), (2,) if tested else ()),
        pixels=Pixels.model_validate({"image_size": SIZE, "resize": "stretch", "channels": channels}),
        scoring=scoring or Scoring(),
        seed=seed,
        work=work or Train(training or tiny_training(), rate, "miou"),
    )


def tiny_arrays(task: Task, samples: int = 20, seed: int = 0) -> CachedArrays:
    """Return images with one bright rectangle a class, whose masks are these rectangles."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (samples, SIZE, SIZE, task.channels), dtype=np.uint8)
    masks = np.zeros((samples, SIZE, SIZE), dtype=np.uint8)
    for sample in range(samples):
        for label in range(1, len(task.classes) + 1):
            top, left = random.integers(0, SIZE - 6, 2)
            area = (sample, slice(top, top + 6), slice(left, left + 6))
            images[area] = 100 + 60 * label
            masks[area] = label
    return CachedArrays(
        ids=tuple(f"case-{sample:02d}" for sample in range(samples)),
        groups=tuple(f"patient-{sample // 2}" for sample in range(samples)),
        images=images,
        masks=masks,
        fingerprint="tiny",
        pixel_hashes=tuple(str(sample) for sample in range(samples)),
    )


def tiny_network(task: Task, *, channels: int = 3, dropout: float = 0.2, seed: int = 0) -> nn.Module:
    """Return a network with batch norm and dropout, so that its state and its randomness matter."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout2d(dropout),
        nn.Conv2d(8, task.logit_channels, 3, padding=1),
    )


class MemoryKeeper:
    """Keeps state in memory, as copies."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.best: dict[str, Any] = {}

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.state)

    def save(self, state: dict[str, Any]) -> None:
        self.state = copy.deepcopy(state)

    def load_best(self) -> dict[str, Any]:
        return copy.deepcopy(self.best)

    def save_best(self, weights: dict[str, Any]) -> None:
        self.best = copy.deepcopy(weights)


def tiny_contract(
    task: Task = BINARY,
    *,
    model: nn.Module | None = None,
    arrays: CachedArrays | None = None,
    keeper: MemoryKeeper | None = None,
    trace: Path | None = None,
    events: list[JobEvent] | None = None,
    tested: bool = True,
    rate: float = 0.02,
    seed: int = 5,
    random_at_inference: bool = False,
    encoder: tuple[str, ...] = (),
    loader_workers: int = 0,
    ranks: Ranks = ALONE,
    **changes: Any,
) -> Contract:
    """Return a contract over 12 training, 4 validation and 4 test images, not prepared yet."""
    changes.setdefault("loss", {"bce": 1.0} if task.binary else {"cross-entropy": 1.0})
    channels, scoring = changes.pop("channels", "rgb"), changes.pop("scoring", None)
    training = tiny_training(**changes)
    job = tiny_job(
        task, seed=seed, tested=tested, channels=channels, scoring=scoring, training=training, rate=rate
    )
    data = tiny_arrays(task) if arrays is None else arrays
    count = len(data.ids)
    parts = np.split(np.arange(count), [count - 8, count - 4])
    train, validation, test = (Split(data, part, channels) for part in parts)
    depth = 3 if channels == "rgb" else task.channels
    return Contract(
        Site(
            job,
            train,
            validation,
            test if tested else None,
            emit=(lambda event: None) if events is None else events.append,
            loader_workers=loader_workers,
            ranks=ranks,
        ),
        learning_rate=rate,
        model=tiny_network(task, channels=depth) if model is None else model,
        keeper=MemoryKeeper() if keeper is None else keeper,
        trace=Trace(trace),
        random_at_inference=random_at_inference,
        encoder=encoder,
    )


def predictor(contract: Contract) -> Predict:
    def predict(images: Tensor) -> Tensor:
        logits: Tensor = contract.model(images)
        return logits

    return predict


def train(contract: Contract, *, stop_before: int | None = None) -> None:
    """Drive the epochs as a runner does; `stop_before` leaves in the middle of that epoch, as a kill does."""
    contract.prepare(torch.device("cpu"))
    predict = predictor(contract)
    for epoch in contract.epochs():
        for step, batch in enumerate(contract.train_batches(epoch)):
            contract.begin_step(epoch, step)
            with contract.autocast():
                logits = contract.model(batch.images)
            loss = contract.loss(logits, batch.masks)
            contract.optimize(loss)
            contract.end_step(batch, loss)
            if epoch == stop_before:
                return
        contract.end_epoch(epoch, predict)


def history(outcome: Outcome) -> tuple[EpochRecord, ...]:
    """Return the epochs of a trained job."""
    assert outcome.training is not None
    return outcome.training.history


def run(contract: Contract) -> Outcome:
    """Train and finish."""
    train(contract)
    return contract.finish(predictor(contract))
