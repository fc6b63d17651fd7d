"""Who is compared on a dataset: models of one protocol that were tested on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.quantity import Pooled, Quantity
from bench_core.analysis.scores import Board, shared_folds
from bench_core.declarations.work import Track
from bench_core.metrics.counts import EmptyPolicy


@dataclass(frozen=True, eq=False)
class Tested:
    """The test images of a model, each once in each repeat, in an order that all models share."""

    scores: NDArray[np.float64]
    """[N] per image, NaN where undefined."""
    counts: NDArray[np.int64] | None
    """[N, K, 3]; None for a metric that has no counts."""
    folds: Mapping[tuple[int, int], float]
    """(fold, repeat) to the fold's number."""


@dataclass(frozen=True, eq=False)
class Field:
    """Models side by side on one dataset."""

    dataset: str
    quantity: Quantity
    leader: str
    """Whose mean over folds is best."""
    models: Mapping[str, Tested]
    """At least two, by label in the order of the spec."""
    families: Mapping[str, str]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    of_image: NDArray[np.intp]
    """[N] number of each image's group."""
    ratio: float
    """Test images over training images, the mean over folds."""
    reshuffled: bool
    """Whether repeats deal the images into other folds."""
    images: int
    """Different images."""
    cut: int
    """How many folds the images were dealt into, tested or not."""
    ids: tuple[str, ...] = ()
    """[N] id of each image."""
    apart: Mapping[str, str] = field(default_factory=dict)
    """Models with results that are not compared, and why."""

    @property
    def family_leaders(self) -> dict[str, str]:
        """The best model of each family that has at least two."""
        better = self.quantity.scale(self.dataset).order
        found: dict[str, str] = {}
        for family in dict.fromkeys(self.families.values()):
            members = [label for label in self.models if self.families[label] == family]
            if len(members) > 1:
                found[family] = min(members, key=lambda label: better(mean_of_folds(self.models[label])))
        return found


def mean_of_folds(tested: Tested) -> float:
    """Return the number that the study's table prints."""
    return float(np.mean(list(tested.folds.values())))


def field_of(
    evidence: Evidence,
    board: Board,
    dataset: str,
    empty: EmptyPolicy = "ignore",
    track: Track = "shared",
) -> Field | None:
    """Return the models of a track that can be compared on a dataset; None where they are fewer than two.

    Compared are those that have the same finished folds, the largest set that two of the track share. A model
    whose folds hold other images or groups than the others' is set apart.
    """
    mine = [row for row in board.rows if evidence.model(row.model).track == track]
    shared = shared_folds([row.scores[dataset] for row in mine if dataset in row.scores])
    apart = {}
    found: dict[str, list[Finished]] = {}
    for row in board.rows:
        if dataset not in row.scores:
            continue
        other = evidence.model(row.model).track
        if other != track:
            apart[row.model] = other_track(other)
        elif not shared or tuple(sorted(row.scores[dataset].folds)) != shared:
            apart[row.model] = "it does not have the same finished folds"
        else:
            found[row.model] = _folds(evidence.cell(row.model, dataset), shared)
    families = {label: evidence.model(label).family for label in found}
    return field_of_folds(dataset, board.quantity, found, families, apart, empty)


def other_track(track: Track) -> str:
    """Return why a model of another track is not compared."""
    own = track == "own-protocol"
    return "it follows a procedure of its own" if own else f"it is in track {track}"


def field_of_folds(
    dataset: str,
    quantity: Quantity,
    finished: Mapping[str, list[Finished]],
    families: Mapping[str, str],
    apart: Mapping[str, str] | None = None,
    empty: EmptyPolicy = "ignore",
) -> Field | None:
    """Return models with the same folds side by side; None where fewer than two were tested alike."""
    apart = dict(apart or {})
    found: dict[str, Tested] = {}
    layout: tuple[tuple[tuple[int, str, str], ...], tuple[str, ...]] | None = None
    jobs: list[Finished] = []
    for label, folds in finished.items():
        mine = _layout(folds)
        layout = layout or mine
        if mine != layout:
            apart[label] = "its folds hold other images or groups"
            continue
        jobs = jobs or folds
        found[label] = _tested(folds, quantity, empty)
    if len(found) < 2 or layout is None:
        return None
    groups = tuple(dict.fromkeys(group for _, _, group in layout[0]))
    numbers = {group: number for number, group in enumerate(groups)}
    order = quantity.scale(dataset).order
    return Field(
        dataset=dataset,
        quantity=quantity,
        leader=min(found, key=lambda label: order(mean_of_folds(found[label]))),
        models=found,
        families={label: families[label] for label in found},
        classes=layout[1],
        groups=groups,
        of_image=np.array([numbers[group] for _, _, group in layout[0]], dtype=np.intp),
        ratio=float(np.mean([fold.result.data.test / max(fold.result.data.train, 1) for fold in jobs])),
        reshuffled=len({fold.job.fold.deal for fold in jobs}) > 1,
        images=len({image for _, image, _ in layout[0]}),
        cut=jobs[0].job.fold.count,
        ids=tuple(image for _, image, _ in layout[0]),
        apart=apart,
    )


def _folds(cell: Cell, shared: tuple[int, ...]) -> list[Finished]:
    return sorted((fold for fold in cell.folds if fold.index in shared), key=lambda fold: fold.index)


def _layout(folds: list[Finished]) -> tuple[tuple[tuple[int, str, str], ...], tuple[str, ...]]:
    """Return (fold, image, group) of each tested image in the shared order, and the classes."""
    rows = [
        (fold.index, image, group)
        for fold in folds
        for image, group in sorted(zip(fold.counts.ids, fold.counts.groups, strict=True))
    ]
    return tuple(rows), folds[0].counts.classes


def _tested(folds: list[Finished], quantity: Quantity, empty: EmptyPolicy) -> Tested:
    scores, counts = [], []
    for fold in folds:
        order = np.array(sorted(range(len(fold.counts.ids)), key=fold.counts.ids.__getitem__), dtype=np.intp)
        scores.append(quantity.of_images(fold, empty)[order])
        found = quantity.counts(fold) if isinstance(quantity, Pooled) else None
        if found is not None:
            counts.append(found[order])
    return Tested(
        np.concatenate(scores),
        np.concatenate(counts) if len(counts) == len(folds) else None,
        {(fold.job.fold.index, fold.job.repeat): quantity.of_fold(fold) for fold in folds},
    )
