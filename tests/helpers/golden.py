"""Reference numbers of a public implementation: the weights they were made with, and how far ours are."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench_core.protocol.weights import load_strictly


@dataclass(frozen=True)
class Golden:
    """NAME.json and NAME.npz of one reference implementation."""

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @classmethod
    def read(cls, folder: Path, name: str) -> Golden:
        with np.load(folder / f"{name}.npz") as stored:
            arrays = {key: stored[key] for key in stored.files}
        return cls(facts=json.loads((folder / f"{name}.json").read_text()), arrays=arrays)

    def tensors(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return the reference's weights under the reference's names."""
        named: dict[str, Tensor] = {}
        for key, entry in self.facts["tensors"].items():
            name = entry.get("same_as", key)
            shape = tuple(self.facts["tensors"][name]["shape"])
            named[key] = torch.from_numpy(golden_tensor(name, shape, self.facts["seed"])).to(dtype)
        return named

    def image(self, dtype: torch.dtype) -> Tensor:
        size = self.facts["image_size"]
        noise = np.random.RandomState(self.facts["seed"] + 1).standard_normal((1, 3, size, size))
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


def golden_errors(
    model: nn.Module,
    golden: Golden,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    dtype: torch.dtype,
) -> dict[str, float]:
    """Load the reference's weights through `convert`, and return the relative errors of what it computes.

    Strictly: only what the reference itself keeps as constructed (`kept_buffers`) may be missing.
    """
    kept = convert({name: torch.empty(0) for name in golden.facts["kept_buffers"]})
    model = model.to(dtype).eval()
    load_strictly(model, convert(golden.tensors(dtype)), allowed_missing=tuple(kept), source="reference")
    image = golden.image(dtype).requires_grad_()
    logits = model(image)
    assert list(logits.shape) == golden.facts["logits_shape"]
    (gradient,) = torch.autograd.grad(logits.square().mean(), image)
    step, grad_step = golden.facts["logits_step"], golden.facts["grad_step"]
    ours = {
        "logits": logits[0, :, ::step, ::step],
        "input_grad": gradient[0, :, ::grad_step, ::grad_step],
    }
    return {
        name: float(np.abs(value.detach().double().numpy() - golden.arrays[name]).max())
        / float(np.abs(golden.arrays[name]).max())
        for name, value in ours.items()
    }
