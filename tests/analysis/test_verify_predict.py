"""`bench verify --predict`: kept weights are run again, so that label maps need not be believed either."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench_core.analysis.verify.predicted import Sampling
from bench_core.cli.main import bench
from bench_core.data.loader import Split
from bench_core.errors import DataError, MissingDependencyError
from bench_core.execute.job import run_job
from bench_core.execute.prepare import open_data
from bench_core.labels import choose_cases, count_all
from bench_core.metrics.counts import micro
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.protocol.contract import RunOptions
from bench_core.records import Case, Predictions
from bench_core.spec.load import load_spec
from bench_core.store import folder as files
from bench_core.store.store import Store
from tests.helpers.bench import call_bench
from tests.helpers.changing import changed, in_json, saved
from tests.helpers.small_study import write_spec
from tests.helpers.step_study import run_all, write_boxes


class Trained:
    """A finished study of one model, and one of its evaluate jobs."""

    def __init__(self, spec: Path, store: Store, registry: Registry, jobs: tuple[Job, ...]) -> None:
        self.spec, self.store, self.registry, self.jobs = spec, store, registry, jobs
        self.job = next(job for job in jobs if job.stage == "evaluate" and job.fold.index == 1)
        self.folder = store.folder(self.job.digest)

    def verify(self, *options: str) -> dict[str, list[dict[str, str]]]:
        arguments = ["verify", str(self.spec), "--store", str(self.store.path), "--json", *options]
        done = CliRunner().invoke(bench, arguments, catch_exceptions=False)
        assert done.exit_code in (0, 1)
        data: Any = json.loads(done.stdout)
        return {check["name"]: check["findings"] for check in data["checks"] if check["findings"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    base = tmp_path_factory.mktemp("trained")
    spec = write_spec(base / "spec", epochs=8, datasets="[{name: dots, options: {count: 18}}]")
    loaded = load_spec(spec)
    store = Store(base / "results", create=True)
    jobs = make_plan(loaded.spec, loaded.registry).jobs
    for job in jobs:
        run_job(job, store, loaded.registry, RunOptions(), lambda event: None)
    return Trained(spec, store, loaded.registry, jobs)


def forged(trained: Trained, labels: Callable[[Predictions, Split], np.ndarray]) -> Callable[[Path], object]:
    """Write other label maps, with counts and pictures that fit them, the masks and the images."""

    def change(folder: Path) -> None:
        tested = open_data(trained.job, trained.registry, trained.store.cache).tested
        kept = Predictions(tested.ids, labels(files.read_predictions(folder), tested))
        masks = [np.asarray(tested.arrays.masks[index]) for index in tested.indices]
        counts = count_all(kept, masks, tested.groups, trained.job.dataset.task.classes)
        cases = []
        for sample, rank, dice in choose_cases(counts.ids, counts.values):
            row = kept.ids.index(sample)
            image, mask = tested.read([row])
            picture = image[0].permute(1, 2, 0).contiguous().numpy()
            cases.append(Case(sample, rank, dice, picture, mask[0].numpy(), kept.labels[row]))
        files.write_predictions(folder, kept)
        files.write_counts(folder, counts)
        files.write_cases(folder, cases)

    return change


def perfect(kept: Predictions, tested: Split) -> np.ndarray:
    return np.stack([np.asarray(tested.arrays.masks[index]) for index in tested.indices])


def test_whole_jobs_hold(trained: Trained) -> None:
    assert trained.verify("--predict") == {}
    assert trained.verify("--predict", "--images", "1000") == {}


def test_label_maps_that_were_forged_with_all_that_follows_are_found(trained: Trained) -> None:
    with changed(trained.folder, forged(trained, perfect)):
        assert trained.verify("--data", "--no-predict") == {}
        found = trained.verify("--data")
    ((check, (finding,)),) = found.items()
    assert (check, finding["job"], finding["level"]) == ("weights", trained.job.name, "error")
    assert "its weights give other label maps for 6 of 6 images" in finding["message"]


def one_pixel(kept: Predictions, tested: Split) -> np.ndarray:
    labels = kept.labels.copy()
    labels[0, 0, 0] = 1 - labels[0, 0, 0]
    return labels


def test_a_single_pixel_that_no_rounding_explains_is_found(trained: Trained) -> None:
    with changed(trained.folder, forged(trained, one_pixel)):
        (finding,) = trained.verify("--predict", "--images", "1000")["weights"]
    assert "for 1 of 6 images" in finding["message"] and finding["message"].endswith("0.39% of its pixels")


def randomized(content: dict[str, Any]) -> None:
    random = torch.Generator().manual_seed(0)
    for name, value in content["state_dict"].items():
        if value.is_floating_point():
            content["state_dict"][name] = torch.rand(value.shape, generator=random)


def of_another_fold(trained: Trained) -> Callable[[Path], object]:
    other = next(job for job in trained.jobs if job.stage == "evaluate" and job.fold.index == 2)
    weights = torch.load(trained.store.folder(other.digest) / files.BEST, weights_only=True)["state_dict"]
    # A byte differs from the other fold's file, which the check of copies would know.
    weights["1.num_batches_tracked"] += 1
    return saved(lambda content: content.update(state_dict=weights))


def test_weights_that_made_other_label_maps_are_found(trained: Trained) -> None:
    for change in (saved(randomized), of_another_fold(trained)):
        with changed(trained.folder, change):
            assert trained.verify("--data", "--no-predict") == {}
            assert set(trained.verify("--predict")) == {"weights"}


def flattered(folder: Path) -> None:
    """Raise the chosen epoch's validation metrics in result, trace and log alike."""
    result = json.loads((folder / files.RESULT).read_text())
    training = result["training"]
    chosen = training["chosen_epoch"]
    metrics = {name: float(value) for name, value in micro(np.array([[[90, 5, 5]]])).items()}
    before = training["history"][chosen]["validation"]
    lines = [json.loads(line) for line in (folder / files.TRACE).read_text().splitlines()]
    for line in lines:
        if line["epoch"] == chosen and "step" not in line:
            line["validation"] = metrics
    (folder / files.TRACE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    log = (folder / files.LOG).read_text().split("\n")
    for row, text in enumerate(log):
        if f"epoch {chosen + 1}/" in text or "done in" in text:
            for name, value in metrics.items():
                log[row] = log[row].replace(f"{name} {before[name]:.4f}", f"{name} {value:.4f}")
    (folder / files.LOG).write_text("\n".join(log))
    training["history"][chosen]["validation"] = metrics
    training["best_value"] = metrics[training["monitor"]]
    (folder / files.RESULT).write_text(json.dumps(result))


def test_a_history_that_the_weights_do_not_give_is_found(trained: Trained) -> None:
    with changed(trained.folder, flattered):
        assert trained.verify("--data", "--no-predict") == {}
        (finding,) = trained.verify("--predict", "--images", "6")["weights"]
    assert "on the validation images, the history of epoch" in finding["message"]


@pytest.mark.parametrize("option", ["--data", "--predict"])
def test_what_this_machine_lacks_is_no_finding(trained: Trained, option: str) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision'): sys.modules[name] = None\n"
        "from bench_core.cli.main import main\n"
        f"sys.argv = ['bench', 'verify', {str(trained.spec)!r}, {option!r}]\n"
        f"sys.argv += ['--store', {str(trained.store.path)!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "needs the package 'torch'" in done.stderr and "pip install" in done.stderr


def test_data_that_cannot_be_opened_are_no_finding(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "content.txt").write_text("whole")
    root = f"[{{name: dots-on-disk, root: {tmp_path / 'data'}}}]"
    spec = write_spec(tmp_path / "spec", epochs=1, datasets=root)
    loaded, store = load_spec(spec), Store(tmp_path / "results", create=True)
    first = make_plan(loaded.spec, loaded.registry).jobs[0]
    run_job(first, store, loaded.registry, RunOptions(), lambda event: None)
    arguments = ["verify", str(spec), "--store", str(store.path)]
    assert CliRunner().invoke(bench, [*arguments, "--data"]).exit_code == 0
    (tmp_path / "data" / "content.txt").write_text("corrupt")
    done = CliRunner().invoke(bench, [*arguments, "--data"])
    assert isinstance(done.exception, DataError) and "image is corrupt" in str(done.exception)


def test_without_the_packages_of_a_network_label_maps_are_believed_and_said_to_be(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object) -> None:
        raise MissingDependencyError("model dots-net needs the package 'no-such', which is not installed")

    monkeypatch.setattr("bench_core.analysis.verify.predicted._session", lacking)
    done = call_bench("verify", trained.spec, "--store", trained.store.path, "--data", "--json")
    assert done.returncode == 0 and "label maps are believed: model dots-net needs" in done.stderr
    assert json.loads(done.stdout)["predicted"] is None
    assert call_bench("verify", trained.spec, "--store", trained.store.path, "--predict").returncode == 2


def test_images_are_drawn_by_a_seed_that_nobody_knows_and_that_is_said(trained: Trained) -> None:
    words = ("verify", trained.spec, "--store", trained.store.path, "--data", "--images", "2", "--json")
    first, other = (json.loads(call_bench(*words).stdout)["predicted"] for _ in range(2))
    assert first["images"] == 2 and first["draw"] != other["draw"]
    assert json.loads(call_bench(*words, "--draw", str(first["draw"])).stdout)["predicted"] == first


def test_the_draw_is_bounded_and_the_user_s(trained: Trained) -> None:
    data = open_data(trained.job, trained.registry, trained.store.cache)

    class Asked:
        job = trained.job

    draws = {Sampling(3, seed).of(data.tested, Asked()).ids for seed in range(40)}  # type: ignore[arg-type]
    assert {len(ids) for ids in draws} == {3} and len(draws) > 10
    assert set().union(*draws) == set(data.tested.ids)
    again = Sampling(3, 7).of(data.tested, Asked()).ids  # type: ignore[arg-type]
    assert again == Sampling(3, 7).of(data.tested, Asked()).ids  # type: ignore[arg-type]
    assert Sampling(6, 0).of(data.tested, Asked()) is data.tested  # type: ignore[arg-type]


def test_native_label_maps_are_predicted_again(tmp_path: Path) -> None:
    """Pixels at borders, which label maps on the grid leave open, are the network's."""
    spec = write_boxes(tmp_path / "spec", "[native]")
    spec.write_text(spec.read_text().replace("epochs: 3", "epochs: 40"))
    store = Store(tmp_path / "results", create=True)
    registry, jobs = run_all(spec, store)
    study = Trained(spec, store, registry, jobs)
    folder = store.folder(next(job.digest for job in jobs if job.stage == "native" and job.fold.index == 1))
    assert study.verify("--predict") == {}
    tested = open_data(study.job, registry, store.cache)

    def moved(folder: Path) -> None:
        """Move borders by a pixel, with counts to fit."""
        path = folder / "artifacts" / "labels-0.npz"
        with np.load(path) as archive:
            maps = {key: archive[key] for key in archive.files}
        rows, borders = [], 0
        for key, labels in maps.items():
            border = labels[:, 1:] != labels[:, :-1]
            labels[:, :-1][border] = labels[:, 1:][border]
            borders += int(border.sum())
            sample = tested.tested.ids[int(key)]
            truth = tested.original(sample)
            counts = count_all(Predictions((sample,), labels[None]), [truth], ("",), ("dark", "bright"))
            for name, (tp, fp, fn) in zip(("dark", "bright"), counts.values[0].tolist(), strict=True):
                rows.append([sample, name, *truth.shape, tp, fp, fn])
        assert borders
        np.savez_compressed(path, **maps)
        head = "image,class,height,width,tp,fp,fn\n"
        text = "".join(",".join(str(cell) for cell in row) + "\n" for row in rows)
        (folder / "records" / "native-counts.csv").write_text(head + text)
        values = micro(np.array([row[4:] for row in rows])[None])
        in_json(files.RESULT, lambda data: data["values"].update(values))(folder)

    with changed(folder, moved):
        assert study.verify("--data", "--no-predict") == {}
        (finding,) = study.verify("--predict")["recount"]
    assert "asked again: the weights give" in finding["message"]
