"""Label suspects: images on which the models agree with each other, and not with the label.

No model was trained on an image that it is tested on. If the label is right, models that err independently
agree with it more than with each other, for two of them have the errors of both. Where they agree with each
other much more than with the label, the label is the one that stands apart, as an odd rater among raters. It
need not be wrong: models that learned the same bias agree, too. A suspect is an image to look at.
"""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.errors import StoreError

FEWEST_MODELS = 3
"""Two agree by chance more often than three."""
FEWEST_IMAGES = 20
"""Below so many images no score can be called unusual."""
FENCES = 3.0
"""A score this many interquartile ranges above the third quartile stands out (Tukey, Exploratory Data
Analysis, 1977, section 2E: far out)."""
UInt8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Suspect:
    """One tested image; the higher the score, the more the label stands apart."""

    id: str
    group: str
    fold: int
    score: float
    """Mean over classes of agreement minus Dice with the label, in [-1, 1]."""
    agreement: float
    """Dice of two models, all pairs pooled; mean over classes."""
    with_label: float
    """Dice of a model and the label, all models pooled; mean over classes."""
    label_pixels: int
    """Foreground of the label."""
    vote_pixels: int
    """Pixels that most models call foreground."""
    models: int
    stands_out: bool = False


@dataclass(frozen=True)
class Missed:
    """An image with a label in which no model finds anything: wrong, or hard for all."""

    id: str
    group: str
    fold: int
    label_pixels: int


@dataclass(frozen=True, eq=False)
class Suspects:
    """The tested images of a dataset, ranked."""

    dataset: str
    voters: tuple[str, ...]
    ranked: tuple[Suspect, ...]
    """All images that have a score, the most suspicious first."""
    missed: tuple[Missed, ...]
    """The largest label first."""
    votes: Mapping[str, UInt8]
    """Id to the majority vote [S, S] of the first ones."""
    unread: tuple[str, ...]
    """Jobs whose label maps cannot be read, and why."""

    @property
    def standing_out(self) -> tuple[Suspect, ...]:
        """Those with an unusual score."""
        return tuple(item for item in self.ranked if item.stands_out)


def voters_of(evidence: Evidence, dataset: str, most: int) -> tuple[str, ...]:
    """Return up to `most` models that vote, in the order of the study: the best ones, families in turn.

    Best by pooled Dice, models with more finished folds first. Models that were prompted with the label
    (track zero-shot/oracle) have no vote: they agree with it, right or wrong.
    """
    families: dict[str, list[tuple[int, float, str]]] = {}
    for model in evidence.models:
        folds = evidence.cells[model.label, dataset].folds
        if folds and model.track != "zero-shot/oracle":
            hits, extra, missed = np.sum([fold.counts.values.sum(axis=(0, 1)) for fold in folds], axis=0)
            dice = 2 * hits / max(2 * hits + extra + missed, 1)
            families.setdefault(model.family, []).append((-len(folds), -float(dice), model.label))
    turns = [(turn, *item) for found in families.values() for turn, item in enumerate(sorted(found))]
    chosen = {label for *_, label in sorted(turns)[:most]}
    return tuple(model.label for model in evidence.models if model.label in chosen)


def suspects(evidence: Evidence, dataset: str, keep: int = 12, most: int = 5) -> Suspects | None:
    """Return a dataset's tested images ranked; None where no fold is tested by FEWEST_MODELS models.

    Up to `most` models vote (`voters_of`): ten pairs tell nearly as much as fifty, and reading
    label maps is what takes time. Reads each once, a few at a time. Votes are kept of `keep` images. Where
    folds are repeated an image's score is the mean over repeats.
    """
    voters = voters_of(evidence, dataset, most)
    folds: dict[int, list[Finished]] = {}
    for model in voters:
        for fold in evidence.cells[model, dataset].folds:
            folds.setdefault(fold.index, []).append(fold)
    asked = [jobs for _, jobs in sorted(folds.items()) if len(jobs) >= FEWEST_MODELS]
    if not asked:
        return None
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="votes") as pool:
        # What takes the time is decompressing, which needs no interpreter lock.
        parts = list(pool.map(lambda jobs: _fold(jobs, keep), asked))
    rows: dict[str, list[Suspect]] = {}
    for part in parts:
        for row in part.rows:
            rows.setdefault(row.id, []).append(row)
    ranked = sorted(map(_mean, rows.values()), key=lambda row: (-row.score, row.id))
    votes: dict[str, UInt8] = {}
    for part in reversed(parts):
        votes |= part.votes
    missed = {item.id: item for part in parts for item in part.missed if item.id not in rows}
    return Suspects(
        dataset=dataset,
        voters=voters,
        ranked=_marked(ranked),
        missed=tuple(sorted(missed.values(), key=lambda item: (-item.label_pixels, item.id))),
        votes={row.id: votes[row.id] for row in ranked[:keep] if row.id in votes},
        unread=tuple(text for part in parts for text in part.unread),
    )


def pooled_agreement(votes: NDArray[np.integer], models: int) -> float:
    """Return the Dice of two of `models` models, all pairs pooled, from how many mark each pixel.

    Two times the pixels that both of a pair mark, over what both mark, each summed over pairs first: with v
    votes at a pixel that is sum of v (v - 1) over (models - 1) times the sum of v. NaN where nobody marks a
    pixel.
    """
    total = int(votes.sum(dtype=np.int64))
    if not total:
        return float("nan")
    squares = int(np.multiply(votes, votes, dtype=np.uint16).sum(dtype=np.int64))
    return (squares - total) / ((models - 1) * total)


@dataclass(frozen=True, eq=False)
class _Part:
    rows: tuple[Suspect, ...]
    missed: tuple[Missed, ...]
    votes: Mapping[str, UInt8]
    unread: tuple[str, ...]


def _fold(jobs: Sequence[Finished], keep: int) -> _Part:
    """Rank one fold's images; models whose maps cannot be read, or are of other images, are left out."""
    usual = Counter((job.counts.ids, job.counts.classes) for job in jobs).most_common(1)[0][0]
    alike = [job for job in jobs if (job.counts.ids, job.counts.classes) == usual]
    unread = [
        f"{job.job.name}: it counts other images than the others"
        for job in jobs
        if not any(job is one for one in alike)
    ]
    while len(alike) >= FEWEST_MODELS:
        try:
            found = _ranked(alike, keep)
            return replace(found, unread=tuple(unread))
        except _UnreadableError as error:
            unread.append(f"{error.job.job.name}: {error.why}")
            alike = [job for job in alike if job is not error.job]
    return _Part((), (), {}, tuple(unread))


class _UnreadableError(Exception):
    """A job whose label maps end or break off."""

    def __init__(self, job: Finished, why: str) -> None:
        super().__init__(why)
        self.job, self.why = job, why


def _ranked(jobs: Sequence[Finished], keep: int) -> _Part:
    counts = jobs[0].counts
    models, classes = len(jobs), len(counts.classes)
    # Sums over models of true positives, false positives, false negatives [N, K, 3].
    summed = np.sum([job.counts.values for job in jobs], axis=0)
    labelled = counts.values[:, :, [0, 2]].sum(axis=(1, 2))
    sizes = 2 * summed[:, :, 0] + summed[:, :, 1] + summed[:, :, 2]
    with_label = np.divide(2 * summed[:, :, 0], sizes, out=np.full(sizes.shape, np.nan), where=sizes > 0)
    rows: list[Suspect] = []
    missed: list[Missed] = []
    best: list[tuple[float, int, str, UInt8]] = []
    order = count()
    streams = [_maps(job) for job in jobs]
    for place, (sample, group) in enumerate(zip(counts.ids, counts.groups, strict=True)):
        whole = _votes([next(stream) for stream in streams], classes)
        # Structures are small: outside of their box there is nothing to count.
        box = _box(whole)
        votes = whole[:, *box]
        agreement = np.array([pooled_agreement(mine, models) for mine in votes])
        fold, pixels = jobs[0].job.fold.index, int(labelled[place])
        used = ~np.isnan(agreement) & ~np.isnan(with_label[place])
        if not used.any():
            if pixels:
                missed.append(Missed(sample, group, fold, pixels))
            continue
        mine, theirs = float(agreement[used].mean()), float(with_label[place][used].mean())
        voted = int(np.count_nonzero(2 * votes.sum(axis=0, dtype=np.uint16) > models))
        rows.append(Suspect(sample, group, fold, mine - theirs, mine, theirs, pixels, voted, models))
        if len(best) < keep or mine - theirs > best[0][0]:
            vote = np.zeros(whole.shape[1:], dtype=np.uint8)
            vote[box] = _majority(votes, models)
            item = (mine - theirs, -next(order), sample, vote)
            (heapq.heappushpop if len(best) >= keep else heapq.heappush)(best, item)
    for stream in streams:
        # Only the end of a file tells that it is whole, and what is read to its end is kept for other parts.
        next(stream, None)
    return _Part(tuple(rows), tuple(missed), {sample: vote for _, _, sample, vote in best}, ())


def _maps(job: Finished) -> Generator[UInt8, None, None]:
    """Yield the job's label maps in the order of its counts; raises _UnreadableError."""
    side = job.job.pixels.image_size
    try:
        with closing(job.each_prediction()) as stream:
            for wanted in job.counts.ids:
                sample, labels = next(stream, ("", None))
                if sample != wanted or labels is None or labels.shape != (side, side):
                    raise _UnreadableError(job, "its label maps are not of the images that it counts")
                yield labels
            if next(stream, None) is not None:
                raise _UnreadableError(job, "it has label maps of further images")
    except StoreError as error:
        raise _UnreadableError(job, error.cause or error.message) from error


def _votes(maps: Sequence[UInt8], classes: int) -> UInt8:
    """Return how many of the maps give each class [K, S, S] to a pixel."""
    votes = np.zeros((classes, *maps[0].shape), dtype=np.uint8)
    for labels in maps:
        for number in range(classes):
            votes[number] += labels == number + 1 if classes > 1 or labels.max() > 1 else labels
    return votes


def _box(votes: UInt8) -> tuple[slice, slice]:
    """Return the rows and columns of [K, S, S] that hold every vote; none where there is no vote."""
    marked = np.asarray(votes.max(axis=0) > 0)
    lines = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    rows, columns = (slice(int(line[0]), int(line[-1]) + 1) if line.size else slice(0, 0) for line in lines)
    return rows, columns


def _majority(votes: UInt8, models: int) -> UInt8:
    """Return the label with most votes at each pixel, of equal ones the first; background is one of them."""
    if len(votes) == 1:
        return np.asarray(2 * votes[0].astype(np.uint16) > models, dtype=np.uint8)
    background = models - votes.sum(axis=0, dtype=np.uint16)
    found: UInt8 = np.argmax(np.concatenate([background[None], votes]), axis=0).astype(np.uint8)
    return found


def _mean(rows: Sequence[Suspect]) -> Suspect:
    if len(rows) == 1:
        return rows[0]
    agreement = float(np.mean([row.agreement for row in rows]))
    with_label = float(np.mean([row.with_label for row in rows]))
    return replace(rows[0], score=agreement - with_label, agreement=agreement, with_label=with_label)


def _marked(ranked: Sequence[Suspect]) -> tuple[Suspect, ...]:
    if len(ranked) < FEWEST_IMAGES:
        return tuple(ranked)
    low, high = np.quantile([row.score for row in ranked], [0.25, 0.75])
    fence = max(0.0, float(high + FENCES * (high - low)))
    return tuple(replace(row, stands_out=row.score > fence) for row in ranked)
