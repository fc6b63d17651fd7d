"""`bench predict` of networks that draw random numbers, of other runners, and from an archive."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench_core.data.opening import open_reader
from bench_core.deploy import plain
from bench_core.execute.datasets import source_of
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers import small_study
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


def test_one_class_is_told_by_its_threshold_here_and_in_exported_files(tmp_path: Path) -> None:
    spec = small_study.write_spec(tmp_path / "spec", epochs=25)
    spec.write_text(spec.read_text().replace("  pretrained", "  metrics: {threshold: 0.3}\n  pretrained"))
    loaded = load_spec(spec)
    job = make_plan(loaded.spec, loaded.registry).jobs[0]
    store = Store(tmp_path / "results", create=True)
    small_study.run(job, store, loaded.registry)
    reader = open_reader(source_of(job.dataset, loaded.registry))
    (tmp_path / "images").mkdir()
    for sample in reader.samples():
        image = reader.read(sample)[0][:, :, 0]
        Image.fromarray(image).save(tmp_path / "images" / f"{sample.id}.png")
    asked = (spec, "--store", store.path, "--model", "dots-net", "--fold", "0")
    done = call_bench("predict", *asked, "--out", tmp_path / "out", tmp_path / "images")
    assert done.returncode == 0, done.stderr
    done = call_bench("export", "model", *asked, "--format", "torchscript", "--out", tmp_path / "net")
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "net" / "model.json").read_text())
    assert about["scoring"]["logit_threshold"] == pytest.approx(np.log(0.3 / 0.7))
    run, kept = plain.load(tmp_path / "net" / "network.torchscript.pt"), store.predictions(job.digest)
    for sample_id, labels in zip(kept.ids, kept.labels, strict=True):
        assert np.array_equal(read_labels(tmp_path / "out" / f"{sample_id}.png"), labels)
        with Image.open(tmp_path / "images" / f"{sample_id}.png") as picture:
            assert (plain.predict(picture, run, about) == labels).mean() > 0.99
    assert 0 < kept.labels.mean() < 1


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
