"""SegFormer: published counts, equality with MMSegmentation's classes, published files loaded strictly."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.errors import WeightsError
from bench_core.plugins.wiring import load_registry
from bench_core.weights.load import load_strictly
from bench_gpvm.drop_path import DropPath
from bench_gpvm.mit import VARIANTS, MixTransformer
from bench_gpvm.segformer.network import SegFormer, from_published
from tests.helpers.checkpoints import nothing_drawn, numbered_like, randomized, shapes_alone
from tests.helpers.mit_file import authors_file
from tests.helpers.networks import build_network, finder

MMSEG_COUNTS = {2: 47_227_074, 4: 47_228_612}
AUTHORS_COUNTS = {1: 47_223_362, 2: 47_224_260, 3: 47_225_158, 4: 47_226_056}
BACKBONE_COUNT = 44_072_128


def build(
    pretrained: str = "none", weights: Path | None = None, channels: int = 3, **options: Any
) -> SegFormer:
    network = build_network(
        "segformer",
        pretrained=pretrained,
        weights=weights,
        channels=channels,
        **{"decoder_width": 16, **options},
    )
    assert isinstance(network, SegFormer)
    return network


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_parameter_counts_are_the_published_ones(classes: int) -> None:
    with shapes_alone():
        usual, authors = SegFormer(3, classes), SegFormer(3, classes, head="nvlabs")
    assert count(authors) == AUTHORS_COUNTS[classes]
    assert count(usual) == MMSEG_COUNTS.get(classes, MMSEG_COUNTS[2] + (classes - 2) * 769)
    assert count(usual) == load_registry().model("segformer").parameters[classes]
    assert count(usual.backbone) == BACKBONE_COUNT


# As in the paper's table of model sizes, in millions: encoder and whole network.
@pytest.mark.parametrize(
    ("variant", "encoder", "whole"),
    [
        ("b0", 3.4, 3.8),
        ("b1", 13.1, 13.7),
        ("b2", 24.2, 27.5),
        ("b3", 44.0, 47.3),
        ("b4", 60.8, 64.1),
        ("b5", 81.4, 84.7),
    ],
)
def test_variants_have_the_papers_sizes(variant: str, encoder: float, whole: float) -> None:
    with shapes_alone():
        network = SegFormer(3, 150, variant, head="nvlabs")
    assert count(network.backbone) / 1e6 == pytest.approx(encoder, abs=0.15)
    assert count(network) / 1e6 == pytest.approx(whole, abs=0.15)


@pytest.mark.parametrize("head", ["mmseg", "nvlabs"])
def test_any_size_from_29_pixels_on(head: str) -> None:
    network = build(variant="b0", head=head).eval()
    for height, width in ((29, 29), (32, 45), (67, 61)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            features = network.backbone(images)
            assert network(images).shape == (1, 2, height, width)
        sizes = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
        assert [tuple(feature.shape[-2:]) for feature in features] == sizes
        assert network.decode_head(features).shape == (1, 2, *sizes[0])
    with pytest.raises(RuntimeError):
        network(torch.randn(1, 3, 28, 28))


def test_only_the_layer_declared_dead_gets_no_gradient() -> None:
    network = build(variant="b0", head="nvlabs", drop_path=0.0)
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    silent = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert silent == {"decode_head.conv_seg.weight", "decode_head.conv_seg.bias"}
    dead = load_registry().model("segformer").dead_parameters
    assert all(name.startswith(dead) for name in silent)


def test_drop_path_grows_linearly_over_the_blocks() -> None:
    rates = [
        module.rate
        for module in MixTransformer("b0", drop_path=0.7).modules()
        if isinstance(module, DropPath)
    ]
    assert rates == pytest.approx([0.1 * index for index in range(8)])


def test_initialization_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    backbone = MixTransformer("b0")
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name
            assert not module.bias.any()
        elif isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] ** 2 * module.out_channels / module.groups
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.15), name


def mmseg_network(classes: int, width: int, depths: tuple[int, ...] = (1, 1, 1, 1)) -> nn.Module:
    """MMSegmentation's own SegFormer, with B3's widths."""
    pytest.importorskip("mmseg")
    from mmengine.registry import DefaultScope
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope("mmseg"):
        network: nn.Module = MODELS.build(
            {
                "type": "EncoderDecoder",
                "backbone": {
                    "type": "MixVisionTransformer",
                    "embed_dims": 64,
                    "num_stages": 4,
                    "num_layers": list(depths),
                    "num_heads": [1, 2, 5, 8],
                    "patch_sizes": [7, 3, 3, 3],
                    "sr_ratios": [8, 4, 2, 1],
                    "out_indices": (0, 1, 2, 3),
                    "mlp_ratio": 4,
                    "qkv_bias": True,
                    "drop_path_rate": 0.1,
                },
                "decode_head": {
                    "type": "SegformerHead",
                    "in_channels": [64, 128, 320, 512],
                    "in_index": [0, 1, 2, 3],
                    "channels": width,
                    "dropout_ratio": 0.1,
                    "num_classes": classes,
                    "norm_cfg": {"type": "BN", "requires_grad": True},
                    "align_corners": False,
                    "loss_decode": {"type": "CrossEntropyLoss"},
                },
                "train_cfg": {},
                "test_cfg": {"mode": "whole"},
            }
        )
    return network


def test_from_scratch_it_begins_as_mmsegmentations_under_its_head() -> None:
    """Every tensor's mean, spread and largest value, of B3's widths with two blocks per stage."""
    torch.manual_seed(0)
    theirs = mmseg_network(3, width=768, depths=VARIANTS["b0"][1])
    theirs.init_weights()  # type: ignore[operator]
    expected = from_published({name: parameter.detach() for name, parameter in theirs.named_parameters()})
    own = {name: parameter.detach() for name, parameter in SegFormer(3, 3).named_parameters()}
    assert expected.keys() <= own.keys()
    for name in expected:
        found = own[name]
        spread = expected[name].std().item() if found.numel() > 1 else 0.0
        near = 5 / math.sqrt(found.numel()) + 1e-3
        assert found.std().item() == pytest.approx(spread, rel=near, abs=1e-9), name
        assert abs(found.mean() - expected[name].mean()).item() <= near * spread + 1e-9, name
        if spread:
            # Uniform and normal draws differ in their largest values.
            ours, other = (tensor.abs().max().item() / spread for tensor in (found, expected[name]))
            assert (ours < 1.8) == (other < 1.8), name


def test_from_scratch_it_begins_as_the_authors_under_theirs() -> None:
    torch.manual_seed(0)
    for name, module in SegFormer(3, 3, "b0", head="nvlabs").backbone.named_modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1), name


@pytest.mark.parametrize(
    ("variant", "dtype", "tolerance"),
    [("b1", torch.float64, 1e-10), pytest.param("b3", torch.float32, 1e-5, marks=pytest.mark.slow)],
)
def test_computes_what_mmsegmentation_computes(variant: str, dtype: torch.dtype, tolerance: float) -> None:
    """Logits, and the gradients of the cross-entropy, at B3's widths, which are B1's too."""
    with nothing_drawn():
        theirs = randomized(mmseg_network(3, width=768, depths=VARIANTS[variant][1])).to(dtype).eval()
        ours = SegFormer(3, 3, variant, decoder_width=768).to(dtype).eval()
    load_strictly(ours, from_published(theirs.state_dict()))
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 3, 45, 32, generator=generator, dtype=dtype)
    target = torch.randint(0, 3, (2, 45, 32), generator=generator)
    low = theirs.get_submodule("decode_head")(theirs.get_submodule("backbone")(images))
    their_logits = functional.interpolate(low, size=images.shape[-2:], mode="bilinear", align_corners=False)
    our_logits = ours(images)
    assert count(ours) == count(theirs)
    error = (our_logits - their_logits).abs().max().item()
    print(f"{dtype} logits: largest difference {error:.1e}")
    assert error <= tolerance
    for logits in (our_logits, their_logits):
        torch.autograd.backward(functional.cross_entropy(logits, target))
    expected = from_published({name: p.grad for name, p in theirs.named_parameters() if p.grad is not None})
    found = {name: p.grad for name, p in ours.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys() == dict(ours.named_parameters()).keys()
    # Gradients of many pixels add up to more than logits do: relative to each tensor's largest.
    for name, gradient in found.items():
        scale = max(1.0, expected[name].abs().max().item())
        assert (gradient - expected[name]).abs().max() <= 10 * tolerance * scale, name


def test_the_authors_names() -> None:
    """A sample of each kind, as they stand in the published files."""
    with shapes_alone():
        tensors = authors_file(MixTransformer("b3").state_dict())
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    published = {
        "patch_embed1.proj.weight": (64, 3, 7, 7),
        "patch_embed4.norm.bias": (512,),
        "block1.0.norm1.weight": (64,),
        "block1.0.attn.q.weight": (64, 64),
        "block1.0.attn.kv.weight": (128, 64),
        "block1.0.attn.sr.weight": (64, 64, 8, 8),
        "block1.0.attn.norm.bias": (64,),
        "block3.17.attn.proj.bias": (320,),
        "block4.2.mlp.fc1.weight": (2048, 512),
        "block4.2.mlp.dwconv.dwconv.weight": (2048, 1, 3, 3),
        "block4.2.mlp.fc2.bias": (512,),
        "norm4.weight": (512,),
    }
    assert published.items() <= shapes.items()
    assert "block4.0.attn.sr.weight" not in shapes
    assert len(shapes) == 572 + 2


@pytest.mark.parametrize(
    ("prefix", "wrap"),
    [("", lambda tensors: tensors), ("backbone.", lambda tensors: {"state_dict": tensors})],
    ids=["flat", "wrapped"],
)
def test_the_authors_files_fill_every_tensor_of_the_backbone(
    tmp_path: Path, prefix: str, wrap: Callable[[dict[str, Tensor]], object]
) -> None:
    with shapes_alone():
        published = numbered_like(MixTransformer("b3"))
    file = tmp_path / "mit_b3.pth"
    torch.save(wrap({prefix + name: tensor for name, tensor in authors_file(published).items()}), file)
    with nothing_drawn():
        network = build("imagenet", file)
    report = network.weights_report
    assert (report.source, report.file, report.loaded, report.total) == ("imagenet", "mit_b3.pth", 572, 572)
    own = network.backbone.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in published.items())


@pytest.mark.parametrize("given", [True, False], ids=["given", "in the folder"])
def test_mmsegmentations_copies_fill_every_tensor_of_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    with nothing_drawn():
        theirs = randomized(mmseg_network(2, width=16, depths=VARIANTS["b1"][1])).get_submodule("backbone")
    file = tmp_path / "mit_b1_20220624-02e5a6a1.pth"
    torch.save({"state_dict": {**theirs.state_dict(), "head.weight": torch.zeros(1000, 512)}}, file)
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with nothing_drawn():
        network = build("imagenet", file if given else None, variant="b1").double().eval()
    report = network.weights_report
    total = len(network.backbone.state_dict())
    assert (report.file, report.loaded, report.total) == (file.name, total, total)
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        for found, expected in zip(network.backbone(images), theirs.double().eval()(images), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_gray_image_is_seen_as_three_equal_channels(tmp_path: Path) -> None:
    file = tmp_path / "mit_b0.pth"
    torch.save(authors_file(MixTransformer("b0").state_dict()), file)
    with nothing_drawn():
        rgb, gray = (build("imagenet", file, channels=channels, variant="b0") for channels in (3, 1))
    assert gray.weights_report.notes == (
        "stages.0.embed.projection.weight summed over red, green and blue for one input channel",
    )
    assert rgb.weights_report.notes == ()
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = rgb.eval().backbone(images.repeat(1, 3, 1, 1))[-1]
        torch.testing.assert_close(gray.eval().backbone(images)[-1], expected, rtol=1e-4, atol=1e-4)


def test_a_missing_file_is_named_with_its_publishers_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("segformer")
    assert find("none", None, {"variant": "b2"}) is None
    with pytest.raises(WeightsError) as caught:
        find("imagenet", None, {"variant": "b2"})
    assert "mit_b2.pth or mit_b2_20220624-66e8bf70.pth" in caught.value.message
    assert str(tmp_path / "mit_b2.pth") in (caught.value.cause or "")
    for part in ("NVlabs/SegFormer", "MMSegmentation", "$SEGTRIAL_WEIGHTS", "`weights:`"):
        assert part in (caught.value.fix or "")
    (tmp_path / "mit_b2.pth").touch()
    assert find("imagenet", None, {"variant": "b2"}) == tmp_path / "mit_b2.pth"
    with pytest.raises(WeightsError, match=r"mit_b3\.pth"):
        build("imagenet")
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build("none", tmp_path / "mit_b2.pth")


@pytest.mark.parametrize("change", ["variant", "missing", "unexpected", "whole network"])
def test_a_file_that_does_not_fit_fails(tmp_path: Path, change: str) -> None:
    with shapes_alone():
        backbone = MixTransformer("b1" if change == "variant" else "b0")
    tensors = authors_file(numbered_like(backbone))
    if change == "missing":
        del tensors["block4.1.attn.kv.bias"]
    elif change == "unexpected":
        tensors["block1.0.attn.bias_table"] = torch.zeros(1)
    elif change == "whole network":
        tensors = {f"backbone.{name}": tensor for name, tensor in tensors.items()}
        tensors["decode_head.linear_pred.bias"] = torch.zeros(19)
    file = tmp_path / "weights.pth"
    torch.save(tensors, file)
    with nothing_drawn(), pytest.raises(WeightsError) as caught:
        build("imagenet", file, variant="b0")
    assert caught.value.place == str(file)
    named = {
        "variant": "stages.0.embed.projection.weight is (64, 3, 7, 7), not (32, 3, 7, 7)",
        "missing": "stages.3.blocks.1.attention.key_value.bias",
        "unexpected": "stages.0.blocks.0.attn.bias_table",
        "whole network": "decode_head.linear_pred.bias",
    }
    assert named[change] in caught.value.message


def test_the_authors_whole_network_is_renamed() -> None:
    """Names and shapes as the authors' trained networks have them; what is foreign stays foreign."""
    with shapes_alone():
        network = SegFormer(3, 3, head="nvlabs")
        theirs = {f"backbone.{name}": t for name, t in authors_file(network.backbone.state_dict()).items()}
        theirs |= {
            "decode_head.conv_seg.weight": torch.empty(3, 128, 1, 1),
            "decode_head.conv_seg.bias": torch.empty(3),
            "decode_head.linear_fuse.conv.weight": torch.empty(768, 3072, 1, 1),
            "decode_head.linear_fuse.bn.num_batches_tracked": torch.empty(()),
            "decode_head.linear_pred.weight": torch.empty(3, 768, 1, 1),
            "decode_head.linear_pred.bias": torch.empty(3),
            "teacher.weight": torch.empty(1),
        }
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            theirs[f"decode_head.linear_fuse.bn.{leaf}"] = torch.empty(768)
        for stage, width in enumerate((64, 128, 320, 512), start=1):
            theirs[f"decode_head.linear_c{stage}.proj.weight"] = torch.empty(768, width)
            theirs[f"decode_head.linear_c{stage}.proj.bias"] = torch.empty(768)
    renamed = {name: tensor.shape for name, tensor in from_published(theirs).items()}
    own = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert own.items() <= renamed.items()
    assert renamed.keys() - own.keys() == {"teacher.weight", "backbone.head.weight", "backbone.head.bias"}
