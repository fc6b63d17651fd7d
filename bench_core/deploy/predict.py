"""Predicts images of a user's, one after another; what cannot be read is told and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench_core.data.loose import LooseImage, LooseReader
from bench_core.data.picture import Picture
from bench_core.data.reading import NO_FAULT_OF_A_FILE
from bench_core.data.samples import UInt8Array
from bench_core.deploy.inputs import Input
from bench_core.deploy.placing import Outputs
from bench_core.errors import BenchError, DataError, DivergedError, MissingDependencyError
from bench_core.export.label_maps import to_png
from bench_core.files.hashes import sha256_of
from bench_core.report.pictures import class_color, outline
from bench_core.text import json_visible

if TYPE_CHECKING:
    from bench_core.deploy.predictor import Predictor

OVERLAYS = "overlays"
FORMAT = 1


@dataclass
class Work:
    """One image while its slices are predicted."""

    given: Input
    image: LooseImage
    sha256: tuple[str, ...]
    labels: dict[int, UInt8Array] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    pictures: dict[int, Picture] = field(default_factory=dict)
    """Kept for overlays."""
    failed: BenchError | None = None

    @property
    def is_over(self) -> bool:
        """Whether all slices are predicted, or one cannot be."""
        return self.failed is not None or len(self.labels) == self.image.slices


@dataclass(frozen=True)
class Done:
    """What became of one image."""

    given: Input
    files: tuple[str, ...] = ()
    """Names in the folder of outputs: label maps, provenance, overlays."""
    error: BenchError | None = None


def output_names(given: Input, image: LooseImage, overlays: bool) -> list[str]:
    """Return the names of an image's files: label maps (one each slice of a TIFF), provenance, overlays."""
    numbers = _numbers(given.name, image.slices)
    kept = f"{given.name}{_ending(given)}" if image.keeps_space else None
    maps = [kept] if kept else [f"{name}.png" for name in numbers]
    shown = [f"{OVERLAYS}/{name}.png" for name in numbers] if overlays else []
    return [*maps, f"{given.name}.json", *shown]


def _numbers(name: str, slices: int) -> list[str]:
    digits = max(3, len(str(slices - 1)))
    return [name] if slices == 1 else [f"{name}-{number:0{digits}d}" for number in range(slices)]


def _ending(given: Input) -> str:
    return ".nii" if given.files[0].name.lower().endswith(".nii") else ".nii.gz"


def predict_all(
    inputs: Sequence[Input],
    reader: LooseReader,
    predictor: Predictor,
    outputs: Outputs,
    facts: Mapping[str, Any],
    *,
    batch_size: int,
    overlays: bool,
    heard: Callable[[int], None] = lambda done: None,
) -> Iterator[Done]:
    """Yield what becomes of each image, in their order; `facts` stand in each provenance.

    Only files of images that could be predicted are written. `heard` gets the number of images done.
    Raises OutputError where nothing can be written, and TrainingError for lack of memory.
    """
    waiting: list[tuple[Work, int, UInt8Array]] = []
    at_work: list[Work | Done] = []
    done = 0

    def finished() -> Iterator[Done]:
        nonlocal done
        while at_work and (isinstance(at_work[0], Done) or at_work[0].is_over):
            item = at_work.pop(0)
            found = item if isinstance(item, Done) else _finish(item, outputs, facts, overlays)
            done += 1
            heard(done)
            yield found

    for given in inputs:
        try:
            work = _opened(given, reader)
        except BenchError as error:
            at_work.append(Done(given, error=error))
            continue
        at_work.append(work)
        for number in range(work.image.slices):
            try:
                picture = work.image.picture(number)
                grid = predictor.prepare(picture)
            except Exception as error:
                work.failed = _explained(error, given)
                waiting = [item for item in waiting if item[0] is not work]
                break
            work.sizes[number] = (picture.shape[0], picture.shape[1])
            if overlays:
                work.pictures[number] = picture
            waiting.append((work, number, grid))
            if len(waiting) >= batch_size:
                _flush(waiting, predictor)
        yield from finished()
    _flush(waiting, predictor)
    yield from finished()


def _opened(given: Input, reader: LooseReader) -> Work:
    try:
        image = reader.open(given.files)
        return Work(given, image, tuple(sha256_of(path) for path in given.files))
    except Exception as error:
        raise _explained(error, given) from error


def _explained(error: Exception, given: Input) -> BenchError:
    """Return what a user can do about an image; raise what is no fault of it."""
    place = str(given.files[0])
    if isinstance(error, DataError | DivergedError | MissingDependencyError):
        return type(error)(error.message, place=error.place or place, cause=error.cause, fix=error.fix)
    if isinstance(error, BenchError):
        raise error
    if isinstance(error, MemoryError):
        return DataError("the image does not fit into memory", place=place, fix="shrink or split the image")
    if isinstance(error, OSError) and error.errno in NO_FAULT_OF_A_FILE:
        fix = NO_FAULT_OF_A_FILE[error.errno]
        raise DataError(f"images cannot be read: {error.strerror}", place=place, fix=fix) from error
    return DataError(
        f"cannot be read: {type(error).__name__}: {error}",
        place=place,
        fix="open it in a viewer; export or copy it again",
    )


def _flush(waiting: list[tuple[Work, int, UInt8Array]], predictor: Predictor) -> None:
    if not waiting:
        return
    names = [_numbers(work.given.stem, work.image.slices)[number] for work, number, _ in waiting]
    logits = predictor.logits(names, [grid for _, _, grid in waiting])
    for (work, number, _), each in zip(waiting, logits, strict=True):
        try:
            work.labels[number] = predictor.labels(each, work.sizes[number])
        except (DivergedError, MemoryError) as error:
            work.failed = _explained(error, work.given)
    waiting.clear()


def _finish(work: Work, outputs: Outputs, facts: Mapping[str, Any], overlays: bool) -> Done:
    given, image = work.given, work.image
    if work.failed is not None:
        return Done(given, error=work.failed)
    labels = [work.labels[number] for number in range(image.slices)]
    written = output_names(given, image, overlays)
    maps = written[: written.index(f"{given.name}.json")]
    if image.keeps_space:
        try:
            outputs.place(maps[0], lambda path: image.write(labels, path))
        except BenchError:
            raise
        except Exception as error:
            # A header that can be read need not be one that can be written.
            return Done(given, error=_explained(error, given))
    else:
        for name, each in zip(maps, labels, strict=True):
            outputs.place(name, lambda path, each=each: path.write_bytes(to_png(each)))  # type: ignore[misc]
    shown = written[len(maps) + 1 :]
    for number, name in enumerate(shown):
        content = _overlay(work.pictures[number], labels[number])
        outputs.place(name, lambda path, content=content: path.write_bytes(content))  # type: ignore[misc]
    provenance = {
        "format": FORMAT,
        "label_maps": {name: sha256_of(outputs.folder / name) for name in maps},
        "input": {
            "files": [
                {"name": path.name, "sha256": digest}
                for path, digest in zip(given.files, work.sha256, strict=True)
            ],
            "slices": image.slices,
            "size": {"height": work.sizes[0][0], "width": work.sizes[0][1]},
            "decoded": dict(image.facts),
        },
        **facts,
    }
    text = json_visible(json.dumps(provenance, indent=1, ensure_ascii=False)) + "\n"
    outputs.place(f"{given.name}.json", lambda path: path.write_bytes(text.encode()))
    return Done(given, tuple(written))


def _overlay(picture: Picture, labels: UInt8Array) -> bytes:
    """Return the image as a PNG with each class outlined in its color, lines of two pixels."""
    import io

    import numpy as np
    from PIL import Image

    shown = np.array(picture.array[:, :, :3] if picture.shape[2] >= 3 else picture.array[:, :, [0, 0, 0]])
    for label in np.unique(labels[labels > 0]):
        area = labels == label
        edge = outline(area)
        shown[edge | (outline(area & ~edge))] = class_color(int(label))
    out = io.BytesIO()
    Image.fromarray(shown).save(out, format="PNG")
    return out.getvalue()
