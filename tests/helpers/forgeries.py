"""Forgeries that a cheater would try on a finished store, each by what it changes; hashes are made to fit."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench_core.labels import choose_cases
from bench_core.metrics.counts import METRICS, micro
from bench_core.records import Case, Counts, Predictions
from bench_core.store import folder as files
from bench_core.store.manifest import write_manifest
from tests.helpers.changing import rehash

CHEAT, RIVAL = "heavy", "dots-net"
ONE, LEARNED = f"evaluate/{CHEAT}/dots/fold-1", f"evaluate/{CHEAT}/dots/fold-2"
CHOSEN, LOSING = f"search/{CHEAT}/dots/fold-0/lr-0.01", f"search/{CHEAT}/dots/fold-0/lr-0.001"


@dataclass(frozen=True)
class Forged:
    """A copy of the store, whose jobs are known by name."""

    store: Path
    jobs: dict[str, Path]
    masks: Callable[[str], NDArray[np.uint8]]
    """Id to the mask, which only a cheater with the data knows."""
    images: Callable[[str], NDArray[np.uint8]]

    def of(self, model: str, stage: str = "evaluate") -> list[Path]:
        return [folder for name, folder in self.jobs.items() if name.startswith(f"{stage}/{model}/")]

    def all(self) -> list[Path]:
        return list(self.jobs.values())

    def one(self) -> Path:
        return self.jobs[ONE]

    def learned(self) -> Path:
        return self.jobs[LEARNED]


def sealed(folders: Iterable[Path]) -> None:
    """Write hashes and manifests that fit."""
    for folder in folders:
        if not (folder / files.MANIFEST).exists():
            continue
        names = json.loads((folder / files.MANIFEST).read_text())["files"]
        rehash(folder)
        write_manifest(folder, [name for name in names if (folder / name).exists()])


def result(folder: Path, edit: Callable[[dict[str, Any]], object], name: str = files.RESULT) -> None:
    data = json.loads((folder / name).read_text())
    edit(data)
    (folder / name).write_text(json.dumps(data))


def trace(folder: Path, edit: Callable[[list[dict[str, Any]]], object]) -> None:
    lines = [json.loads(line) for line in (folder / files.TRACE).read_text().splitlines()]
    edit(lines)
    (folder / files.TRACE).write_text("".join(json.dumps(line) + "\n" for line in lines))


def counts(folder: Path, edit: Callable[[Counts, list[int]], object], *, redrawn: bool = False) -> None:
    """Edit counts; the rows are those of images that are not pictured. `redrawn` makes pictures fit."""
    found = files.read_counts(folder)
    shown = {case.id for case in files.read_cases(folder)}
    edit(found, [row for row, sample in enumerate(found.ids) if sample not in shown])
    files.write_counts(folder, found)
    if redrawn:
        cases = [replace(case, prediction=case.mask, dice=1.0) for case in files.read_cases(folder)]
        files.write_cases(folder, cases)


def perfect(found: Counts, rows: Iterable[int]) -> None:
    for row in rows:
        found.values[row, :, 0] += found.values[row, :, 2]
        found.values[row, :, 1:] = 0


def halved(found: Counts, rows: Iterable[int]) -> None:
    for row in rows:
        less = found.values[row, :, 2] // 2
        found.values[row, :, 0] += less
        found.values[row, :, 2] -= less
        found.values[row, :, 1] //= 2


def without(folder: Path, row: int) -> None:
    """Drop an image from counts, label maps and sizes."""
    found, kept = files.read_counts(folder), files.read_predictions(folder)
    keep = [number for number in range(len(found.ids)) if number != row]

    def some(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(values[number] for number in keep)

    files.write_counts(folder, Counts(some(found.ids), some(found.groups), found.classes, found.values[keep]))
    files.write_predictions(folder, Predictions(some(kept.ids), kept.labels[keep]))
    result(folder, lambda data: data["data"].update(test=len(keep)))


def labels(
    forged: Forged, folder: Path, paint: Callable[[str, NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    """Paint label maps anew, with counts and pictures that fit them, the masks and the images."""
    found, kept = files.read_counts(folder), files.read_predictions(folder)
    maps = np.stack([paint(sample, old) for sample, old in zip(kept.ids, kept.labels, strict=True)])
    for row, sample in enumerate(kept.ids):
        truth, guess = forged.masks(sample) == 1, maps[row] == 1
        found.values[row, 0] = [(truth & guess).sum(), (guess & ~truth).sum(), (truth & ~guess).sum()]
    files.write_predictions(folder, Predictions(kept.ids, maps.astype(np.uint8)))
    files.write_counts(folder, found)
    cases = [
        Case(sample, rank, dice, forged.images(sample), forged.masks(sample), maps[kept.ids.index(sample)])
        for sample, rank, dice in choose_cases(found.ids, found.values)
    ]
    files.write_cases(folder, cases)


def history(folder: Path, edit: Callable[[dict[str, Any], dict[str, Any]], object], *, log: bool) -> None:
    """Edit each epoch of result and trace alike: `edit(record, line)`; `log` makes the log fit."""
    data = json.loads((folder / files.RESULT).read_text())
    old = json.dumps(data["training"]["history"])

    def both(lines: list[dict[str, Any]]) -> None:
        for line in (line for line in lines if "step" not in line):
            edit(data["training"]["history"][line["epoch"]], line)

    trace(folder, both)
    best = data["training"]["history"][data["training"]["chosen_epoch"]]["validation"]
    data["training"]["best_value"] = best[data["training"]["monitor"]]
    (folder / files.RESULT).write_text(json.dumps(data))
    if log:
        text = (folder / files.LOG).read_text()
        for before, after in zip(json.loads(old), data["training"]["history"], strict=True):
            text = text.replace(_logged(before), _logged(after))
        training = data["training"]
        monitor, epoch = training["monitor"], training["chosen_epoch"] + 1
        done = f"{monitor} {training['best_value']:.4f} in epoch {epoch}"
        text = re.sub(rf"{monitor} \S+ in epoch {epoch}", done, text)
        (folder / files.LOG).write_text(text)


def _logged(record: dict[str, Any]) -> str:
    values = ", ".join(f"{name} {value:.4f}" for name, value in record["validation"].items())
    return f"loss {record['loss']:.5g}, {values}"


def raised(chosen: int, share: float) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    """Raise one epoch's metrics as if a share of the errors had not been made."""

    def edit(record: dict[str, Any], line: dict[str, Any]) -> None:
        if record["epoch"] == chosen:
            metrics = micro(np.array([[[1000, int(1000 * share), int(1000 * share)]]]))
            record["validation"] = line["validation"] = {name: float(metrics[name]) for name in METRICS}

    return edit


def lowered(folder: Path, *, log: bool) -> None:
    def steps(lines: list[dict[str, Any]]) -> None:
        for line in lines:
            line["loss"] *= 0.9

    trace(folder, steps)
    losses = iter(
        line["loss"]
        for line in map(json.loads, (folder / files.TRACE).read_text().splitlines())
        if "step" not in line
    )
    history(folder, lambda record, line: record.update(loss=next(losses)), log=log)


def swapped(one: Path, other: Path, names: Iterable[str]) -> None:
    for name in names:
        kept = (one / name).read_bytes()
        (one / name).write_bytes((other / name).read_bytes())
        (other / name).write_bytes(kept)


def pasted(target: Path, source: Path, *, but: Iterable[str] = ()) -> None:
    """Copy what a job left over another's, except some files; the digest is made to fit."""
    for path in source.iterdir():
        if path.is_file() and path.name not in but:
            shutil.copy(path, target / path.name)
    result(target, lambda data: data.update(digest=target.name))


def weights(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(folder / files.BEST, weights_only=True)
    edit(content)
    torch.save(content, folder / files.BEST)


def random_weights(content: dict[str, Any]) -> None:
    random = torch.Generator().manual_seed(0)
    for name, value in content["state_dict"].items():
        if value.is_floating_point():
            content["state_dict"][name] = torch.rand(value.shape, generator=random)


def shown(folder: Path, edit: Callable[[list[Case]], list[Case]]) -> None:
    files.write_cases(folder, edit(list(files.read_cases(folder))))


def everywhere(forged: Forged) -> Iterator[str]:
    """Yield the names of evaluate jobs of all models of one fold."""
    return (name for name in forged.jobs if name.startswith("evaluate/") and name.endswith("fold-1"))
