"""Every layer of torch.nn is counted to what a hand counts, or stands in a list with the reason."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench_steps.cost.counting import count
from tests.steps.test_cost_operations import Does, totals

N, T = 4 * 64, 4 * 8
"""Values of the image [1, 4, 8, 8], and tokens of 8 values in it."""
Call = Callable[[Any, Tensor], object]


def whole(layer: Any, x: Tensor) -> object:
    return layer(x)


def rows(layer: Any, x: Tensor) -> object:
    return layer(x[0])


def volume(layer: Any, x: Tensor) -> object:
    return layer(x[None])


def deep(layer: Any, x: Tensor) -> object:
    return layer(x[:, :, None])


def pair(layer: Any, x: Tensor) -> object:
    return layer(x, x)


def cell(layer: Any, x: Tensor) -> object:
    return layer(x[0, 0])


H = 5
GATED = 13 + 8
"""Of an LSTM, for each hidden value: four gates' biases (8), their sum (4) and activations (3), the state's
tanh twice (2), three products (3) and the state's sum (1)."""
Layer = tuple[Callable[[], nn.Module], Call, int, int]
LAYERS: dict[str, Layer] = {
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(3), rows, 0, N),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d(3), whole, 0, N),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(2), volume, 0, N),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(3), rows, 0, N),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(3), whole, 0, N),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d(2), volume, 0, N),
    # A head of 4 classes and a cluster: 8 rows of 5 logits; then 2 values and 6 classes for the cluster.
    "AdaptiveLogSoftmaxWithLoss": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 10, [4]),
        lambda layer, x: layer.log_prob(x[0, 0]),
        8 * (8 * 5 + 8 * 2 + 2 * 6),
        8 * (5 * 5 + 5 * 6 + 6),
    ),
    "AlphaDropout": (nn.AlphaDropout, whole, 0, 0),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), rows, 0, N),
    "AvgPool2d": (lambda: nn.AvgPool2d(2), whole, 0, N),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), volume, 0, N),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(8), rows, 0, 2 * N),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), whole, 0, 2 * N),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4), deep, 0, 2 * N),
    "Bilinear": (
        lambda: nn.Bilinear(8, 8, H),
        lambda layer, x: layer(x[0, 0], x[0, 1]),
        8 * H * (8 * 8 + 8),
        8 * H,
    ),
    "CELU": (nn.CELU, whole, 0, N),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), whole, 0, 0),
    "CircularPad1d": (lambda: nn.CircularPad1d(1), rows, 0, 0),
    "CircularPad2d": (lambda: nn.CircularPad2d(1), whole, 0, 0),
    "CircularPad3d": (lambda: nn.CircularPad3d(1), volume, 0, 0),
    "ConstantPad1d": (lambda: nn.ConstantPad1d(1, 0.0), rows, 0, 0),
    "ConstantPad2d": (lambda: nn.ConstantPad2d(1, 0.0), whole, 0, 0),
    "ConstantPad3d": (lambda: nn.ConstantPad3d(1, 0.0), volume, 0, 0),
    "Conv1d": (lambda: nn.Conv1d(8, H, 3), lambda layer, x: layer(x[0]), 4 * 6 * H * 8 * 3, 4 * 6 * H),
    "Conv2d": (lambda: nn.Conv2d(4, H, 3), whole, 36 * H * 4 * 9, 36 * H),
    "Conv3d": (
        lambda: nn.Conv3d(4, H, 3),
        lambda layer, x: layer(x[:, :, None].expand(1, 4, 3, 8, 8)),
        36 * H * 4 * 27,
        36 * H,
    ),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(8, H, 3), rows, T * 8 * H * 3, 4 * 10 * H),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, H, 2), whole, N * H * 4, 81 * H),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(4, H, 2), deep, N * H * 8, 2 * 81 * H),
    # Two norms (2 each and a root are one operation), lower bounds, quotients; then products, summed.
    "CosineSimilarity": (lambda: nn.CosineSimilarity(1), pair, 0, 2 * 2 * N + 2 * 64 + 2 * N + N + N),
    # Squares; five sums of a channel's plane, as the window slides; scale, sum, power and product.
    "CrossMapLRN2d": (lambda: nn.CrossMapLRN2d(3), whole, 0, N + 5 * 64 + 4 * N),
    "Dropout": (nn.Dropout, whole, 0, 0),
    "Dropout1d": (nn.Dropout1d, rows, 0, 0),
    "Dropout2d": (nn.Dropout2d, whole, 0, 0),
    "Dropout3d": (nn.Dropout3d, volume, 0, 0),
    "ELU": (nn.ELU, whole, 0, N),
    "Embedding": (lambda: nn.Embedding(8, H), lambda layer, x: layer(torch.arange(4)), 0, 0),
    "EmbeddingBag": (
        lambda: nn.EmbeddingBag(8, H),
        lambda layer, x: layer(torch.arange(4).reshape(2, 2)),
        0,
        4 * H,
    ),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout, whole, 0, 0),
    "Flatten": (nn.Flatten, whole, 0, 0),
    "Fold": (
        lambda: nn.Fold((4, 4), 2),
        lambda layer, x: layer(x.reshape(1, 256, 1).expand(1, 256, 9)),
        0,
        256 * 9,
    ),
    "FractionalMaxPool2d": (lambda: nn.FractionalMaxPool2d(2, output_size=3), whole, 0, 4 * 9 * 4),
    "FractionalMaxPool3d": (lambda: nn.FractionalMaxPool3d(2, output_size=2), volume, 0, 8 * 8),
    "GELU": (nn.GELU, whole, 0, N),
    "GLU": (lambda: nn.GLU(1), whole, 0, N),
    # Three gates: biases (6), sums (2) and activations (3), of the new state a product and its sum (2), and
    # the mean of old and new, a difference, a product and a sum (3).
    "GRU": (
        lambda: nn.GRU(8, H, batch_first=True),
        lambda layer, x: layer(x[0])[0],
        T * 3 * H * (8 + H),
        T * H * 16,
    ),
    "GRUCell": (lambda: nn.GRUCell(8, H), cell, 8 * 3 * H * (8 + H), 8 * H * 16),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), whole, 0, 7 * N),
    "Hardshrink": (nn.Hardshrink, whole, 0, N),
    "Hardsigmoid": (nn.Hardsigmoid, whole, 0, N),
    "Hardswish": (nn.Hardswish, whole, 0, N),
    "Hardtanh": (nn.Hardtanh, whole, 0, N),
    "Identity": (nn.Identity, whole, 0, 0),
    "InstanceNorm1d": (
        lambda: nn.InstanceNorm1d(4, affine=True),
        lambda layer, x: layer(x.flatten(2)),
        0,
        7 * N,
    ),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4), whole, 0, 5 * N),
    "InstanceNorm3d": (lambda: nn.InstanceNorm3d(4), deep, 0, 5 * N),
    # Powers, sums of 4 under each window's mean, then sign, size, the part above zero, two products, a root.
    "LPPool1d": (lambda: nn.LPPool1d(2, 2), rows, 0, N + N + 6 * N // 2),
    "LPPool2d": (lambda: nn.LPPool2d(2, 2), whole, 0, N + N + 6 * N // 4),
    "LPPool3d": (lambda: nn.LPPool3d(2, 2), volume, 0, N + N + 6 * N // 8),
    "LSTM": (
        lambda: nn.LSTM(8, H, num_layers=2, bidirectional=True, batch_first=True),
        lambda layer, x: layer(x[0])[0],
        2 * T * 4 * H * ((8 + H) + (2 * H + H)),
        4 * T * H * GATED,
    ),
    "LSTMCell": (lambda: nn.LSTMCell(8, H), cell, 8 * 4 * H * (8 + H), 8 * H * GATED),
    "LayerNorm": (lambda: nn.LayerNorm(8), whole, 0, 7 * N),
    "LeakyReLU": (nn.LeakyReLU, whole, 0, N),
    "Linear": (lambda: nn.Linear(8, H), whole, T * 8 * H, T * H),
    # Squares, a window of three, its scale and sum, the power, the quotient.
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3), whole, 0, (1 + 3 + 2 + 1 + 1) * N),
    "LogSigmoid": (nn.LogSigmoid, whole, 0, N),
    "LogSoftmax": (lambda: nn.LogSoftmax(1), whole, 0, 5 * N),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), rows, 0, N),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), whole, 0, N),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), volume, 0, N),
    "MaxUnpool1d": (
        lambda: nn.MaxUnpool1d(2),
        lambda layer, x: layer(*F.max_pool1d(x[0], 2, return_indices=True)),
        0,
        N,
    ),
    "MaxUnpool2d": (
        lambda: nn.MaxUnpool2d(2),
        lambda layer, x: layer(*F.max_pool2d(x, 2, return_indices=True)),
        0,
        N,
    ),
    "MaxUnpool3d": (
        lambda: nn.MaxUnpool3d(2),
        lambda layer, x: layer(*F.max_pool3d(x[None], 2, return_indices=True)),
        0,
        N,
    ),
    "Mish": (nn.Mish, whole, 0, N),
    # Three projections and one back; two products of 8 x 8 for each of 2 heads; biases, scale, softmax.
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        lambda layer, x: layer(x[0], x[0], x[0], need_weights=False)[0],
        T * 8 * 24 + T * 8 * 8 + 2 * T * 8 * 8,
        T * 24 + T * 8 + 4 * 2 * 64 * 6,
    ),
    "PReLU": (nn.PReLU, whole, 0, N),
    # Difference, the small number added to it, and its norm.
    "PairwiseDistance": (nn.PairwiseDistance, pair, 0, 4 * N),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), whole, 0, 0),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), whole, 0, 0),
    "RMSNorm": (lambda: nn.RMSNorm(8), whole, 0, 4 * N + 2 * T),
    "RNN": (
        lambda: nn.RNN(8, H, batch_first=True),
        lambda layer, x: layer(x[0])[0],
        T * H * (8 + H),
        T * H * 4,
    ),
    "RNNCell": (lambda: nn.RNNCell(8, H), cell, 8 * H * (8 + H), 8 * H * 4),
    "RReLU": (nn.RReLU, whole, 0, N),
    "ReLU": (nn.ReLU, whole, 0, N),
    "ReLU6": (nn.ReLU6, whole, 0, N),
    "ReflectionPad1d": (lambda: nn.ReflectionPad1d(1), rows, 0, 0),
    "ReflectionPad2d": (lambda: nn.ReflectionPad2d(1), whole, 0, 0),
    "ReflectionPad3d": (lambda: nn.ReflectionPad3d(1), volume, 0, 0),
    "ReplicationPad1d": (lambda: nn.ReplicationPad1d(1), rows, 0, 0),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(1), whole, 0, 0),
    "ReplicationPad3d": (lambda: nn.ReplicationPad3d(1), volume, 0, 0),
    "SELU": (nn.SELU, whole, 0, N),
    "SiLU": (nn.SiLU, whole, 0, N),
    "Sigmoid": (nn.Sigmoid, whole, 0, N),
    "Softmax": (lambda: nn.Softmax(1), whole, 0, 5 * N),
    "Softmax2d": (nn.Softmax2d, whole, 0, 5 * N),
    "Softmin": (lambda: nn.Softmin(1), whole, 0, 6 * N),
    "Softplus": (nn.Softplus, whole, 0, N),
    "Softshrink": (nn.Softshrink, whole, 0, N),
    "Softsign": (nn.Softsign, whole, 0, 3 * N),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4), whole, 0, 2 * N),
    "Tanh": (nn.Tanh, whole, 0, N),
    "Tanhshrink": (nn.Tanhshrink, whole, 0, 2 * N),
    "Threshold": (lambda: nn.Threshold(0.1, 0.0), whole, 0, N),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 2)), whole, 0, 0),
    "Unfold": (lambda: nn.Unfold(2), whole, 0, 0),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), whole, 0, 4 * N * 7),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), whole, 0, 4 * N * 7),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), whole, 0, 0),
    "ZeroPad1d": (lambda: nn.ZeroPad1d(1), rows, 0, 0),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), whole, 0, 0),
    "ZeroPad3d": (lambda: nn.ZeroPad3d(1), volume, 0, 0),
}
ATTENTION = 2 * T * 8 * 8
"""Products of attention among 8 tokens of width 8, in each of 4 sequences."""
BLOCK = T * 8 * (24 + 8) + ATTENTION
"""With its four projections."""
WIDE = 2 * T * 8 * 16
"""Two linear layers with 16 values between."""
NORM, SUM, SOFT = 7 * N, N, 4 * 2 * 64 * 6
ENCODER = (T * 24 + T * 8 + SOFT) + (T * 16 + T * 8 + 16 * T) + 2 * NORM + 2 * SUM
"""Biases, softmax, the ReLU between, two norms and the sums with what came in."""
LAYERS |= {
    "TransformerEncoderLayer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        rows,
        BLOCK + WIDE,
        ENCODER,
    ),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2),
        rows,
        2 * (BLOCK + WIDE),
        2 * ENCODER,
    ),
    "TransformerDecoderLayer": (
        lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True),
        lambda layer, x: layer(x[0], x[0]),
        2 * BLOCK + WIDE,
        2 * (T * 32 + SOFT) + (T * 24 + 16 * T) + 3 * NORM + 3 * SUM,
    ),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), 2),
        lambda layer, x: layer(x[0], x[0]),
        2 * (2 * BLOCK + WIDE),
        2 * (2 * (T * 32 + SOFT) + (T * 24 + 16 * T) + 3 * NORM + 3 * SUM),
    ),
    "Transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
        lambda layer, x: layer(x[0], x[0]),
        3 * BLOCK + 2 * WIDE,
        ENCODER + 2 * (T * 32 + SOFT) + (T * 24 + 16 * T) + 3 * NORM + 3 * SUM + 2 * NORM,
    ),
}
HOLDERS = "it holds other modules, and does nothing itself"
LOSS = "a loss, which is no part of a network under test"
LAZY = "it becomes another layer at its first call, which needs values"
HOLDING = ("Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential")
NOT_COUNTED = {
    **dict.fromkeys(HOLDING, HOLDERS),
    "DataParallel": "it copies a network to several devices; what it holds is counted by itself",
    "RNNBase": "what the recurrent layers have in common; it has no pass of its own",
    "RNNCellBase": "as RNNBase",
}


def reason(name: str) -> str | None:
    """Return why a class of torch.nn is not counted here; None where it has to be."""
    if name.endswith(("Loss", "Loss2d")) and name not in LAYERS:
        return LOSS
    return LAZY if name.startswith("Lazy") else NOT_COUNTED.get(name)


NAMES = [
    name
    for name, item in vars(nn).items()
    if inspect.isclass(item) and issubclass(item, nn.Module) and not name.startswith("_")
]


@pytest.mark.parametrize("name", [name for name in NAMES if reason(name) is None])
def test_a_layer_of_torch_counts_what_a_hand_counts(name: str) -> None:
    assert name in LAYERS, f"torch.nn.{name} is neither counted by hand nor in the list of reasons"
    make, call, macs, other = LAYERS[name]
    layer = make()
    assert totals(count(Does(lambda x: call(layer, x), layer), 4, 8)) == (macs, other)


def test_reasons_are_of_what_torch_has_and_nothing_stands_twice() -> None:
    assert set(NOT_COUNTED) <= set(NAMES) and not {name for name in LAYERS if reason(name)}


def test_an_lstm_counts_the_same_fused_and_step_by_step() -> None:
    layer = nn.LSTM(8, H, batch_first=True, bias=False)
    network = Does(lambda x: layer(x[0])[0], layer)
    fused = totals(count(network, 4, 8))
    with torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
        assert totals(count(network, 4, 8)) == fused == (T * 4 * H * (8 + H), T * H * 13)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], object], int, int]] = {
    "cdist": (lambda x: torch.cdist(x[0], x[0]), 0, 4 * 64 * 25),  # type: ignore[no-untyped-call]
    "pdist": (lambda x: F.pdist(x[0, 0]), 0, 28 * 25),
    "affine_grid": (
        lambda x: F.affine_grid(x.new_zeros(1, 2, 3), [1, 1, 4, 4], align_corners=False),
        16 * 2 * 3,
        0,
    ),
    "addr": (lambda x: torch.addr(x[0, 0], x[0, 0, 0], x[0, 0, 1]), 64, 64),
    "cross": (lambda x: torch.linalg.cross(x[0, :3], x[0, 1:], dim=0), 0, 3 * 3 * 64),
    "conv_tbc": (
        lambda x: torch.conv_tbc(x[0], x.new_zeros(3, 8, H), x.new_zeros(H)),
        2 * 8 * H * 3 * 8,
        2 * 8 * H,
    ),
    "dist": (lambda x: torch.dist(x, x), 0, 3 * N),
    "squeezed, turned and back in place": (
        lambda x: x.clone().squeeze_(0).transpose_(1, 2).unsqueeze_(0).squeeze_(0)[0].t_(),
        0,
        0,
    ),
}


@pytest.mark.parametrize("case", FUNCTIONS, ids=str)
def test_a_function_of_torch_counts_what_a_hand_counts(case: str) -> None:
    function, macs, other = FUNCTIONS[case]
    assert totals(count(Does(function), 4, 8)) == (macs, other)
