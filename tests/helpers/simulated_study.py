"""The study of specs/paper.yaml at its full size, with known truth: written into a store, nothing trained.

`python -m tests.helpers.simulated_study STORE [SHARE]` writes it (or that share of its images); then
`bench report specs/paper.yaml --store STORE` reads it like any other.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from bench_core.data.automatic import automatic
from bench_core.data.folds import assign_folds, fold_hash
from bench_core.labels import choose_cases, count_all
from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.job import Apply, Job
from bench_core.records import Case, Counts, DataFacts, Predictions
from bench_core.samples import AUTOMATIC, Samples, automatic_name, dealing_name
from bench_core.seeds import derive_seed
from bench_core.spec.load import LoadedSpec, load_spec
from bench_core.store.store import Store
from tests.helpers.fake_study import fake_result
from tests.helpers.simulated_maps import write_maps

PAPER = Path(__file__).parents[2] / "specs/paper.yaml"
GAINS: Mapping[str, float] = {
    "vw-mit": 0.0,
    "vw-conv": 0.0,
    "transnext": -0.005,
    "internimage": -0.005,
    "segnext": -0.005,
    "segformer": -0.01,
    "swin-umamba": -0.02,
    "hiformer": -0.02,
    "missformer": -0.03,
    "u-kan": -0.04,
    "u-net": -0.05,
}
"""By how much a model's Dice of an image lies above the leaders', on average: the planted truth."""
SLOPE = 0.01
"""By how much Dice grows where the area grows e times."""


@dataclass(frozen=True)
class Kind:
    """How images of a dataset are made up."""

    images: int
    per_group: int
    base: float
    """Mean Dice of the leaders."""
    shared: float
    """Standard deviation of an image's difficulty, the same for all models."""
    own: float
    """Standard deviation of a model's own error on an image."""


KINDS: Mapping[str, Kind] = {
    "isic2018": Kind(3565, 1, 0.90, 0.03, 0.02),
    "neopolyp": Kind(945, 1, 0.82, 0.06, 0.03),
    "camus": Kind(1996, 4, 0.91, 0.025, 0.012),
}


@dataclass(frozen=True)
class Edge:
    """Pixels (places in the flat image) that a prediction may get wrong."""

    places: NDArray[np.intp]
    order: NDArray[np.float32]
    """Grows from the structures' middle outwards."""
    across: NDArray[np.float32]
    down: NDArray[np.float32]
    """Direction from that middle, a unit vector."""

    def most(self, count: int, sign: int, direction: float, lean: float) -> NDArray[np.intp]:
        """Return the `count` places furthest out (sign 1) or in (-1), leaning to a direction."""
        far = self.order + lean * (np.cos(direction) * self.across + np.sin(direction) * self.down)
        return self.places[np.argpartition(-sign * far, min(count, len(far) - 1))[:count]]


@dataclass(frozen=True)
class Image:
    """One image's truth."""

    mask: NDArray[np.uint8]
    """[S, S], class indices."""
    picture: NDArray[np.uint8]
    """[S, S, 1]."""
    inside: Mapping[int, Edge]
    """Of each class that is there."""
    outside: Edge


def load(size: int = 512) -> tuple[LoadedSpec, Plan]:
    """Return the study's spec at this image size, and its plan."""
    loaded = load_spec(PAPER, [] if size == 512 else [f"protocol.image_size={size}"])
    return loaded, make_plan(loaded.spec, loaded.registry)


def write_full_study(store: Path, share: float = 1.0, size: int = 512, processes: int = 1) -> None:
    """Write results of every job of the plan: label maps of test images, counts of all."""
    Store(store, create=True)
    parts = [(store, name, fold, share, size) for name in KINDS for fold in range(5)]
    if processes == 1:
        for part in parts:
            _write_part(*part)
        return
    with ProcessPoolExecutor(processes) as pool:
        for done in [pool.submit(_write_part, *part) for part in parts]:
            done.result()


def described(name: str, share: float = 1.0) -> Samples:
    """Return a dataset's samples with their folds and two attributes."""
    kind = KINDS[name]
    groups_of = max(5, round(kind.images * share / kind.per_group))
    count = min(groups_of * kind.per_group, kind.images)
    groups = tuple(f"{name}-g{number // kind.per_group:04d}" for number in range(count))
    ids = tuple(f"{name}-{number:04d}" for number in range(count))
    random = np.random.default_rng(derive_seed(name, "attributes"))
    samples = Samples(
        fingerprint=f"{derive_seed(name, count):064x}",
        ids=ids,
        groups=groups,
        sizes=np.full((count, 2), 512),
        spacing=None,
        attributes={
            "device": tuple(("old", "new", "new")[one] for one in random.integers(0, 3, count)),
            "age": tuple(float(one) for one in random.integers(20, 90, count)),
        },
    )
    return samples.with_folds(dealing_name(5, 42), assign_folds(ids, groups, 5, 42))


def _write_part(path: Path, name: str, fold: int, share: float, size: int) -> None:
    """Write all jobs whose images are this fold of this dataset."""
    _, plan = load(size)
    store, samples = Store(path, create=True), described(name, share)
    here = np.flatnonzero(np.array(samples.folds[dealing_name(5, 42)]) == fold)
    jobs = [job for job in plan.jobs if job.dataset.name == name and (fold,) == _looked_at(job)]
    evaluate = [job for job in jobs if job.stage == "evaluate"]
    looked = {job.looked_at[0]: job for job in jobs if isinstance(job.work, Apply)}
    trials = [job for job in jobs if job.stage == "search"]
    classes = evaluate[0].dataset.task.classes
    images = [drawn(name, int(number), size, len(classes)) for number in here]
    store.keep_samples(_looked_at_by(samples, here, images, size))
    ids, groups = (tuple(column[number] for number in here) for column in (samples.ids, samples.groups))
    cut = fold_hash(samples.ids, samples.folds[dealing_name(5, 42)])
    facts = DataFacts(
        samples.fingerprint,
        cut,
        len(samples.ids),
        len(set(samples.groups)),
        len(samples.ids) - 2 * len(here),
        len(here),
        len(here),
    )
    # Nothing is lost if the machine stops, and flushes to the disk take most of the time.
    with mock.patch("os.fsync"):
        for job in trials:
            counts = Counts(ids, groups, classes, _counts(job, images, here, len(classes)))
            store.write(job, replace(fake_result(job, counts), data=facts), counts)
        for job in evaluate:
            labels = [predicted(image, job, int(number)) for image, number in zip(images, here, strict=True)]
            found = Predictions(ids, np.stack(labels))
            counts = count_all(found, (image.mask for image in images), groups, classes)
            result = replace(fake_result(job, counts), data=facts)
            store.write(job, result, counts, _cases(found, counts, images), found)
            if job.digest in looked:
                write_maps(store, looked[job.digest], result, counts, found)


def _looked_at_by(samples: Samples, here: NDArray[np.intp], images: Sequence[Image], size: int) -> Samples:
    """Return the samples with the automatic attributes of these images."""
    columns: dict[str, list[float | None]] = {key: [None] * len(samples.ids) for key in AUTOMATIC}
    for number, image in zip(here, images, strict=True):
        found = automatic(image.picture, image.mask, (slice(0, size), slice(0, size)))
        for key, value in found.items():
            columns[key][number] = value
    plain = {key: tuple(column) for key, column in columns.items()}
    return samples.with_automatic(automatic_name(size, "pad-square"), plain)


def _looked_at(job: Job) -> tuple[int, ...]:
    return job.fold.test or job.fold.validation


def _cases(found: Predictions, counts: Counts, images: Sequence[Image]) -> list[Case]:
    place = {sample: number for number, sample in enumerate(found.ids)}
    cases = []
    for sample, rank, dice in choose_cases(found.ids, counts.values):
        image, labels = images[place[sample]], found.labels[place[sample]]
        cases.append(Case(sample, rank, dice, image.picture, image.mask, labels))
    return cases


def score_of(job: Job, number: int) -> float:
    """Return the Dice that the model shall have on the image, but for the area's part of it."""
    kind, name = KINDS[job.dataset.name], job.dataset.name
    group = number // kind.per_group
    shared = _normal("group", name, group) * 0.6 + _normal("image", name, number) * 0.8
    mine = _normal("own group", name, group, job.model.name) * 0.6
    mine += _normal("own image", name, number, job.model.name) * 0.8
    score = kind.base + GAINS[job.model.name] + kind.shared * shared + kind.own * mine
    if job.learning_rate is not None:
        score -= 0.01 * abs(np.log10(job.learning_rate / 5e-5))
    return score


def _normal(*parts: int | str) -> float:
    return float(np.random.default_rng(derive_seed(*parts)).normal())


def drawn(name: str, number: int, size: int, classes: int) -> Image:
    """Return the truth of an image: one wavy structure of one class, or nested ones for three classes."""
    random = np.random.default_rng(derive_seed("shape", name, number))
    line = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    top, left = random.uniform(-0.12, 0.12, 2).astype(np.float32)
    rows, columns = np.broadcast_arrays((line - top)[:, None], (line - left)[None, :])
    distance, angle = np.hypot(rows, columns) + np.float32(1e-6), np.arctan2(rows, columns)
    wave = np.ones_like(angle)
    for turns in (2, 3, 5):
        height, shift = random.normal(0, 0.08), random.uniform(0, 6.28)
        wave += np.float32(height) * np.cos(turns * angle + np.float32(shift))
    order = distance / (np.float32(0.2 * np.exp(random.normal(0, 0.25))) * wave)
    mask = np.zeros((size, size), np.uint8)
    if classes == 3:
        for label, edge in ((3, 1.0), (2, 0.8), (1, 0.5)):
            mask[order < edge] = label
    else:
        mask[order < 1] = 1 if classes == 1 or random.random() < 0.2 else 2

    def edge_of(where: NDArray[np.bool_]) -> Edge:
        places = np.flatnonzero(where)
        parts = (order, columns / distance, rows / distance)
        return Edge(places, *(part.ravel()[places] for part in parts))

    picture = np.clip(90 + 60 * (mask > 0) + 25 * np.cos(9 * order), 0, 255).astype(np.uint8)[..., None]
    inside = {label: edge_of(mask == label) for label in range(1, classes + 1) if (mask == label).any()}
    return Image(mask, picture, inside, edge_of((mask == 0) & (order < 1.5)))


def wrong_pixels(image: Image, score: float) -> Mapping[int, int]:
    """Return, for each class that is there, how many pixels are missed, and as many are too many.

    Dice of the class then is the score plus the area's part of it, to a pixel.
    """
    found = {}
    for label, edge in image.inside.items():
        area = len(edge.places)
        dice = score + SLOPE * np.log(area / (0.12 * image.mask.size))
        found[label] = round(area * (1 - float(np.clip(dice, 0, 1))))
    return found


def predicted(image: Image, job: Job, number: int) -> NDArray[np.uint8]:
    """Return label maps with the model's score on the image; its errors lie on one side of the edge."""
    random = np.random.default_rng(derive_seed("side", job.model.name, job.dataset.name, number))
    direction, lean = random.uniform(0, 6.28), random.uniform(0.05, 0.2)
    labels, taken = image.mask.copy(), 0
    for label, wrong in wrong_pixels(image, score_of(job, number)).items():
        if wrong:
            extra = image.outside.most(taken + wrong, -1, direction, lean)
            labels.flat[extra[labels.flat[extra] == 0][:wrong]] = label
            labels.flat[image.inside[label].most(wrong, 1, direction, lean)] = 0
            taken += wrong
    return labels


def _counts(job: Job, images: Sequence[Image], here: NDArray[np.intp], classes: int) -> NDArray[np.int64]:
    """Return the counts [N, K, 3] of label maps that nobody keeps."""
    values = np.zeros((len(images), classes, 3), np.int64)
    for row, (image, number) in enumerate(zip(images, here, strict=True)):
        for label, wrong in wrong_pixels(image, score_of(job, int(number))).items():
            values[row, label - 1] = len(image.inside[label].places) - wrong, wrong, wrong
    return values


if __name__ == "__main__":
    write_full_study(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0, processes=2)
