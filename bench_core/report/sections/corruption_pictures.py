"""An image under each kind and severity, so that readers see what severities are."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.corrupted import CorruptionSet
from bench_core.analysis.evidence import Evidence
from bench_core.errors import BenchError, MissingDependencyError
from bench_core.files.bounded import open_regular
from bench_core.metrics.corrupted import CLEAN, CORRUPTION_EXAMPLES, by_kind
from bench_core.report.blocks import Block, Callout, Details, Example, Gallery, Picture, Prose
from bench_core.report.pictures import data_uri, photo
from bench_core.report.sections.corruption_tables import words_of

EXAMPLES = "examples.jpg"
_LARGEST_FILE, _LARGEST_SIDE = 64 * 1024**2, 1024
"""Bytes of the file, and pixels of a picture's side, that are read."""


def gallery(evidence: Evidence, found: CorruptionSet) -> list[Block]:
    """Return the pictures of the set's example; a sentence where there are none that can be read."""
    where = evidence.dataset(found.dataset).title
    try:
        sample, tiles = _tiles(found)
    except MissingDependencyError as error:
        return [Callout("warning", error.message, code=error.fix or "")]
    except (BenchError, ValueError, OSError) as error:
        told = error.message if isinstance(error, BenchError) else str(error)
        return [Prose((f"No pictures of corrupted images of {where}: {told}.",))]
    places = {condition: place for place, condition in enumerate(found.conditions)}
    clean = _picture(tiles[0], "clean", f"{sample} as it is")
    examples = []
    for kind, severities in by_kind(found.conditions).items():
        pictures = [clean]
        pictures += [
            _picture(
                tiles[places[kind, each]], f"severity {each}", f"{sample}, {words_of(kind)}, severity {each}"
            )
            for each in severities
        ]
        detail = f"clean, severity {', '.join(map(str, severities))}"
        examples.append(Example(words_of(kind), detail, tuple(pictures)))
    title = f"{where}: what severities look like"
    return [Details(title, (Gallery(f"{sample}, as networks saw it", tuple(examples)),), open=True)]


def _tiles(found: CorruptionSet) -> tuple[str, list[NDArray[np.uint8]]]:
    """Return the example's id and its pictures by condition; raises ValueError for a file that is another."""
    rows = found.example.records(CORRUPTION_EXAMPLES)
    conditions = [(row.get("kind"), row.get("severity")) for row in rows]
    if conditions != [(kind, str(severity)) for kind, severity in found.conditions]:
        raise ValueError("its list of examples is of other corruptions")
    path = found.example.artifact(EXAMPLES)
    with open_regular(path) as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise ValueError(f"{EXAMPLES} is larger than {_LARGEST_FILE} bytes")
    picture = _decoded(content, len(rows))
    side = picture.shape[1]
    return rows[0].get("image", CLEAN), [
        picture[place * side : (place + 1) * side] for place in range(len(rows))
    ]


def _decoded(content: bytes, count: int) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        # It names what to install.
        photo(np.zeros((1, 1, 3), np.uint8))
        raise
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as file:
            width, height = file.size
            if width > _LARGEST_SIDE or height != width * count or file.mode not in ("L", "RGB"):
                raise ValueError(f"{EXAMPLES} does not hold {count} squares")
            return np.asarray(file, dtype=np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{EXAMPLES} cannot be read") from error


def _picture(tile: NDArray[np.uint8], label: str, alt: str) -> Picture:
    return Picture(label, data_uri(photo(tile)), alt)
