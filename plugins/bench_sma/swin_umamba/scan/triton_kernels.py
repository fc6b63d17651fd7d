"""Kernels of the selective scan for Triton: the recurrence and its gradients in tiles of steps.

A tile [c, N, J] is c * J steps of one channel with all N states: lane j of a warp holds c steps in a row, one
after the other in its registers, from step j * c on. A recurrence takes two levels in it: within the lanes,
where it costs what a loop would, and from lane to lane, which takes 2 log2(J) shuffles for every c steps.
States reach the tiles from a third level, so that tiles are computed at the same time: what a tile adds to
the state behind it is a sum (`tile_ends`), and states are carried from tile to tile once (`carry`).

A program takes some channels of a group one after another for the same steps: it reads B and C once, and sums
their gradients over its channels in registers. Nothing is added up by atomic operations, so that results do
not depend on the order in which programs end. Only products of decays are formed, never quotients.

Sequences are [Q, d, L] for Q = b * G; B, C and their gradients [Q, K, c, N, J] for K tiles, with zeros behind
the last step and the last state, which change no state.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl

_LOG2_E = tl.constexpr(1.4426950408889634)
_LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def _join(decay1, drive1, scale1, seen1, decay2, drive2, scale2, seen2):
    """Join steps 1 to steps 2 behind them; steps take s to decay s + drive, and show scale s + seen."""
    return decay1 * decay2, decay2 * drive1 + drive2, scale2 * decay1, scale2 * drive1 + seen2


@triton.jit
def _chain(decay1, drive1, decay2, drive2):
    return decay1 * decay2, decay2 * drive1 + drive2


@triton.jit
def _last(steps, STEPS: tl.constexpr):
    """Return the last of [c, N, J]; a sum of integers, which the compiler sees through."""
    at = tl.arange(0, STEPS)[:, None, None]
    bits = tl.where(at == STEPS - 1, steps.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, 0).to(tl.float32, bitcast=True)


@triton.jit
def _mirrored(steps, STEPS: tl.constexpr, PADDED: tl.constexpr, LANES: tl.constexpr):
    """Return [c, N, J] with its last step first; within registers, so that nothing is computed or moved."""
    bits = steps.to(tl.int32, bitcast=True)
    for level in tl.static_range(5):
        if 2 << level <= STEPS:  # neighbours at this distance change places
            pairs = tl.reshape(bits, (STEPS // (2 << level), 2, 1 << level, PADDED, LANES))
            bits = tl.reshape(tl.sum(pairs, 1)[:, None, :, :, :] - pairs, (STEPS, PADDED, LANES))
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _recur(
    decay, drive, scale, seen, before,
    STEPS: tl.constexpr, PADDED: tl.constexpr, LANES: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    """Return what the steps of a tile [c, N, J] show when it is entered with the state `before` [N].

    With `BACK` the last step comes first.
    """
    if BACK:  # a scan in reverse would shuffle between lanes that hold every step anyway
        decay, drive = _mirrored(decay, STEPS, PADDED, LANES), _mirrored(drive, STEPS, PADDED, LANES)
        scale, seen = _mirrored(scale, STEPS, PADDED, LANES), _mirrored(seen, STEPS, PADDED, LANES)
    decay, drive, scale, seen = tl.associative_scan((decay, drive, scale, seen), 0, _join)
    decay, drive = _last(decay, STEPS), _last(drive, STEPS)
    if BACK:
        scale, seen = _mirrored(scale, STEPS, PADDED, LANES), _mirrored(seen, STEPS, PADDED, LANES)
    lane = tl.arange(0, LANES)[None, :] + tl.zeros(drive.shape, tl.int32)
    mirrored = LANES - 1 - lane if BACK else lane
    if BACK:  # each a shuffle, where a scan in reverse takes many
        decay, drive = tl.gather(decay, mirrored, 1), tl.gather(drive, mirrored, 1)
    drive = tl.where(lane == 0, decay * before[:, None] + drive, drive)
    _, drive = tl.associative_scan((decay, drive), 1, _chain)
    entered = tl.gather(drive, tl.maximum(mirrored - 1, 0), 1)
    entered = tl.where(mirrored == 0, before[:, None], entered)
    return scale * entered[None, :, :] + seen


@triton.jit
def _softplus(x):
    """Return log(1 + exp(x)) to rounding: log(1 + z) = 2 artanh(z / (2 + z)), for z = exp(-|x|)."""
    z = tl.exp(-tl.abs(x))
    s = z / (2 + z)
    q = s * s
    series = 1 / 9 + q * (1 / 11 + q * (1 / 13 + q * (1 / 15)))
    return tl.maximum(x, 0.0) + 2 * s * (1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * series))))


@triton.jit
def _sigmoid(x):
    z = tl.exp(-tl.abs(x))
    return tl.where(x < 0, z, 1.0) / (1 + z)


@triton.jit
def _step(raw, bias, inside, SOFTPLUS: tl.constexpr):
    """Return the step sizes, and 0 behind the sequence's end."""
    step = raw + bias
    if SOFTPLUS:
        step = _softplus(step)
    return tl.where(inside, step, 0.0)


@triton.jit
def _rates(A, row, states, PADDED: tl.constexpr):
    """Return a row of A, for powers of 2."""
    n = tl.arange(0, PADDED)
    return tl.load(A + row * states + n, mask=n < states, other=0.0) * _LOG2_E


@triton.jit
def _tile(tile, STEPS: tl.constexpr, PADDED: tl.constexpr, LANES: tl.constexpr):
    """Return where a tile's numbers lie in [Q, K, c, N, J]."""
    step, n, lane = tl.arange(0, STEPS), tl.arange(0, PADDED), tl.arange(0, LANES)
    inside = (step[:, None, None] * PADDED + n[None, :, None]) * LANES + lane[None, None, :]
    # Were loads of four numbers known to be possible, a warp's lanes would lie along N, too, and sums over N
    # take shuffles.
    return tl.multiple_of(tile.to(tl.int64) * (STEPS * PADDED * LANES) + inside, (1, 1, 1))


@triton.jit
def _by_lanes(sequence, STEPS: tl.constexpr, LANES: tl.constexpr):
    """Return c * J steps as [c, J]."""
    return tl.trans(tl.reshape(sequence, (LANES, STEPS)))


@triton.jit
def _in_a_row(lanes, STEPS: tl.constexpr, LANES: tl.constexpr):
    """Return steps [c, J] as they follow each other."""
    return tl.reshape(tl.trans(lanes), (STEPS * LANES,))


@triton.jit
def tile_ends(
    u, delta, A, shared, bias, ends, totals, length, channels, rows_of_A, states, block,
    SOFTPLUS: tl.constexpr, BACK: tl.constexpr, STEPS: tl.constexpr, PADDED: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """Fill `ends` [Q, d, K, N]: what a tile's steps leave of themselves in the state behind the tile.

    Forwards, `shared` is B, and `totals` [Q, d, K] get the steps' sums. With `BACK`, u is the gradient of y,
    `shared` is C, and what is left is the gradient of the state before the tile.
    """
    k, q, tiles = tl.program_id(0), tl.program_id(2), tl.num_programs(0)
    weight = tl.load(shared + _tile(q * tiles + k, STEPS, PADDED, LANES))
    at = tl.arange(0, STEPS * LANES)
    t = k * (STEPS * LANES) + at
    first = tl.program_id(1) * block
    for channel in range(first, min(first + block, channels)):
        row = (q * channels + channel).to(tl.int64)
        rate = _rates(A, row % rows_of_A, states, PADDED)
        offset = tl.load(bias + row % rows_of_A)
        inside = t < length
        step = _step(tl.load(delta + row * length + t, mask=inside, other=0.0), offset, inside, SOFTPLUS)
        value = tl.load(u + row * length + t, mask=inside, other=0.0)
        if BACK:
            passed = tl.cumsum(step, 0)
        else:
            value *= step
            tl.store(totals + row * tiles + k, tl.sum(step, 0))
            # Steps behind t only: subtracting t's own from a sum would leave its rounding.
            later = (t + 1 < length) & (at + 1 < STEPS * LANES)
            raw = tl.load(delta + row * length + t + 1, mask=later, other=0.0)
            passed = tl.cumsum(_step(raw, offset, later, SOFTPLUS), 0, reverse=True)
        passed, value = _by_lanes(passed, STEPS, LANES), _by_lanes(value, STEPS, LANES)
        left = tl.exp2(rate[None, :, None] * passed[:, None, :]) * weight * value[:, None, :]
        n = tl.arange(0, PADDED)
        tl.store(ends + (row * tiles + k) * PADDED + n, tl.sum(tl.sum(left, 0), 1))


@triton.jit
def carry(
    ends, totals, A, entered, tiles, rows_of_A, states,
    BACK: tl.constexpr, PADDED: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Fill `entered` [Q, d, K, N]: states with which tiles begin, or end with `BACK`; a row a program.

    The first tile's, which is 0, is left as it is.
    """
    row = tl.program_id(0).to(tl.int64)
    rate = _rates(A, row % rows_of_A, states, PADDED)
    at, n = tl.arange(0, AT_ONCE)[:, None], tl.arange(0, PADDED)[None, :]
    state = tl.zeros((PADDED,), tl.float32)
    for start in range(0, tiles, AT_ONCE):
        tile = tiles - 1 - start - at if BACK else start + at
        inside = (tile >= 0) & (tile < tiles)
        total = tl.load(totals + row * tiles + tile, mask=inside, other=0.0)
        place = (row * tiles + tile) * PADDED + n
        end = tl.load(ends + place, mask=inside, other=0.0)
        decay = tl.exp2(rate[None, :] * total)
        end = tl.where(at == 0, decay * state[None, :] + end, end)
        _, end = tl.associative_scan((decay, end), 0, _chain)
        behind = tile - 1 if BACK else tile + 1
        inside &= (behind >= 0) & (behind < tiles)
        tl.store(entered + place + (-PADDED if BACK else PADDED), end, mask=inside)
        state = tl.sum(tl.where(at == AT_ONCE - 1, end, 0.0), 0)


@triton.jit
def forward(
    u, delta, A, B, C, D, bias, entered, y, length, channels, rows_of_A, states, block,
    SOFTPLUS: tl.constexpr, STEPS: tl.constexpr, PADDED: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Fill y; `entered` [Q, d, K, N] are the states with which tiles begin."""
    k, q, tiles = tl.program_id(0), tl.program_id(2), tl.num_programs(0)
    place = _tile(q * tiles + k, STEPS, PADDED, LANES)
    b, c = tl.load(B + place), tl.load(C + place)
    n = tl.arange(0, PADDED)
    t = k * (STEPS * LANES) + tl.arange(0, STEPS * LANES)
    inside = t < length
    first = tl.program_id(1) * block
    for channel in range(first, min(first + block, channels)):
        row = (q * channels + channel).to(tl.int64)
        of_A = row % rows_of_A
        rate = _rates(A, of_A, states, PADDED)
        raw = tl.load(delta + row * length + t, mask=inside, other=0.0)
        step = _step(raw, tl.load(bias + of_A), inside, SOFTPLUS)
        value = tl.load(u + row * length + t, mask=inside, other=0.0)
        before = tl.load(entered + (row * tiles + k) * PADDED + n)
        steps, driven = _by_lanes(step, STEPS, LANES), _by_lanes(step * value, STEPS, LANES)
        decay = tl.exp2(rate[None, :, None] * steps[:, None, :])
        drive = b * driven[:, None, :]
        h = _recur(decay, drive, decay, drive, before, STEPS, PADDED, LANES, False)
        out = _in_a_row(tl.sum(h * c, 1), STEPS, LANES)
        tl.store(y + row * length + t, out + tl.load(D + of_A) * value, mask=inside)


@triton.jit
def backward(
    u, delta, A, B, C, D, bias, entered, grad_y, handed,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias,
    length, channels, rows_of_A, states, block,
    SOFTPLUS: tl.constexpr, STEPS: tl.constexpr, PADDED: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Fill the gradients of u and delta, and parts of the others to be summed.

    `handed` [Q, d, K, N] is the gradient of the state behind a tile. Parts are, of A [Q, d, K, N], of D and
    the bias [Q, d, K], of B and C [channels / block, Q, K, c, N, J].
    """
    k, q, tiles = tl.program_id(0), tl.program_id(2), tl.num_programs(0)
    place = _tile(q * tiles + k, STEPS, PADDED, LANES)
    part = _tile((tl.program_id(1) * tl.num_programs(2) + q) * tiles + k, STEPS, PADDED, LANES)
    b, c = tl.load(B + place), tl.load(C + place)
    of_b, of_c = tl.zeros_like(b), tl.zeros_like(c)
    n = tl.arange(0, PADDED)
    t = k * (STEPS * LANES) + tl.arange(0, STEPS * LANES)
    inside = t < length
    one = tl.full(b.shape, 1.0, tl.float32)
    first = tl.program_id(1) * block
    for channel in range(first, min(first + block, channels)):
        row = (q * channels + channel).to(tl.int64)
        of_A = row % rows_of_A
        rate = _rates(A, of_A, states, PADDED)
        raw, offset = tl.load(delta + row * length + t, mask=inside, other=0.0), tl.load(bias + of_A)
        step = _step(raw, offset, inside, SOFTPLUS)
        value = tl.load(u + row * length + t, mask=inside, other=0.0)
        grad = tl.load(grad_y + row * length + t, mask=inside, other=0.0)
        before = tl.load(entered + (row * tiles + k) * PADDED + n)
        behind = tl.load(handed + (row * tiles + k) * PADDED + n)
        steps, driven = _by_lanes(step, STEPS, LANES), _by_lanes(step * value, STEPS, LANES)
        grads = _by_lanes(grad, STEPS, LANES)
        decay = tl.exp2(rate[None, :, None] * steps[:, None, :])
        drive = b * driven[:, None, :]
        # What is left of the state of the step before; h minus the drive would leave the drive's rounding.
        kept = _recur(decay, drive, decay, tl.zeros_like(drive), before, STEPS, PADDED, LANES, False)
        of_c += (kept + drive) * grads[:, None, :]
        # The gradient of h: y's by C, and the next step's by its decay.
        by_y = c * grads[:, None, :]
        grad_h = _recur(decay, decay * by_y, one, by_y, behind, STEPS, PADDED, LANES, True)
        of_b += grad_h * driven[:, None, :]
        by_drive = _in_a_row(tl.sum(grad_h * b, 1), STEPS, LANES)
        by_decay = grad_h * kept
        by_rate = _in_a_row(tl.sum(by_decay * rate[None, :, None], 1), STEPS, LANES)
        by_step = by_drive * value + by_rate * _LN_2
        if SOFTPLUS:
            by_step *= _sigmoid(raw + offset)
        by_step = tl.where(inside, by_step, 0.0)
        through = tl.load(D + of_A)
        tl.store(grad_u + row * length + t, by_drive * step + through * grad, mask=inside)
        tl.store(grad_delta + row * length + t, by_step, mask=inside)
        tl.store(grad_A + (row * tiles + k) * PADDED + n, tl.sum(tl.sum(by_decay * steps[:, None, :], 0), 1))
        tl.store(grad_D + row * tiles + k, tl.sum(grad * value))
        tl.store(grad_bias + row * tiles + k, tl.sum(by_step))
    tl.store(grad_B + part, of_b)
    tl.store(grad_C + part, of_c)
