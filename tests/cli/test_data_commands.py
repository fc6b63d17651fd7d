"""bench data and bench folds: what is said of data without a run, and folds that go out and come in."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from bench_core.cli.main import bench
from bench_core.data.opening import present_data
from bench_core.errors import BenchError
from bench_core.execute.datasets import source_of
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.bench import run_bench
from tests.helpers.pictures import blob, picture, write_folder

FOLDER = """\
  - name: folder
    label: {label}
    root: {label}
    options: {{classes: {{lesion: 255}}{options}}}
"""
SPEC = """\
version: 1
name: study
models: [{{name: u-net, options: {{width: 2}}}}, {{name: u-net, label: wide, options: {{width: 3}}}}]
datasets:
{datasets}protocol:
  image_size: 16
  pretrained: none
  learning_rate: 1e-3
  batch_size: 2
  evaluate: {{folds: 3, epochs: 1, layout: {layout}}}
"""


def write_spec(base: Path, *labels: str, options: str = "", layout: str = "rotate", extra: str = "") -> Path:
    datasets = "".join(FOLDER.format(label=label, options=options) for label in labels) + extra
    path = base / "spec.yaml"
    path.write_text(SPEC.format(datasets=datasets, layout=layout))
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(bench, [str(argument) for argument in arguments], catch_exceptions=False)


def refused(*arguments: object) -> BenchError:
    with pytest.raises(BenchError) as caught:
        call(*arguments)
    return caught.value


def test_data_are_described_without_a_run(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine")
    done = call("data", "check", write_spec(tmp_path, "mine"), "--store", tmp_path / "results")
    assert done.exit_code == 0
    assert "mine: 6 images in 6 groups" in done.output
    assert "size: 24 x 20 pixels, brought to 16 x 16" in done.output
    assert "lesion:" in done.output and "in 6 of 6 masks" in done.output
    assert "3 folds, seed 42: 2, 2, 2 images" in done.output
    assert "warning" not in done.output and "\x1b" not in done.output
    assert not list((tmp_path / "results/jobs").iterdir())


def test_data_as_json(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    Image.fromarray(picture(3, 40, 30)).save(root / "images/case-03.png")
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(root / "masks/case-03.png")
    drawn = "  - {name: synthetic, options: {samples: 6, size: 16}}\n"
    spec = write_spec(tmp_path, "mine", extra=drawn)
    data = json.loads(call("data", "check", spec, "--store", tmp_path / "results", "--json").output)
    mine, synthetic = data["datasets"]
    assert mine["label"] == "mine" and mine["sizes"][3] == [40, 30] and mine["masks"]["lesion"] == 5
    assert sum(mine["pixels"].values()) == 6 * 16 * 16 and mine["ignored_pixels"] == 0
    assert mine["warnings"] == [
        "1 mask (case-03) is without foreground",
    ]
    assert list(synthetic["attributes"]) == ["skin"]
    assert (
        call("data", "check", spec, "--store", tmp_path / "results", "--only", "mine").output.count(
            "images in"
        )
        == 1
    )
    assert "no dataset 'other'" in str(refused("data", "check", spec, "--only", "other"))


def test_unusable_data_end_the_command_with_all_problems(tmp_path: Path) -> None:
    for label in ("one", "two", "three"):
        write_folder(tmp_path / label)
    Image.fromarray(blob(0, 5, 5)).save(tmp_path / "one/masks/case-03.png")
    (tmp_path / "three/masks/case-01.png").write_bytes(b"no image")
    error = refused(
        "data", "check", write_spec(tmp_path, "one", "two", "three"), "--store", tmp_path / "results"
    )
    assert error.exit_code == 2 and "2 datasets cannot be used" in str(error)
    assert "one:" in str(error) and "three:" in str(error) and "two:" not in str(error)


def test_a_run_refuses_bad_data_before_its_first_job(tmp_path: Path) -> None:
    write_folder(tmp_path / "good")
    write_folder(tmp_path / "bad")
    for number in (1, 2):
        Image.fromarray(blob(0, 5, 5)).save(tmp_path / f"bad/masks/case-0{number}.png")
    spec = write_spec(tmp_path, "good", "bad")
    error = refused("run", spec, "--store", tmp_path / "results", "--device", "cpu")
    assert str(error).count("case-01.png: the mask is 5 x 5") == 1
    assert str(error).count("case-02.png: the mask is 5 x 5") == 1
    assert not list((tmp_path / "results/failed").iterdir()), "no job was begun"
    assert not list((tmp_path / "results/running").iterdir())


def exported(spec: Path, form: str, *more: object) -> Any:
    text = call("folds", "export", spec, "--format", form, *more).output
    return list(csv.DictReader(io.StringIO(text))) if form == "csv" else json.loads(text)


@pytest.mark.parametrize("layout", ["rotate", "holdout"])
def test_folds_go_out_in_three_forms_that_agree(tmp_path: Path, layout: str) -> None:
    write_folder(tmp_path / "mine", 9)
    spec = write_spec(tmp_path, "mine", layout=layout)
    rows = {row["id"]: int(row["fold"]) for row in exported(spec, "csv")}
    assert sorted(rows.values()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    found = exported(spec, "json")
    assert found == {"dataset": "mine", "count": 3, "seed": 42, "folds": rows}
    splits = exported(spec, "nnunet")
    for index, split in enumerate(splits):
        assert set(split["val"]) == {sample for sample, fold in rows.items() if fold == index}
        tested = {sample for sample, fold in rows.items() if fold == (index + 1) % 3}
        assert set(split.get("test", [])) == (tested if layout == "rotate" else set())
        assert set(split["train"]) == rows.keys() - {*split["val"], *split.get("test", [])}


@pytest.mark.parametrize("form", ["csv", "json", "nnunet"])
def test_what_goes_out_comes_in_again(tmp_path: Path, form: str) -> None:
    write_folder(tmp_path / "mine", 9)
    spec = write_spec(tmp_path, "mine")
    out = tmp_path / f"folds.{form}"
    call("folds", "export", spec, "--format", form, "--out", out)
    done = call("folds", "import", spec, out, "--out", tmp_path / "again.csv")
    assert f"{out}: fits mine: 9 images in 9 groups" in done.output and "fold 2: 3 images" in done.output
    assert f"folds: {tmp_path / 'again.csv'}" in done.output and "protocol.evaluate" not in done.output
    rows = list(csv.DictReader((tmp_path / "again.csv").open()))
    assert rows == exported(spec, "csv")


@pytest.mark.parametrize("policy", ["group", "drop"])
def test_folds_of_data_with_copies_come_in_again(tmp_path: Path, policy: str) -> None:
    root = write_folder(tmp_path / "mine", 9)
    shutil.copy(root / "images/case-02.png", root / "images/case-07.png")
    spec, out = write_spec(tmp_path, "mine"), tmp_path / "folds.csv"
    dropping = ("--set", f"datasets.0.duplicates={policy}")
    call("folds", "export", spec, *dropping, "--out", out)
    rows = {row["id"]: row["fold"] for row in csv.DictReader(out.open())}
    assert ("case-02" in rows) == (policy == "group")
    assert policy == "drop" or rows["case-02"] == rows["case-07"]
    done = call("folds", "import", spec, out, *dropping)
    assert f"fits mine: {len(rows)} images in {len(rows)} groups" in done.output
    data = call(
        "data", "check", spec, *dropping, "--set", f"datasets.0.folds={out}", "--store", tmp_path / "results"
    )
    assert data.exit_code == 0 and f"mine: {len(rows)} images" in data.output


def attributed(root: Path, values: Sequence[str]) -> Path:
    """A spec whose samples have an attribute `part`."""
    write_folder(root / "mine", len(values))
    lines = [f"case-{number:02d},{value}" for number, value in enumerate(values)]
    (root / "mine/parts.csv").write_text("\n".join(["id,part", *lines]))
    return write_spec(root, "mine", options=", attribute_file: parts.csv")


def test_a_published_part_becomes_a_fixed_split(tmp_path: Path) -> None:
    parts = ["train", "val", "test", "Train", "training", "test"]
    spec = attributed(tmp_path, parts)
    out = tmp_path / "split.csv"
    call("folds", "export", spec, "--attribute", "part", "--out", out)
    rows = [row["split"] for row in csv.DictReader(out.open())]
    assert rows == ["train", "validation", "test", "train", "train", "test"]
    done = call("folds", "import", spec, out)
    assert "train: 3 images" in done.output and "validation: 1 image" in done.output
    spec.write_text(spec.read_text().replace("    root: mine", f"    root: mine\n    folds: {out}"))
    assert call("validate", spec).output.startswith(f"{spec}: valid: 2 models x 1 dataset; ")
    (job, *_) = make_plan(load_spec(spec).spec, load_spec(spec).registry).jobs
    assert (job.fold.train, job.fold.validation, job.fold.test) == ((0,), (1,), (2,))


def test_other_values_of_an_attribute_are_folds(tmp_path: Path) -> None:
    spec = attributed(tmp_path, ["Kiel", "Ulm", "Kiel", "Bonn", "Ulm", "Bonn"])
    rows = exported(spec, "csv", "--attribute", "part")
    assert [row["fold"] for row in rows] == ["1", "2", "1", "0", "2", "0"]
    assert call("folds", "export", spec, "--attribute", "part", "--format", "json").exit_code == 2
    error = refused("folds", "export", spec, "--attribute", "sex")
    assert "6 of 6 samples of mine have no attribute 'sex', such as case-00" in str(error)
    assert error.fix == "choose from part"


def test_an_official_split_is_checked_and_written(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine")
    spec = write_spec(tmp_path, "mine")
    parts = {
        "train": ["case-00.png", "case-01.png", "case-02.png"],
        "val": ["case-03"],
        "test": ["case-04", "case-05"],
    }
    (tmp_path / "split.json").write_text(json.dumps(parts))
    done = call("folds", "import", spec, tmp_path / "split.json", "--out", tmp_path / "split.csv")
    assert "train: 3 images" in done.output and "test: 2 images" in done.output
    assert "case-04,test\n" in (tmp_path / "split.csv").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,fold\ncase-00,0\ncase-01,1\n", "sample(s) of the data are not in it: case-02"),
        ("id,fold\nelse,0\ncase-01,1\n", "mean no sample of the data: else"),
        ("id,fold\ncase-00,0\n", "holds a single fold"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write_folder(tmp_path / "mine")
    (tmp_path / "folds.csv").write_text(text)
    error = refused("folds", "import", write_spec(tmp_path, "mine"), tmp_path / "folds.csv")
    assert message in str(error) and error.exit_code == 2


def test_a_group_in_two_folds_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine")
    rows = "".join(f"case-{number:02d},{number % 2}\n" for number in range(6))
    (tmp_path / "folds.csv").write_text("id,fold\n" + rows)
    spec = write_spec(tmp_path, "mine", options=", group_pattern: '^(case)'")
    error = refused("folds", "import", spec, tmp_path / "folds.csv")
    assert "group 'case' in case-00, case-02 and case-04 (fold 0) and case-01" in str(error)


def test_one_of_several_datasets_is_named(tmp_path: Path) -> None:
    for label in ("one", "two"):
        write_folder(tmp_path / label)
    spec = write_spec(tmp_path, "one", "two")
    done = call("folds", "export", spec)
    assert done.exit_code == 2 and "--dataset: one, two" in done.output
    assert exported(spec, "csv", "--dataset", "two") == exported(spec, "csv", "--dataset", "one")
    assert "no dataset 'three'" in str(refused("folds", "export", spec, "--dataset", "three"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine")
    error = refused("folds", "export", write_spec(tmp_path, "mine"), "--out", tmp_path / "no/folds.csv")
    assert "cannot be written" in str(error)


@pytest.mark.slow
def test_jobs_use_the_cache_that_was_checked(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine")
    spec = write_spec(tmp_path, "mine", options=", nearest: true")
    arguments = (
        "--store",
        tmp_path / "results",
        "--device",
        "cpu",
        "--only",
        "fold=0",
        "--only",
        "model=wide",
    )
    done = call("run", spec, *arguments)
    assert done.exit_code == 0, done.output
    caches = [path for path in (tmp_path / "results/cache").iterdir() if path.is_dir()]
    assert len(caches) == 1


def results(store: Path) -> list[Any]:
    opened = Store(store)
    return [opened.result(digest) for digest in opened.known()]


@pytest.mark.slow
def test_a_fixed_split_is_trained_and_tested_as_given(tmp_path: Path) -> None:
    write_folder(tmp_path / "mine")
    names = [f"case-{number:02d}" for number in range(6)]
    parts = {"train": names[:3], "val": names[3:4], "test": names[4:]}
    (tmp_path / "split.json").write_text(json.dumps(parts))
    spec = write_spec(tmp_path, "mine")
    spec.write_text(spec.read_text().replace("    label: mine\n", "    label: mine\n    folds: split.json\n"))
    store = tmp_path / "results"
    assert "given, " in call("data", "check", spec, "--store", store).output
    done = call("run", spec, "--store", store, "--device", "cpu", "--only", "model=wide")
    assert done.exit_code == 0 and "1 done" in done.output
    (result,) = results(store)
    assert (result.data.train, result.data.validation, result.data.test) == (3, 1, 2)
    assert Store(store).counts(result.digest).ids == ("case-04", "case-05")
    assert call("verify", spec, "--store", store).exit_code == 0
    parts["train"], parts["val"] = parts["train"][1:], [*parts["val"], names[0]]
    (tmp_path / "split.json").write_text(json.dumps(parts))
    assert "0 of 2 jobs done" in call("status", spec, "--store", store).output


@pytest.mark.slow
def test_ignored_pixels_count_in_no_number(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine", 0)
    for number in range(6):
        mask = blob(number, 24, 32)
        mask[:, 16:] = 9
        Image.fromarray(picture(number, 24, 32)).save(root / f"images/{number}.png")
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    spec = write_spec(tmp_path, "mine", options=", ignore: 9")
    spec.write_text(spec.read_text().replace("image_size: 16", "image_size: 32"))
    store = tmp_path / "results"
    assert "ignored: 37.50 % of all pixels" in call("data", "check", spec, "--store", store).output
    arguments = ("--store", store, "--device", "cpu", "--only", "fold=0", "--only", "model=wide")
    done = call("run", spec, *arguments)
    assert done.exit_code == 0, done.output
    (result,) = results(store)
    counts = Store(store).counts(result.digest)
    truth = counts.values[..., 0] + counts.values[..., 2]
    masks = [np.array(Image.open(root / f"masks/{sample}.png")) for sample in counts.ids]
    assert truth[:, 0].tolist() == [int((mask == 255).sum()) for mask in masks]
    assert counts.values.sum(axis=(1, 2)).max() <= 32 * 32 - 16 * 24
    assert call("run", spec, *arguments, "--set", "protocol.padding=ignore").exit_code == 0
    (other,) = [found for found in results(store) if found.digest != result.digest]
    assert Store(store).counts(other.digest).values.sum(axis=(1, 2)).max() <= 16 * 24


def test_results_know_the_data_that_they_stand_on(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(root / "masks/case-02.png")
    spec, store = write_spec(tmp_path, "mine"), tmp_path / "results"
    arguments = ("--store", store, "--device", "cpu", "--only", "fold=0", "--only", "model=wide")
    done = call("run", spec, *arguments)
    assert "warning: dataset mine: 1 mask (case-02) is without foreground" in done.output
    (result,) = results(store)
    assert "1 mask (case-02) is without foreground" in result.data.warnings
    loaded = load_spec(spec)
    jobs = make_plan(loaded.spec, loaded.registry).jobs

    def present() -> str | None:
        return present_data(source_of(jobs[0].dataset, loaded.registry), Store(store).cache).fingerprint

    assert present() == result.data.fingerprint
    Image.fromarray(blob(7)).save(root / "masks/case-02.png")
    assert present() not in (None, result.data.fingerprint)


def test_a_damaged_image_is_told_in_our_words_alone(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "mine")
    image = next((root / "images").iterdir())
    Image.fromarray(picture(0)).save(image.with_suffix(".tif"))
    image.unlink()
    image = image.with_suffix(".tif")
    image.write_bytes(image.read_bytes()[:28])
    done = run_bench("data", "check", write_spec(tmp_path, "mine"), "--store", tmp_path / "results")
    assert done.returncode == 2 and done.stderr.count(image.name) == 1
    assert "Warning" not in done.stderr
