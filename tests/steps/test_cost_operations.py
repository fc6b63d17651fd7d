"""Operations counted by formula are those that a hand counts; what has no formula is named, not left out."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench_core import Arithmetic, counted
from bench_core.errors import PluginError
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_sma.swin_umamba.scan import selective_scan, use_backend
from bench_sma.u_kan.kan import KANLinear
from bench_steps.cost.counting import Operation, count
from bench_steps.cost.elementwise import on_elements

REGISTRY = load_registry()


class Does(nn.Module):
    """A function of images [1, 4, 8, 8] as a network."""

    def __init__(self, function: Callable[[Tensor], object], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, images: Tensor) -> object:
        return self.function(images)


def done(function: Callable[[Tensor], object] | nn.Module) -> dict[str, tuple[int, int]]:
    """Return multiply-adds and other operations of what does any, by name."""
    network = function if isinstance(function, nn.Module) else Does(function)
    found = count(network, 4, 8)
    return {item.name.removeprefix("aten::"): (item.done.macs, item.done.other) for item in found if any(
        (item.done.macs, item.done.other))}  # fmt: skip


def totals(found: tuple[Operation, ...]) -> tuple[int, int]:
    return sum(item.done.macs for item in found), sum(item.done.other for item in found)


N = 4 * 64
"""Values of the image."""
E = torch.eye
PRODUCTS = {
    "3x3 of 4 to 6 channels, biased": (nn.Conv2d(4, 6, 3, padding=1), 64 * 6 * 4 * 9, 64 * 6),
    "a stride": (nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False), 16 * 6 * 4 * 9, 0),
    "depthwise": (nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False), 64 * 4 * 25, 0),
    "two groups, dilated": (
        nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2, bias=False),
        64 * 6 * 2 * 9,
        0,
    ),
    "transposed: each input value spreads": (nn.ConvTranspose2d(4, 3, 2, stride=2), 64 * 4 * 3 * 4, 256 * 3),
    "transposed in groups": (nn.ConvTranspose2d(4, 6, 3, 2, groups=2, bias=False), 64 * 4 * 3 * 9, 0),
    "a linear layer": (nn.Linear(8, 5), 4 * 8 * 8 * 5, 4 * 8 * 5),
    "without bias": (nn.Linear(8, 5, bias=False), 4 * 8 * 8 * 5, 0),
    "a product of matrices": (lambda x: x[0, 0] @ x[0, 1], 8**3, 0),
    "a batch of them": (lambda x: x @ x.mT, 4 * 8**3, 0),
    "a matrix and a vector": (lambda x: x[0, 0] @ x[0, 1, 0], 64, 0),
    "two vectors": (lambda x: x[0, 0, 0] @ x[0, 0, 1], 8, 0),
    "Einstein's sum": (lambda x: torch.einsum("bchw,bchv->bcwv", x, x), 4 * 8**3, 0),
    "added": (lambda x: torch.baddbmm(x[0], x[0], x[0]), 4 * 8**3, N),
}


@pytest.mark.parametrize("case", PRODUCTS, ids=str)
def test_products(case: str) -> None:
    function, macs, other = PRODUCTS[case]
    network = function if isinstance(function, nn.Module) else Does(function)
    assert totals(count(network, 4, 8)) == (macs, other)


HEADS, ROWS, SIDE = 4, 8, 8


@pytest.mark.parametrize("masked", [False, True])
def test_fused_attention_is_what_its_definition_does(masked: bool) -> None:
    """Four heads of 8 queries, 8 keys and width 8: two products, scale, softmax, and the mask's sum."""
    mask = torch.zeros(ROWS, ROWS) if masked else None
    found = done(lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=mask))
    weights = HEADS * ROWS * ROWS
    assert list(found.values()) == [(2 * weights * SIDE, weights * (6 + masked))]
    (name,) = found
    assert "flash_attention_for_cpu" in name

    def by_hand(x: Tensor) -> Tensor:
        logits = (x @ x.mT) * 0.5
        return (logits if mask is None else logits + mask).softmax(dim=-1) @ x

    spelled = done(by_hand)
    assert sum(macs for macs, _ in spelled.values()) == 2 * weights * SIDE
    assert sum(other for _, other in spelled.values()) == weights * (6 + masked)


def test_attention_as_a_layer_hides_nothing() -> None:
    """In evaluation torch takes a fused form of this layer, which is taken apart."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    found = done(Does(lambda x: layer(x[0], x[0], x[0], need_weights=False)[0], layer))
    tokens = 4 * 8
    assert sum(macs for macs, _ in found.values()) == tokens * 8 * 24 + 2 * tokens * 8 * 8 + tokens * 8 * 8


OTHERS: dict[str, tuple[Callable[[Tensor], object] | nn.Module, int]] = {
    "one an element, whatever the function": (lambda x: (x + 1).exp().sigmoid() * x, 4 * N),
    "in place": (lambda x: x.clone().add_(1).relu_(), 2 * N),
    "a broadcast counts what it returns": (lambda x: x[:, :1] * x.new_ones(1, 5, 8, 8), 5 * 64),
    "activations": (lambda x: F.gelu(F.silu(F.leaky_relu(F.hardswish(F.softplus(x))))), 5 * N),
    "a product and a sum": (lambda x: torch.addcmul(x, x, x), 2 * N),
    "reductions read": (lambda x: x.mean(dim=(2, 3)).sum() + x.amax(), N + 4 + N + 1),
    "softmax": (lambda x: x.softmax(dim=1), 5 * N),
    "batch norm of kept statistics": (nn.BatchNorm2d(4), 2 * N),
    "instance norm has its own": (nn.InstanceNorm2d(4, affine=True), 7 * N),
    "layer norm": (nn.LayerNorm(8), 7 * N),
    "layer norm without weights": (nn.LayerNorm(8, elementwise_affine=False), 5 * N),
    "group norm": (nn.GroupNorm(2, 4), 7 * N),
    "pooling": (nn.MaxPool2d(2), N),
    "overlapping pooling": (nn.AvgPool2d(3, stride=2, padding=1), 4 * 16 * 9),
    "bilinear": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), 4 * N * 7),
    "bicubic": (lambda x: F.interpolate(x, size=(4, 4), mode="bicubic"), 4 * 16 * 31),
    "nearest moves": (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), 0),
    "sampled": (lambda x: F.grid_sample(x, x.new_zeros(1, 5, 3, 2), align_corners=False), 4 * 15 * 7 + 60),
    "antialiased": (
        lambda x: F.interpolate(x, size=(4, 2), mode="bilinear", antialias=True, align_corners=False),
        4 * 2 * (8 * (2 * 8 - 1) + 4 * (2 * 4 - 1)),
    ),
    "spectrum of a real image": (lambda x: torch.fft.rfft2(x), ceil(5 * N * 6 / 2)),
    "whole numbers are not floating point": (lambda x: torch.arange(9) * 2 + 1, 0),
    "views, copies and lookups": (
        lambda x: torch.cat([x.mT.reshape(1, 64, 4)[:, ::2].flip(1), x.new_zeros(1, 2, 4)], 1)[
            :, torch.arange(5)
        ].contiguous(),
        0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_other_operations(case: str) -> None:
    function, other = OTHERS[case]
    network = function if isinstance(function, nn.Module) else Does(function)
    assert totals(count(network, 4, 8)) == (0, other)


def test_operations_without_arithmetic_are_listed_by_name() -> None:
    found = {item.name: item for item in count(Does(lambda x: x.permute(0, 2, 3, 1).clone()), 4, 8)}
    assert found["aten::permute"].done == found["aten::clone"].done == Arithmetic()
    assert found["aten::clone"].calls == 1


def test_what_has_no_formula_is_named() -> None:
    names = "aten::_linalg_svd, aten::_linalg_eigh"
    with pytest.raises(PluginError, match=f"no formula is known for {names}") as caught:
        count(Does(lambda x: (torch.linalg.svd(x[0]), torch.linalg.eigh(x[0]))), 4, 8)
    assert "counted" in str(caught.value.fix) and "operations: false" in str(caught.value.fix)


def test_what_leaves_torch_is_no_zero() -> None:
    with pytest.raises(PluginError, match="cannot be counted") as caught:
        count(Does(lambda x: torch.from_numpy(x.numpy() ** 2)), 4, 8)
    assert "bench_core.counted" in str(caught.value.fix)


def _squares(x: Tensor) -> Arithmetic:
    return Arithmetic(macs=3, other=x.numel())


@pytest.mark.parametrize("kernel", [False, True], ids=["of torch", "outside torch"])
def test_a_strangers_operator_brings_its_formula(kernel: bool) -> None:
    def squares(x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy() ** 2) if kernel else (x * x).exp().log()

    operator = counted("squares", _squares, torch.empty_like if kernel else None)(squares)
    assert done(lambda x: operator(operator(x) + 1)) == {"squares": (6, 2 * N), "add": (0, N)}
    assert torch.allclose(operator(torch.full((2,), 3.0)), torch.tensor(9.0))


@pytest.mark.parametrize("form", ["numba", "blocked", "sequential"])
def test_the_scan_counts_the_same_in_every_form(form: str) -> None:
    """Two groups of 8 channels, 3 states, 16 places: 9 operations each."""

    def scan(x: Tensor) -> Tensor:
        u, states = x.reshape(1, 16, 16), x.new_zeros(1, 2, 3, 16)
        decay, ones = -x.new_ones(16, 3), x.new_ones(16)
        return selective_scan(u, u, decay, states, states, ones, ones)

    with use_backend(form):
        assert done(scan) == {"neg": (0, 48), "selective scan": (0, 9 * 16 * 16 * 3)}


def test_splines_count_the_same_in_closed_form_and_by_recursion() -> None:
    layer = KANLinear(8, 5)
    found = done(Does(lambda x: layer(x.reshape(32, 8)), layer))
    assert found["spline bases"] == (0, 30 * N)
    assert sum(macs for macs, _ in found.values()) == 32 * 8 * 5 * (1 + 8)
    layer.unevenness = 1.0
    assert done(Does(lambda x: layer(x.reshape(32, 8)), layer)) == found


def counted_network(
    name: str, size: int, classes: int = 3, width: int | None = None, /, **options: object
) -> tuple[int, tuple[int, int]]:
    declared = REGISTRY.model(name)
    network = build_network(declared, in_channels=3, num_classes=classes, image_size=size,
                            options=complete_options(declared.options, options))  # fmt: skip
    parameters = sum(item.numel() for item in network.parameters())
    return parameters, totals(count(network, 3, size, width))


def test_a_small_network_is_the_sum_of_its_layers() -> None:
    """U-Net of width 4 at 16 x 16: all convolutions, two per stage, and four transposed ones."""
    _, (macs, _) = counted_network("u-net", 16, width=4)
    widths, expected = [4, 8, 16, 32, 64], 0
    for stage, width in enumerate(widths):
        pixels, before = (16 >> stage) ** 2, 3 if stage == 0 else widths[stage - 1]
        expected += pixels * 9 * width * (before + width)
        if stage:
            above = (16 >> stage - 1) ** 2
            expected += pixels * 4 * width * before + above * 9 * before * (width + before)
    assert macs == expected + 16 * 16 * 4 * 3


STUDY = {
    "u-net": 192.7, "u-kan": 42.1, "swin-umamba": 163.5, "missformer": 98.8, "hiformer": 41.9,
    "segformer": 77.1, "segnext": 69.1, "internimage": 234.2, "transnext": 244.1, "vw-mit": 68.7,
    "vw-conv": 77.4, "transunet": 168.2, "swin-unet": 34.0,
}  # fmt: skip
"""GMAC at 512 of three logit channels, of a count on the meta device with attention taken apart."""


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDY)
def test_a_network_of_the_study_has_the_known_count(name: str) -> None:
    _, (macs, other) = counted_network(name, 512)
    assert macs / 1e9 == pytest.approx(STUDY[name], abs=0.06)
    assert 0 < other < macs / 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "published", "options"),
    [
        ("segformer", 512, 79.0, {}),
        ("segformer", 512, 8.4, {"variant": "b0"}),
        ("segnext", 512, 70.0, {}),
        ("internimage", 2048, 944, {}),
    ],
)
def test_a_papers_figure_comes_out(
    name: str, width: int, published: float, options: dict[str, object]
) -> None:
    """On ADE20K's 150 classes: arXiv:2105.15203 and 2209.08575 at 512 x 512, InternImage's README at 2048."""
    _, (macs, _) = counted_network(name, 512, 150, width, **options)
    assert macs / 1e9 == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(
    "layer",
    [nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.Mish, nn.ReLU,
     nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh],
)  # fmt: skip
def test_activations_are_known_whatever_torch_tags(layer: type[nn.Module]) -> None:
    found = done(layer())
    assert list(found.values()) == [(0, 4 * 64)]
    untagged = SimpleNamespace(tags=())
    assert on_elements(untagged, f"aten::{next(iter(found))}")  # type: ignore[arg-type]
    assert not on_elements(untagged, "aten::unheard_of")  # type: ignore[arg-type]
