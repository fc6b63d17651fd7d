"""The tools for single images: which images get pictures, and the data behind viewer and scatter plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.pictured import ImageScores, PicturedImage, opened_data, with_label_maps
from bench_core.report import explorer
from bench_core.report.blocks import Explorer
from bench_core.report.colors import ErrorColors
from bench_core.report.names import bench, listed, plural

_TRIED = 6
"""Images whose files say how large the others will be."""


@dataclass(frozen=True, eq=False)
class Known:
    """A dataset's images."""

    data: DatasetFacts
    scores: ImageScores
    kept: Mapping[str, PicturedImage]
    """Those of which results keep pictures, with all label maps."""
    colors: ErrorColors


def single_images(
    evidence: Evidence, known: Sequence[Known], budget: int, width: int, *, from_data: bool
) -> Explorer:
    """Return the tools with pictures of at most `budget` bytes, shared by the datasets.

    Pictures are those that results keep; with `from_data` of any tested image, read through the cache.
    Raises what opening the data raises, and DataError where they are not those of the results.
    """
    sets, files, told, left = [], {}, [], budget
    for number, item in enumerate(known):
        place = [data.label for data in evidence.datasets].index(item.data.label)
        share = left // (len(known) - number)
        drawn = explorer.draw(_chosen(evidence, item, place, share, width, from_data), evidence, place, width)
        files.update(drawn.files)
        left -= explorer.sizes(drawn.files)
        sets.append((place, explorer.dataset_facts(evidence, item.data, item.scores, drawn, item.colors)))
        count = len(item.scores.ids)
        told.append(f"{len(drawn.known)} of {plural(count, 'image')} of {item.data.title}")
    by_place = dict(sets)
    data = {
        "models": explorer.model_facts(evidence),
        "datasets": [by_place[place] for place in sorted(by_place)],
        "colors": explorer.color_facts(),
        "most_classes": explorer.MOST_CLASSES,
    }
    return Explorer(data, files, _instead(evidence, told, from_data=from_data))


def _instead(evidence: Evidence, told: Sequence[str], *, from_data: bool) -> str:
    command = f"{bench(evidence, 'report')} --images data"
    more = (
        "They are chosen by what they say: worst and best for all models, and where models differ."
        if from_data
        else f"Results keep pictures of a few images per job; `{command}` takes others from the data."
    )
    return (
        f"Single images are looked at with the page's script: pictures of {listed(told)} are in it. {more} "
        "`--pages folder` puts them beside the page, where there is room for all."
    )


def _chosen(
    evidence: Evidence, item: Known, place: int, budget: int, width: int, from_data: bool
) -> Iterator[PicturedImage]:
    """Yield the images whose pictures are drawn, as many as the budget has room for."""
    samples = explorer.by_interest(item.scores, item.scores.ids if from_data else item.kept)
    tried = [item.kept[sample] for sample in samples if sample in item.kept][:_TRIED] or list(
        islice(item.kept.values(), _TRIED)
    )
    if not tried:
        return
    each = explorer.sizes(explorer.draw(tried, evidence, place, width).files) / len(tried)
    wanted = set(samples[: max(len(tried), int(budget / each))])
    if not from_data:
        yield from (image for sample, image in item.kept.items() if sample in wanted)
        return
    yield from with_label_maps(evidence, item.data.label, _from_data(evidence, item, wanted))


def _from_data(evidence: Evidence, item: Known, wanted: set[str]) -> dict[str, PicturedImage]:
    done = next(
        done for cell in evidence.cells.values() if cell.dataset == item.data.label for done in cell.folds
    )
    arrays = opened_data(evidence, done)
    return {
        sample: PicturedImage(sample, np.asarray(arrays.images[row]), np.asarray(arrays.masks[row]))
        for row, sample in enumerate(arrays.ids)
        if sample in wanted
    }
