"""Maps of every architecture's declared layers: of the layer's own shape, alive, of a single image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench_core.activations import look
from bench_core.conformance.candidate import Candidate, disks
from bench_core.conformance.model_checks import _normalized_by
from bench_core.declarations import Architecture, Task
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.randomness import seeded
from bench_steps.grad_cam.layers import LINEAR, chosen_layers
from bench_steps.grad_cam.maps import Explorer
from bench_steps.grad_cam.methods import METHODS, map_of

ARCHITECTURES = {name: model for name, model in load_registry().models.items() if model.build is not None}
QUICK = ("segformer", "swin-unet")
TASK = Task(classes=("disk", "ring"), channels=3)
IMAGES = 3


@pytest.fixture(
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ARCHITECTURES]
)
def declared(request: pytest.FixtureRequest) -> Architecture:
    return ARCHITECTURES[request.param]


def test_declared_layers_give_maps(declared: Architecture) -> None:
    torch.set_num_threads(1)
    candidate = Candidate(declared, declared.small)
    size = candidate.ample_size * 2
    images, masks = disks(IMAGES, size)
    with seeded(0):
        network = _normalized_by(images, candidate.build(3, TASK.logit_channels))
    layers = chosen_layers(declared.explained, "sweep", network, images[:1], declared.name)
    assert [layer.depth for layer in layers] == list(range(1, len(layers) + 1))
    explorer = Explorer(network, TASK, layers, tuple(METHODS), lambda sample: seeded(1), False)
    alive: dict[tuple[str, str], int] = {}
    strides: dict[str, float] = {}
    for place in range(IMAGES):
        labels = {"truth": (masks[place] + (masks[place] > 0) * (torch.arange(size) % 2)).byte().numpy()}
        looked = explorer.look(str(place), images[place : place + 1], labels)
        assert looked.logits.shape == (3, size, size)
        assert len(looked.maps) == 2 * len(layers) * len(METHODS)
        for made in looked.maps:
            assert made.cells is not None and made.status != "nan" and made.cells.min() >= 0
            assert made.cells.shape[0] == made.cells.shape[1] == pytest.approx(size / made.stride, abs=1e-6)
            assert made.full(size).shape == (size, size)
            key = made.layer.name, made.method
            alive[key] = alive.get(key, 0) + (made.status == "ok")
            strides[made.layer.name] = made.stride
    assert all(alive.values()), alive
    inward = [strides[name] for name in declared.explained.encoder]
    assert inward == sorted(inward) and len(inward) >= 3 and inward[-1] >= 16
    assert any(7 <= stride <= 17 for stride in inward[:-1])


def test_a_map_is_that_of_the_image_alone(declared: Architecture) -> None:
    """One image at a time is what the step does; here a batch gives the same, but where a network draws."""
    torch.set_num_threads(1)
    candidate = Candidate(declared, declared.small)
    images, masks = disks(2, candidate.ample_size * 2)
    with seeded(0):
        network = _normalized_by(images, candidate.build(3, 1)).double()
    # In whole precision: in float32 a sign behind a kink may turn by rounding.
    images = images.double()
    forms = {name: declared.explained.form(name) for name in declared.explained.names}

    def maps(batch: torch.Tensor, inside: torch.Tensor) -> dict[str, np.ndarray]:
        with seeded(1):
            seen = look(network, batch, forms)
        return {
            name: map_of("grad-cam", layer).numpy()
            for name, layer in seen.layers((seen.logits[:, 0] * inside).sum()).items()
        }

    again = maps(images[:1], masks[:1])
    for name, found in maps(images[:1], masks[:1]).items():
        assert np.array_equal(found, again[name]), name
    if declared.random_at_inference:
        return
    together = maps(images, masks)
    for place in range(2):
        alone = maps(images[place : place + 1], masks[place : place + 1])
        for name in forms:
            largest = max(float(together[name][place].max()), 1e-12)
            assert np.abs(alone[name][0] - together[name][place]).max() <= 1e-5 * largest, name


@pytest.mark.slow
def test_the_study_rule_lands_on_the_logits_of_every_architecture() -> None:
    for name, model in ARCHITECTURES.items():
        candidate = Candidate(model, model.small)
        images, _ = disks(1, candidate.ample_size * 2)
        with seeded(0):
            network = candidate.build(3, 2).eval()
        with seeded(1):
            (found,) = chosen_layers(model.explained, "auto", network, images, name)
        assert found.note == LINEAR and found.name not in model.explained.names, name


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(
            "smp:unet/resnet18",
            "smp:segformer/mit_b0",
            "smp:pspnet/resnet18",
            "smp:dpt/tu-vit_tiny_patch16_224",
        ),
        *("timm:resnet18/fpn", "timm:vit_tiny_patch16_224/fpn", "hf:segformer", "hf:mobilenet_v2"),
        *("monai:unet", "monai:basicunet", "monai:swinunetr"),
        "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512",
        "mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512",
        "mmseg:pspnet_r18-d8_4xb2-80k_cityscapes-512x1024",
    ],
)
def test_networks_of_every_source_give_maps_of_several_stages(name: str) -> None:
    model = load_registry().model(name)
    for package in model.requires:
        pytest.importorskip(package)
    torch.set_num_threads(1)
    candidate = Candidate(model, model.small)
    size = candidate.ample_size * 2
    images, masks = disks(2, size)
    with seeded(0):
        network = _normalized_by(images, candidate.build(3, 1))
    task = Task(classes=("disk",), channels=3)
    layers = chosen_layers(model.explained, "sweep", network, images[:1], name)
    explorer = Explorer(network, task, layers, ("grad-cam", "hires-cam"), lambda sample: seeded(1), False)
    usable: set[str] = set()
    for place in range(2):
        looked = explorer.look(str(place), images[place : place + 1], {"truth": masks[place].byte().numpy()})
        usable |= {made.layer.name for made in looked.maps if made.status == "ok"}
        strides = {made.layer.name: made.stride for made in looked.maps}
    assert usable == set(model.explained.names) and model.explained.decoder
    inward = [strides[each] for each in model.explained.encoder]
    assert inward == sorted(inward) and len(inward) >= 2
