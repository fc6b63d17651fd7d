"""Reference numbers of a public implementation: the weights they were made with, and how far ours are."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.weights.load import load_strictly

Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]
Run = Callable[[nn.Module, Tensor], tuple[Tensor, Sequence[Tensor]]]


@dataclass(frozen=True)
class Golden:
    """STEM.json and STEM.npz of one reference implementation."""

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def read(cls, file: Path) -> Golden:
        """Read a JSON file and the .npz of the same stem beside it."""
        with np.load(file.with_suffix(".npz")) as stored:
            arrays = {key: stored[key] for key in stored.files}
        return cls(facts=json.loads(file.read_text()), arrays=arrays)

    @property
    def dtype(self) -> torch.dtype:
        """What the reference computed in."""
        return torch.float32 if self.facts.get("dtype") == "float32" else torch.float64

    @property
    def classes(self) -> int:
        """Channels of the logits."""
        return int(self.facts["logits_shape"][1])

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return int(self.arrays["input_grad"].shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        size = self.facts["image_size"]
        return (size, size) if isinstance(size, int) else (size[0], size[1])

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the reference's weights under the reference's names."""
        named: dict[str, Tensor] = {}
        for key, entry in self.facts["tensors"].items():
            name = entry.get("same_as", key)
            shape = tuple(self.facts["tensors"][name]["shape"])
            named[key] = torch.from_numpy(golden_tensor(name, shape, self.facts["seed"])).to(dtype)
        return named

    def image(self, dtype: torch.dtype) -> Tensor:
        """Return the image [1, C, H, W] that the reference was given."""
        generator = np.random.RandomState(self.facts["seed"] + 1)
        noise = generator.standard_normal((1, self.channels, *self.size))
        return torch.from_numpy(noise.astype(np.float32)).to(dtype)


def golden_tensor(key: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Return the float64 values that the reference's tensor of this name was filled with."""
    generator = np.random.RandomState((zlib.crc32(key.encode()) + seed) % 2**32)
    normal = generator.standard_normal(math.prod(shape)).reshape(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "running_mean":
        return 0.1 * normal
    if leaf == "running_var":
        return 1.0 + 0.2 * np.abs(normal)
    if len(shape) >= 2 and shape[0] != 1:
        return normal / math.sqrt(math.prod(shape[1:]))
    if len(shape) < 2 and leaf == "weight":
        return 1.0 + 0.1 * normal
    return 0.1 * normal


def golden_files(folders: Iterable[Path]) -> list[Path]:
    """Return every JSON file of golden numbers in the folders and below, in the order of their paths.

    Other JSON files are passed over. Raises FileNotFoundError for a folder that is not there or holds none.
    """
    found: list[Path] = []
    for folder in folders:
        files = [file for file in sorted(folder.rglob("*.json")) if _is_golden(file)]
        if not files:
            raise FileNotFoundError(f"no golden numbers (NAME.json with NAME.npz) in {folder}")
        found += files
    return found


def _is_golden(file: Path) -> bool:
    try:
        facts = json.loads(file.read_text())
    except ValueError:
        return False
    return isinstance(facts, dict) and {"tensors", "logits_shape", "image_size", "seed"} <= facts.keys()


def reference_name(file: Path, known: Iterable[str]) -> str | None:
    """Return the known name that a file is of: its own `model` or `name`, else how its file name begins.

    Case and separators do not matter, and a suffix (-seed7, _128px) may follow. None if no name is meant.
    """
    facts = json.loads(file.read_text())
    longest_first = sorted(known, key=len, reverse=True)
    for text in (facts.get("model"), facts.get("name"), file.stem):
        for name in longest_first:
            if isinstance(text, str) and _means(name, text):
                return name
    return None


def _means(name: str, text: str) -> bool:
    letters = [re.escape(letter) for letter in name if letter.isalnum()]
    return re.match("[-_. ]?".join(letters) + "(?![a-z])", text.lower()) is not None


def golden_errors(
    model: nn.Module,
    golden: Golden,
    convert: Convert,
    dtype: torch.dtype,
    *,
    run: Run = lambda model, image: (model(image), ()),
    drops: Sequence[str] = (),
) -> dict[str, float]:
    """Return the relative errors of what `golden_outputs` returns."""
    return relative_errors(golden_outputs(model, golden, convert, dtype, run=run, drops=drops), golden)


def relative_errors(found: dict[str, Tensor], golden: Golden) -> dict[str, float]:
    """Return how far outputs are from the stored ones.

    Relative to the largest stored value, a feature map's mean and standard deviation to the latter.
    """
    whole = [name for name in found if not name.endswith(("_mean", "_std"))]
    errors = {name: _relative(found[name], golden.arrays[name]) for name in whole}
    for index, facts in enumerate(golden.facts.get("features", [])):
        for moment in ("mean", "std"):
            name = f"feature{index}_{moment}"
            errors[name] = abs(found[name].item() - facts[moment]) / facts["std"]
    return errors


def golden_outputs(
    model: nn.Module,
    golden: Golden,
    convert: Convert,
    dtype: torch.dtype,
    *,
    run: Run = lambda model, image: (model(image), ()),
    drops: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Load the reference's weights through `convert`; return here what was stored of the reference there.

    Strictly: only what the reference itself keeps as constructed (`kept_buffers`) may be missing, and only
    `drops` may be left over.
    """
    kept = convert({name: torch.empty(0) for name in golden.facts.get("kept_buffers", ())})
    model = model.to(dtype).eval()
    tensors = convert(golden.tensors(dtype))
    load_strictly(
        model, tensors, allowed_missing=tuple(kept), allowed_unexpected=drops, source="golden numbers"
    )
    image = golden.image(dtype).requires_grad_()
    torch.manual_seed(0)  # as before the reference's own forward pass, where that one is random
    logits, features = run(model, image)
    assert list(logits.shape) == golden.facts["logits_shape"]
    (gradient,) = torch.autograd.grad(logits.square().mean(), image)
    step, grad_step = golden.facts["logits_step"], golden.facts["grad_step"]
    found = {
        "logits": logits[0, :, ::step, ::step],
        "input_grad": gradient[0, :, ::grad_step, ::grad_step],
    }
    expected = golden.facts.get("features", [])
    assert len(features) == len(expected)
    for index, (feature, facts) in enumerate(zip(features, expected, strict=True)):
        assert list(feature.shape) == facts["shape"]
        every, step = facts["channel_step"], facts["step"]
        name = f"feature{index}"
        found[name] = feature[0, ::every, ::step, ::step]
        found[f"{name}_mean"], found[f"{name}_std"] = feature.mean(), feature.std()
    return {name: tensor.detach().double() for name, tensor in found.items()}


def _relative(found: Tensor, expected: NDArray[Any]) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found.numpy() - expected).max() / np.abs(expected).max())
