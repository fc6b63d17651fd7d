"""U-KAN: the published counts, its variants, the public implementation's names, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from bench_core.errors import WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sma.u_kan.network import UKAN, KANBlock, from_reference
from tests.helpers.checkpoints import shapes_alone
from tests.helpers.networks import build_network


@pytest.mark.parametrize(
    ("logits", "count"), [(1, 25_359_265), (2, 25_359_298), (3, 25_359_331), (4, 25_359_364)]
)
def test_parameter_counts_are_the_published_ones(logits: int, count: int) -> None:
    with shapes_alone():
        model = UKAN(in_channels=3, num_classes=logits)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert load_registry().model("u-kan").parameters[logits] == count


@pytest.mark.parametrize(("variant", "millions"), [("l", 25.36), ("b", 6.36), ("tiny", 1.60)])
def test_variants_differ_in_width(variant: str, millions: float) -> None:
    with shapes_alone():
        model = UKAN(3, 3, variant)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize(("size", "channels", "classes"), [((64, 64), 1, 1), ((64, 96), 3, 4)])
def test_logits_have_the_size_of_the_image(size: tuple[int, int], channels: int, classes: int) -> None:
    model = build_network("u-kan", channels=channels, classes=classes, variant="tiny").eval()
    with torch.no_grad():
        assert model(torch.randn(2, channels, *size)).shape == (2, classes, *size)


def test_the_whole_size_trains_at_the_smallest_image() -> None:
    declared = load_registry().model("u-kan")
    model = build_network("u-kan", classes=3)
    model(torch.randn(1, 3, declared.size_minimum, declared.size_minimum)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    blocks = [module for module in model.modules() if isinstance(module, KANBlock)]
    # Published: 16.03 million of the 25.36.
    assert sum(parameter.numel() for block in blocks for parameter in block.parameters()) == 16_027_904


def test_reference_names_map_onto_every_tensor() -> None:
    theirs = _reference_names()
    renamed = from_reference({name: torch.zeros(()) for name in theirs})
    assert len(renamed) == len(theirs)
    assert renamed.keys() == UKAN(variant="tiny").state_dict().keys()
    places = {name: next(iter(from_reference({name: torch.zeros(())}))) for name in theirs}
    assert (
        places["block2.0.layer.dwconv_3.bn.running_var"] == "token_encoder.1.block.layers.2.norm.running_var"
    )
    assert places["dnorm3.weight"] == "token_decoder.0.norm.weight"
    assert places["dblock2.0.layer.fc1.grid"] == "token_decoder.1.block.layers.0.mix.grid"
    assert places["decoder5.conv.4.bias"] == "decoder.2.4.bias"


def test_an_input_pixel_reaches_every_logit() -> None:
    torch.manual_seed(0)
    model = build_network("u-kan", classes=1, variant="tiny").eval()
    image = torch.randn(1, 3, 64, 64, requires_grad=True)
    model(image)[0, 0, 0, 0].backward()
    assert image.grad is not None
    assert image.grad[0, :, 40, 40].any()


def test_pretrained_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="no pretrained weights for u-kan"):
        build_network("u-kan", pretrained="imagenet", variant="tiny")


def _reference_names() -> list[str]:
    """Return the tensor names of the public implementation."""
    affine = ("weight", "bias")
    batch_norm = (*affine, "running_mean", "running_var", "num_batches_tracked")
    names = [
        f"{module}.{leaf}" for module in ("norm3", "norm4", "dnorm3", "dnorm4", "final") for leaf in affine
    ]
    for stage in (*(f"encoder{n}" for n in (1, 2, 3)), *(f"decoder{n}" for n in (1, 2, 3, 4, 5))):
        names += [f"{stage}.conv.{layer}.{leaf}" for layer in (0, 3) for leaf in affine]
        names += [f"{stage}.conv.{layer}.{leaf}" for layer in (1, 4) for leaf in batch_norm]
    for embed in ("patch_embed3", "patch_embed4"):
        names += [f"{embed}.{layer}.{leaf}" for layer in ("proj", "norm") for leaf in affine]
    kan = ("grid", "base_weight", "spline_weight", "spline_scaler")
    for block in ("block1.0", "block2.0", "dblock1.0", "dblock2.0"):
        names += [f"{block}.norm2.{leaf}" for leaf in affine]
        for layer in (1, 2, 3):
            names += [f"{block}.layer.fc{layer}.{leaf}" for leaf in kan]
            names += [f"{block}.layer.dwconv_{layer}.dwconv.{leaf}" for leaf in affine]
            names += [f"{block}.layer.dwconv_{layer}.bn.{leaf}" for leaf in batch_norm]
    return names
