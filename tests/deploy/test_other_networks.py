"""`bench predict` of networks that draw random numbers, of other runners, and from an archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.step_study import run_all, write_boxes
from tests.helpers.trained_boxes import TrainedBoxes, read_labels

torch.set_num_threads(1)
NOISY = """

from bench_core import RunnerDeclaration


def build_noisy(request):
    import torch
    from torch import nn

    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = build(request)

        def forward(self, images):
            logits = self.inner(images)
            return logits + 2 * torch.randn(logits.shape)

    return Noisy()


def more_models():
    return [
        Architecture(name="noisy-net", family="SMA", runner="torch", version=1, build=build_noisy,
                     random_at_inference=True),
        Architecture(name="own-net", family="SMA", runner="own-way", version=1),
    ]


@hookimpl
def bench_runners():
    return [RunnerDeclaration(name="own-way", fit=lambda session, options: None, help="", protocol="own")]
"""


def write(folder: Path, models: str, plugin: str = "") -> Path:
    spec = write_boxes(folder, "[]", models=models, plugin=plugin)
    if plugin:
        path = spec.with_name("plugin.py")
        path.write_text(path.read_text().replace("return [Arch", "return more_models() + [Arch", 1))
    spec.write_text(spec.read_text().replace("folds: 3,", "folds: 3, only: [0],"))
    return spec


def trained(folder: Path, models: str, plugin: str = "") -> TrainedBoxes:
    store = Store(folder / "results", create=True)
    spec = write(folder / "spec", models, plugin)
    registry, jobs = run_all(spec, store)
    return TrainedBoxes(spec, store, registry, jobs)


def check_fold(boxes: TrainedBoxes, folder: Path, model: str, *words: str) -> None:
    images, kept = boxes.write(folder / "images"), boxes.store.predictions(boxes.evaluate(0).digest)
    asked = ("predict", boxes.spec, "--store", boxes.store.path, "--model", model, "--out", folder / "out")
    done = call_bench(*asked, *words, images)
    assert done.returncode == 0, done.stderr
    compared = 0
    for sample, labels in zip(kept.ids, kept.labels, strict=True):
        found = read_labels(folder / "out" / f"{sample}.png")
        if found.shape == labels.shape:
            assert np.array_equal(found, labels)
            compared += 1
    assert compared


def test_what_a_network_draws_for_an_image_is_what_its_job_drew(tmp_path: Path) -> None:
    boxes = trained(tmp_path, "[noisy-net]", NOISY)
    check_fold(boxes, tmp_path, "noisy-net")


def test_a_procedure_of_its_own_is_refused_by_name(tmp_path: Path) -> None:
    spec = write(tmp_path / "spec", "[own-net]", NOISY)
    (tmp_path / "a.png").write_bytes(b"")
    asked = ("predict", spec, "--store", tmp_path / "none", "--model", "own-net", "--out", tmp_path / "out")
    done = call_bench(*asked, tmp_path / "a.png")
    assert done.returncode == 2 and "runner own-way, which has a procedure of its own" in done.stderr


def test_an_archive_with_weights_predicts(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images = boxes.write(tmp_path / "images")
    for name, words in (("bare", ()), ("full", ("--weights",))):
        packed = call_bench(
            "export", "--archive", tmp_path / f"{name}.zip", boxes.spec, "--store", boxes.store.path, *words
        )
        assert packed.returncode == 0, packed.stderr
    asked = ("--model", "box-net", "--fold", "0", "--trust-code", images / "box00.png")
    done = call_bench("predict", tmp_path / "bare.zip", "--out", tmp_path / "bare", *asked)
    assert done.returncode == 2 and "packed with --weights" in done.stderr
    done = call_bench("predict", tmp_path / "full.zip", "--out", tmp_path / "full", *asked)
    assert done.returncode == 0, done.stderr
    again = call_bench(
        "predict", boxes.spec, "--store", boxes.store.path, "--out", tmp_path / "again", *asked
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "full" / "box00.png").read_bytes() == (tmp_path / "again" / "box00.png").read_bytes()


@pytest.mark.slow
def test_a_job_of_the_runner_of_mmsegmentation_is_predicted_alike(tmp_path: Path) -> None:
    boxes = trained(tmp_path, "[{name: box-net, runner: mmseg}]")
    check_fold(boxes, tmp_path, "box-net")
