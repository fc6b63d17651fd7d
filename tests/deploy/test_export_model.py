"""`bench export model`: each file computes what the network does, and is read without segtrial."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from bench_core.deploy import formats
from bench_core.deploy.draws import Draws
from bench_core.deploy.formats import Network, read_onnx
from bench_core.deploy.rebuilt import load_network
from bench_core.errors import WeightsError
from bench_core.execute import sources
from tests.helpers.bench import call_bench
from tests.helpers.told_places import told_places
from tests.helpers.trained_boxes import TrainedBoxes, read_labels

ALONE = """
import runpy, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("bench_") or name == "segtrial":
            raise ImportError(f"{name} is asked for")

sys.meta_path.insert(0, Refused())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def folder(boxes: TrainedBoxes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "net"
    asked = ("export", "model", boxes.spec, "--store", boxes.store.path, "--model", "box-net", "--fold", "1")
    done = call_bench(*asked, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["networks"][0]["formats"]
    assert set(told) == {"state-dict", "torchscript", "torch-export", "onnx"}
    assert all(item["equal_pixels"] >= 0.999 and item["batch"] == "any" for item in told.values())
    return out


def test_what_is_said_of_it_lies_beside_and_inside(boxes: TrainedBoxes, folder: Path) -> None:
    import onnx

    about = json.loads((folder / "model.json").read_text())
    assert about["network"]["digest"] == boxes.evaluate(1).digest and about["input"]["shape"] == [
        "batch",
        1,
        16,
        16,
    ]
    extra = {"segtrial.json": ""}
    torch.jit.load(folder / "network.torchscript.pt", _extra_files=extra)
    inside = [json.loads(extra["segtrial.json"])]
    extra = {"segtrial.json": ""}
    torch.export.load(folder / "network.pt2", extra_files=extra)
    inside.append(json.loads(extra["segtrial.json"]))
    model = onnx.load(folder / "network.onnx")
    inside += [json.loads(item.value) for item in model.metadata_props if item.key == "segtrial.json"]
    assert len(inside) == 3
    for each in inside:
        assert all(about[key] == each[key] for key in each) and each["classes"][2]["name"] == "bright"
    assert "not promised" in (folder / "README.md").read_text()


def test_no_file_tells_where_the_code_lies_on_this_machine(folder: Path) -> None:
    assert len(list(folder.iterdir())) > 4 and told_places(folder) == []


def test_tensors_alone_fill_a_network_built_anew(boxes: TrainedBoxes, folder: Path) -> None:
    tensors = torch.load(folder / "weights.pt", weights_only=True)
    network = sources.tested_network(boxes.evaluate(1), boxes.store, boxes.registry)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in network.state_dict().items())
    again = load_network(folder, boxes.registry)
    images = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again(images), network(images)) and not again.training


def test_a_folder_that_was_changed_is_refused(boxes: TrainedBoxes, folder: Path, tmp_path: Path) -> None:
    for name in ("weights.pt", "model.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    about = json.loads((tmp_path / "model.json").read_text())
    about["files"]["weights.pt"]["sha256"] = "0" * 64
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(WeightsError, match="is not what"):
        load_network(tmp_path, boxes.registry)
    (tmp_path / "model.json").write_text("[]")
    with pytest.raises(WeightsError, match="no state dict"):
        load_network(tmp_path, boxes.registry)


@pytest.mark.parametrize(
    "network",
    [
        "network.torchscript.pt",
        pytest.param("network.pt2", marks=pytest.mark.slow),
        "network.onnx",
    ],
)
def test_the_script_beside_it_gives_the_same_label_maps_without_segtrial(
    boxes: TrainedBoxes, folder: Path, tmp_path: Path, network: str
) -> None:
    images = boxes.write(tmp_path / "images")
    asked = ("predict", boxes.spec, "--store", boxes.store.path, "--model", "box-net", "--fold", "1")
    names = ["box00", "box01", "box02"]
    done = call_bench(*asked, "--out", tmp_path / "out", *(images / f"{name}.png" for name in names))
    assert done.returncode == 0, done.stderr
    for name in names if network.endswith("onnx") else names[1:2]:
        words = [folder / "predict.py", images / f"{name}.png", tmp_path / f"{name}.png", folder / network]
        alone = subprocess.run(
            [sys.executable, "-c", ALONE, *map(str, words)], capture_output=True, text=True, cwd=tmp_path
        )
        assert alone.returncode == 0, alone.stderr
        expected = read_labels(tmp_path / "out" / f"{name}.png")
        found = read_labels(tmp_path / f"{name}.png")
        assert found.shape == expected.shape and (found == expected).mean() > 0.998


def test_an_extra_that_is_missing_is_named_before_anything_is_written(
    boxes: TrainedBoxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench_core.deploy import needs

    there = needs._is_there
    monkeypatch.setattr(needs, "_is_there", lambda name: not name.startswith("onnx") and there(name))
    asked = (
        "export",
        "model",
        boxes.spec,
        "--store",
        boxes.store.path,
        "--model",
        "box-net",
        "--out",
        tmp_path / "o",
    )
    done = call_bench(*asked, "--format", "onnx")
    assert done.returncode == 2 and "segtrial" not in done.stdout
    assert "onnx, onnxscript, not installed" in done.stderr and "[onnx]" in done.stderr
    assert not (tmp_path / "o").exists()
    done = call_bench(*asked, "--format", "state-dict,torchscript")
    assert done.returncode == 0 and len(list((tmp_path / "o").iterdir())) == 5
    assert call_bench(*asked).returncode == 2
    none = call_bench(*asked[:-1], tmp_path / "none", "--format", ",")
    assert none.returncode == 2 and "name at least one of state-dict" in none.stderr


def test_a_network_that_cannot_be_followed_is_told_with_its_reason(
    boxes: TrainedBoxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench_core.deploy.chosen import Member

    class Sly(torch.nn.Module):
        """Looks at its numbers, which a trace does not keep and an export refuses."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(images)
            factor = 1.0 if float(images.sum()) == float(Sly.first.sum()) else -1.0
            return logits * factor

        first = torch.zeros(1)

    network = Member.network

    def looking(self: Member) -> torch.nn.Module:
        from bench_core.deploy.parity import images_of

        Sly.first = images_of(self.job, self.store)[0][:1]
        return Sly(network(self)).eval()

    monkeypatch.setattr(Member, "network", looking)
    asked = (
        "export",
        "model",
        boxes.spec,
        "--store",
        boxes.store.path,
        "--model",
        "box-net",
        "--out",
        tmp_path / "o",
    )
    done = call_bench(*asked, "--format", "state-dict,torchscript,torch-export")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    about = json.loads((tmp_path / "o" / "model.json").read_text())
    assert set(about["failed"]) == {"torchscript", "torch-export"} and set(about["files"]) == {"weights.pt"}
    assert "the same label" in about["failed"]["torchscript"]
    assert (
        not list((tmp_path / "o").glob("network*"))
        and "Not written" in (tmp_path / "o" / "README.md").read_text()
    )


def test_a_full_disk_is_not_told_as_a_network_that_cannot_be_written(
    boxes: TrainedBoxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(network: formats.Network, path: Path, about: str) -> None:
        path.write_bytes(b"PK")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    broken = replace(formats.FORMATS["state-dict"], write=full)
    monkeypatch.setitem(formats.FORMATS, "state-dict", broken)
    out = tmp_path / "o"
    done = call_bench(
        "export", "model", boxes.spec, "--store", boxes.store.path, "--model", "box-net", "--out", out,
        "--format", "state-dict",
    )  # fmt: skip
    assert done.returncode == 2 and "No space left" in done.stderr and "fix: free some space" in done.stderr
    assert list(out.iterdir()) == [], "the same command may be given again"


def test_without_a_runtime_onnx_itself_runs_the_file(
    boxes: TrainedBoxes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sources.tested_network(boxes.evaluate(1), boxes.store, boxes.registry)
    images = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    network = Network(module, images, Draws(module, images[:1], 0))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    run, by = read_onnx(folder / "network.onnx", network)
    assert by.endswith("(reference evaluator)") and torch.allclose(
        run(images), network.run(images), atol=1e-5
    )


def test_pictures_are_prepared_as_in_the_study() -> None:
    from bench_core.data.picture import Picture
    from bench_core.data.resize import Fit, fit_image
    from bench_core.deploy import plain

    for shape, mode in (((31, 18, 3), "pad-square"), ((18, 31, 3), "stretch"), ((40, 40), "pad-square")):
        values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        channels = 3 if len(shape) == 3 else 1
        about = {
            "preprocessing": {
                "channels": channels,
                "resize": {"mode": mode, "height": 16, "width": 16},
                "normalize": {"mean": [0.0] * channels, "std": [1 / 255] * channels},
            }
        }
        picture = Image.fromarray(values)
        grid = fit_image(Picture(picture), Fit(16, mode))
        found = plain.prepare(picture, about)[0].transpose(1, 2, 0)
        assert np.array_equal(np.round(found).astype(np.uint8), grid)
