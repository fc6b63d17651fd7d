"""What every architecture must do, whoever wrote it.

Your own: pytest tests/conformance/test_models.py --plugin my_net.py --model my-net
"""

from __future__ import annotations

import copy
import functools
import io
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import Architecture, BuildRequest
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_core.plugins import Registry, load_registry

SMALL: Mapping[str, Mapping[str, Any]] = {
    "u-net": {"width": 4},
    "swin-umamba": {"variant": "pico"},
    "u-kan": {"variant": "tiny"},
    "segformer": {"variant": "b0", "decoder_width": 32},
    "segnext": {"variant": "t"},
    "transnext": {"variant": "pico"},
    "internimage": {"variant": "micro"},
    "transnext": {"variant": "pico"},
    "missformer": {"variant": "tiny"},
    "transunet": {"variant": "tiny"},
}
"""Options under which a large architecture is affordable here; its behavior must not depend on them."""
FROM_SOURCES = (
    "smp:unet/efficientnet-lite0",
    "smp:deeplabv3plus/efficientnet-lite0",
    "smp:pspnet/efficientnet-lite0",
    "smp:segformer/mit_b0",
    "mmseg:erfnet_fcn_4xb4-160k_cityscapes-512x1024",
    "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512",
)
SLOW = (
    "smp:dpt/tu-vit_tiny_patch16_224",
    "smp:pan/resnet18",
    "smp:pspnet/mit_b0",
    "smp:upernet/efficientnet-b0",
    "mmseg:segmenter_vit-t_mask_8xb1-160k_ade20k-512x512",
    "mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512",
    "mmseg:stdc1_4xb12-80k_cityscapes-512x1024",
    "mmseg:unet-s5-d16_fcn_4xb4-40k_drive-64x64",
)
STEPS = 20
_built: dict[str, nn.Module] = {}
"""The network under test; some take seconds to initialize."""


@dataclass(frozen=True)
class Candidate:
    """An architecture with the options that it is checked under."""

    architecture: Architecture
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self, channels: int = 3, classes: int = 2, seed: int = 0, size: int | None = None) -> nn.Module:
        torch.manual_seed(seed)
        assert self.architecture.build is not None
        module = resolve_entry(self.architecture.build)(
            BuildRequest(
                in_channels=channels,
                num_classes=classes,
                image_size=size or self.sizes[-1],
                pretrained="none",
                options=complete_options(self.architecture.options, self.options),
            )
        )
        assert isinstance(module, nn.Module)
        return module

    @property
    def sizes(self) -> tuple[int, int]:
        """The smallest size of at least 32 pixels within the declared limits, and another, odd if allowed."""
        step = self.architecture.size_multiple
        smallest = step * math.ceil(max(self.architecture.size_minimum, 32) / step)
        return smallest, smallest + (step if step > 1 else 13)

    @property
    def ample_size(self) -> int:
        """A size at which attention over reduced tokens still sees several of them."""
        return self.sizes[0] * math.ceil(64 / self.sizes[0])

    def is_dead(self, parameter: str) -> bool:
        return any(parameter.startswith(prefix) for prefix in self.architecture.dead_parameters)


@functools.cache
def _registry(plugins: tuple[Path, ...]) -> Registry:
    # Once: a plugin file that is loaded again has new classes, and instances of the old no longer pickle.
    return load_registry(plugins)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "candidate" not in metafunc.fixturenames:
        return
    registry = _registry(tuple(metafunc.config.getoption("--plugin", default=[])))
    wanted = metafunc.config.getoption("--model", default=[])
    built = [name for name, declared in registry.models.items() if declared.build]
    names = wanted or [*built, *FROM_SOURCES, *SLOW]
    metafunc.parametrize(
        "candidate",
        [
            pytest.param(
                Candidate(registry.model(name), SMALL.get(name, {})),
                marks=[pytest.mark.slow] if name in SLOW and not wanted else [],
            )
            for name in names
        ],
        ids=names,
        scope="class",
    )


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class TestModel:
    """One class for all architectures."""

    @pytest.fixture
    def model(self, candidate: Candidate) -> nn.Module:
        name = candidate.architecture.name
        if name not in _built:
            _built.clear()
            _built[name] = candidate.build()
        return copy.deepcopy(_built[name])

    @pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 1), (3, 2), (1, 3), (3, 4)])
    def test_logits_have_the_images_size(self, candidate: Candidate, channels: int, classes: int) -> None:
        model = candidate.build(channels, classes).eval()
        with torch.no_grad():
            for batch, size in ((1, candidate.sizes[0]), (3, candidate.sizes[1])):
                logits = model(_images(batch, channels, size))
                assert isinstance(logits, Tensor)
                assert logits.shape == (batch, classes, size, size)
                assert torch.isfinite(logits).all()

    def test_gradients_reach_every_parameter_but_the_declared_dead(
        self, candidate: Candidate, model: nn.Module
    ) -> None:
        model.train()
        silent = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        # Layers that start at zero let no gradient through before they have moved.
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for draw in range(3):
            torch.manual_seed(draw)
            logits = model(_images(3, 3, candidate.ample_size, seed=draw))
            optimizer.zero_grad()
            logits.square().mean().backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    assert torch.isfinite(parameter.grad).all(), name
                    if parameter.grad.any():
                        silent.discard(name)
            optimizer.step()
        dead = {name for name, _ in model.named_parameters() if candidate.is_dead(name)}
        assert sorted(silent) == sorted(dead)

    def test_eval_is_deterministic(self, candidate: Candidate, model: nn.Module) -> None:
        images = _images(2, 3, candidate.sizes[0])
        assert torch.equal(_logits(candidate, model, images), _logits(candidate, model, images))

    def test_eval_of_an_image_does_not_depend_on_its_batch(
        self, candidate: Candidate, model: nn.Module
    ) -> None:
        images = _images(3, 3, candidate.sizes[0])
        together = _logits(candidate, model, images)
        for index in range(3):
            alone = _logits(candidate, model, images[index : index + 1])
            torch.testing.assert_close(alone[0], together[index], rtol=1e-3, atol=1e-4)

    def test_the_same_seed_builds_the_same_network(self, candidate: Candidate, model: nn.Module) -> None:
        again, other = candidate.build(seed=0).state_dict(), candidate.build(seed=1).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())
        assert any(not torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items())

    def test_saved_weights_come_back(self, candidate: Candidate, model: nn.Module) -> None:
        model.train()(_images(3, 3, candidate.sizes[0]))  # so that running statistics differ from fresh ones
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = candidate.build(seed=1)
        other.load_state_dict(torch.load(file, weights_only=True), strict=True)
        images = _images(2, 3, candidate.sizes[0])
        assert torch.equal(_logits(candidate, model, images), _logits(candidate, other, images))

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
    def test_copies_compute_the_same(
        self, candidate: Candidate, model: nn.Module, copied: Callable[[nn.Module], nn.Module]
    ) -> None:
        images = _images(2, 3, candidate.sizes[0])
        assert torch.equal(_logits(candidate, model, images), _logits(candidate, copied(model), images))

    def test_declared_parameter_counts_are_true(self, candidate: Candidate) -> None:
        for classes, declared in candidate.architecture.parameters.items():
            full = Candidate(candidate.architecture)
            found = sum(parameter.numel() for parameter in full.build(3, classes).parameters())
            assert found == declared, f"{classes} logit channels"

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
    def test_autocast_is_finite(self, candidate: Candidate, model: nn.Module, dtype: torch.dtype) -> None:
        model.train()
        with torch.autocast("cpu", dtype=dtype):
            logits = model(_images(2, 3, candidate.sizes[0]))
        assert torch.isfinite(logits).all()
        if dtype == torch.float16:
            return  # its gradients need a scaler, which may take a few steps to find a scale
        logits.float().square().mean().backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        assert gradients
        assert all(torch.isfinite(gradient).all() for gradient in gradients)

    def test_channels_last_computes_the_same(self, candidate: Candidate, model: nn.Module) -> None:
        images = _images(2, 3, candidate.sizes[0])
        expected = _logits(candidate, model, images)
        model.to(memory_format=torch.channels_last)
        found = _logits(candidate, model, images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)

    def test_the_loss_falls(self, candidate: Candidate, model: nn.Module) -> None:
        images, masks = _disks(4, candidate.sizes[0])
        model.train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses = []
        torch.manual_seed(0)
        for _ in range(STEPS):
            loss = functional.cross_entropy(model(images), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert all(math.isfinite(loss) for loss in losses)
        assert sum(losses[-3:]) / 3 < 0.8 * losses[0]


def _logits(candidate: Candidate, model: nn.Module, images: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        if candidate.architecture.random_at_inference:
            return torch.cat([_seeded_logits(model, image) for image in images[:, None]])
        logits: Tensor = model(images)
    return logits


def _seeded_logits(model: nn.Module, image: Tensor) -> Tensor:
    """Return what the contract computes of a model that draws at inference: one image, freshly seeded."""
    torch.manual_seed(0)
    logits: Tensor = model(image)
    return logits


def _images(batch: int, channels: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))


def _disks(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Return noisy images [B, 3, S, S] with one bright disk each, and its masks [B, S, S]."""
    images = 0.3 * _images(count, 3, size)
    axis = torch.arange(size)
    for index in range(count):
        center = size * (0.35 + 0.1 * index)
        disk = (axis[:, None] - center) ** 2 + (axis[None] - size / 2) ** 2 < (size / 4) ** 2
        images[index, :, disk] += 1.5
    masks = images.mean(dim=1) > 0.75
    masks = functional.avg_pool2d(masks.float()[:, None], 5, stride=1, padding=2)[:, 0] > 0.5
    return images, masks.long()
