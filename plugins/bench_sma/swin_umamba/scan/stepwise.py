"""The selective scan as torch.export's own operator for loops, which ONNX's Scan is written from.

What is written down is one step, whatever the number of steps, and one step's states are held. PyTorch and
ONNX Runtime run a file's steps one after another.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    delta_softplus: bool = True,
) -> Tensor:
    """Scan as bench_sma.swin_umamba.scan.dispatcher says; what is exported takes a batch of any size."""
    from torch._higher_order_ops.scan import scan as loop

    batch, groups, states, _ = B.shape
    delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    inputs, steps = (tensor.unflatten(1, (groups, -1)) for tensor in (u, delta))  # type: ignore[no-untyped-call]
    # States and what they come back as must be laid out alike, hence contiguous: [b, G, N, d].
    rates = A.view(groups, -1, states).mT.contiguous()

    def advance(h: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        step, drive, b, c = now
        h = (step[:, :, None] * rates).exp() * h + drive[:, :, None] * b[..., None]
        return h, (c[:, :, None] @ h).squeeze(2)

    before = u.new_zeros(batch, *rates.shape)
    along = tuple(tensor.permute(3, 0, 1, 2).contiguous() for tensor in (steps, steps * inputs, B, C))
    y: Tensor = loop(advance, before, along)[1]
    return y.permute(1, 2, 3, 0).flatten(1, 2) + D[:, None] * u
