"""The folder of one job: its files, written and read."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Callable, Container, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench_core.errors import StoreError
from bench_core.files.arrays import Arrays, open_arrays
from bench_core.files.bounded import open_regular, parse_json
from bench_core.plan.job import Job
from bench_core.records import Case, Counts, Predictions
from bench_core.store.files import read_json, replacing, write_bytes, write_json
from bench_core.store.result import RESULT_FORMAT, Result

JOB, RESULT, COUNTS, CASES = "job.json", "result.json", "counts.csv", "cases.npz"
PREDICTIONS = "predictions.npz"
TRACE, LOG, BEST, MANIFEST = "trace.jsonl", "log.txt", "best.pt", "manifest.json"
RUNNER = "runner"
"""Subfolder of what a runner logs on its own."""
Parsed = TypeVar("Parsed")
MOST_CASE_BYTES = 256 * 1024**2
"""Of all pictures of one job, decompressed."""
MOST_LABEL_BYTES = 4 * 1024**3
"""Of all label maps of one job, decompressed."""
SMALL_BYTES = 4 * 1024**2
"""Of a file that is hashed when somebody only asks whether a result can be used."""
MOST_COUNTS_BYTES = 256 * 1024**2
MOST_RECORDS_BYTES = 256 * 1024**2
LARGEST_COUNT = 2**53
COLUMNS = ("id", "group", "class", "tp", "fp", "fn")


def fix_for(folder: Path) -> str:
    """Return what to do about a damaged sealed job: only that job is computed again."""
    return f"rm -r {shlex.quote(str(folder))}, then `bench run` computes this job again and keeps all others"


def write_job(folder: Path, job: Job) -> None:
    """Write job.json."""
    write_json(folder / JOB, job.to_json())


def read_job(folder: Path) -> Job:
    """Read job.json; raise StoreError if it is missing or damaged."""
    return _parse(folder / JOB, Job.from_json)


def write_result(folder: Path, result: Result) -> None:
    """Write result.json."""
    write_json(folder / RESULT, result.to_json())


def read_result(folder: Path) -> Result:
    """Read result.json; raise StoreError if it is missing, damaged or of another format."""
    return _parse(folder / RESULT, _result)


def write_counts(folder: Path, counts: Counts) -> None:
    """Write counts.csv: one row per sample and foreground class (id, group, class, tp, fp, fn)."""
    text = io.StringIO()
    # Readers take a bare carriage return for the end of a line, but the writer does not quote it by itself.
    odd = any("\r" in name for name in (*counts.ids, *counts.groups, *counts.classes))
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL)
    writer.writerow(COLUMNS)
    for sample, group, rows in zip(counts.ids, counts.groups, counts.values, strict=True):
        for name, row in zip(counts.classes, rows, strict=True):
            writer.writerow([sample, group, name, *(int(value) for value in row)])
    write_bytes(folder / COUNTS, text.getvalue().encode())


def read_counts(folder: Path) -> Counts:
    """Read counts.csv; raise StoreError if it is missing or damaged."""
    path = folder / COUNTS
    classes = read_job(folder).dataset.task.classes
    try:
        header, *rows = _csv(path, MOST_COUNTS_BYTES)
        if tuple(header) != COLUMNS or len(rows) % len(classes):
            raise ValueError(f"expected columns {','.join(COLUMNS)} and {len(classes)} rows a sample")
        if [row[2] for row in rows] != list(classes) * (len(rows) // len(classes)):
            raise ValueError(f"expected the classes {', '.join(classes)} in turn")
        values = np.array([[int(value) for value in row[3:]] for row in rows], dtype=np.int64)
        if (values < 0).any() or (values > LARGEST_COUNT).any():
            raise ValueError("a count is negative or beyond reason")
        firsts = rows[:: len(classes)]
        return Counts(
            ids=tuple(row[0] for row in firsts),
            groups=tuple(row[1] for row in firsts),
            classes=classes,
            values=values.reshape(-1, len(classes), 3),
        )
    except (OSError, ValueError, IndexError, OverflowError, csv.Error) as error:
        raise damaged(path, error) from error


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Write predictions.npz: `ids` as a JSON list, `labels` uint8 [N, S, S]."""
    arrays: dict[str, Any] = {"ids": np.array(json.dumps(predictions.ids)), "labels": predictions.labels}
    with replacing(folder / PREDICTIONS) as file:
        np.savez_compressed(cast(Any, file), **arrays)


def read_predictions(folder: Path) -> Predictions:
    """Read predictions.npz; raise StoreError if it is missing or damaged."""
    path = folder / PREDICTIONS
    try:
        with open_arrays(path, MOST_LABEL_BYTES) as arrays:
            ids = _ids(arrays)
            return Predictions(ids, arrays.read("labels", np.uint8, (len(ids), None, None)))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def each_prediction(folder: Path) -> Generator[tuple[str, NDArray[np.uint8]], None, None]:
    """Yield id and label map [S, S] of predictions.npz one at a time, in their order.

    Raises StoreError where the file is missing, or when damage is reached.
    """
    path = folder / PREDICTIONS
    try:
        with open_arrays(path, MOST_LABEL_BYTES) as arrays:
            ids = _ids(arrays)
            yield from zip(ids, arrays.rows("labels", np.uint8, (len(ids), None, None)), strict=True)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def _ids(arrays: Arrays) -> tuple[str, ...]:
    ids = parse_json(str(arrays.read("ids", np.str_, ())))
    if not isinstance(ids, list) or not all(isinstance(sample, str) for sample in ids):
        raise ValueError("ids are not a list of text")
    return tuple(ids)


def read_records(folder: Path, name: str) -> list[dict[str, str]]:
    """Read a table that a job left as records/NAME.csv; raise StoreError if it is missing or damaged."""
    path = folder / "records" / f"{name}.csv"
    try:
        header, *rows = _csv(path, MOST_RECORDS_BYTES)
        return [dict(zip(header, row, strict=True)) for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path, error, folder) from error


def _csv(path: Path, most_bytes: int) -> list[list[str]]:
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"the table is larger than {most_bytes} bytes")
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))


def write_cases(folder: Path, cases: Sequence[Case]) -> None:
    """Write cases.npz."""
    facts = [{"id": case.id, "rank": case.rank, "dice": case.dice} for case in cases]
    arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts, allow_nan=False))}
    for index, case in enumerate(cases):
        arrays[f"image{index}"] = case.image
        arrays[f"mask{index}"] = case.mask
        arrays[f"prediction{index}"] = case.prediction
    with replacing(folder / CASES) as file:
        np.savez_compressed(cast(Any, file), **arrays)


def read_cases(folder: Path, wanted: Container[str] | None = None) -> tuple[Case, ...]:
    """Read cases.npz, or only what it has of the wanted ids; raise StoreError if it is missing or damaged."""
    path = folder / CASES
    try:
        with open_arrays(path, MOST_CASE_BYTES) as arrays:
            facts = parse_json(str(arrays.read("facts", np.str_, ())))
            return tuple(
                _case(arrays, index, fact)
                for index, fact in enumerate(facts)
                if wanted is None or fact["id"] in wanted
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def _case(arrays: Arrays, index: int, facts: Mapping[str, Any]) -> Case:
    image = arrays.read(f"image{index}", np.uint8, (None, None, None))
    sample, rank, dice = facts["id"], facts["rank"], facts["dice"]
    if not isinstance(sample, str) or rank not in ("best", "median", "worst"):
        raise ValueError(f"picture {index} names no image and rank")
    if isinstance(dice, bool) or not isinstance(dice, (int, float)) or not 0 <= dice <= 1:
        raise ValueError(f"the Dice of picture {index} is not a number in [0, 1]")
    return Case(
        sample,
        rank,
        float(dice),
        image=image,
        mask=arrays.read(f"mask{index}", np.uint8, image.shape[:2]),
        prediction=arrays.read(f"prediction{index}", np.uint8, image.shape[:2]),
    )


def _result(data: Mapping[str, Any]) -> Result:
    if not isinstance(data, dict) or data["format"] != RESULT_FORMAT:
        raise ValueError("the format of this result is not known to this version of segtrial")
    return Result.from_json(data)


def _parse(path: Path, build: Callable[[Any], Parsed]) -> Parsed:
    data = read_json(path, fix_for(path.parent))
    try:
        return build(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception, folder: Path | None = None) -> StoreError:
    """Return what is said of a damaged file of a job's `folder`, by default the one that it lies in."""
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        cause = f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}"
    fix = fix_for(folder or path.parent)
    return StoreError("damaged file in the store", place=str(path), cause=cause, fix=fix)
