"""Job identity: a digest over what affects a job's numbers, and over nothing else.

Equal digests mean that one result serves both jobs, in whichever spec, on whichever machine. A field that has
a default counts only where it differs from it, so that a field added later changes no digest of before.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from bench_core.declarations import Task
from bench_core.plan.job import Apply, Job, JobDataset, JobFold, JobModel, Own, Train, Work
from bench_core.spec.training import Pixels, Scoring

IDENTITY_FORMAT = 3
"""Raise it with any change to the lists below, or to what a digest is computed from: all digests change."""

JOB_FIELDS = ("seed", "repeat", "needs")
MODEL_FIELDS = ("name", "version", "runner", "pretrained", "chosen", "content")
DATASET_FIELDS = (
    "name",
    "version",
    "task",
    "chosen",
    "content",
    "folds_content",
    "duplicates",
    "duplicates_rule",
    "stratify",
)
FOLD_FIELDS = ("index", "count", "train", "validation", "test", "deal")
TRAIN_FIELDS = ("kind", "training", "learning_rate", "search_monitor")
OWN_FIELDS = ("kind", "version", "chosen")
APPLY_FIELDS = ("kind", "step", "version", "chosen")

NOT_IDENTITY: Mapping[str, Mapping[str, str]] = {
    "Job": {
        "digest": "is the identity",
        "stage": "of a step a label; of training part of what is hashed with the work",
        "model": "its own fields count",
        "dataset": "its own fields count",
        "fold": "its own fields count",
        "pixels": "its own fields count",
        "scoring": "its own fields count where they act",
        "work": "its own fields count",
    },
    "JobModel": {
        "label": "how tables print it",
        "family": "how tables group it",
        "weights": "a place; the result records the content's hash",
        "options": "those that differ from the declared defaults count",
        "deviations": "the resolved settings count, whatever the reason",
        "departures": "the version counts, whatever is said about it",
    },
    "JobDataset": {
        "label": "how tables print it",
        "folds": "a place; the hash of its content counts",
        "root": "a place; the result records a fingerprint",
        "options": "those that differ from the declared defaults count",
    },
    "JobFold": {"layout": "the roles count, whatever they are called"},
    "Train": {},
    "Own": {"settings": "those that differ from the declared defaults count"},
    "Apply": {
        "options": "those that differ from the declared defaults count",
        "source": "a label; the needed job's digest counts",
    },
}
"""Every other field of a job and why it does not count; a test holds that no field is in neither list."""

Memo = dict[tuple[int, ...], tuple[object, Any]]
"""What parts that many jobs share give, by object; holds the objects so that no id is used twice."""
_DISCRIMINATORS = ("name", "kind")


def digest_of(job: Job, memo: Memo | None = None) -> str:
    """Return the job's 32 hexadecimal digits, whatever its own `digest` field says.

    Jobs of one plan share their parts: a `memo` kept between calls hashes each part once.
    """
    memo = {} if memo is None else memo

    def once(parts: tuple[object, ...], give: Callable[[], Any]) -> Any:
        key = tuple(map(id, parts))
        known = memo.get(key)
        if known is None:
            known = memo[key] = (parts, give())
        return known[1]

    def hashed(part: object, data: Callable[[], Any]) -> Any:
        return once((part,), lambda: _hash(data()))

    task = job.dataset.task
    identity = {
        **_own_fields(job),
        "model": hashed(job.model, lambda: _model(job.model)),
        "dataset": hashed(job.dataset, lambda: _fields(job.dataset, DATASET_FIELDS)),
        "fold": hashed(job.fold, lambda: _fields(job.fold, FOLD_FIELDS)),
        "pixels": once((job.pixels, task), lambda: _pixels(job.pixels, task)),
        "scoring": once((job.scoring, task), lambda: _scoring(job.scoring, task)),
        "work": _work(job),
    }
    if isinstance(job.work, Train):
        training = job.work.training
        identity["work"]["training"] = hashed(training, lambda: effects(training))
    return _hash(identity)[:32]


def identity_of(job: Job, complete: bool = False) -> dict[str, Any]:
    """Return everything that the digest covers as nested plain data, to be compared or printed.

    `complete` adds what is at its default, which the digest leaves out.
    """
    work = _work(job, complete)
    if isinstance(job.work, Train):
        work["training"] = effects(job.work.training, complete)
    return {
        **_own_fields(job),
        "model": _model(job.model, complete),
        "dataset": _fields(job.dataset, DATASET_FIELDS, complete),
        "fold": _fields(job.fold, FOLD_FIELDS, complete),
        "pixels": _pixels(job.pixels, job.dataset.task, complete),
        "scoring": _scoring(job.scoring, job.dataset.task, complete),
        "work": work,
    }


def effects(section: BaseModel, complete: bool = False) -> dict[str, Any]:
    """Return a section's settings that are not at their default, sections in it alike.

    The name that chooses one of several forms always stays: equal rests of two forms are two things.
    """
    found: dict[str, Any] = {}
    for name, declared in type(section).model_fields.items():
        value = getattr(section, name)
        usual = not declared.is_required() and value == declared.get_default(call_default_factory=True)
        if complete or not usual or name in _DISCRIMINATORS:
            found[name] = effects(value, complete) if isinstance(value, BaseModel) else canonical(value)
    return found


def _own_fields(job: Job) -> dict[str, Any]:
    own: dict[str, Any] = {"format": IDENTITY_FORMAT, "seed": job.seed}
    if job.repeat:
        own["repeat"] = job.repeat
    if job.needs:
        own["needs"] = sorted([need.role, need.digest] for need in job.needs)
    return own


def _work(job: Job, complete: bool = False) -> dict[str, Any]:
    """Return what counts of a job's work, all but the training itself."""
    work: Work = job.work
    if isinstance(work, Train):
        data: dict[str, Any] = {"kind": work.kind, "stage": job.stage}
        if work.learning_rate is not None:
            data["learning_rate"] = canonical(work.learning_rate)
        if job.needed("rate"):
            # It compares the jobs of a search, and decides nothing where there is none.
            data["search_monitor"] = work.search_monitor
        return data
    return _fields(work, OWN_FIELDS if isinstance(work, Own) else APPLY_FIELDS, complete)


def _model(model: JobModel, complete: bool = False) -> dict[str, Any]:
    values = _fields(model, MODEL_FIELDS, complete)
    if model.content:
        # The name is a path then, and what lies there is told by its content.
        values["name"] = re.split(r"[/\\]", model.name)[-1]
    return values


def _pixels(pixels: Pixels, task: Task, complete: bool = False) -> dict[str, Any]:
    # What counts of `channels` is how many reach the network: three of three are RGB under either word.
    return effects(pixels, complete) | {"channels": 3 if pixels.channels == "rgb" else task.channels}


def _scoring(scoring: Scoring, task: Task, complete: bool = False) -> dict[str, Any]:
    # With several classes the largest logit decides and no threshold is asked.
    return effects(scoring, complete) if task.binary else {}


def _fields(
    part: JobModel | JobDataset | JobFold | Own | Apply | Task, names: tuple[str, ...], complete: bool = False
) -> dict[str, Any]:
    declared = {item.name: item for item in dataclasses.fields(part)}
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(part, name)
        if complete or name in _DISCRIMINATORS or not _at_default(declared[name], value):
            found[name] = _task(value) if isinstance(value, Task) else canonical(value)
    return found


def _task(task: Task) -> dict[str, Any]:
    return _fields(task, tuple(item.name for item in dataclasses.fields(task)))


def _at_default(declared: dataclasses.Field[Any], value: Any) -> bool:
    if declared.default is not dataclasses.MISSING:
        return bool(value == declared.default)
    if declared.default_factory is not dataclasses.MISSING:
        return bool(value == declared.default_factory())
    return False


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
    raise TypeError(f"{value!r} in a job's identity is not plain data")
