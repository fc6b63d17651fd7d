"""What a network takes and gives, as plain data that stand beside predictions and in exported files."""

from __future__ import annotations

from importlib import metadata
from platform import python_version
from typing import Any

from bench_core.export.label_maps import palette
from bench_core.plan.job import Job
from bench_core.version import __version__

LARGEST = 3.4028234663852886e38
"""Of single precision."""
PACKAGES = ("torch", "numpy", "pillow", "opencv-python-headless", "nibabel", "pydicom")


def preprocessing_of(job: Job) -> dict[str, Any]:
    """Return how images become what the network sees, in the order of the keys."""
    normalization, pixels = job.training.normalization, job.pixels
    channels = in_channels(job)
    return {
        "channels": channels,
        "channel_order": {1: "gray", 3: "RGB"}.get(channels, "as stored"),
        "pad": "centered in a square of zeros, an odd pixel to the right or bottom"
        if pixels.resize == "pad-square"
        else "none: the aspect ratio is not kept",
        "resize": {
            "mode": pixels.resize,
            "height": pixels.image_size,
            "width": pixels.image_size,
            "method": "bilinear with antialiasing (Pillow's BILINEAR), on 8 bits",
        },
        "scale": "value / 255",
        "normalize": {
            "mean": per_channel(normalization.mean, channels),
            "std": per_channel(normalization.std, channels),
        },
    }


def per_channel(value: float | list[float], channels: int) -> list[float]:
    """Return one value for each channel."""
    values = [float(each) for each in value] if isinstance(value, list) else [float(value)]
    return values if len(values) == channels else values * channels


def in_channels(job: Job) -> int:
    """Return the channels of the images that the job's network takes."""
    return 3 if job.pixels.channels == "rgb" else job.dataset.task.channels


def scoring_of(job: Job) -> dict[str, Any]:
    """Return how logits become labels."""
    task, scoring = job.dataset.task, job.scoring
    if not task.binary:
        return {
            "logits": task.logit_channels,
            "rule": "the class with the largest logit, the first of equals",
        }
    from bench_core.protocol.evaluator import logit_threshold

    return {
        "logits": 1,
        "rule": "1 where the logit is above the threshold",
        "threshold": scoring.threshold,
        "threshold_space": scoring.threshold_space,
        # JSON has no infinity, and no logit of single precision lies beyond these.
        "logit_threshold": max(-LARGEST, min(logit_threshold(scoring), LARGEST)),
    }


def classes_of(job: Job) -> list[dict[str, Any]]:
    """Return label, name and color of each class, background first."""
    colors = palette()
    return [
        {
            "label": label,
            "name": name,
            "color": "#{:02x}{:02x}{:02x}".format(*colors[3 * label : 3 * label + 3]),
        }
        for label, name in enumerate(("background", *job.dataset.task.classes))
    ]


def model_of(job: Job) -> dict[str, Any]:
    """Return which network it is."""
    model = job.model
    return {
        "label": model.label,
        "name": model.name,
        "family": model.family,
        "version": model.version,
        "options": dict(model.options),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    found = {"segtrial": __version__, "python": python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
