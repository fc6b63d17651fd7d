"""Declares the datasets of this package; imports no reader and nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core import Dataset, Option, Task, hookimpl
from bench_datasets.published import PUBLISHED

LOOKS = {
    "dermoscopy": Task(classes=("lesion",), channels=3),
    "endoscopy": Task(classes=("non-neoplastic", "neoplastic"), channels=3),
    "ultrasound": Task(classes=("left ventricle", "left ventricular wall", "left atrium"), channels=1),
}
"""What `synthetic` can draw."""


def synthetic_task(options: Mapping[str, Any]) -> Task:
    """Return the task of a look; raise ValueError for one that does not exist."""
    look = options.get("look", "dermoscopy")
    if look not in LOOKS:
        raise ValueError(f"option 'look' cannot be {look!r} (choices are: {', '.join(LOOKS)})")
    return LOOKS[look]


SYNTHETIC = Dataset(
    name="synthetic",
    version=1,
    task=synthetic_task,
    open="bench_datasets.synthetic.reader:open_synthetic",
    title="Synthetic",
    modality="generated: dermoscopy, endoscopy or ultrasound",
    license="CC0-1.0: drawn by this package",
    how_to_get="nothing to get: images are drawn on the spot",
    needs_root=False,
    requires=("PIL",),
    options={
        "look": Option(
            type=str,
            default="dermoscopy",
            choices=tuple(LOOKS),
            help="the modality: dermoscopy (RGB, 1 class), endoscopy (RGB, 2 classes), ultrasound (gray, 3)",
        ),
        "samples": Option(type=int, default=60, minimum=5, maximum=100_000, help="number of images"),
        "size": Option(type=int, default=128, minimum=16, maximum=2048, help="longer side in pixels"),
        "difficulty": Option(
            type=float,
            default=0.3,
            minimum=0,
            maximum=1,
            help="0: strong contrast, nothing in the way; 1: faint borders, noise and distractors",
        ),
        "seed": Option(type=int, default=0, minimum=0, help="another seed draws other images"),
        "groups": Option(
            type=int,
            default=0,
            minimum=0,
            help="number of patients, who share anatomy and light; 0: one an image",
        ),
    },
)


@hookimpl
def bench_datasets() -> list[Dataset]:
    """Return the study's datasets and those that need no download."""
    return [*PUBLISHED, SYNTHETIC]
