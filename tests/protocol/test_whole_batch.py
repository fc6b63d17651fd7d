"""A network on parts of a batch draws and normalizes as on the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.protocol.ranks import Ranks
from bench_core.protocol.shared_draws import Rows, shared_draws
from bench_core.protocol.whole_batch import WholeBatch
from tests.helpers.linked_ranks import together

Draw = Callable[[Tensor], Tensor]


def windows(images: Tensor) -> Tensor:
    """Part each image [B, C, H, W] into four windows, which stand in the first dimension."""
    return images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(-1, images.shape[1], 4, 4)


DRAWS: dict[str, Draw] = {
    "dropout": lambda images: functional.dropout(images, 0.4),
    "dropout in place": lambda images: functional.dropout(images.clone(), 0.4, True, True),
    "dropout of a transposed tensor": lambda images: functional.dropout(
        images.flatten(2).transpose(1, 2), 0.4
    ),
    "dropout of channels last": lambda images: functional.dropout(
        images.contiguous(memory_format=torch.channels_last), 0.4
    ),
    "dropout of windows": lambda images: functional.dropout(windows(images), 0.4),
    "dropout1d": lambda images: functional.dropout1d(images.flatten(2), 0.4),
    "dropout2d": lambda images: functional.dropout2d(images, 0.4),
    "dropout3d": lambda images: functional.dropout3d(images[..., None], 0.4),
    "module": lambda images: nn.Dropout2d(0.4)(images),
    "paths as timm drops them": lambda images: (
        images * images.new_empty(len(images), 1, 1, 1).bernoulli_(0.6)
    ),
    "paths as mmcv drops them": lambda images: images * (0.6 + torch.rand((len(images), 1, 1, 1))).floor(),
    "rand of numbers": lambda images: images + torch.rand(len(images), 3, 1, 1, dtype=torch.float64),
    "rand of a named size": lambda images: images + torch.rand(size=images.shape),
    "randn": lambda images: images + torch.randn(images.shape),
    "rand_like": lambda images: images + torch.rand_like(images),
    "randn_like": lambda images: images + torch.randn_like(images, dtype=torch.float64),
    "bernoulli": lambda images: torch.bernoulli(images.sigmoid()),
    "normal": lambda images: images + torch.empty_like(images).normal_(0.0, std=0.1),
    "gumbel": lambda images: functional.gumbel_softmax(images.flatten(1), hard=True),
    "attention": lambda images: functional.multi_head_attention_forward(
        *(images.flatten(2).transpose(0, 1),) * 3,
        *(64, 2, torch.eye(64).repeat(3, 1), None, None, None, False, 0.4, torch.eye(64), None),
        need_weights=True,
    )[0].transpose(0, 1),
}
"""Each gives [images times a number, ...]."""


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("sizes", [(2, 2), (1, 3)])
def test_parts_draw_what_the_whole_batch_draws(name: str, sizes: tuple[int, int]) -> None:
    draw = DRAWS[name]
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(7)
    expected = [draw(images), draw(images)]
    state = torch.get_rng_state()
    first = 0
    drawn: list[list[Tensor]] = []
    for size in sizes:
        torch.manual_seed(7)
        batch = WholeBatch(lambda vector: vector[None])
        batch.enter(Rows(first, size, 4))
        try:
            part = images[first : first + size]
            drawn.append([draw(part), draw(part)])
        finally:
            batch.leave()
        assert torch.equal(torch.get_rng_state(), state), "generators of ranks part"
        first += size
    for whole, *parts in zip(expected, *drawn, strict=True):
        assert torch.equal(torch.cat(parts), whole)


def test_gradients_pass_where_values_are_kept() -> None:
    images = torch.ones(2, 3, 4, 4, requires_grad=True)
    batch = WholeBatch(lambda vector: vector[None])
    batch.enter(Rows(1, 2, 4))
    out = functional.dropout(images, 0.5)
    batch.leave()
    out.sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, out.detach())
    assert set(out.unique().tolist()) == {0.0, 2.0}


def test_what_is_not_by_images_is_drawn_alike_on_every_rank() -> None:
    rows = Rows(0, 2, 4)
    assert rows.each(()) is rows.each((3, 2)) is rows.each((0, 2)) is Rows(0, 0, 4).each((4, 2)) is None
    assert rows.each((4, 7)) == 2
    torch.manual_seed(3)
    expected = torch.rand(3, 5)
    batch = WholeBatch(lambda vector: vector[None])
    for first in (0, 2):
        torch.manual_seed(3)
        batch.enter(Rows(first, 2, 4))
        found = torch.rand(3, 5)
        batch.leave()
        assert torch.equal(found, expected)


def test_evaluation_and_dropout_of_nothing_draw_nothing() -> None:
    images = torch.randn(2, 3, 4, 4)
    before = torch.get_rng_state()
    batch = WholeBatch(lambda vector: vector[None])
    batch.enter(Rows(0, 2, 4))
    assert torch.equal(functional.dropout(images, 0.5, training=False), images)
    assert torch.equal(functional.dropout2d(images, 0.0), images)
    batch.leave()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_compiled_network_synchronizes_too() -> None:
    asked: list[int] = []

    def gather(vector: Tensor) -> Tensor:
        asked.append(len(vector))
        return torch.stack([vector, vector])

    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.2))
    compiled = torch.compile(network, backend="eager")
    batch = WholeBatch(gather)
    for first in (0, 2):
        batch.enter(Rows(first, 2, 4))
        compiled(torch.randn(2, 3, 4, 4)).sum().backward()
        batch.leave()
    assert asked == [5, 4] * 2
    compiled(torch.randn(2, 3, 4, 4)).sum().backward()
    assert asked == [5, 4] * 2


def test_threads_that_are_ranks_do_not_mix_their_images() -> None:
    images = torch.ones(2, 1, 2, 2)

    def work(ranks: Ranks) -> Tensor:
        batch = WholeBatch(ranks.gather_active)
        batch.enter(Rows(ranks.rank, 1, 2))
        ranks.gather_active(torch.zeros(1))
        out: Tensor = nn.BatchNorm2d(1, affine=False)(images[:1] + ranks.rank)
        ranks.gather_active(torch.zeros(1))
        batch.leave()
        return out

    for rank, out in enumerate(together(2, work)):
        torch.testing.assert_close(out, torch.full_like(out, 2.0 * rank - 1.0), rtol=1e-4, atol=0)
    assert functional.batch_norm.__module__ == functional.__name__


def test_another_thread_computes_for_the_only_rank() -> None:
    """As a backward pass on a GPU that computes a part of a network again."""
    batch = WholeBatch(lambda vector: vector[None])
    torch.manual_seed(0)
    expected = torch.rand(4, 3)[2:]
    batch.enter(Rows(2, 2, 4))
    torch.manual_seed(0)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lambda: torch.rand(2, 3)).result()
    batch.leave()
    assert torch.equal(found, expected)


def test_leaving_puts_everything_back() -> None:
    names: list[tuple[Any, str]] = [(owner, name) for owner, name, _ in shared_draws(lambda: None)]
    names += [(functional, "batch_norm"), (nn.SyncBatchNorm, "forward")]
    before = [getattr(owner, name) for owner, name in names]
    own = [name in vars(owner) for owner, name in names]
    batch = WholeBatch(lambda vector: vector[None])
    batch.leave()
    batch.enter(Rows(0, 1, 2))
    batch.enter(Rows(1, 1, 2))
    assert all(getattr(owner, name) is not now for (owner, name), now in zip(names, before, strict=True))
    batch.leave()
    assert [getattr(owner, name) for owner, name in names] == before
    assert [name in vars(owner) for owner, name in names] == own


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_modules_of_batch_norm_are_synchronized_unless_they_do_not_train(kind: type[nn.Module]) -> None:
    """The gathered vectors are those of two ranks with equal parts, whose mean is the part's own."""
    torch.manual_seed(0)
    images = torch.randn(2, 3, 4, 4)
    asked: list[int] = []

    def gather(vector: Tensor) -> Tensor:
        asked.append(len(vector))
        return torch.stack([vector, vector])

    norm, frozen = kind(3), kind(3).eval()
    batch = WholeBatch(gather)
    batch.enter(Rows(0, 2, 4))
    found = frozen(norm(images))
    batch.leave()
    assert asked == [7]
    expected = nn.BatchNorm2d(3)
    torch.testing.assert_close(found, nn.BatchNorm2d(3).eval()(expected(torch.cat([images, images]))[:2]))
    torch.testing.assert_close(norm.get_buffer("running_var"), expected.running_var)

    alone = kind(3)
    batch = WholeBatch(None)
    batch.enter(Rows(0, 2, 4))
    alone(images)
    batch.leave()
    assert asked == [7]
