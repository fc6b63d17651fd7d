"""Kernels of the selective scan for numba: the recurrence and its gradients for some channels of one group.

Channels are taken ROWS at a time, side by side in vector registers, so that sums over states need no
shuffling. Loops are cut so that each writes few arrays: the compiler makes vectors only of those whose arrays
it can check for overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

CHUNK = 64
"""Steps between states that the forward pass keeps for the backward pass."""
ROWS = 32

_F32 = np.float32
_LOG2_E, _LN_2 = np.float32(1 / math.log(2)), np.float32(math.log(2))
_SMALLEST, _LARGEST = np.float32(-126), np.float32(127)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1), np.float32(0)
# 2^f = 1 + f (P1 + f (P2 + ...)) on [-0.5, 0.5], minimax in the relative error (2e-9), and exactly 1 at 0:
# decays that are all off to one side would add up over thousands of steps.
_P1, _P2 = np.float32(0.6931472028552518), np.float32(0.24022647913611148)
_P3, _P4 = np.float32(0.055503324707017555), np.float32(0.009618437358483176)
_P5, _P6 = np.float32(0.0013398874588646274), np.float32(0.00015353362065749442)


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile at the first call, and keep the machine code on disk where there is a place for it."""
    # Sums may be reordered and products fused; NaN and infinity keep their meaning.
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"reassoc", "contract", "nsz"},
    }
    try:
        compiled: Callable[..., None] = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to
        compiled = njit(**options)(function)
    return compiled


@njit(inline="always")
def _exp2(z):  # type: ignore[no-untyped-def]
    """Return 2^z by additions and multiplications alone, so that the loop around it becomes vectors."""
    if z < _SMALLEST:
        z = _SMALLEST
    if z > _LARGEST:
        z = _LARGEST
    whole = np.floor(z + _HALF)
    f = z - whole
    power = _P1 + f * (_P2 + f * (_P3 + f * (_P4 + f * (_P5 + f * _P6))))
    return (_ONE + f * power) * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(_F32)


@_compiled
def forward(q, first, last, u, delta, A, B, C, D, y, kept):  # type: ignore[no-untyped-def]
    """Scan channels first to last of group q; fill y [Q, d, L] and the states `kept` [Q, chunks, d, N].

    Arrays are float32: u, delta [Q, d, L], A [G, d, N], B, C [Q, L, N], D [G, d].
    """
    length, states, g = u.shape[2], A.shape[2], q % A.shape[0]
    rate, h = np.empty((states, ROWS), _F32), np.empty((states, ROWS), _F32)
    step, drive, total = np.empty(ROWS, _F32), np.empty(ROWS, _F32), np.empty(ROWS, _F32)
    for top in range(first, last, ROWS):
        rows = min(ROWS, last - top)
        h[:] = _ZERO
        for r in range(rows):
            for n in range(states):
                rate[n, r] = A[g, top + r, n] * _LOG2_E
        for t in range(length):
            if t % CHUNK == 0:
                for r in range(rows):
                    for n in range(states):
                        kept[q, t // CHUNK, top + r, n] = h[n, r]
            for r in range(rows):
                step[r] = delta[q, top + r, t]
                drive[r] = step[r] * u[q, top + r, t]
                total[r] = D[g, top + r] * u[q, top + r, t]
            for n in range(states):
                b, c = B[q, t, n], C[q, t, n]
                state, rate_n = h[n], rate[n]
                for r in range(rows):
                    new = _exp2(step[r] * rate_n[r]) * state[r] + drive[r] * b
                    state[r] = new
                    total[r] += new * c
            for r in range(rows):
                y[q, top + r, t] = total[r]


@_compiled
def backward(  # type: ignore[no-untyped-def]
    q, part, first, last, u, delta, A, B, C, D, kept, grad_y,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D,
):  # fmt: skip
    """Fill the gradients of u and delta from that of y; add to those of B and C [Q, parts, L, N].

    Those of A [Q, d, N] and D [Q, d] are filled, too. Other arrays are those of `forward`.
    """
    length, states, g = u.shape[2], A.shape[2], q % A.shape[0]
    rate, grad_rate = np.empty((states, ROWS), _F32), np.empty((states, ROWS), _F32)
    # What h of the step behind hands back.
    handed = np.empty((states, ROWS), _F32)
    h, decay = np.empty((CHUNK + 1, states, ROWS), _F32), np.empty((CHUNK, states, ROWS), _F32)
    steps, values = np.empty((CHUNK, ROWS), _F32), np.empty((CHUNK, ROWS), _F32)
    drives, grads = np.empty((CHUNK, ROWS), _F32), np.empty((CHUNK, ROWS), _F32)
    by_drive, by_decay = np.empty(ROWS, _F32), np.empty(ROWS, _F32)
    grad_h, past = np.empty(ROWS, _F32), np.empty(ROWS, _F32)
    through, grad_through = np.empty(ROWS, _F32), np.empty(ROWS, _F32)
    for top in range(first, last, ROWS):
        rows = min(ROWS, last - top)
        handed[:], grad_rate[:], grad_through[:] = _ZERO, _ZERO, _ZERO
        for r in range(rows):
            through[r] = D[g, top + r]
            for n in range(states):
                rate[n, r] = A[g, top + r, n] * _LOG2_E
        for start in range((length - 1) // CHUNK * CHUNK, -1, -CHUNK):
            count = min(CHUNK, length - start)
            for r in range(rows):
                for n in range(states):
                    h[0, n, r] = kept[q, start // CHUNK, top + r, n]
                for i in range(count):
                    steps[i, r], values[i, r] = delta[q, top + r, start + i], u[q, top + r, start + i]
                    drives[i, r] = steps[i, r] * values[i, r]
                    grads[i, r] = grad_y[q, top + r, start + i]
            for i in range(count):
                step, drive = steps[i], drives[i]
                for n in range(states):
                    b = B[q, start + i, n]
                    before, now, decay_n, rate_n = h[i, n], h[i + 1, n], decay[i, n], rate[n]
                    for r in range(rows):
                        remains = _exp2(step[r] * rate_n[r])
                        decay_n[r] = remains
                        now[r] = remains * before[r] + drive[r] * b
            for i in range(count - 1, -1, -1):
                t = start + i
                step, value, drive, grad = steps[i], values[i], drives[i], grads[i]
                by_drive[:], by_decay[:] = _ZERO, _ZERO
                for n in range(states):
                    b, c = B[q, t, n], C[q, t, n]
                    before, now, decay_n, handed_n = h[i, n], h[i + 1, n], decay[i, n], handed[n]
                    rate_n, grad_rate_n = rate[n], grad_rate[n]
                    grad_b, grad_c = _ZERO, _ZERO
                    for r in range(rows):
                        of_h = grad[r] * c + handed_n[r]
                        grad_h[r] = of_h
                        grad_b += of_h * drive[r]
                        grad_c += grad[r] * now[r]
                    grad_B[q, part, t, n] += grad_b
                    grad_C[q, part, t, n] += grad_c
                    for r in range(rows):
                        by_drive[r] += grad_h[r] * b
                    for r in range(rows):
                        back = decay_n[r] * grad_h[r]
                        handed_n[r] = back
                        past[r] = back * before[r]
                    for r in range(rows):
                        by_decay[r] += past[r] * rate_n[r]
                        grad_rate_n[r] += past[r] * step[r]
                for r in range(rows):
                    grad_u[q, top + r, t] = by_drive[r] * step[r] + through[r] * grad[r]
                    grad_delta[q, top + r, t] = by_drive[r] * value[r] + by_decay[r] * _LN_2
                    grad_through[r] += grad[r] * value[r]
        for r in range(rows):
            grad_D[q, top + r] = grad_through[r]
            for n in range(states):
                grad_A[q, top + r, n] = grad_rate[n, r]
