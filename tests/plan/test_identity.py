"""Job identity: every field of a job either changes the digest or is listed as one that does not."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.declarations import Task
from bench_core.plan import identity
from bench_core.plan.identity import IDENTITY_FORMAT, NOT_IDENTITY, canonical, digest_of, identity_of
from bench_core.plan.job import Job, JobDataset, JobDeviation, JobFold, JobModel
from bench_core.spec.loss import losses
from bench_core.spec.protocol import AdamW, Best, EarlyStopping, Last, Metrics, Normalization, Rex
from bench_core.spec.training import Training

GOLDEN = Path(__file__).parent / "golden_identity.json"

TRAINING = Training(
    epochs=150,
    image_size=512,
    resize="pad-square",
    channels="rgb",
    normalization=Normalization(),
    optimizer=AdamW(),
    schedule=Rex(),
    batch_size=8,
    precision="fp16",
    loss=losses("bce"),
    augmentation=(("GaussianBlur", {"kernel_size": 25, "sigma": [0.001, 2.0]}),),
    gradient_clipping=None,
    early_stopping=EarlyStopping(),
    checkpoint=Best(),
    metrics=Metrics(),
)
JOB = Job(
    digest="",
    stage="evaluate",
    model=JobModel(
        label="net",
        name="net",
        family="SMA",
        version=1,
        runner="torch",
        pretrained="imagenet",
        weights=None,
        options={"width": 64, "deep": False},
        deviations=(),
    ),
    dataset=JobDataset(
        label="skin",
        name="skin",
        version=1,
        task=Task(classes=("lesion",), channels=3),
        root="/data/skin",
        options={"difficulty": 0.5},
        content="",
    ),
    training=TRAINING,
    fold=JobFold(0, 5, "rotate", (2, 3, 4), (0,), (1,)),
    learning_rate=None,
    search_monitor="miou",
    seed=42,
    needs=("a" * 32, "b" * 32),
)

OTHER: dict[str, dict[str, Any]] = {
    "Job": {
        "digest": "c" * 32,
        "stage": "search",
        "learning_rate": 1e-4,
        "search_monitor": "mdsc",
        "seed": 43,
        "needs": ("a" * 32,),
    },
    "JobModel": {
        "label": "other",
        "name": "other",
        "family": "GP-VM",
        "version": 2,
        "runner": "mmseg",
        "pretrained": "none",
        "weights": "/somewhere/else.pth",
        "options": {"width": 32, "deep": False},
        "deviations": (JobDeviation("precision", "fp16", "fp32", "overflows"),),
        "content": "abc",
    },
    "JobDataset": {
        "label": "other",
        "name": "other",
        "version": 2,
        "task": Task(classes=("lesion",), channels=1),
        "root": "/elsewhere",
        "options": {"difficulty": 0.6},
        "content": "mine",
    },
    "JobFold": {
        "index": 1,
        "count": 6,
        "layout": "holdout",
        "train": (3, 4),
        "validation": (2,),
        "test": (),
    },
    "Training": {
        "epochs": 100,
        "image_size": 256,
        "resize": "stretch",
        "channels": "native",
        "normalization": Normalization(mean=0.4),
        "optimizer": AdamW(weight_decay=0.02),
        "schedule": Rex(step="step"),
        "batch_size": 4,
        "precision": "fp32",
        "loss": losses("dice"),
        "augmentation": (("GaussianBlur", {"kernel_size": 23, "sigma": [0.001, 2.0]}),),
        "gradient_clipping": 1.0,
        "early_stopping": EarlyStopping(patience=10),
        "checkpoint": Last(choose="last"),
        "metrics": Metrics(threshold_space="logit"),
    },
}
"""Another value for every field that is no part of its own."""

PARTS = {"JobModel": "model", "JobDataset": "dataset", "JobFold": "fold", "Training": "training"}
LISTED = {
    "Job": identity.JOB_FIELDS,
    "JobModel": identity.MODEL_FIELDS,
    "JobDataset": identity.DATASET_FIELDS,
    "JobFold": identity.FOLD_FIELDS,
    "Training": identity.TRAINING_FIELDS,
}
DECLARED = {
    **{
        kind.__name__: {field.name for field in fields(kind)} for kind in (Job, JobModel, JobDataset, JobFold)
    },
    "Training": set(Training.model_fields),
}


def changed(kind: str, field: str) -> Job:
    change = {field: OTHER[kind][field]}
    if kind == "Job":
        return replace(JOB, **change)
    part = getattr(JOB, PARTS[kind])
    part = part.model_copy(update=change) if kind == "Training" else replace(part, **change)
    return replace(JOB, **{PARTS[kind]: part})


@pytest.mark.parametrize("kind", sorted(DECLARED))
def test_every_field_is_either_identity_or_listed_as_not(kind: str) -> None:
    listed, not_listed = set(LISTED[kind]), set(NOT_IDENTITY[kind])
    assert not listed & not_listed
    assert listed | not_listed == DECLARED[kind], "decide for each field: identity, or NOT_IDENTITY and why"
    parts = set(PARTS.values()) if kind == "Job" else set()
    assert set(OTHER[kind]) == DECLARED[kind] - parts, "give each field another value in OTHER"


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind in OTHER for field in OTHER[kind]])
def test_a_field_changes_the_digest_if_and_only_if_it_is_identity(kind: str, field: str) -> None:
    other = changed(kind, field)
    assert other != JOB
    is_identity = field in LISTED[kind]
    assert (digest_of(other) != digest_of(JOB)) == is_identity
    assert (identity_of(other) != identity_of(JOB)) == is_identity


@pytest.mark.parametrize("section", ["normalization", "optimizer", "schedule", "early_stopping", "metrics"])
def test_every_field_of_a_section_counts(section: str) -> None:
    current = getattr(TRAINING, section)
    for name, value in current.model_dump().items():
        if isinstance(value, str):
            new: Any = value + "x"
        elif isinstance(value, tuple):
            new = (0.5, 0.5)
        else:
            new = value + 1
        training = TRAINING.model_copy(update={section: current.model_copy(update={name: new})})
        assert digest_of(replace(JOB, training=training)) != digest_of(JOB), name


def test_the_search_monitor_of_a_job_that_chooses_nothing_does_not_count() -> None:
    alone = replace(JOB, needs=(), learning_rate=1e-4)
    assert digest_of(replace(alone, search_monitor="mdsc")) == digest_of(alone)


def test_a_format_change_changes_every_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of(JOB)
    monkeypatch.setattr(identity, "IDENTITY_FORMAT", IDENTITY_FORMAT + 1)
    assert digest_of(JOB) != before


def test_a_shared_memo_changes_nothing() -> None:
    memo: identity.Memo = {}
    jobs = [changed(kind, field) for kind in OTHER for field in OTHER[kind]]
    assert [digest_of(job, memo) for job in jobs] == [digest_of(job) for job in jobs]


@given(st.integers(-(2**53), 2**53))
def test_equal_numbers_are_one_value(number: int) -> None:
    assert repr(canonical({"a": [number]})) == repr(canonical({"a": (float(number),)}))


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_the_order_of_options_does_not_count(options: dict[str, Any]) -> None:
    items = list(options.items())
    random.Random(0).shuffle(items)
    one, two = (
        replace(JOB, model=replace(JOB.model, options=dict(order))) for order in (options.items(), items)
    )
    assert digest_of(one) == digest_of(two)


def golden_jobs() -> dict[str, str]:
    jobs = {"base": JOB} | {
        f"{kind}.{field}": changed(kind, field) for kind in OTHER for field in OTHER[kind]
    }
    return {name: digest_of(job) for name, job in jobs.items()}


def complaint(golden: dict[str, dict[str, str]], version: int, digests: dict[str, str]) -> str | None:
    """Say what is wrong between the recorded digests of every format and today's, or None."""
    recorded = golden.get(str(version))
    if recorded is None:
        return f"format {version} is not recorded: run `python -m tests.plan.test_identity`"
    moved = sorted(name for name in recorded if digests.get(name) != recorded[name])
    if moved:
        return (
            f"{len(moved)} digests changed under format {version} ({', '.join(moved[:5])}): results in "
            "existing stores would no longer be found. If that is meant, raise IDENTITY_FORMAT and record "
            "the new format: `python -m tests.plan.test_identity`"
        )
    missing = sorted(digests.keys() - recorded.keys())
    return f"not recorded: {', '.join(missing)}" if missing else None


def test_digests_are_those_recorded_for_this_format() -> None:
    assert complaint(json.loads(GOLDEN.read_text()), IDENTITY_FORMAT, golden_jobs()) is None


def test_a_changed_digest_without_a_raised_format_is_noticed() -> None:
    golden = json.loads(GOLDEN.read_text())
    digests = golden_jobs() | {"base": "0" * 32}
    said = complaint(golden, IDENTITY_FORMAT, digests)
    assert said is not None and "raise IDENTITY_FORMAT" in said
    raised = complaint(golden, IDENTITY_FORMAT + 1, digests)
    assert raised is not None and "not recorded" in raised


def record() -> None:
    """Add this format's digests to the golden file; what is recorded stays."""
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    golden[str(IDENTITY_FORMAT)] = golden_jobs() | golden.get(str(IDENTITY_FORMAT), {})
    GOLDEN.write_text(json.dumps(golden, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    record()
