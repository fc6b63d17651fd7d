"""Job identity: a digest over an explicit list of the fields that affect a job's numbers.

Equal digests mean that one result serves both jobs, in whichever spec, on whichever machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from bench_core.plan.job import Job, JobDataset, JobFold, JobModel
from bench_core.spec.training import Training

IDENTITY_FORMAT = 2
"""Raise it with any change to the lists below, or to what a digest is computed from: all digests change."""

JOB_FIELDS = ("stage", "learning_rate", "search_monitor", "seed", "needs")
MODEL_FIELDS = ("name", "version", "runner", "pretrained", "options", "content")
DATASET_FIELDS = ("name", "version", "task", "options", "content")
FOLD_FIELDS = ("index", "count", "train", "validation", "test")
TRAINING_FIELDS = (
    "epochs",
    "image_size",
    "resize",
    "channels",
    "normalization",
    "optimizer",
    "schedule",
    "batch_size",
    "precision",
    "loss",
    "augmentation",
    "gradient_clipping",
    "early_stopping",
    "checkpoint",
    "metrics",
)

NOT_IDENTITY: Mapping[str, Mapping[str, str]] = {
    "Job": {
        "digest": "is the identity",
        "model": "its own fields count",
        "dataset": "its own fields count",
        "training": "its own fields count",
        "fold": "its own fields count",
    },
    "JobModel": {
        "label": "how tables print it",
        "family": "how tables group it",
        "weights": "a place; the result records the content's hash",
        "deviations": "the resolved settings count, whatever the reason",
    },
    "JobDataset": {"label": "how tables print it", "root": "a place; the result records a fingerprint"},
    "JobFold": {"layout": "the roles count, whatever they are called"},
    "Training": {},
}
"""Every other field of a job and why it does not count; a test holds that no field is in neither list."""

Memo = dict[int, tuple[object, str]]
"""Hashes of parts that many jobs share, by object; holds the objects so that no id is used twice."""


def digest_of(job: Job, memo: Memo | None = None) -> str:
    """Return the job's 32 hexadecimal digits, whatever its own `digest` field says.

    Jobs of one plan share their parts: a `memo` kept between calls hashes each part once.
    """
    memo = {} if memo is None else memo
    identity = {
        "format": IDENTITY_FORMAT,
        **_own_fields(job),
        "model": _part_hash(job.model, memo),
        "dataset": _part_hash(job.dataset, memo),
        "training": _part_hash(job.training, memo),
        "fold": _part_hash(job.fold, memo),
    }
    return _hash(identity)[:32]


def identity_of(job: Job) -> dict[str, Any]:
    """Return everything that the digest covers as nested plain data, to be compared or printed."""
    return {
        "format": IDENTITY_FORMAT,
        **_own_fields(job),
        "model": _part(job.model),
        "dataset": _part(job.dataset),
        "training": _part(job.training),
        "fold": _part(job.fold),
    }


def _own_fields(job: Job) -> dict[str, Any]:
    own = {name: canonical(getattr(job, name)) for name in JOB_FIELDS}
    if not job.needs:
        # It compares the jobs in `needs`, and decides nothing where there are none.
        own["search_monitor"] = None
    return own


def _part(part: JobModel | JobDataset | JobFold | Training) -> dict[str, Any]:
    if isinstance(part, Training):
        data = part.model_dump(mode="json")
        return {name: canonical(data[name]) for name in TRAINING_FIELDS}
    if isinstance(part, JobDataset):
        task = {"classes": list(part.task.classes), "channels": part.task.channels}
        return {name: task if name == "task" else canonical(getattr(part, name)) for name in DATASET_FIELDS}
    names = MODEL_FIELDS if isinstance(part, JobModel) else FOLD_FIELDS
    values = {name: canonical(getattr(part, name)) for name in names}
    if isinstance(part, JobModel) and part.content:
        # The name is a path then, and what lies there is told by its content.
        values["name"] = re.split(r"[/\\]", part.name)[-1]
    return values


def _part_hash(part: JobModel | JobDataset | JobFold | Training, memo: Memo) -> str:
    known = memo.get(id(part))
    if known is None:
        known = memo[id(part)] = (part, _hash(_part(part)))
    return known[1]


def _hash(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Return plain data in which equal numbers are written equally: 1 and 1.0 are one value."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    # Concrete types first: checks against abstract ones take half the time of a large plan.
    if isinstance(value, (dict, Mapping)):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    raise TypeError(f"{value!r} in a job's identity is no plain data")
