"""Multiply-adds of convolutions, products of matrices and attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from torch import Tensor

from bench_core.arithmetic import Arithmetic

Formula = Callable[..., Arithmetic]
"""Gets what an operation returned, then its arguments."""
SOFTMAX = 5
"""Operations an element: maximum, difference, exponential, sum, quotient."""


def convolution(
    out: Tensor,
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *rest: Any,
) -> Arithmetic:
    """Each output value sums kernel x channels products; transposed, each input value spreads as many.

    Products with padding count, as in papers.
    """
    sites = images.numel() if transposed else out.numel()
    return Arithmetic(sites * prod(weight.shape[1:]), 0 if bias is None else out.numel())


def plain_convolution(out: Tensor, images: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any,
                      **named: Any) -> Arithmetic:  # fmt: skip
    """The same for operations that are never transposed."""
    return convolution(out, images, weight, bias, None, None, None, False)


def deformable_convolution(
    out: Tensor, images: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *rest: Any
) -> Arithmetic:
    """A convolution of values that are interpolated bilinearly (7 operations each) and modulated (1)."""
    taps = prod(weight.shape[2:]) * images.shape[1]
    sampled = out.shape[0] * prod(out.shape[2:]) * taps
    return Arithmetic(out.numel() * prod(weight.shape[1:]), 8 * sampled + out.numel())


def product(out: Tensor, one: Tensor, other: Tensor, *rest: Any, **named: Any) -> Arithmetic:
    """Each value of a product of matrices (batched or not) sums as many products as `one` has columns."""
    return Arithmetic(out.numel() * one.shape[-1])


def added_product(
    out: Tensor, base: Tensor, one: Tensor, other: Tensor, *rest: Any, **named: Any
) -> Arithmetic:
    """The same, and a sum with `base`."""
    return Arithmetic(out.numel() * one.shape[-1], out.numel())


def linear(out: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Arithmetic:
    """A product of matrices and perhaps a bias."""
    return Arithmetic(out.numel() * inputs.shape[-1], 0 if bias is None else out.numel())


def summed_products(
    out: Tensor, base: Tensor, one: Tensor, other: Tensor, *rest: Any, **named: Any
) -> Arithmetic:
    """addbmm: a batch of products, all summed."""
    return Arithmetic(out.numel() * one.shape[-1] * one.shape[0], out.numel() * one.shape[0])


def dot(out: Tensor, one: Tensor, other: Tensor) -> Arithmetic:
    """Products of the elements of two vectors, summed."""
    return Arithmetic(one.numel())


def bilinear(out: Tensor, one: Tensor, weight: Tensor, other: Tensor, *rest: Any) -> Arithmetic:
    """nn.Bilinear without its bias: x W y for each output, the product with x first.

    one [N, I], weight [O, I, J], other [N, J].
    """
    rows, outputs, side = one.shape[0], weight.shape[0], other.shape[1]
    return Arithmetic(rows * outputs * (one.shape[1] * side + side))


def along_time(out: Tensor, inputs: Tensor, weight: Tensor, bias: Tensor, *rest: Any) -> Arithmetic:
    """conv_tbc: weight [kernel, I, O]."""
    return Arithmetic(out.numel() * prod(weight.shape[:2]), out.numel())


def affine_grid(out: Tensor, *rest: Any) -> Arithmetic:
    """Each coordinate of a grid [..., D] is a row of D + 1 numbers times a place."""
    return Arithmetic(out.numel() * (out.shape[-1] + 1))


def recurrent(
    out: Any, inputs: Tensor, into: Tensor, hidden: Tensor, bias: Tensor, more: Tensor, *rest: Any
) -> Arithmetic:
    """One direction of one layer of an LSTM, fused: for each of the inputs [T, N, I] what an LSTMCell does.

    Two products (into [4 H, I], hidden [4 H, H]) with biases, their sum (4 H), four activations and the tanh
    of the state (5 H), three products and a sum (4 H).
    """
    steps, side = inputs.shape[0] * inputs.shape[1], hidden.shape[1]
    # hx, cx, reverse, batch_sizes, mode, hidden_size, num_layers, has_biases and more.
    biases = bool(rest[7])
    return Arithmetic(steps * (into.numel() + hidden.numel()), steps * side * (13 + 8 * biases))


def attention(out: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any) -> Arithmetic:
    """Fused attention: both products, the scale, the softmax, and the sum with a mask where there is one.

    query [..., heads, L, E], key [..., S, E], value [..., S, V]; a causal mask is not made use of.
    """
    weights = prod(query.shape[:-1]) * key.shape[-2]
    masked = any(isinstance(item, Tensor) for item in (*rest, *named.values()))
    return Arithmetic(weights * (query.shape[-1] + value.shape[-1]), weights * (1 + SOFTMAX + masked))


PRODUCTS: Mapping[str, Formula] = {
    "aten::convolution": convolution,
    "aten::_convolution": convolution,
    "aten::convolution_overrideable": convolution,
    "aten::cudnn_convolution": lambda out, images, weight, *rest, **named: plain_convolution(
        out, images, weight
    ),
    "aten::mkldnn_convolution": lambda out, images, weight, bias, *rest: plain_convolution(
        out, images, weight, bias
    ),
    "aten::_slow_conv2d_forward": lambda out, images, weight, kernel, bias, *rest: plain_convolution(
        out, images, weight, bias
    ),
    "torchvision::deform_conv2d": deformable_convolution,
    "aten::mm": product,
    "aten::bmm": product,
    "aten::mv": product,
    "aten::dot": dot,
    "aten::vdot": dot,
    "aten::addmm": added_product,
    "aten::addmv": added_product,
    "aten::baddbmm": added_product,
    "aten::_addmm_activation": lambda out, *args, **named: (
        added_product(out, *args) + Arithmetic(0, out.numel())
    ),
    "aten::addbmm": summed_products,
    "aten::linear": linear,
    "aten::_trilinear": bilinear,
    "aten::_int_mm": product,
    "aten::addr": lambda out, *rest, **named: Arithmetic(out.numel(), out.numel()),
    "aten::affine_grid_generator": affine_grid,
    "aten::conv_tbc": along_time,
    "aten::mkldnn_rnn_layer": recurrent,
    "aten::mkldnn_linear": linear,
    "aten::_scaled_dot_product_flash_attention_for_cpu": attention,
    "aten::_scaled_dot_product_flash_attention": attention,
    "aten::_scaled_dot_product_efficient_attention": attention,
    "aten::_scaled_dot_product_cudnn_attention": attention,
    "aten::_scaled_dot_product_fused_attention_overrideable": attention,
}
"""Formula by an operation's name, without overload and the underscore of in-place forms."""
