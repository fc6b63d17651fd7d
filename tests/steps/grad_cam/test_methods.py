"""Maps by each method: equal to those of whole calls of pytorch-grad-cam."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bench_core.activations import Layer, look
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_steps.grad_cam.maps import enlarged, status_of
from bench_steps.grad_cam.methods import METHODS, map_of

SIZE, CLASS = 32, 1


class Small(nn.Module):
    """Nothing in it overwrites what a layer returned, as the library needs it."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.GELU(), nn.BatchNorm2d(12))
        self.deep = nn.Sequential(nn.Conv2d(12, 40, 3, stride=4, padding=1), nn.Tanh())
        self.decoder = nn.Conv2d(52, 6, 3, padding=1)
        self.head = nn.Conv2d(6, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.encoder(images)
        deep = interpolate(self.deep(fine), size=fine.shape[-2:], mode="bilinear")
        logits = self.head(self.decoder(torch.cat([fine, deep], 1)).tanh())
        return interpolate(logits, size=images.shape[-2:], mode="bilinear")


def scaled(cells: np.ndarray) -> np.ndarray:
    """Scale as the library does: before and after it enlarges a map."""
    for size in (SIZE, None):
        cells = cells - cells.min()
        cells = cells / (1e-7 + cells.max())
        cells = enlarged(cells.astype(np.float32), size) if size else cells
    return cells


@pytest.mark.parametrize("name", ["small", "segformer", "missformer"])
def test_maps_are_those_of_whole_calls_of_the_library(name: str) -> None:
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget

    theirs = {
        "grad-cam": library.GradCAM,
        "grad-cam++": library.GradCAMPlusPlus,
        "hires-cam": library.HiResCAM,
        "seg-eigen-cam": library.SegEigenCAM,
    }
    assert theirs.keys() == METHODS.keys()
    torch.manual_seed(3)
    size = SIZE
    if name == "small":
        network: nn.Module = Small(2).eval()
        layers = ("encoder", "deep", "decoder")
    else:
        declared = load_registry().model(name)
        network = build_network(
            declared,
            in_channels=3,
            num_classes=2,
            image_size=size,
            options=complete_options(declared.options, declared.small),
        ).eval()
        layers = declared.explained.names
    images = torch.randn(1, 3, size, size)
    mask = np.zeros((size, size), dtype=np.float32)
    mask[5:20, 8:30] = 1
    seen = look(network, images, dict.fromkeys(layers, "maps"))
    found = seen.layers((seen.logits[0, CLASS] * torch.from_numpy(mask)).sum())
    varying = 0
    for layer in layers:
        for method, kind in theirs.items():
            with kind(model=network, target_layers=[network.get_submodule(layer)]) as cam:
                (expected,) = cam(input_tensor=images, targets=[SemanticSegmentationTarget(CLASS, mask)])
            mine = scaled(map_of(method, found[layer])[0].numpy())
            if found[layer].features.shape[-1] > 1:
                assert np.abs(mine - expected).max() < 2e-3, (layer, method)
                varying += int(expected.max() > 0)
    assert varying >= 2 * len(layers)


def test_grad_cam_of_one_logit_marks_what_raises_it() -> None:
    features = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]])
    rising = torch.stack([torch.full((2, 2), 2.0), torch.full((2, 2), -1.0)])[None]
    assert map_of("grad-cam", Layer(features, rising)).tolist() == [[[2.0, 0.0], [0.0, 0.0]]]
    assert map_of("hires-cam", Layer(features, -rising)).tolist() == [[[0.0, 0.0], [0.0, 1.0]]]


def test_the_component_is_that_of_a_singular_value_decomposition_whatever_side_is_larger() -> None:
    random = np.random.default_rng(5)
    for channels, side in ((3, 8), (90, 4), (64, 8)):
        features = torch.from_numpy(random.normal(size=(1, channels, side, side)) * 1e-12).float()
        gradient = torch.from_numpy(random.normal(size=(1, channels, side, side))).float()
        found = map_of("seg-eigen-cam", Layer(features, gradient))[0].double().numpy()
        pixels = (gradient.abs() * features).double()[0].reshape(channels, -1).numpy().T
        pixels = pixels - pixels.mean(axis=0)
        axis = np.linalg.svd(pixels, full_matrices=False)[2][0]
        expected = (pixels @ axis).reshape(side, side)
        expected = -expected if abs(expected.min()) > abs(expected.max()) else expected
        assert np.allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=1e-4 * expected.max())


def test_what_is_not_finite_or_flat_is_told() -> None:
    features = torch.ones(1, 2, 3, 3)
    for method in METHODS:
        broken = Layer(features * torch.nan, features)
        assert status_of(map_of(method, broken)[0].numpy()) == "nan", method
        silent = Layer(features, torch.zeros_like(features))
        assert status_of(map_of(method, silent)[0].numpy()) == "constant", method
    assert status_of(np.array([[1.0, 1.0 + 1e-5]], dtype=np.float32)) == "ok"
    assert status_of(np.array([[0.0, 1e-30]], dtype=np.float32)) == "ok"
