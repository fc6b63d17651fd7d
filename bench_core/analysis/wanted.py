"""Pictures of chosen images: read where any result keeps one, with the label maps of chosen models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.pictured import PicturedImage
from bench_core.errors import BenchError


def wanted_images(
    evidence: Evidence, dataset: str, models: Mapping[str, Sequence[str]]
) -> dict[str, PicturedImage]:
    """Return those of the images (ids) of which a result keeps a picture, with these models' label maps.

    Nothing is read of the others. What cannot be read is left out: pictures are not numbers.
    """
    found = pictured_images(evidence, dataset, models)
    return with_maps_of(evidence, dataset, found, models)


def pictured_images(evidence: Evidence, dataset: str, samples: Collection[str]) -> dict[str, PicturedImage]:
    """Return those of the images (ids) of which a result keeps a picture, without label maps of models."""
    found: dict[str, PicturedImage] = {}
    for cell in _cells(evidence, dataset):
        for done in cell.folds:
            missing = {sample for sample in samples if sample not in found}.intersection(done.counts.ids)
            try:
                cases = done.store.cases(done.job.digest, missing) if missing else ()
            except BenchError:
                continue
            for case in cases:
                found[case.id] = PicturedImage(case.id, case.image, case.mask)
    return found


def with_maps_of(
    evidence: Evidence,
    dataset: str,
    found: Mapping[str, PicturedImage],
    models: Mapping[str, Sequence[str]],
) -> dict[str, PicturedImage]:
    """Return the images with the label maps of these models, in memory all at once."""
    asked: list[tuple[Finished, str, set[str]]] = []
    taken: set[tuple[str, str]] = set()
    for cell in _cells(evidence, dataset):
        for done in cell.folds:
            mine = {
                sample
                for sample in done.counts.ids
                if sample in found and cell.model in models[sample] and (sample, cell.model) not in taken
            }
            taken |= {(sample, cell.model) for sample in mine}
            if mine:
                asked.append((done, cell.model, mine))
    maps: dict[str, dict[str, NDArray[np.uint8]]] = {sample: {} for sample in found}
    with ThreadPoolExecutor(2, thread_name_prefix="maps") as pool:
        for (_, model, _), read in zip(asked, pool.map(_read, asked), strict=True):
            for sample, labels in read.items():
                if labels.shape == found[sample].mask.shape:
                    maps[sample][model] = labels
    return {
        sample: PicturedImage(sample, image.image, image.mask, maps[sample])
        for sample, image in found.items()
    }


def _cells(evidence: Evidence, dataset: str) -> list[Cell]:
    return [cell for (_, label), cell in evidence.cells.items() if label == dataset]


def _read(asked: tuple[Finished, str, set[str]]) -> dict[str, NDArray[np.uint8]]:
    done, _, wanted = asked
    read: dict[str, NDArray[np.uint8]] = {}
    try:
        for sample, labels in done.each_prediction():
            if sample in wanted:
                read[sample] = labels
    except BenchError:
        return read
    return read
