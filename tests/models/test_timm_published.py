"""UPerNet on timm's backbones is the published one: output norms, drop path, MMSegmentation's head."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from bench_core.errors import TrainingError
from bench_core.weights.load import load_strictly
from bench_sources.heads import FPN, PixelNorm, UPer
from bench_sources.timm_source import resolve
from tests.helpers.checkpoints import shapes_alone
from tests.helpers.networks import build_network

timm = pytest.importorskip("timm")

pytestmark = pytest.mark.usefixtures("one_thread")
WIDTHS = (6, 10, 16, 24)


def build(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_network(f"timm:{name}", **options)


@pytest.mark.parametrize(
    ("name", "eps"),
    [
        ("convnext_atto", 1e-6),
        ("convnextv2_atto", 1e-6),
        ("swin_tiny_patch4_window7_224", 1e-5),
        ("swinv2_tiny_window8_256", 1e-5),
        ("twins_svt_small", 1e-5),
        ("swinv2_cr_tiny_224", None),
        ("twins_pcpvt_small", None),
        ("resnet10t", None),
        ("vit_tiny_patch16_224", None),
        ("convnext_atto/fpn", None),
    ],
)
def test_every_stage_is_normalized_where_upernet_is_published_so(name: str, eps: float | None) -> None:
    with shapes_alone():
        network = build(name)
    norms = network.get_submodule("output_norms")
    assert isinstance(norms, nn.ModuleList)
    assert [norm.eps for norm in norms if isinstance(norm, PixelNorm)] == [eps] * (0 if eps is None else 4)


@pytest.mark.parametrize("name", ["convnext_atto", "swin_tiny_patch4_window7_224"])
def test_the_head_gets_normalized_stages(name: str) -> None:
    network, seen = build(name).eval(), []
    network.get_submodule("decode_head").register_forward_pre_hook(lambda _, given: seen.extend(given[0]))
    with torch.no_grad():
        network(torch.randn(1, 3, 64, 64))
    assert [stage.shape[-1] for stage in seen] == [16, 8, 4, 2]
    for stage in seen:
        torch.testing.assert_close(stage.mean(1), torch.zeros_like(stage[:, 0]), rtol=0, atol=1e-5)
        torch.testing.assert_close(
            stage.var(1, unbiased=False), torch.ones_like(stage[:, 0]), rtol=0, atol=1e-2
        )


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("convnext_tiny", 0.4),
        ("convnext_tiny.fb_in1k", 0.4),
        ("convnext_small", 0.3),
        ("convnext_xlarge", 0.4),
        ("convnext_atto", None),
        ("swin_small_patch4_window7_224", 0.3),
        ("twins_pcpvt_large", 0.3),
        ("twins_svt_base", 0.2),
        ("beit_large_patch16_224", 0.2),
        ("deit_small_patch16_224", 0.1),
        ("resnet18", None),
        ("convnext_tiny/fpn", None),
    ],
)
def test_the_published_rate_is_the_default(name: str, rate: float | None) -> None:
    declared = resolve(f"timm:{name}")
    assert declared.options["drop_path"].default == rate
    assert declared.version == 2


def rates(network: nn.Module) -> list[float]:
    return [float(vars(module)["drop_prob"]) for module in network.modules() if "drop_prob" in vars(module)]


def test_the_rate_reaches_the_last_block_and_grows_up_to_it() -> None:
    with shapes_alone():
        assert max(rates(build("convnext_tiny"))) == pytest.approx(0.4)
        assert max(rates(build("convnext_tiny/fpn")), default=0) == 0
        given = rates(build("convnext_tiny", drop_path=0.2))
        assert given == sorted(given) and given[-1] == pytest.approx(0.2)
        assert max(rates(build("convnext_tiny", drop_path=0.0)), default=0) == 0
        assert max(rates(build("resnet10t", drop_path=0.1))) == pytest.approx(0.1)
        assert max(rates(build("vit_tiny_patch16_224/fpn", drop_path=0.1))) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["vgg11/fpn", "densenet121/fpn"])
def test_a_rate_for_a_backbone_without_stochastic_depth_is_refused(name: str) -> None:
    with pytest.raises(TrainingError, match="has no stochastic depth") as caught:
        build(name, drop_path=0.1)
    assert "leave `drop_path` out" in (caught.value.fix or "")


def mmseg_head(width: int, **more: Any) -> nn.Module:
    heads: Any = pytest.importorskip("mmseg.models.decode_heads")
    head: nn.Module = heads.UPerHead(
        in_channels=list(WIDTHS),
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=width,
        dropout_ratio=0.1,
        num_classes=3,
        norm_cfg={"type": "BN", "requires_grad": True},
        align_corners=False,
    )
    head.init_weights()  # type: ignore[operator]
    return head


PARTS = {
    "psp_modules.{}.1": "pooled.{}",
    "lateral_convs.{}": "laterals.{}",
    "fpn_convs.{}": "smoothings.{}",
    "bottleneck": "context",
    "fpn_bottleneck": "fusion",
}


def renamed(name: str) -> str:
    """Return an mmseg UPerHead's tensor's name in ours."""
    for number in range(4):
        for theirs, ours in PARTS.items():
            part = theirs.format(number) + "."
            if name.startswith(part):
                rest = name.removeprefix(part).replace("conv.", "0.").replace("bn.", "1.")
                return f"{ours.format(number)}.{rest}"
    return name.replace("conv_seg", "classifier")


@pytest.mark.parametrize("training", [False, True])
def test_the_head_computes_what_mmsegmentations_does_with_its_weights(training: bool) -> None:
    theirs, ours = mmseg_head(8).double().train(training), UPer(WIDTHS, 3, width=8).double().train(training)
    generator = torch.Generator().manual_seed(0)
    for tensor in theirs.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(0.1 + torch.rand(tensor.shape, generator=generator, dtype=torch.float64) / 3)
    report = load_strictly(ours, {renamed(name): tensor for name, tensor in theirs.state_dict().items()})
    assert report.loaded == report.total
    stages = [
        torch.randn(2, width, side, side + 1, generator=generator, dtype=torch.float64)
        for width, side in zip(WIDTHS, (21, 11, 6, 3), strict=True)
    ]
    found = []
    for head in (theirs, ours):
        torch.manual_seed(1)
        found.append(head(stages))
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)


def test_the_head_begins_as_mmsegmentations() -> None:
    torch.manual_seed(0)
    theirs, ours = mmseg_head(128), UPer(WIDTHS, 3, width=128)
    own = dict(ours.named_parameters())
    for name, expected in theirs.named_parameters():
        found = own.pop(renamed(name))
        near = 5 / math.sqrt(found.numel()) + 1e-3
        assert found.std().item() == pytest.approx(expected.std().item(), rel=near, abs=1e-9), name
        assert abs(found.mean() - expected.mean()) <= near * max(expected.std().item(), 1e-9), name
    assert not own
    assert ours.classifier.weight.std().item() == pytest.approx(0.01, rel=0.2)


def test_the_semantic_branch_of_panoptic_fpn_begins_as_published() -> None:
    """As Detectron2's: He's normal before ReLUs and for the classifier, Xavier's uniform in the pyramid."""
    torch.manual_seed(0)
    head = FPN((64, 96), 3)
    for name, module in head.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in, fan_out = module.weight[0].numel(), module.weight[:, 0].numel()
            if name.startswith(("laterals", "smoothings")):
                assert module.weight.abs().max().item() == pytest.approx(math.sqrt(3 / fan_in), rel=0.01), (
                    name
                )
            else:
                assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.15), name
            assert module.bias is None or not module.bias.any()
