"""`bench predict`: label maps of files equal those of the study's jobs, and nothing else is touched."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from bench_core.execute import sources
from bench_core.store.store import Store
from bench_steps.native_maps import read_maps
from tests.helpers.bench import call_bench
from tests.helpers.trained_boxes import TrainedBoxes, read_labels

torch.set_num_threads(1)


def predict(boxes: TrainedBoxes, out: Path, *words: str | Path, code: int = 0) -> str:
    done = call_bench(
        "predict", boxes.spec, "--store", boxes.store.path, "--model", "box-net", "--out", out, *words
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_images_of_a_fold_get_the_label_maps_of_its_job_and_of_native(
    boxes: TrainedBoxes, tmp_path: Path
) -> None:
    images, before = boxes.write(tmp_path / "images"), tree(boxes.store.path)
    kept, native = boxes.store.predictions(boxes.evaluate(1).digest), boxes.native(1)
    files = [images / f"{name}.png" for name in kept.ids]
    predict(boxes, tmp_path / "out", "--fold", "1", "--overlay", *files)
    whole = read_maps(lambda name: boxes.store.folder(native.digest) / "artifacts" / name, len(kept.ids))
    sizes = set()
    for sample, grid, labels in zip(kept.ids, kept.labels, whole, strict=True):
        found = read_labels(tmp_path / "out" / f"{sample}.png")
        sizes.add(found.shape)
        assert np.array_equal(found, labels)
        if found.shape == grid.shape:
            assert np.array_equal(found, grid)
        with Image.open(tmp_path / "out" / "overlays" / f"{sample}.png") as shown:
            assert shown.size == found.shape[::-1] and shown.mode == "RGB"
    assert len(sizes) == 3 and tree(boxes.store.path) == before


def test_all_folds_vote_by_the_mean_of_their_probabilities(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images = boxes.write(tmp_path / "images")
    text = predict(boxes, tmp_path / "out", images)
    assert "the mean probability of folds 0, 1, 2" in text and "predicted 12 of 12" in text
    networks = [
        sources.tested_network(boxes.evaluate(fold), boxes.store, boxes.registry) for fold in range(3)
    ]
    for name, image in boxes.images().items():
        if image.shape == (16, 16):
            given = (torch.from_numpy(image.copy()).float()[None, None] / 255 - 0.5) / 0.5
            with torch.no_grad():
                mean = torch.stack([network(given).softmax(1) for network in networks]).mean(0)[0]
            assert np.array_equal(read_labels(tmp_path / "out" / f"{name}.png"), mean.argmax(0).numpy())


def test_provenance_says_what_made_a_label_map(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images = boxes.write(tmp_path / "images")
    predict(boxes, tmp_path / "out", "--fold", "best", images / "box01.png")
    beside = json.loads((tmp_path / "out" / "box01.json").read_text())
    values = {fold: boxes.store.result(boxes.evaluate(fold).digest).training for fold in range(3)}
    (network,) = beside["networks"]
    best = max(values, key=lambda fold: values[fold].best_value)  # type: ignore[union-attr]
    weights = (boxes.store.folder(network["digest"]) / "best.pt").read_bytes()
    assert network["fold"] == best and f"fold {best}, the best of 3" in beside["folds"]
    assert network["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert network["dataset_fingerprint"] == boxes.store.result(network["digest"]).data.fingerprint
    content = (images / "box01.png").read_bytes()
    assert beside["input"]["files"] == [{"name": "box01.png", "sha256": hashlib.sha256(content).hexdigest()}]
    assert [item["name"] for item in beside["classes"]] == ["background", "dark", "bright"]
    assert beside["preprocessing"]["normalize"] == {"mean": [0.5], "std": [0.5]}
    assert beside["preprocessing"]["resize"]["height"] == 16
    written = (tmp_path / "out" / "box01.png").read_bytes()
    assert beside["label_maps"] == {"box01.png": hashlib.sha256(written).hexdigest()}


def test_a_damaged_image_is_one_line_and_the_others_are_predicted(
    boxes: TrainedBoxes, tmp_path: Path
) -> None:
    images = boxes.write(tmp_path / "images")
    (images / "box02.png").write_bytes((images / "box02.png").read_bytes()[:60])
    (images / "box03.png").write_bytes(b"")
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(images / "color.png")
    (images / "notes.txt").write_text("no image")
    text = predict(boxes, tmp_path / "out", images, code=1)
    errors = [line for line in text.splitlines() if line.startswith("error:")]
    assert len(errors) == 3 and all(name in text for name in ("box02.png", "box03.png", "color.png"))
    assert "predicted 10 of 13 images" in text and "1 files in folders are passed over" in text
    assert not (tmp_path / "out" / "box02.png").exists() and "Traceback" not in text
    done = call_bench(
        "predict", boxes.spec, "--store", boxes.store.path, "--model", "box-net", "--out", tmp_path / "again",
        "--json", images,
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert done.returncode == 1 and len(told["predicted"]) == 10 and len(told["failed"]) == 3


def test_what_an_image_lacks_is_told_without_options_of_a_dataset(
    boxes: TrainedBoxes, tmp_path: Path
) -> None:
    """Whoever predicts can convert an image, and set no option."""
    images = tmp_path / "images"
    images.mkdir()
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    color = Image.fromarray(np.dstack([gray, gray.T, gray]))
    color.save(images / "color.png")
    color.save(images / "line\nfeed.png")
    Image.fromarray(gray.astype(np.float32)).save(images / "float.tif")
    pages = [Image.fromarray(gray)] * 3
    pages[0].save(images / "pages.tif", save_all=True, append_images=pages[1:])
    nibabel.save(nibabel.Nifti1Image(gray.astype(np.float32), np.eye(4)), images / "float.nii.gz")
    text = predict(boxes, tmp_path / "out", images, code=1)
    errors = [line for line in text.splitlines() if line.startswith("error:")]
    assert len(errors) == 5 and all("; fix: " in line for line in errors)
    assert all("option" not in line and "`" not in line for line in errors), errors
    assert "the networks were trained on gray ones" in errors[0] and "line\\nfeed.png" in text


def test_a_folder_of_images_is_not_that_of_label_maps(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images = boxes.write(tmp_path / "images")
    text = predict(boxes, images, images, code=2)
    assert "is the folder of --out" in text and "choose another folder" in text
    (tmp_path / "file").write_text("mine")
    text = predict(boxes, tmp_path / "file" / "out", images, code=2)
    assert "the folder cannot be made" in text and "fix: choose another folder with --out" in text


def test_nothing_is_overwritten_and_no_link_leads_out(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images, out = boxes.write(tmp_path / "images"), tmp_path / "out"
    one = images / "box00.png"
    predict(boxes, out, one)
    before = tree(out)
    assert "is there already" in predict(boxes, out, one, code=2) and tree(out) == before
    outside = tmp_path / "outside.png"
    outside.write_text("mine")
    (out / "box00.png").unlink()
    (out / "box00.png").symlink_to(outside)
    assert "is there already" in predict(boxes, out, one, code=2)
    predict(boxes, out, "--overwrite", one)
    assert outside.read_text() == "mine" and not (out / "box00.png").is_symlink() and tree(out) == before
    (out / "overlays").symlink_to(tmp_path)
    assert "is a link" in predict(boxes, out, "--overwrite", "--overlay", one, code=2)
    assert "take the place of an image" in predict(boxes, images, "--overwrite", one, code=2)


def test_images_of_one_name_are_kept_apart(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images = boxes.write(tmp_path / "images")
    other = tmp_path / "images" / "other"
    other.mkdir()
    shutil.copy(images / "box01.png", other / "box00.PNG")
    predict(boxes, tmp_path / "out", images, images / "box00.png")
    maps = sorted(path.name for path in (tmp_path / "out").glob("box00*.png"))
    assert len(maps) == 2 and all(len(name) == len("box00-12345678.png") for name in maps)
    sources = [json.loads((tmp_path / "out" / name).with_suffix(".json").read_text()) for name in maps]
    assert {item["input"]["files"][0]["name"] for item in sources} == {"box00.png", "box00.PNG"}
    assert len(list((tmp_path / "out").glob("*.png"))) == 13


def test_what_is_no_image_file_is_said_before_anything_is_written(
    boxes: TrainedBoxes, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "is not a regular file" in predict(boxes, tmp_path / "out", tmp_path / "pipe.png", code=2)
    assert "no such image" in predict(boxes, tmp_path / "out", tmp_path / "none.png", code=2)
    assert "holds no image" in predict(boxes, tmp_path / "out", tmp_path, code=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii"])
def test_nifti_comes_back_in_its_own_space(boxes: TrainedBoxes, tmp_path: Path, suffix: str) -> None:
    names = [name for name, image in boxes.images().items() if image.shape == (16, 16)][:3]
    affine = np.array([[0, -0.5, 0, 3], [0.25, 0, 0, -7], [0, 0, 2, 1], [0, 0, 0, 1.0]])
    voxels = np.stack([boxes.images()[name].T for name in names], axis=2)
    image = nibabel.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"a scan"
    image.to_filename(tmp_path / f"scan{suffix}")
    flat = nibabel.Nifti1Image(voxels[:, :, 0], affine)
    flat.to_filename(tmp_path / f"flat{suffix}")
    predict(boxes, tmp_path / "out", tmp_path / f"scan{suffix}", tmp_path / f"flat{suffix}")
    boxes.write(tmp_path / "images")
    predict(boxes, tmp_path / "flat", *(tmp_path / "images" / f"{name}.png" for name in names))
    found = nibabel.load(tmp_path / "out" / f"scan{suffix}")
    expected = np.stack([read_labels(tmp_path / "flat" / f"{name}.png").T for name in names], axis=2)
    assert found.get_data_dtype() == np.uint8 and np.array_equal(found.affine, affine)
    assert bytes(found.header["descrip"]).startswith(b"a scan")
    assert np.array_equal(np.asarray(found.dataobj), expected) and expected.any()
    alone = nibabel.load(tmp_path / "out" / f"flat{suffix}")
    assert alone.shape == (16, 16) and np.array_equal(np.asarray(alone.dataobj), expected[:, :, 0])


def test_what_cannot_be_chosen_is_said(boxes: TrainedBoxes, tmp_path: Path) -> None:
    images = boxes.write(tmp_path / "images")

    def said(*words: str, store: Path = boxes.store.path, model: str = "box-net") -> str:
        done = call_bench(
            "predict", boxes.spec, "--store", store, "--model", model, "--out", tmp_path / "o", *words, images
        )
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr
        return done.stderr

    assert "model 'box-net-c'" in said(model="box-net-c")
    assert "no fold 7" in said("--fold", "7") and "choose --fold from 0, 1, 2" in said("--fold", "7")
    assert "no repeat 1" in said("--repeat", "1")
    assert "is not finished: fold 0, 1, 2" in said(store=tmp_path / "empty")
    copy = Store(shutil.copytree(boxes.store.path, tmp_path / "store"))
    path = copy.folder(boxes.evaluate(0).digest) / "best.pt"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "best.pt" in said(store=copy.path) and not (tmp_path / "o").exists()
