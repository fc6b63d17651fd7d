"""Golden numbers are read whatever their seeds, sizes and file names; a wrong network is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench_core.errors import WeightsError
from tests.helpers.golden import Golden, golden_errors, golden_files, golden_tensor, reference_name

KNOWN = ("unet", "vw_mit", "vw_conv", "segnext")


class Pixelwise(nn.Module):
    """A 1x1 convolution: its outputs and input gradient can be written down by hand."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.mix(image)
        return logits


def with_itself_as_feature(model: nn.Module, image: Tensor) -> tuple[Tensor, list[Tensor]]:
    logits = model(image)
    return logits, [logits]


def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("outc.", "mix."): tensor for name, tensor in tensors.items()}


def write_golden(folder: Path, stem: str, **changes: Any) -> Path:
    """Write the golden numbers of Pixelwise, computed with numpy alone."""
    seed, classes, size = changes.get("seed", 0), changes.get("classes", 3), changes.get("image_size", 8)
    height, width = (size, size) if isinstance(size, int) else size
    weight = golden_tensor("outc.weight", (classes, 3, 1, 1), seed)[:, :, 0, 0]
    bias = golden_tensor("outc.bias", (classes,), seed)
    noise = np.random.RandomState(seed + 1).standard_normal((1, 3, height, width))
    image = noise.astype(np.float32).astype(np.float64)[0]
    logits = np.einsum("kc,chw->khw", weight, image) + bias[:, None, None]
    gradient = np.einsum("kc,khw->chw", weight, 2 * logits / logits.size)
    facts = {
        "model": "pixelwise",
        "classes": classes,
        "image_size": size,
        "seed": seed,
        "dtype": "float64",
        "logits_shape": [1, classes, height, width],
        "logits_step": 2,
        "grad_step": 4,
        "kept_buffers": [],
        "tensors": {"outc.weight": {"shape": [classes, 3, 1, 1]}, "outc.bias": {"shape": [classes]}},
        "features": [
            {
                "shape": [1, classes, height, width],
                "channel_step": 2,
                "step": 3,
                "mean": logits.mean(),
                "std": logits.std(ddof=1),
            }
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / f"{stem}.npz",
        logits=logits[:, ::2, ::2],
        input_grad=gradient[:, ::4, ::4],
        feature0=logits[::2, ::3, ::3],
    )
    file = folder / f"{stem}.json"
    file.write_text(json.dumps({**facts, **changes}))
    return file


def errors_of(file: Path, dtype: torch.dtype = torch.float64) -> dict[str, float]:
    golden = Golden.read(file)
    model = Pixelwise(golden.channels, golden.classes)
    return golden_errors(model, golden, rename, dtype, run=with_itself_as_feature)


@pytest.mark.parametrize(
    "changes", [{}, {"seed": 41}, {"image_size": 20, "classes": 5}, {"image_size": [8, 12], "seed": 7}]
)
def test_any_seed_size_and_class_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = write_golden(tmp_path, "pixelwise", **changes)
    errors = errors_of(file)
    assert errors.keys() == {"logits", "input_grad", "feature0", "feature0_mean", "feature0_std"}
    assert max(errors.values()) < 1e-12
    assert 1e-9 < max(errors_of(file, torch.float32).values()) < 1e-5


@pytest.mark.parametrize("item", ["logits", "input_grad", "feature0"])
def test_one_number_that_differs_is_noticed(tmp_path: Path, item: str) -> None:
    file = write_golden(tmp_path, "pixelwise")
    with np.load(file.with_suffix(".npz")) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays[item][0, 0, 0] += 1e-6 * np.abs(arrays[item]).max()
    np.savez(file.with_suffix(".npz"), **arrays)
    errors = errors_of(file)
    assert [name for name, error in errors.items() if error > 1e-9] == [item]


def test_weights_must_fit_strictly(tmp_path: Path) -> None:
    file = write_golden(tmp_path, "pixelwise")
    golden = Golden.read(file)
    golden.facts["tensors"]["spare.weight"] = {"shape": [2]}
    with pytest.raises(WeightsError, match=r"1 unexpected \(spare.weight\)"):
        golden_errors(Pixelwise(3, 3), golden, rename, torch.float64)
    with pytest.raises(WeightsError, match="missing"):
        golden_errors(Pixelwise(3, 3), Golden.read(file), dict, torch.float64)


def test_files_are_found_below_a_folder_and_others_passed_over(tmp_path: Path) -> None:
    first = write_golden(tmp_path / "seed-1", "unet", model="unet")
    second = write_golden(tmp_path / "seed-2", "unet", model="unet")
    (tmp_path / "notes.json").write_text('{"model": "unet"}')
    (tmp_path / "broken.json").write_text("{")
    assert golden_files([tmp_path]) == [first, second]
    assert golden_files([tmp_path / "seed-2", tmp_path / "seed-1"]) == [second, first]
    with pytest.raises(FileNotFoundError, match="no golden numbers"):
        golden_files([tmp_path / "seed-3"])


@pytest.mark.parametrize(
    ("model", "stem", "name"),
    [
        ("unet", "anything", "unet"),
        ("U-Net", "anything", "unet"),
        ("vw_mit", "x", "vw_mit"),
        ("vw-conv (seed 3)", "x", "vw_conv"),
        (None, "segnext_seed7_256px", "segnext"),
        (None, "SegNeXt-2", "segnext"),
        ("unetplusplus", "x", None),
        ("hiformer", "hiformer", None),
    ],
)
def test_a_file_is_known_by_its_name_field_or_its_file_name(
    tmp_path: Path, model: str | None, stem: str, name: str | None
) -> None:
    assert reference_name(write_golden(tmp_path, stem, model=model), KNOWN) == name
