"""SegNeXt: published counts, equality with MMSegmentation's classes, random bases under the contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench_core.data.loader import Split
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.inference import Inference
from bench_core.protocol.normalization import Normalize, Transfer
from bench_core.spec.protocol import Normalization
from bench_core.spec.training import Scoring
from bench_core.weights.load import load_strictly
from bench_gpvm.drop_path import DropPath
from bench_gpvm.segnext.mscan import MSCAN, SIZES
from bench_gpvm.segnext.network import HEAD_WIDTHS, NonNegativeFactorization, SegNeXt, from_published
from tests.helpers.checkpoints import nothing_drawn, randomized, shapes_alone
from tests.helpers.networks import build_network
from tests.helpers.tiny_jobs import BINARY, tiny_arrays, tiny_training

COUNTS = {1: 48_773_825, 2: 48_774_850, 3: 48_775_875, 4: 48_776_900}
BACKBONE_COUNT = 44_636_864


pytestmark = pytest.mark.usefixtures("one_thread")


def build(**settings: Any) -> SegNeXt:
    network = build_network("segnext", **settings)
    assert isinstance(network, SegNeXt)
    return network


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("classes", COUNTS)
def test_parameter_counts_are_the_published_ones(classes: int) -> None:
    with shapes_alone():
        network = SegNeXt(3, classes)
    assert count(network) == COUNTS[classes] == load_registry().model("segnext").parameters[classes]
    assert count(network.backbone) == BACKBONE_COUNT


# As in the paper's tables: MSCAN alone (without its classifier) and SegNeXt on ADE20K, in millions.
@pytest.mark.parametrize(("variant", "whole"), [("t", 4.3), ("s", 13.9), ("b", 27.6), ("l", 48.9)])
def test_variants_have_the_papers_sizes(variant: str, whole: float) -> None:
    with shapes_alone():
        network = SegNeXt(3, 150, variant)
    assert count(network) / 1e6 == pytest.approx(whole, abs=0.15)


def test_options_reach_the_network() -> None:
    with shapes_alone():
        network = build(variant="t", md_r=16)
        another = build(variant="t", drop_path=0.25)
        usual = SegNeXt()
    decompose = network.get_submodule("decode_head.hamburger.decompose")
    assert isinstance(decompose, NonNegativeFactorization)
    assert decompose.rank == 16
    assert network.get_submodule("decode_head.classify").in_channels == 256
    assert _last_rate(network) == pytest.approx(0.1)
    assert _last_rate(another) == pytest.approx(0.25)
    assert _last_rate(usual) == pytest.approx(0.3)


def test_drop_path_grows_linearly_over_the_blocks() -> None:
    with shapes_alone():
        modules = MSCAN(SIZES["t"], drop_path=0.6).modules()
    rates = [module.rate for module in modules if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.05 * index for index in range(13)])


@pytest.mark.parametrize(("height", "width"), [(33, 33), (64, 45), (70, 99)])
def test_any_size(height: int, width: int) -> None:
    network = build(variant="t")
    network.eval()
    images = torch.randn(1, 3, height, width)
    with torch.no_grad():
        features = network.backbone(images)
        assert network(images).shape == (1, 2, height, width)
        sizes = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
        assert [tuple(feature.shape[-2:]) for feature in features] == sizes
        assert network.decode_head(features).shape == (1, 2, *sizes[1])


def test_the_smallest_declared_size_trains_with_one_image_and_the_next_smaller_does_not() -> None:
    least = load_registry().model("segnext").size_minimum
    network = build(variant="t").train()
    network(torch.randn(1, 3, least, least))
    with pytest.raises(ValueError, match="more than 1 value"):
        network(torch.randn(1, 3, least - 1, least - 1))


@pytest.mark.parametrize(("variant", "rank"), [("t", 16), ("t", 64), ("s", 64)])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_equal_to_mmsegmentation(variant: str, rank: int, training: bool) -> None:
    with nothing_drawn():
        theirs = _mmseg(variant, rank)
        ours = SegNeXt(3, 3, variant, rank, drop_path=0.0)
    load_strictly(ours, from_published(theirs.state_dict()))
    theirs.train(training)
    ours.train(training)
    images = torch.randn(2, 3, 64, 96)
    expected_features, expected, expected_gradient = _forward_backward(theirs, images)
    features, logits, gradient = _forward_backward(ours, images)
    assert all(torch.equal(*pair) for pair in zip(features, expected_features, strict=True))
    assert torch.equal(logits, expected)
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-5 * gradient.abs().max().item())


def test_drop_path_draws_as_mmsegmentation_does() -> None:
    with nothing_drawn():
        theirs = _mmseg("t", 64, drop_path=0.5).train()
        ours = SegNeXt(3, 3, "t", drop_path=0.5).train()
    load_strictly(ours, from_published(theirs.state_dict()))
    images = torch.randn(4, 3, 64, 64)
    assert torch.equal(_forward_backward(ours, images)[1], _forward_backward(theirs, images)[1])


def test_an_images_gradient_is_the_same_alone_and_in_a_batch() -> None:
    backbone = MSCAN(SIZES["t"]).double().eval()
    randomized(backbone)
    images = torch.randn(2, 3, 48, 48, dtype=torch.float64, requires_grad=True)
    weights = torch.randn_like(backbone(images)[3])
    (together,) = torch.autograd.grad((backbone(images)[3] * weights).sum(), images)
    (alone,) = torch.autograd.grad((backbone(images[:1])[3] * weights[:1]).sum(), images)
    torch.testing.assert_close(alone[0], together[0], rtol=0, atol=1e-10 * together.abs().max().item())


def test_a_prediction_depends_on_job_seed_and_image_alone() -> None:
    network = build(variant="t", classes=1).eval()
    randomized(network)
    several, one = _predictions(network, [0, 1, 2, 3], seed=1), _predictions(network, [2], seed=1)
    torch.rand(3)  # whatever else has been drawn
    again, other = _predictions(network, [3, 2], seed=1), _predictions(network, [2], seed=2)
    sample = "case-02"
    assert torch.equal(several[sample], one[sample])
    assert torch.equal(several[sample], again[sample])
    assert not torch.equal(several[sample], other[sample])


def test_factorization_lowers_the_error_and_its_gradient_is_that_of_all_updates() -> None:
    torch.manual_seed(0)
    low_rank = torch.einsum("bcr,brhw->bchw", torch.rand(1, 8, 2), torch.rand(1, 2, 2, 4)).double()
    decompose = NonNegativeFactorization(rank=4)
    errors = []
    for training in (True, False):
        decompose.train(training)
        torch.manual_seed(1)
        errors.append((decompose(low_rank) - low_rank).square().mean().item())
    assert errors[1] < errors[0] < 0.05 * low_rank.var().item()

    def seeded(features: Tensor) -> Tensor:
        torch.manual_seed(1)
        approximated: Tensor = decompose(features)
        return approximated

    # Numerical differences go through every update; a gradient cut off anywhere would differ.
    assert torch.autograd.gradcheck(seeded, (low_rank.requires_grad_(),))


def _mmseg(variant: str, rank: int, drop_path: float = 0.0) -> nn.Module:
    """MMSegmentation's own backbone and head, with weights that leave no part of them idle."""
    pytest.importorskip("mmseg")
    from mmseg.models import backbones, decode_heads

    size, width = SIZES[variant], HEAD_WIDTHS[variant]
    theirs = nn.Module()
    theirs.backbone = backbones.MSCAN(
        embed_dims=list(size.widths),
        mlp_ratios=list(size.expansions),
        depths=list(size.depths),
        drop_path_rate=drop_path,
        norm_cfg={"type": "BN"},
    )
    theirs.decode_head = decode_heads.LightHamHead(
        in_channels=list(size.widths[1:]),
        in_index=[1, 2, 3],
        channels=width,
        ham_channels=width,
        ham_kwargs={"MD_R": rank},
        dropout_ratio=0.1,
        num_classes=3,
        norm_cfg={"type": "GN", "num_groups": 32},
        align_corners=False,
    )
    randomized(theirs)
    return theirs


def _forward_backward(network: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return stage outputs, the head's logits and the gradient at the images, under one seed."""
    images = images.clone().requires_grad_()
    torch.manual_seed(5)
    features = network.get_submodule("backbone")(images)
    logits = network.get_submodule("decode_head")(features)
    (gradient,) = torch.autograd.grad(logits.square().mean(), images)
    return features, logits, gradient


def _predictions(network: nn.Module, samples: list[int], seed: int) -> dict[str, Tensor]:
    """Return each image's logits as the contract has them computed, the declaration given."""
    split = Split(tiny_arrays(BINARY), samples, "rgb")
    device = torch.device("cpu")
    seen: list[Tensor] = []

    def predict(images: Tensor) -> Tensor:
        seen.append(network(images))
        return seen[-1]

    Inference(
        network,
        BINARY,
        tiny_training(),
        Scoring(),
        Transfer(Normalize(Normalization(), channels=3), BINARY, device, torch.contiguous_format),
        device,
        seed=seed,
        random_at_inference=load_registry().model("segnext").random_at_inference,
        workers=0,
    ).count(split, predict)
    return dict(zip(split.ids, torch.cat(seen), strict=True))


def _last_rate(network: nn.Module) -> float:
    return [module.rate for module in network.modules() if isinstance(module, DropPath)][-1]
