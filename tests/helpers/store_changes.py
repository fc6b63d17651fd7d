"""Changes of a finished store that a verification must find, each with the checks that are about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench_core.store import folder as files
from tests.helpers.changing import cut, in_counts, in_json, in_log, in_trace, row, saved


def add(column: int) -> Callable[[list[list[str]], set[str]], object]:
    def edit(rows: list[list[str]], pictured: set[str]) -> None:
        item = row(rows, pictured)
        item[column] = str(int(item[column]) + 1)

    return edit


def swap_steps(lines: list[dict[str, Any]]) -> None:
    lines[0]["ids"], lines[1]["ids"] = lines[1]["ids"], lines[0]["ids"]


def swap_epochs(lines: list[dict[str, Any]]) -> None:
    steps = [index for index, line in enumerate(lines) if "step" in line]
    first = [index for index in steps if lines[index]["epoch"] == 0]
    second = [index for index in steps if lines[index]["epoch"] == 1]
    for one, other in zip(first, second, strict=True):
        lines[one]["ids"], lines[other]["ids"] = lines[other]["ids"], lines[one]["ids"]


def drop_last_batch(lines: list[dict[str, Any]]) -> None:
    last = max(index for index, line in enumerate(lines) if line["epoch"] == 0 and "step" in line)
    del lines[last]


def choose_next(data: dict[str, Any]) -> None:
    data["training"]["chosen_epoch"] += 1


def redraw(folder: Path) -> None:
    first, *others = files.read_cases(folder)
    mask = first.mask.copy()
    mask[0, 0] = 1 - mask[0, 0]
    files.write_cases(folder, [replace(first, mask=mask), *others])


def reweigh(folder: Path) -> None:
    saved = torch.load(folder / files.BEST, weights_only=True)
    torch.save(saved | {"epoch": saved["epoch"] + 1}, folder / files.BEST)


def renamed(content: dict[str, Any]) -> None:
    weights = content["state_dict"]
    weights["body.weight"] = weights.pop("0.weight")


def reshaped(content: dict[str, Any]) -> None:
    weights = content["state_dict"]
    weights["0.weight"] = weights["0.weight"].flatten()


def poisoned(content: dict[str, Any]) -> None:
    content["state_dict"]["0.weight"][0, 0, 0, 0] = torch.nan


def unpictured(folder: Path) -> None:
    """Change the false alarms of an image that is not shown: the truth (TP + FN) stays as it is."""
    counts = files.read_counts(folder)
    shown = {case.id for case in files.read_cases(folder)}
    row = next(number for number, sample in enumerate(counts.ids) if sample not in shown)
    counts.values[row, 0, 1] += 1
    files.write_counts(folder, counts)


def ranks_swapped(folder: Path) -> None:
    first, second, *rest = files.read_cases(folder)
    files.write_cases(folder, [replace(first, rank=second.rank), replace(second, rank=first.rank), *rest])


def moved(folder: Path) -> None:
    first, *rest = files.read_cases(folder)
    rolled = replace(first, mask=np.roll(first.mask, 1, 0), prediction=np.roll(first.prediction, 1, 0))
    files.write_cases(folder, [rolled, *rest])


def from_pairs(*names: str) -> Callable[[Path], object]:
    """Paste files of another network's job on the same fold."""

    def change(folder: Path) -> None:
        for other in sorted(folder.parent.iterdir()):
            job = json.loads((other / files.JOB).read_text()) if (other / files.JOB).exists() else {}
            same = job and job["stage"] == "evaluate" and job["fold"]["index"] == 2
            if same and job["model"]["label"] == "dots-net":
                for name in names:
                    shutil.copy(other / name, folder / name)

    return change


SEARCH, EVALUATE = "search/heavy/dots/fold-0/lr-0.01", "evaluate/heavy/dots/fold-1"
LEARNED = "evaluate/heavy/dots/fold-2"
"""With hits, misses and false alarms; at EVALUATE the network predicts background alone."""
MUTATIONS: dict[str, tuple[str, Callable[[Path], object], set[str], str]] = {
    "batches swapped": (EVALUATE, in_trace(swap_steps), {"order"}, "epoch 0, step 0 trains on"),
    "epochs swapped": (EVALUATE, in_trace(swap_epochs), {"order"}, "the seed's order is"),
    "last batch dropped": (
        EVALUATE,
        in_trace(drop_last_batch),
        {"order", "history"},
        "epoch 0 has 2 steps of 4 samples, 12 samples in batches of 4 are 3 of 4",
    ),
    "another sample": (
        EVALUATE,
        in_trace(lambda lines: lines[1]["ids"].__setitem__(0, "dot999")),
        {"order", "samples"},
        "epoch 0, step",
    ),
    "rate of a step": (
        EVALUATE,
        in_trace(lambda lines: lines[1].update(lr=lines[1]["lr"] * (1 + 1e-9))),
        {"schedule"},
        "epoch 0, step 1 has the rate",
    ),
    "loss of a step": (
        EVALUATE,
        in_trace(lambda lines: lines[1].update(loss=lines[1]["loss"] * (1 + 1e-9))),
        {"history"},
        "epoch 0: the loss is",
    ),
    "loss in the history": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"]["history"][1].update(loss=0.5)),
        {"history", "times"},
        "epoch 1: the history's loss is 0.5",
    ),
    "chosen epoch": (
        EVALUATE,
        in_json(
            files.RESULT,
            lambda data: data["training"].update(chosen_epoch=data["training"]["chosen_epoch"] + 1),
        ),
        {"stopping", "checkpoint", "times"},
        "the rule chooses epoch",
    ),
    "more epochs planned": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"].update(planned_epochs=99)),
        {"stopping"},
        "it says that 99 epochs were planned",
    ),
    "an epoch too few": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"]["history"].pop()),
        {"stopping", "history", "times"},
        "the rules end it after",
    ),
    "weights of another epoch": (EVALUATE, reweigh, {"checkpoint"}, "the weights are of epoch"),
    "weights of another name": (EVALUATE, saved(renamed), {"checkpoint"}, "of another form than those of"),
    "weights of another shape": (EVALUATE, saved(reshaped), {"checkpoint"}, "of another form than those of"),
    "weights of another kind": (
        EVALUATE,
        saved(lambda data: data["state_dict"].update({"4.bias": data["state_dict"]["4.bias"].half()})),
        {"checkpoint"},
        "of another form than those of",
    ),
    "weights left out": (
        EVALUATE,
        saved(lambda data: data["state_dict"].pop("4.bias")),
        {"checkpoint"},
        "the weights are 61 numbers, the network had 62",
    ),
    "weights emptied": (EVALUATE, saved(lambda data: data.pop("state_dict")), {"checkpoint"}, "damaged file"),
    "weights with NaN": (EVALUATE, saved(poisoned), {"checkpoint"}, "the weights '0.weight' hold NaN"),
    "weights of another job": (
        LEARNED,
        from_pairs(files.BEST),
        {"origin"},
        "its weights are exactly those of",
    ),
    "rate of the job": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"].update(learning_rate=0.005)),
        {"rate", "schedule"},
        "it trained at 0.005, the search chooses",
    ),
    "candidates": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"]["candidates"].update({"0.01": 0.99})),
        {"rate"},
        "it chose among",
    ),
    "fold hash": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["data"].update(fold_hash="f" * 64)),
        {"data", "samples"},
        "fold_hash is ffffffffffffffff…",
    ),
    "fingerprint": (
        SEARCH,
        in_json(files.RESULT, lambda data: data["data"].update(fingerprint="e" * 64)),
        {"data", "basis", "samples"},
        "fingerprint is eeeeeeeeeeeeeeee…",
    ),
    "another image": (
        EVALUATE,
        in_counts(lambda rows, pictured: row(rows, pictured).__setitem__(0, "dot998")),
        {"images", "label maps", "samples"},
        "first here: dot998",
    ),
    "another group": (
        EVALUATE,
        in_counts(lambda rows, pictured: row(rows, pictured).__setitem__(1, "someone")),
        {"images", "samples"},
        "(group someone)",
    ),
    "a hit more": (
        EVALUATE,
        in_counts(add(3)),
        {"samples", "metrics", "label maps"},
        "its ground truth (TP + FN) of dot",
    ),
    "a false alarm more": (SEARCH, in_counts(add(4)), {"metrics", "label maps"}, "the counts give mdsc"),
    "a picture": (EVALUATE, redraw, {"metrics"}, "the picture of dot"),
    "impossible metrics": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"]["history"][0]["validation"].update(mdsc=0.999)),
        {"metrics", "history", "times"},
        "cannot come from the same counts",
    ),
    "settings": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["work"]["training"].update(batch_size=8)),
        {"identity", "protocol"},
        "batch_size is 8 and not declared, the protocol says 4",
    ),
    "weights source": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"].update(pretrained="imagenet")),
        {"identity", "protocol"},
        "pretrained is imagenet and not declared",
    ),
    "a deviation kept secret": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"].update(deviations=[])),
        {"protocol", "identity"},
        "optimizer.weight_decay is 0.2 and not declared, the protocol says 0.01",
    ),
    "a deviation told wrong": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"]["deviations"][0].update(value=0.1)),
        {"protocol", "identity"},
        "the declared deviation says 0.1 instead of 0.01",
    ),
    "a deviation without reason": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"]["deviations"][0].update(because=" ")),
        {"protocol", "identity"},
        "has no reason",
    ),
    "another label": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"].update(label="best-net")),
        {"identity"},
        "model.label is best-net, the spec plans heavy",
    ),
    "another family": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"].update(family="foundation")),
        {"identity"},
        "model.family is foundation, the spec plans",
    ),
    "another reason": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["model"]["deviations"][0].update(because="it wins")),
        {"identity"},
        "model.deviations.0.because is it wins, the spec plans its authors do",
    ),
    "another option": (
        EVALUATE,
        in_json(files.JOB, lambda data: data["dataset"]["options"].update(count=37)),
        {"identity"},
        "dataset.options.count is 37, the spec plans 36",
    ),
    "a departure": (
        EVALUATE,
        in_json(
            files.JOB,
            lambda data: data["model"]["departures"].append(
                {"what": "width", "published": "8", "here": "4", "because": "speed"}
            ),
        ),
        {"identity"},
        "model.departures",
    ),
    "parameters halved": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["network"].update(parameters=26)),
        {"network", "times"},
        "its network has 26 parameters",
    ),
    "no network": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(network=None)),
        {"network"},
        "it says nothing of its network",
    ),
    "another job's result": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(digest="0" * 32)),
        {"identity"},
        "the result is of job 000000000000",
    ),
    "facts of the wrong kind": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(data=[])),
        {"files"},
        "damaged file in the store: data:",
    ),
    "no facts": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["data"].pop("fingerprint")),
        {"files"},
        "data.fingerprint: Field required",
    ),
    "no result": (
        EVALUATE,
        lambda folder: (folder / files.RESULT).unlink(),
        {"files"},
        "does not list result",
    ),
    "no trace": (EVALUATE, lambda folder: (folder / files.TRACE).unlink(), {"files"}, "does not list trace"),
    "half a trace": (EVALUATE, cut(files.TRACE), {"files"}, "damaged file"),
    "half the counts": (EVALUATE, cut(files.COUNTS), {"files"}, "damaged file"),
    "half the weights": (EVALUATE, cut(files.BEST), {"checkpoint"}, "damaged file"),
    "false alarms of an image that is not shown": (
        EVALUATE,
        unpictured,
        {"label maps"},
        "pixels of each class, its counts say",
    ),
    "ranks of pictures swapped": (EVALUATE, ranks_swapped, {"label maps"}, "its counts choose"),
    "no pictures": (EVALUATE, lambda folder: files.write_cases(folder, []), {"label maps"}, "are none"),
    "a picture moved": (LEARNED, moved, {"label maps"}, "shows another prediction than its label map"),
    "other counts pasted": (LEARNED, from_pairs(files.COUNTS), {"label maps"}, "pixels of each class"),
    "no label maps": (
        EVALUATE,
        lambda folder: (folder / files.PREDICTIONS).unlink(),
        {"files", "label maps"},
        "does not list predictions.npz",
    ),
    "no weights": (
        EVALUATE,
        lambda folder: (folder / files.BEST).unlink(),
        {"files"},
        "does not list best.pt",
    ),
    "a file more": (
        EVALUATE,
        lambda folder: (folder / "extra.txt").write_text("x"),
        {"files"},
        "the file is not in the manifest",
    ),
    "no provenance": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(provenance={})),
        {"origin", "times"},
        "provenance says nothing",
    ),
    "attempts hidden": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(attempts=2)),
        {"origin"},
        "it lists 1 attempts, the result says 2",
    ),
    "seconds halved": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(seconds=data["seconds"] / 2)),
        {"times"},
        "its attempts took",
    ),
    "seconds beyond the time stamps": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(seconds=data["seconds"] + 60)),
        {"times"},
        "s after it was started",
    ),
    "epochs longer than the job": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"]["history"][0].update(train_seconds=60.0)),
        {"times"},
        "its epochs took 6",
    ),
    "epochs that waited longer than they took": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["training"]["history"][0].update(waited_seconds=1e5)),
        {"times"},
        "epoch 1 waited 100000.0 s of",
    ),
    "finished before it was started": (
        EVALUATE,
        in_json(
            files.RESULT,
            lambda data: data["provenance"]["run"].update(finished="2020-01-01T00:00:00.000+00:00"),
        ),
        {"times"},
        "it was finished before it was started",
    ),
    "a moment that is none": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["provenance"]["run"].update(finished="yesterday")),
        {"times"},
        "'yesterday' is not a moment",
    ),
    "moved to another day": (
        EVALUATE,
        in_json(
            files.RESULT,
            lambda data: data["provenance"]["run"].update(
                {key: f"2020{data['provenance']['run'][key][4:]}" for key in ("started", "finished")}
            ),
        ),
        {"times"},
        "its first attempt was started at",
    ),
    "memory": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data.update(peak_memory_bytes=100)),
        {"times"},
        "its peak memory is 100 bytes, its weights alone take 212",
    ),
    "another torch": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["provenance"]["packages"].update(torch="1.0")),
        {"times", "environment"},
        "its last attempt has another packages than",
    ),
    "an epoch of the log": (EVALUATE, in_log("epoch 2/", "mdsc 0.9999"), {"times"}, "epoch 1: the log says"),
    "the end of the log": (
        EVALUATE,
        in_log("done in", "miou 0.9999"),
        {"times"},
        "which the result does not",
    ),
    "another plugin": (
        EVALUATE,
        in_json(files.RESULT, lambda data: data["basis"].update({"plugin plugin": "a" * 64})),
        {"basis", "times"},
        "plugin plugin is aaaaaaaaaaaa",
    ),
    "half the pictures": (EVALUATE, cut(files.CASES), {"metrics"}, "damaged file"),
}
