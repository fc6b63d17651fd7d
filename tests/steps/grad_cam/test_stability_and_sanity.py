"""Maps of moved images and of networks that forget."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from bench_core.declarations import IGNORE
from bench_steps.grad_cam.sanity import cascade, groups, similarity
from bench_steps.grad_cam.stability import moved, shifts, under_shifts

Array = NDArray[np.float32]
LABELS = np.zeros((20, 20), dtype=np.uint8)
LABELS[5:12, 6:14] = 1


def image(seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((2, 20, 20)).astype(np.float32)


def test_a_map_that_moves_along_is_stable_and_one_that_stays_is_not() -> None:
    pixels = image()
    moves = shifts(4, 3)
    assert moves == ((0, 3), (3, 0), (0, -3), (-3, 0))
    along = under_shifts(pixels, LABELS, pixels[0], lambda seen, _: seen[0], moves)
    assert along == {"shift": pytest.approx(1), "shift_least": pytest.approx(1), "shift_silent": 0}
    stays = under_shifts(pixels, LABELS, pixels[0], lambda seen, _: pixels[0], moves)
    assert abs(stays["shift"]) < 0.3


def test_labels_move_with_the_image_and_what_comes_in_is_ignored() -> None:
    seen: list[NDArray[np.uint8]] = []

    def note(pixels: Array, labels: NDArray[np.uint8]) -> Array:
        seen.append(labels)
        return pixels[0]

    under_shifts(image(), LABELS, image()[0], note, shifts(2, 2))
    right, down = seen
    assert (right[:, :2] == IGNORE).all()
    assert np.array_equal(right[:, 2:], LABELS[:, :-2])
    assert (down[:2] == IGNORE).all()
    assert np.array_equal(down[2:], LABELS[:-2])


def test_moves_that_leave_no_map_are_counted_and_not_averaged() -> None:
    pixels, calls = image(), iter([False, True, False, True])
    found = under_shifts(
        pixels,
        LABELS,
        pixels[0],
        lambda seen, _: seen[0] if next(calls) else np.zeros_like(seen[0]),
        shifts(4, 1),
    )
    assert found["shift_silent"] == 0.5
    assert found["shift"] == pytest.approx(1)
    silent = under_shifts(
        pixels, LABELS, np.ones((20, 20), np.float32), lambda seen, _: seen[0], shifts(1, 1)
    )
    assert all(np.isnan(list(silent.values())))


def test_a_border_repeats_where_nothing_comes_in() -> None:
    found = moved(np.arange(4.0).reshape(1, 2, 2), (1, 0))
    assert found.tolist() == [[[0, 1], [0, 1]]]


class Net(nn.Module):
    """Its modules are declared in another order than they run; one weight is used by its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(4, 1, 1)
        self.body = Inner()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.unused = nn.Linear(2, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.body(torch.relu(self.stem(images))))
        return found


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.silent = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.norm(images)
        return torch.einsum("bchw,dc->bdhw", mixed, self.silent.weight[:, :, 0, 0])


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    found = Net().eval()
    nn.init.normal_(found.body.norm.weight)
    return found


def test_groups_go_from_the_output_down_in_the_order_of_the_calls(net: Net) -> None:
    pixels = torch.rand(1, 2, 8, 8)
    assert groups(net, lambda: net(pixels), 9) == (
        ("unused",), ("head",), ("body.silent",), ("body.norm",), ("stem",)
    )  # fmt: skip
    assert groups(net, lambda: net(pixels), 2) == (("unused", "head", "body.silent"), ("body.norm", "stem"))
    assert not any(module._forward_hooks for module in net.modules())


def test_weights_are_shuffled_group_by_group_and_come_back(net: Net) -> None:
    pixels = torch.rand(1, 2, 8, 8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    parts = groups(net, lambda: net(pixels), 5)
    changed = []
    outputs = []
    for _ in cascade(net, parts, seed=1):
        state = net.state_dict()
        changed.append({name for name, value in state.items() if not torch.equal(value, before[name])})
        for name, value in state.items():
            assert torch.equal(value.flatten().sort()[0], before[name].flatten().sort()[0])
        with torch.no_grad():
            outputs.append(net(pixels))
    assert all(first < second for first, second in pairwise(changed))
    assert {name.rpartition(".")[0] for name in changed[-1]} == {name for part in parts for name in part}
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    again = [net(pixels).detach() for _ in cascade(net, parts, seed=1)]
    assert all(torch.equal(first, second) for first, second in zip(outputs, again, strict=True))


def test_a_caller_that_leaves_early_gets_the_network_back(net: Net) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    steps = cascade(net, (("stem", "head"),), seed=0)
    next(steps)
    steps.close()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_likeness_is_of_ranks_and_undefined_for_constant_maps() -> None:
    found = image()[0]
    assert similarity(found, found**3) == pytest.approx(1)
    assert similarity(found, -found) == pytest.approx(-1)
    assert np.isnan(similarity(found, np.zeros_like(found)))
