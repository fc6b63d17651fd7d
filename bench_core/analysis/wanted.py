"""Pictures of chosen images: read where any result keeps one, with the label maps of chosen models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    cells = [cell for (_, label), cell in evidence.cells.items() if label == dataset]
    found: dict[str, PicturedImage] = {}
    for cell in cells:
        for done in cell.folds:
            missing = {sample for sample in models if sample not in found}.intersection(done.counts.ids)
            try:
                cases = done.store.cases(done.job.digest, missing) if missing else ()
            except BenchError:
                continue
            for case in cases:
                found[case.id] = PicturedImage(case.id, case.image, case.mask)
    return _with_maps(cells, found, models)


def _with_maps(
    cells: Sequence[Cell], found: Mapping[str, PicturedImage], models: Mapping[str, Sequence[str]]
) -> dict[str, PicturedImage]:
    asked: list[tuple[Finished, str, set[str]]] = []
    taken: set[tuple[str, str]] = set()
    for cell in cells:
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
