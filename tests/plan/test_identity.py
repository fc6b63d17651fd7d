"""Job identity: every field of a job either changes the digest or is listed as one that does not."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.declarations import Departure, Task
from bench_core.plan import identity
from bench_core.plan.identity import IDENTITY_FORMAT, NOT_IDENTITY, canonical, digest_of, identity_of
from bench_core.plan.job import Apply, Job, JobDataset, JobDeviation, JobFold, JobModel, Need, Own, Train
from bench_core.spec.loss import losses
from bench_core.spec.protocol import AdamW, Best, EarlyStopping, Last, Normalization, Rex, Section
from bench_core.spec.training import Pixels, Scoring, Training

GOLDEN = Path(__file__).parent / "golden_identity.json"

TRAINING = Training(
    epochs=150,
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
)
TRAIN = Train(training=TRAINING, learning_rate=None, search_monitor="miou")
OWN = Own(version=1, settings={"stages": 3, "deep": False}, chosen={"stages": 3})
APPLY = Apply(step="measure", version=1, options={"tolerance": 2.0}, source="skin", chosen={"tolerance": 2.0})
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
        chosen={"width": 64},
    ),
    dataset=JobDataset(
        label="skin",
        name="skin",
        version=1,
        task=Task(classes=("lesion",), channels=3),
        root="/data/skin",
        options={"difficulty": 0.5},
        chosen={"difficulty": 0.5},
    ),
    fold=JobFold(0, 5, "rotate", (2, 3, 4), (0,), (1,)),
    pixels=Pixels(image_size=512, resize="pad-square", channels="rgb"),
    scoring=Scoring(threshold=0.4),
    seed=42,
    work=TRAIN,
    needs=(Need("a" * 32, "rate"), Need("b" * 32, "rate")),
)

OTHER: dict[str, dict[str, Any]] = {
    "Job": {"digest": "c" * 32, "seed": 43, "needs": (Need("a" * 32, "rate"),), "repeat": 1},
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
        "departures": (Departure(what="head", published="a", here="b", because="c"),),
        "content": "abc",
        "chosen": {"width": 32},
    },
    "JobDataset": {
        "label": "other",
        "name": "other",
        "version": 2,
        "task": Task(classes=("lesion",), channels=1),
        "root": "/elsewhere",
        "options": {"difficulty": 0.6},
        "content": "mine",
        "chosen": {"difficulty": 0.6},
        "folds": "/data/folds.csv",
        "folds_content": "f" * 64,
        "duplicates": "drop",
        "duplicates_rule": "study",
        "stratify": ("classes",),
    },
    "JobFold": {
        "index": 1,
        "count": 6,
        "layout": "holdout",
        "train": (3, 4),
        "validation": (2,),
        "test": (),
        "deal": 1,
    },
    "Pixels": {"image_size": 256, "resize": "stretch", "channels": "native", "padding": "ignore"},
    "Scoring": {"threshold": 0.6, "threshold_space": "logit"},
    "Train": {"training": TRAINING, "learning_rate": 1e-4, "search_monitor": "mdsc"},
    "Training": {
        "epochs": 100,
        "normalization": Normalization(mean=0.4),
        "optimizer": AdamW(weight_decay=0.02),
        "schedule": Rex(step="step"),
        "batch_size": 4,
        "micro_batch": 2,
        "norm_devices": 2,
        "precision": "fp32",
        "loss": losses("dice"),
        "augmentation": (("GaussianBlur", {"kernel_size": 23, "sigma": [0.001, 2.0]}),),
        "gradient_clipping": 1.0,
        "early_stopping": EarlyStopping(patience=10),
        "checkpoint": Last(choose="last"),
    },
    "Own": {"version": 2, "settings": {"stages": 4, "deep": False}, "chosen": {"stages": 4}},
    "Apply": {
        "step": "look",
        "version": 2,
        "options": {"tolerance": 3.0},
        "source": "other",
        "chosen": {"tolerance": 3.0},
    },
}
"""Another value for every field that is not a part of its own."""

PARTS = {
    "JobModel": "model",
    "JobDataset": "dataset",
    "JobFold": "fold",
    "Pixels": "pixels",
    "Scoring": "scoring",
    "Train": "work",
    "Own": "work",
    "Apply": "work",
}
LISTED = {
    "Job": identity.JOB_FIELDS,
    "JobModel": identity.MODEL_FIELDS,
    "JobDataset": identity.DATASET_FIELDS,
    "JobFold": identity.FOLD_FIELDS,
    "Train": identity.TRAIN_FIELDS,
    "Own": identity.OWN_FIELDS,
    "Apply": identity.APPLY_FIELDS,
}
SECTIONS = (Pixels, Scoring, Training)
"""Every field of these counts."""
DECLARED = {
    **{
        kind.__name__: {field.name for field in fields(kind)}
        for kind in (Job, JobModel, JobDataset, JobFold, Train, Own, Apply)
    },
    **{kind.__name__: set(kind.model_fields) for kind in SECTIONS},
}


def base(kind: str) -> Job:
    """Return the job to change: of a step or own procedure where these are asked about."""
    return replace(JOB, work={"Own": OWN, "Apply": APPLY}.get(kind, TRAIN))


def changed(kind: str, field: str) -> Job:
    change = {field: OTHER[kind][field]}
    job = base(kind)
    if kind == "Job":
        return replace(job, **change)
    if kind == "Training":
        return replace(job, work=replace(TRAIN, training=TRAINING.model_copy(update=change)))
    part = getattr(job, PARTS[kind])
    part = part.model_copy(update=change) if isinstance(part, Section) else replace(part, **change)
    return replace(job, **{PARTS[kind]: part})


@pytest.mark.parametrize("kind", sorted(LISTED))
def test_every_field_is_either_identity_or_listed_as_not(kind: str) -> None:
    listed, not_listed = set(LISTED[kind]), set(NOT_IDENTITY[kind])
    assert not listed & not_listed
    assert listed | not_listed == DECLARED[kind], "decide for each field: identity, or NOT_IDENTITY and why"


@pytest.mark.parametrize("kind", sorted(DECLARED))
def test_every_field_is_tried(kind: str) -> None:
    parts = {*PARTS.values(), "stage"} if kind == "Job" else {"kind"}
    assert set(OTHER[kind]) == DECLARED[kind] - parts, "give each field another value in OTHER"


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind in OTHER for field in OTHER[kind]])
def test_a_field_changes_the_digest_if_and_only_if_it_is_identity(kind: str, field: str) -> None:
    if (kind, field) in (("Train", "training"), ("Pixels", "channels")):
        pytest.skip("tried on its own")
    other = changed(kind, field)
    assert other != base(kind)
    is_identity = field in LISTED.get(kind, DECLARED[kind])
    assert (digest_of(other) != digest_of(base(kind))) == is_identity
    assert (identity_of(other) != identity_of(base(kind))) == is_identity


def test_search_and_evaluate_are_two_jobs_and_the_label_of_a_step_is_not() -> None:
    assert digest_of(replace(JOB, stage="search")) != digest_of(JOB)
    step = base("Apply")
    assert digest_of(replace(step, stage="another-label")) == digest_of(step)


@pytest.mark.parametrize("kind", ["Train", "Own", "Apply"])
def test_kinds_of_work_are_told_apart(kind: str) -> None:
    others = {digest_of(base(other)) for other in ("Train", "Own", "Apply") if other != kind}
    assert digest_of(base(kind)) not in others and len(others) == 2


def test_needs_count_with_their_role_and_not_in_their_order() -> None:
    one, two = JOB.needs
    assert digest_of(replace(JOB, needs=(two, one))) == digest_of(JOB)
    assert digest_of(replace(JOB, needs=(one, replace(two, role="weights")))) != digest_of(JOB)


def test_settings_that_cannot_act_do_not_count() -> None:
    three = replace(JOB, dataset=replace(JOB.dataset, task=Task(classes=("a", "b", "c"), channels=3)))
    assert digest_of(replace(three, scoring=Scoring(threshold=0.9))) == digest_of(three)
    native = JOB.pixels.model_copy(update={"channels": "native"})
    assert digest_of(replace(JOB, pixels=native)) == digest_of(JOB)
    gray = replace(JOB, dataset=replace(JOB.dataset, task=Task(classes=("lesion",), channels=1)))
    assert digest_of(replace(gray, pixels=native)) != digest_of(gray)


def test_a_field_added_at_its_default_keeps_every_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    class LaterSchedule(Rex):
        cooldown: int = 0

    class LaterTraining(Training):
        schedule: LaterSchedule
        ema: float | None = None

    later = LaterTraining(**{**dict(TRAINING), "schedule": LaterSchedule()})
    job = replace(JOB, work=replace(TRAIN, training=later))
    assert digest_of(job) == digest_of(JOB)
    for change in ({"ema": 0.99}, {"schedule": LaterSchedule(cooldown=3)}):
        other = later.model_copy(update=change)
        assert digest_of(replace(JOB, work=replace(TRAIN, training=other))) != digest_of(JOB)

    @dataclass(frozen=True)
    class LaterModel(JobModel):
        ensemble: int = 1

    before = digest_of(JOB)
    known = {field.name: getattr(JOB.model, field.name) for field in fields(JobModel)}
    monkeypatch.setattr(identity, "MODEL_FIELDS", (*identity.MODEL_FIELDS, "ensemble"))
    assert digest_of(replace(JOB, model=LaterModel(**known))) == before
    assert digest_of(replace(JOB, model=LaterModel(**known, ensemble=5))) != before


@pytest.mark.parametrize("section", ["normalization", "optimizer", "schedule", "early_stopping"])
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
        assert digest_of(replace(JOB, work=replace(TRAIN, training=training))) != digest_of(JOB), name


def test_the_search_monitor_of_a_job_that_chooses_nothing_does_not_count() -> None:
    given = replace(TRAIN, learning_rate=1e-4)
    alone = replace(JOB, needs=(), work=given)
    other = replace(alone, work=replace(given, search_monitor="mdsc"))
    assert digest_of(other) == digest_of(alone)


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
        replace(JOB, model=replace(JOB.model, chosen=dict(order))) for order in (options.items(), items)
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
