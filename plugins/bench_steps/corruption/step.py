"""Predict all tested images under each corruption and severity, and count; label maps are not kept."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.data.loader import Split
from bench_core.declarations import IGNORE
from bench_core.files.bounded import open_regular
from bench_core.labels import count as count_labels
from bench_core.metrics.corrupted import (
    CLEAN,
    CORRUPTION_COUNTS,
    CORRUPTION_EXAMPLES,
    Condition,
    corruption_rows,
    corruption_values,
    read_corruption,
)
from bench_core.protocol.evaluator import count
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.protocol.site import ImageBatch
from bench_steps.corruption.declared import Corruption
from bench_steps.corruption.images import example_of, strip, under
from bench_steps.corruption.options import conditions_of

EXAMPLES = "examples.jpg"
MOST_STRANGE = 2e-3
"""Share of an image's pixels whose counts may differ where logits lie within rounding of the border."""
_LARGEST_FILE = 64 * 1024**2
_LIKE = 4.0
"""Mean difference of two pictures of one example that are decoded by two versions of a library."""
Drawn = Sequence[tuple[Corruption, int]]


def run(session: Session, options: Mapping[str, Any], kinds: Sequence[Corruption]) -> Outcome:
    """Leave counts of each image and class under each condition, one example's pictures, and pooled values.

    The clean images' counts are those of the label maps that the needed job left.
    """
    drawn, split = conditions_of(options, kinds), session.test
    network, shape = session.network(), (len(split), len(session.task.classes), 3)
    values = np.zeros((1 + len(drawn), *shape), dtype=np.int64)
    values[0] = _clean(session)
    for place, (corruption, severity) in enumerate(drawn):
        done, total = place * len(split), len(drawn) * len(split)
        values[1 + place] = _counted(session, network, split, corruption, severity, (done, total))
    return _outcome(session, drawn, values)


def again(session: Session, options: Mapping[str, Any], kinds: Sequence[Corruption]) -> Outcome:
    """Count the clean images again, hold all counts against the masks, and draw the example anew.

    With a network some images are predicted anew under each condition. Raises ValueError where the table is
    of other conditions, or counts what masks or weights do not give.
    """
    drawn, split = conditions_of(options, kinds), session.test
    names, values = read_corruption(session.kept_records(CORRUPTION_COUNTS), split.ids, session.task.classes)
    if names != _names(drawn):
        raise ValueError("its table is of other corruptions or severities than its options")
    values[0] = _clean(session)
    _hold_against_masks(session, values)
    if session.drawn is not None:
        _predict_again(session, session.drawn, drawn, values)
    _compare_pictures(session, drawn)
    return _outcome(session, drawn, values)


def _names(drawn: Drawn) -> tuple[Condition, ...]:
    return ((CLEAN, 0), *((corruption.name, severity) for corruption, severity in drawn))


def _outcome(session: Session, drawn: Drawn, values: NDArray[np.int64]) -> Outcome:
    split, names = session.test, _names(drawn)
    session.records(CORRUPTION_COUNTS, list(corruption_rows(names, split.ids, session.task.classes, values)))
    position = example_of(split)
    session.artifact(EXAMPLES).write_bytes(strip(split, position, drawn, session.job.pixels.resize))
    shown = [{"kind": kind, "severity": severity, "image": split.ids[position]} for kind, severity in names]
    session.records(CORRUPTION_EXAMPLES, shown)
    return Outcome(values=corruption_values(names, values))


def _clean(session: Session) -> NDArray[np.int64]:
    """Return the counts [N, K, 3] of the needed job's label maps."""
    split, maps = session.test, session.source("weights").predictions()
    rows = {sample: row for row, sample in enumerate(maps.ids)}
    counts = [
        count_labels(maps.labels[rows[sample]], truth, len(session.task.classes))
        for sample, truth in session.truth(split)
    ]
    return np.stack(counts)


def _counted(
    session: Session,
    network: nn.Module,
    split: Split,
    corruption: Corruption,
    severity: int,
    progress: tuple[int, int] | None = None,
) -> NDArray[np.int64]:
    """Return the counts [N, K, 3] of a split under one condition."""

    def forward(batch: ImageBatch) -> Tensor:
        logits: Tensor = network(batch.images)
        return logits

    values = np.zeros((len(split), len(session.task.classes), 3), dtype=np.int64)
    changed, at = under(split, corruption, severity, session.job.pixels.resize), 0
    for ids, logits in session.logits(changed, forward):
        indices = split.indices[at : at + len(ids)]
        masks = np.stack([np.asarray(split.arrays.masks[index]) for index in indices])
        truth = torch.from_numpy(masks).to(logits.device)
        found = count(logits, truth, session.task, session.job.scoring)
        values[at : at + len(ids)] = found.cpu().numpy()
        at += len(ids)
        if progress is not None:
            done, total = progress
            session.progress(done + at, total, f"{corruption.name}, severity {severity}")
    return values


def _hold_against_masks(session: Session, values: NDArray[np.int64]) -> None:
    for place, (sample, truth) in enumerate(session.truth(session.test)):
        sizes = np.bincount(truth.ravel(), minlength=IGNORE + 1)[: 1 + len(session.task.classes)]
        hits, added, missed = np.moveaxis(values[:, place], 2, 0)
        if (hits + missed != sizes[1:]).any():
            raise ValueError(f"its counts of {sample} are not of the mask's size")
        if ((hits + added).sum(axis=1) > sizes.sum()).any():
            raise ValueError(f"its counts of {sample} exceed its pixels")


def _predict_again(session: Session, split: Split, drawn: Drawn, values: NDArray[np.int64]) -> None:
    network, rows = session.network(), {sample: row for row, sample in enumerate(session.test.ids)}
    places = [rows[sample] for sample in split.ids]
    pixels = split.arrays.masks.shape[1] * split.arrays.masks.shape[2]
    for number, (corruption, severity) in enumerate(drawn, start=1):
        found = _counted(session, network, split, corruption, severity)
        apart = np.abs(found - values[number][places]).sum(axis=(1, 2)) / pixels
        if apart.max() > MOST_STRANGE:
            sample = split.ids[int(apart.argmax())]
            raise ValueError(
                f"the weights give other counts of {sample} under {corruption.name}, severity {severity}"
            )


def _compare_pictures(session: Session, drawn: Drawn) -> None:
    from PIL import Image

    split = session.test
    expected = strip(split, example_of(split), drawn, session.job.pixels.resize)
    with open_regular(session.kept(EXAMPLES)) as file:
        content = file.read(_LARGEST_FILE + 1)
    if content == expected:
        return
    try:
        with _jpeg(content) as kept, _jpeg(expected) as mine:
            if kept.size != mine.size or kept.mode != mine.mode:
                raise ValueError(
                    f"its {EXAMPLES} is {kept.mode} {kept.size}, {mine.mode} {mine.size} comes out"
                )
            apart = np.abs(np.asarray(kept, dtype=np.int64) - np.asarray(mine, dtype=np.int64)).mean()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its {EXAMPLES} cannot be read") from error
    if apart > _LIKE:
        raise ValueError(f"its {EXAMPLES} shows something else than its images under these corruptions")


def _jpeg(content: bytes) -> Any:
    from PIL import Image

    # What is cut off here is refused as damaged: no such picture is as large.
    return Image.open(io.BytesIO(content[:_LARGEST_FILE]), formats=("JPEG",))
