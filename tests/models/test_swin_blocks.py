"""Swin Transformer blocks: attention within shifted windows on grids of any size, pair by pair."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from bench_sma.swin_blocks import PatchMerging, SwinBlock, linear_rates
from bench_sma.swin_weights import fit_bias_tables

WINDOW = 3


def attended_pair_by_pair(block: SwinBlock, grid: Tensor, shift: int) -> Tensor:
    """Each token attends to those of its window that are its neighbors without a cyclic shift."""
    height, width, channels = grid.shape
    rows, columns = (-(-side // WINDOW) * WINDOW for side in (height, width))
    padded = torch.zeros(rows, columns, channels, dtype=grid.dtype)
    padded[:height, :width] = grid
    attention = block.attention
    query, key, value = attention.query_key_value(padded).unflatten(-1, (3, attention.heads, -1)).unbind(2)
    places = list(itertools.product(range(rows), range(columns)))
    windows = {
        (row, column): ((row - shift) % rows // WINDOW, (column - shift) % columns // WINDOW)
        for row, column in places
    }
    result = torch.zeros_like(grid)
    for row, column in itertools.product(range(height), range(width)):
        seen = [
            (r, c)
            for r, c in places
            if windows[r, c] == windows[row, column] and abs(r - row) < WINDOW and abs(c - column) < WINDOW
        ]
        distances = [(row - r + WINDOW - 1) * (2 * WINDOW - 1) + column - c + WINDOW - 1 for r, c in seen]
        keys = torch.stack([key[place] for place in seen])
        logits = (query[row, column] * keys).sum(-1) * keys.shape[-1] ** -0.5
        weights = (logits + attention.bias_table[distances]).softmax(dim=0)
        mixed = (weights[..., None] * torch.stack([value[place] for place in seen])).sum(dim=0)
        result[row, column] = attention.output(mixed.flatten())
    return result


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("size", [(6, 6), (6, 9), (7, 4), (5, 11), (3, 8), (2, 2)])
def test_windows_are_those_of_the_definition(size: tuple[int, int], shift: int) -> None:
    torch.manual_seed(0)
    block = SwinBlock(width=8, heads=2, window=WINDOW, shift=shift, drop_path=0.0).double().eval()
    torch.nn.init.normal_(block.attention.bias_table)
    grids = torch.randn(2, *size, 8, dtype=torch.float64)
    # A grid of one window in either direction is not shifted.
    shift = shift if min(size) > WINDOW else 0
    with torch.no_grad():
        normalized = block.attention_norm(grids)
        attended = torch.stack([attended_pair_by_pair(block, grid, shift) for grid in normalized])
        expected = grids + attended
        expected = expected + block.feed_forward(block.feed_forward_norm(expected))
        torch.testing.assert_close(block(grids), expected, rtol=0, atol=1e-12)


def test_merging_takes_neighbors_column_by_column() -> None:
    merge = PatchMerging(1)
    torch.nn.init.eye_(merge.reduction.weight)
    merge.norm = torch.nn.Identity()  # type: ignore[assignment]
    grid = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[None, ..., None]
    # Upper left, lower left; the other two have no part in this reduction.
    assert merge(grid).tolist() == [[[[0.0, 2.0]]]]


def test_rates_grow_linearly_from_zero() -> None:
    assert linear_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_tables_of_other_windows_are_resized_about_their_center() -> None:
    axis = torch.arange(-6.0, 7.0)
    plane = (axis[:, None] + 10 * axis[None]).reshape(-1, 1)
    own = {"0.bias_table": torch.empty(15**2, 1), "0.weight": torch.empty(3)}
    resized, notes = fit_bias_tables(own, {"0.bias_table": plane, "0.weight": torch.ones(2)})
    table = resized["0.bias_table"].view(15, 15)
    assert table[7, 7].item() == pytest.approx(0, abs=1e-5)
    steps = (table[8, 7].item(), table[6, 7].item(), table[7, 8].item(), table[7, 6].item())
    assert steps == pytest.approx([13 / 15, -13 / 15, 130 / 15, -130 / 15], rel=0.06)
    assert notes == ("tables of relative positions resized from windows of 7 to 8",)
    assert resized["0.weight"].shape == (2,)
    heads, _ = fit_bias_tables(own, {"0.bias_table": torch.ones(13**2, 2)})
    assert heads["0.bias_table"].shape == (13**2, 2)
