"""TransNeXt: published sizes, attention against its formula, official files loaded strictly."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_gpvm.drop_path import DropPath
from bench_gpvm.transnext.attention import AggregatedAttention, GlobalAttention, attend_with_rest
from bench_gpvm.transnext.network import SIZES, TransNeXt, TransNeXtBackbone
from tests.helpers.checkpoints import nothing_drawn, numbered, shapes_alone
from tests.helpers.networks import build_network, finder

CLASSIFIED = {"micro": 12.8, "tiny": 28.2, "small": 49.7, "base": 89.7}
"""Millions of parameters in the paper's table, with the ImageNet classifier."""
TENSORS = 615
"""Of the backbone, in the public code."""


def build(**how: Any) -> TransNeXt:
    network = build_network("transnext", **{"variant": "pico", **how})
    assert isinstance(network, TransNeXt)
    return network


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    for classes, declared in load_registry().model("transnext").parameters.items():
        with shapes_alone():
            network = TransNeXt(3, classes)
        assert count(network) == declared
    assert count(network.backbone) == 27_681_960


@pytest.mark.parametrize("variant", CLASSIFIED)
def test_variants_have_the_papers_sizes(variant: str) -> None:
    with shapes_alone():
        backbone = TransNeXtBackbone(SIZES[variant])
    classifier = (SIZES[variant].widths[-1] + 1) * 1000
    assert (count(backbone) + classifier) / 1e6 == pytest.approx(CLASSIFIED[variant], abs=0.06)


@pytest.mark.parametrize(("variant", "rate"), [("tiny", 0.4), ("small", 0.6), ("base", 0.7)])
def test_the_usual_drop_path_is_that_of_the_authors_upernet(variant: str, rate: float) -> None:
    with shapes_alone():
        network = build(variant=variant)
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates[-1] == pytest.approx(rate)


def test_options_reach_the_network() -> None:
    network = build(drop_path=0.7, decoder_width=8)
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0, 0.175, 0.35, 0.525, 0.7])
    assert network.decode_head.get_submodule("classify").get_parameter("weight").shape[1] == 8
    assert build().decode_head.get_submodule("classify").get_parameter("weight").shape[1] == 32


def test_features_and_logits_of_multiples_of_32() -> None:
    network = build(classes=3).eval()
    for height, width in ((32, 32), (32, 96), (128, 64)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            features = network.backbone(images)
            assert network(images).shape == (1, 3, height, width)
        assert [tuple(feature.shape[1:]) for feature in features] == [
            (channels, height // stride, width // stride)
            for channels, stride in zip((24, 48, 96, 192), (4, 8, 16, 32), strict=True)
        ]
    with pytest.raises(TrainingError, match="64x80 pixels"):
        network(torch.randn(1, 3, 64, 80))


def randomize(module: nn.Module) -> nn.Module:
    """Move every parameter away from values that hide it (zeros of biases, ones of gains)."""
    generator = torch.Generator().manual_seed(3)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.data += 0.2 * noise
    return module


def unit(vector: Tensor) -> Tensor:
    return vector / vector.square().sum(-1, keepdim=True).sqrt()


def log_distance(pixels: float, pretrain_side: int) -> float:
    scaled = pixels / (pretrain_side - 1) * 8
    return math.copysign(math.log2(abs(scaled) + 1) / 3, scaled)


def bias_between(attention: Any, query: tuple[int, int], center: tuple[float, float], side: int) -> Tensor:
    bias = attention.position_bias
    distance = [log_distance(a - b, side) for a, b in zip(query, center, strict=True)]
    hidden: Tensor = bias.expand(torch.tensor(distance, dtype=torch.float64)).relu()
    result: Tensor = bias.contract(hidden)
    return result


def sharpened(attention: Any, query: Tensor, keys: int) -> Tensor:
    scale = attention.scale_query
    sharpness = functional.softplus(scale.temperature[:, 0, 0]) * math.log(keys)
    result: Tensor = (query + scale.embedding[:, 0]) * sharpness[:, None]
    return result


def aggregated(attention: AggregatedAttention, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Aggregated attention of one image by the paper's equations, query by query, in plain softmax."""
    (height, width), heads, side = grid, attention.heads, attention.reduction
    image = tokens[0].reshape(height, width, -1)
    reduced = functional.gelu(attention.reduce(image.permute(2, 0, 1)[None]))[0]
    patches = list(itertools.product(range(height // side), range(width // side)))
    means = torch.stack(
        [
            reduced[:, row * side : (row + 1) * side, column * side : (column + 1) * side].mean((1, 2))
            for row, column in patches
        ]
    )
    context = attention.key_value(attention.reduce_norm(means))
    pooled_keys, pooled_values = context.reshape(len(patches), 2, heads, -1).unbind(1)
    keys, values = attention.key_value(image).reshape(height, width, 2, heads, -1).unbind(2)
    output = []
    for row, column in itertools.product(range(height), range(width)):
        query = unit(attention.query(image[row, column]).reshape(heads, -1))
        around = [(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
        near = [n for n, (y, x) in enumerate(around) if 0 <= y < height and 0 <= x < width]
        scaled = sharpened(attention, query, len(near) + len(patches))
        scores = [(scaled * unit(keys[around[n]])).sum(-1) + attention.local_bias[:, n] for n in near]
        for number, place in enumerate(patches):
            center = (place[0] * side + (side - 1) / 2, place[1] * side + (side - 1) / 2)
            bias = bias_between(attention, (row, column), center, attention.position_bias.pretrain_side)
            scores.append((scaled * unit(pooled_keys[number])).sum(-1) + bias)
        shares = torch.stack(scores).softmax(0)
        fixed = (
            torch.einsum("hd,hdn->nh", query, attention.local_tokens) + attention.local_tokens_bias[:, 0].T
        )
        attended = torch.einsum("ph,phd->hd", shares[len(near) :], pooled_values)
        for index, n in enumerate(near):
            attended = attended + (shares[index] + fixed[n])[:, None] * values[around[n]]
        output.append(attended.flatten())
    result: Tensor = attention.output(torch.stack(output))
    return result[None]


def assert_same(attention: nn.Module, plain: Any, grid: tuple[int, int], width: int) -> None:
    """Outputs and all gradients."""
    tokens = torch.randn(1, math.prod(grid), width, dtype=torch.float64, requires_grad=True)
    wanted = [tokens, *attention.parameters()]
    found, expected = attention(tokens, grid), plain(attention, tokens, grid)
    # Distances are rounded to single precision in the network.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    weights = torch.randn_like(found)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), wanted),
        torch.autograd.grad((expected * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("grid", "reduction"), [((4, 6), 2), ((8, 4), 4), ((2, 2), 2)])
def test_aggregated_attention_is_one_softmax_over_neighbors_and_patches(
    grid: tuple[int, int], reduction: int
) -> None:
    torch.manual_seed(1)
    attention = AggregatedAttention(20, 2, reduction, pretrain_side=14).double()
    assert_same(randomize(attention), aggregated, grid, 20)


def test_global_attention_is_one_softmax_over_all_tokens() -> None:
    def plain(attention: GlobalAttention, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        places = list(itertools.product(range(grid[0]), range(grid[1])))
        parts = attention.query_key_value(tokens[0]).reshape(len(places), 3, attention.heads, -1)
        queries, keys, values = parts.unbind(1)
        output = []
        for query, place in zip(unit(queries), places, strict=True):
            scaled = sharpened(attention, query, len(places))
            scores = [
                (scaled * unit(key)).sum(-1) + bias_between(attention, place, other, 7)
                for key, other in zip(keys, places, strict=True)
            ]
            output.append(torch.einsum("kh,khd->hd", torch.stack(scores).softmax(0), values).flatten())
        result: Tensor = attention.output(torch.stack(output))
        return result[None]

    torch.manual_seed(1)
    attention = GlobalAttention(24, 2, pretrain_side=7).double()
    assert_same(randomize(attention), plain, (3, 4), 24)


def test_half_precision_does_not_round_the_neighborhoods_share() -> None:
    """Scores of 20 have steps of 1/8 in bfloat16: rounding the neighborhood's would move its share by 1 %."""
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, count, 24, generator=generator).bfloat16() for count in (50, 5))
    query *= 4
    bias, score = torch.zeros(1, 50, 5), 20 + 3 * torch.randn(1, 1, 50, generator=generator)
    _, expected = attend_with_rest(query.float(), key.float(), key.float(), bias, score)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, found = attend_with_rest(query.float(), key.float(), key.float(), bias, score)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() < 0.003


def test_sharpness_before_training_is_the_papers() -> None:
    backbone = TransNeXtBackbone(SIZES["pico"])
    temperatures = [p for name, p in backbone.named_parameters() if name.endswith("temperature")]
    assert len(temperatures) == 5
    for temperature in temperatures:
        sharpness = functional.softplus(temperature)
        torch.testing.assert_close(sharpness, torch.full_like(temperature, 1 / 0.24))


def official_shapes(variant: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an official file, classifier and tables of its image size included."""
    size = SIZES[variant]
    shapes: dict[str, tuple[int, ...]] = {"head.weight": (1000, size.widths[3]), "head.bias": (1000,)}
    for stage, (width, depth) in enumerate(zip(size.widths, size.depths, strict=True), start=1):
        heads, hidden = width // 24, int(2 / 3 * (8, 8, 4, 4)[stage - 1] * width)
        before, kernel = (3, 7) if stage == 1 else (size.widths[stage - 2], 3)
        shapes |= {
            f"relative_pos_index{stage}": (4, 4),
            f"relative_coords_table{stage}": (16, 2),
            f"patch_embed{stage}.proj.weight": (width, before, kernel, kernel),
            f"patch_embed{stage}.proj.bias": (width,),
            f"patch_embed{stage}.norm.weight": (width,),
            f"patch_embed{stage}.norm.bias": (width,),
            f"norm{stage}.weight": (width,),
            f"norm{stage}.bias": (width,),
        }
        block: dict[str, tuple[int, ...]] = {
            "attn.temperature": (heads, 1, 1),
            "attn.query_embedding": (heads, 1, 24),
            "attn.cpb_fc1.weight": (512, 2),
            "attn.cpb_fc1.bias": (512,),
            "attn.cpb_fc2.weight": (heads, 512),
            "attn.cpb_fc2.bias": (heads,),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "mlp.fc1.weight": (2 * hidden, width),
            "mlp.fc1.bias": (2 * hidden,),
            "mlp.dwconv.dwconv.weight": (hidden, 1, 3, 3),
            "mlp.dwconv.dwconv.bias": (hidden,),
            "mlp.fc2.weight": (width, hidden),
            "mlp.fc2.bias": (width,),
        }
        vectors = ["norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"]
        if stage == 4:
            block |= {"attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,)}
        else:
            vectors += ["attn.q.bias", "attn.sr.bias", "attn.norm.weight", "attn.norm.bias"]
            block |= {
                "attn.relative_pos_bias_local": (heads, 9),
                "attn.learnable_tokens": (heads, 24, 9),
                "attn.learnable_bias": (heads, 1, 9),
                "attn.q.weight": (width, width),
                "attn.kv.weight": (2 * width, width),
                "attn.kv.bias": (2 * width,),
                "attn.sr.weight": (width, width, 1, 1),
            }
        block |= dict.fromkeys(vectors, (width,))
        for number in range(depth):
            shapes |= {f"block{stage}.{number}.{name}": shape for name, shape in block.items()}
    return shapes


def test_an_official_file_fills_every_tensor_of_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = numbered(official_shapes("tiny"))
    torch.save(tensors, tmp_path / "transnext_tiny_224_1k.pth")
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with nothing_drawn():
        network = build(pretrained="imagenet", variant="tiny", decoder_width=8)
    report = network.weights_report
    assert (report.file, report.loaded, report.total) == ("transnext_tiny_224_1k.pth", TENSORS, TENSORS)
    own = network.backbone.state_dict()
    for here, there in (
        ("stages.0.embed.projection.weight", "patch_embed1.proj.weight"),
        ("stages.2.blocks.14.attention.local_tokens", "block3.14.attn.learnable_tokens"),
        ("stages.1.blocks.0.attention.scale_query.embedding", "block2.0.attn.query_embedding"),
        ("stages.3.blocks.1.attention.query_key_value.bias", "block4.1.attn.qkv.bias"),
        ("stages.3.norm.bias", "norm4.bias"),
    ):
        assert torch.equal(own[here], tensors[there])


def test_a_gray_image_is_seen_as_three_equal_channels(tmp_path: Path) -> None:
    file = tmp_path / "pico.pth"
    torch.save({"model": numbered(official_shapes("pico"))}, file)
    with nothing_drawn():
        rgb, gray = (build(pretrained="imagenet", weights=file, channels=channels) for channels in (3, 1))
    assert gray.weights_report.notes == (
        "stages.0.embed.projection.weight summed over red, green and blue for one input channel",
    )
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = rgb.eval().backbone(images.repeat(1, 3, 1, 1))[-1]
        torch.testing.assert_close(gray.eval().backbone(images)[-1], expected, rtol=1e-4, atol=1e-4)


def test_a_missing_file_is_named_with_its_place_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("transnext")
    assert find("none", None, {"variant": "tiny"}) is None
    with pytest.raises(WeightsError, match=r"transnext_tiny_224_1k\.pth is not there") as caught:
        find("imagenet", None, {"variant": "tiny"})
    assert str(tmp_path / "transnext_tiny_224_1k.pth") in (caught.value.cause or "")
    for part in ("transnext-tiny-224-1k/resolve/main", "$SEGTRIAL_WEIGHTS", "`weights:`"):
        assert part in (caught.value.fix or "")
    with pytest.raises(WeightsError, match="no pretrained weights for transnext with variant pico"):
        find("imagenet", None, {"variant": "pico"})
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build(weights=tmp_path / "transnext_tiny_224_1k.pth")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("missing", "stages.2.blocks.1.attention.local_bias"),
        ("unexpected", "stages.2.blocks.1.attn.bias_table"),
        ("variant", "stages.0.embed.projection.weight is (48, 3, 7, 7), not (24, 3, 7, 7)"),
    ],
)
def test_a_file_that_does_not_fit_fails(tmp_path: Path, change: str, named: str) -> None:
    tensors = numbered(official_shapes("micro" if change == "variant" else "pico"))
    if change == "missing":
        del tensors["block3.1.attn.relative_pos_bias_local"]
    elif change == "unexpected":
        tensors["block3.1.attn.bias_table"] = torch.zeros(1)
    file = tmp_path / "weights.pth"
    torch.save(tensors, file)
    with nothing_drawn(), pytest.raises(WeightsError) as caught:
        build(pretrained="imagenet", weights=file)
    assert named in caught.value.message
    assert caught.value.place == str(file)
