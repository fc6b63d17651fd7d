"""The jobs that runners are compared on: generated images, and every decision of the contract in use."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from bench_core.data.arrays import CachedArrays
from bench_core.declarations import Architecture, Task
from bench_core.errors import UnknownNameError
from bench_core.options import complete_options
from bench_core.plan.job import Job, JobDataset, JobFold, JobModel, Train
from bench_core.seeds import derive_seed
from bench_core.spec.protocol import SGD, AdamW, Best, EarlyStopping, Last, Normalization, Poly, Rex
from bench_core.spec.training import Pixels, Scoring, Training

Kind = Literal["whole", "bf16", "fp16", "shared"]
BATCH = 4
EPOCHS, STOPPED_AFTER = 6, 4
KILLED_IN_EPOCH, KILLED_AT_STEP = 1, 3
"""Both from 0: in the middle of the second epoch."""
LEARNING_RATE = 0.01
_SEED = 42
_SIZES = {"whole": [22, 6, 6], "bf16": [6, 2, 2], "fp16": [6, 2, 2], "shared": [11, 5, 5]}
"""Images to train on, to validate and to test: the last batch of an epoch is smaller than the others."""
_FIRST = Best(monitor="mprecision")
"""Chooses the first epoch where all is foreground: of what is predicted nothing is wrong, in no epoch."""
_TWO = Task(classes=("disc", "square"), channels=3)
_ONE = Task(classes=("disc",), channels=3)


@dataclass(frozen=True)
class Subject:
    """A network to train, as a spec's `models` entry would name it."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name with the options that were given."""
        given = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.name} ({given})" if given else self.name


def parse_subject(text: str) -> Subject:
    """Read NAME or NAME={JSON options}; raises UnknownNameError for options that are not a JSON object."""
    name, mark, rest = text.partition("={")
    if not mark:
        return Subject(text)
    try:
        options = json.loads("{" + rest)
    except ValueError as error:
        raise UnknownNameError(
            f"the options of {name} are not a JSON object",
            place=text,
            cause=str(error),
            fix=f"write for example --model '{name}={{\"width\": 4}}'",
        ) from error
    return Subject(name, options)


def is_exact(threads: int, device: str) -> bool:
    """Return whether equal trainings have equal bits there."""
    return threads == 1 and device == "cpu"


def make_job(
    declared: Architecture,
    subject: Subject,
    runner: str,
    kind: Kind = "whole",
    size: int = 64,
    exact: bool = True,
) -> Job:
    """Return the job of this kind for a model under a runner, on images of `size` pixels or what it needs.

    "whole" has two classes, augmentation, batches of different sizes, the best epoch's weights tested, and
    early stopping after STOPPED_AFTER of EPOCHS epochs whatever the values. The short kinds have one class,
    gradient clipping, a schedule by steps, another optimizer and the precision that they are named after,
    unless the model always computes in fp32. "fp16" tests the last weights. "bf16" tests those of the first
    of two epochs, whatever the values: "whole" cannot tell best from last where the last epoch is the best.
    Where bits may differ (not `exact`) "whole" has plain gradient descent: a step of AdamW is as large for a
    gradient near 0 as for any other, so that roundings grow until nothing can be told. So has "shared", which
    one process and several train: two epochs in fp32, whose batches no two processes share evenly. Raises
    UnknownNameError for options that the model does not have.
    """
    try:
        options = complete_options(declared.options, subject.options)
    except ValueError as error:
        raise UnknownNameError(f"{subject.name}: {error}", place="--model") from error
    size = math.ceil(max(size, declared.size_minimum) / declared.size_multiple) * declared.size_multiple
    task = _TWO if kind in ("whole", "shared") else _ONE
    fixed = declared.deviations.get("precision")
    precision = "fp32" if kind in ("whole", "shared") else kind if fixed is None else fixed.value
    text = json.dumps([subject.name, declared.version, options, kind, exact], sort_keys=True)
    return Job(
        digest=hashlib.sha256(text.encode()).hexdigest()[:32],
        stage="evaluate",
        model=JobModel(
            label=subject.label,
            name=subject.name,
            family=declared.family,
            version=declared.version,
            runner=runner,
            pretrained="none" if "none" in declared.pretrained else declared.pretrained[0],
            weights=None,
            options=options,
        ),
        dataset=JobDataset("generated", "generated", 1, task, None, {"sizes": _SIZES[kind]}),
        fold=JobFold(0, 3, "rotate", (2,), (0,), (1,)),
        pixels=Pixels(image_size=size, resize="stretch", channels="rgb"),
        scoring=Scoring(),
        seed=_SEED,
        work=Train(_training(kind, precision, exact), LEARNING_RATE, "miou"),
    )


def split_sizes(job: Job) -> tuple[int, int, int]:
    """Return how many of the job's images train, validate and test, in this order."""
    train, validation, test = job.dataset.options["sizes"]
    return train, validation, test


def make_arrays(job: Job) -> CachedArrays:
    """Draw the job's images: a bright disc, with two classes a square too, on a noisy ground of any color."""
    task, size = job.dataset.task, job.pixels.image_size
    count = sum(split_sizes(job))
    images = np.empty((count, size, size, task.channels), dtype=np.uint8)
    masks = np.zeros((count, size, size), dtype=np.uint8)
    rows, columns = np.mgrid[:size, :size]
    for number in range(count):
        random = np.random.default_rng(derive_seed("conformance", number))
        image = random.normal(random.uniform(40, 120, task.channels), 25, images.shape[1:])
        for label, name in enumerate(task.classes, start=1):
            row, column = random.uniform(0.25, 0.75, 2) * size
            radius = random.uniform(0.1, 0.22) * size
            away = np.stack([np.abs(rows - row), np.abs(columns - column)])
            distance = np.hypot(*away) if name == "disc" else away.max(axis=0)
            image[distance < radius] += 45 * label
            masks[number][distance < radius] = label
        images[number] = image.clip(0, 255)
    if job.training.checkpoint == _FIRST:
        train, validation, _ = split_sizes(job)
        masks[train : train + validation] = 1
    return CachedArrays(
        ids=tuple(f"image-{number:02d}" for number in range(count)),
        groups=tuple(f"image-{number:02d}" for number in range(count)),
        images=images,
        masks=masks,
        fingerprint="generated",
        pixel_hashes=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
    )


def _training(kind: Kind, precision: str, exact: bool) -> Training:
    whole, two_classes = kind == "whole", kind in ("whole", "shared")
    augmentation: list[tuple[str, dict[str, Any]]] = [
        ("RandomAffine", {"degrees": 30.0, "translate": [0.1, 0.1], "scale": [0.8, 1.2]}),
        ("ColorJitter", {"brightness": 0.3, "contrast": 0.3}),
        ("RandomHorizontalFlip", {}),
        ("RandomVerticalFlip", {}),
    ]
    return Training.model_validate(
        {
            "epochs": {"whole": EPOCHS, "bf16": 2, "fp16": 1, "shared": 2}[kind],
            "normalization": Normalization(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
            "optimizer": AdamW() if whole and exact else SGD(name="sgd"),
            "schedule": Rex() if whole else Poly(name="poly", step="step"),
            "batch_size": BATCH,
            "precision": precision,
            "loss": {"cross-entropy": 0.5, "dice": 0.5} if two_classes else {"bce": 1.0},
            "augmentation": tuple(augmentation),
            "gradient_clipping": None if whole else 0.1,
            # No value of the metric can rise by more than 1: training stops for certain, and at one epoch.
            "early_stopping": EarlyStopping(patience=STOPPED_AFTER - 1, min_delta=1.0) if whole else None,
            "checkpoint": {"bf16": _FIRST, "fp16": Last(choose="last")}.get(kind, Best()),
        }
    )
