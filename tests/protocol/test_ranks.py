"""Several processes of one job: the numbers of one process, up to rounding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench_core.data.order import batch_sizes, share
from bench_core.declarations import IGNORE, Task
from bench_core.errors import DivergedError, TrainingError
from bench_core.protocol.loss import build_loss
from bench_core.protocol.parts import Parts, part_sizes
from bench_core.protocol.ranks import Ranks
from bench_core.spec.loss import Losses
from bench_core.spec.optimizer import SGD
from tests.helpers.linked_ranks import together
from tests.helpers.tiny_jobs import BINARY, MemoryKeeper, history, run, tiny_arrays, tiny_contract, train

pytestmark = pytest.mark.usefixtures("one_thread")
HOLED = Task(classes=("left", "right"), channels=1, ignore=True)
LOSSES: dict[str, tuple[Task, dict[str, Any]]] = {
    "bce": (BINARY, {"bce": {"weights": {"lesion": 4}, "label_smoothing": 0.1}}),
    "cross-entropy": (HOLED, {"cross-entropy": {"weights": {"left": 3}, "label_smoothing": 0.1}}),
    "plain": (HOLED, {"cross-entropy": 1.0}),
    "focal": (HOLED, {"focal": {"weights": {"right": 2}, "gamma": 1.5, "alpha": 0.3}}),
    "dice": (BINARY, {"dice": 1.0}),
    "regions": (HOLED, {"dice": 0.7, "tversky": {"alpha": 0.3, "beta": 0.7}}),
    "sum": (HOLED, {"cross-entropy": 0.5, "dice": 0.5, "focal": 0.2}),
}


@given(st.integers(0, 300), st.integers(1, 9))
def test_shares_follow_one_another_and_differ_by_one_image_at_most(images: int, world: int) -> None:
    found = [share(images, rank, world) for rank in range(world)]
    assert [place for part in found for place in part] == list(range(images))
    sizes = [len(part) for part in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] - sizes[-1] <= 1


@given(st.integers(1, 60), st.integers(1, 20), st.none() | st.integers(1, 12), st.integers(1, 5))
@example(samples=48, batch=7, most=3, world=3)
@example(samples=7, batch=4, most=3, world=3)
def test_the_processes_part_every_batch_of_an_epoch_and_agree_on_its_steps(
    samples: int, batch: int, most: int | None, world: int
) -> None:
    ranks = [Parts(most, Ranks(rank, world)) for rank in range(world)]
    for size in batch_sizes(samples, batch):
        places = [parts.places(size) for parts in ranks]
        assert sorted(place for part in places for place in part) == list(range(size))
        assert [sum(parts.sizes(size)) for parts in ranks] == [len(part) for part in places]
        by_part = [sum(sizes) for sizes in zip(*(parts.sizes(size) for parts in ranks), strict=True)]
        assert by_part == part_sizes(size, most)
    for parts in ranks:
        steps = [
            step
            for step, size in enumerate(batch_sizes(samples, batch))
            for part in parts.sizes(size)
            if part
        ]
        assert [parts.step_of(number, samples, batch) for number in range(len(steps))] == steps
        assert parts.count(samples, batch) == len(steps)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(LOSSES)), st.integers(1, 7), st.integers(2, 4), st.integers(0, 10**6))
def test_the_shares_of_a_loss_and_of_its_gradient_add_up_to_those_of_the_batch(
    name: str, images: int, world: int, seed: int
) -> None:
    task, terms = LOSSES[name]
    criterion = build_loss(Losses.model_validate(terms), task)
    torch.manual_seed(seed)
    logits = torch.randn(images, task.logit_channels, 5, 5, dtype=torch.float64, requires_grad=True)
    masks = torch.randint(0, len(task.classes) + 1, (images, 5, 5))
    if task.ignore:
        # Images that count little or not at all, so that a mean over images would be another.
        masks[torch.rand(images, 5, 5) < torch.rand(images, 1, 1)] = IGNORE
    expected = criterion(logits, masks)
    (gradient,) = torch.autograd.grad(expected, logits)

    def work(ranks: Ranks) -> tuple[Tensor, Tensor]:
        own = share(images, ranks.rank, ranks.world)
        if not own:
            criterion.take_part(task.logit_channels, masks[:0], ranks)
            return torch.zeros(()), logits[:0].detach()
        mine = logits.detach()[own.start : own.stop].requires_grad_()
        loss = criterion(mine, masks[own.start : own.stop], share=1.0, ranks=ranks)
        return loss.detach(), torch.autograd.grad(loss, mine)[0]

    found = together(world, work)
    assert sum(loss for loss, _ in found).item() == pytest.approx(expected.item(), rel=1e-9)  # type: ignore[union-attr]
    torch.testing.assert_close(torch.cat([part for _, part in found]), gradient, rtol=1e-9, atol=1e-12)


def network(task: Task, channels: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.GELU(), nn.Conv2d(6, task.logit_channels, 3, padding=1)
    )


def trained(world: int, folder: Path, task: Task = BINARY, **changes: Any) -> list[tuple[Any, nn.Module]]:
    """Return outcome and network of each process; its trace lies in `folder` under its rank."""
    models = [
        network(task, 3 if changes.get("channels", "rgb") == "rgb" else task.channels) for _ in range(world)
    ]
    augmentation = changes.pop("augmentation", ())  # Drawn from generators that threads share.

    def work(ranks: Ranks) -> tuple[Any, nn.Module]:
        trace = folder / f"{ranks.rank}.jsonl" if ranks.first else None
        given = changes | {"model": models[ranks.rank], "trace": trace, "augmentation": augmentation}
        return run(tiny_contract(task, ranks=ranks, **given)), models[ranks.rank]

    return together(world, work) if world > 1 else [work(Ranks())]


def steps(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "0.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("world", "changes"),
    [
        (2, {"optimizer": SGD(name="sgd"), "rate": 0.1}),
        (2, {"batch_size": 5, "gradient_clipping": 0.05}),
        (3, {"batch_size": 5, "loss": {"bce": 0.5, "dice": 0.5}}),
        (3, {"batch_size": 5, "micro_batch": 2, "loss": {"bce": 0.5, "tversky": 0.5}}),
        (2, {"batch_size": 3, "micro_batch": 1}),
        (5, {"batch_size": 4}),
    ],
    ids=str,
)
def test_a_job_of_several_processes_takes_the_steps_of_one(
    world: int, changes: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("one", "several"):
        (tmp_path / name).mkdir()
    changes = {"epochs": 2, "rate": 0.01} | changes
    ((alone, weights),) = trained(1, tmp_path / "one", **changes)
    found = trained(world, tmp_path / "several", **changes)
    for ours, theirs in zip(steps(tmp_path / "several"), steps(tmp_path / "one"), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        for line in (ours, theirs):
            del line["loss"]
        assert ours == theirs
    for outcome, model in found:
        assert [one.validation for one in history(outcome)] == [one.validation for one in history(alone)]
        for one, other in zip(model.state_dict().values(), weights.state_dict().values(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    (first, _), *others = found
    assert all(outcome.predictions is None for outcome, _ in others)
    assert first.predictions.ids == alone.predictions.ids
    assert (first.predictions.labels == alone.predictions.labels).all()


def test_all_processes_have_the_same_weights_to_the_last_bit(tmp_path: Path) -> None:
    (_, first), *others = trained(3, tmp_path, epochs=2, batch_size=5, loss={"dice": 1.0})
    for _, model in others:
        for one, other in zip(model.state_dict().values(), first.state_dict().values(), strict=True):
            assert torch.equal(one, other)


def test_ignored_pixels_leave_each_process_its_share(tmp_path: Path) -> None:
    arrays = tiny_arrays(HOLED)
    for image in range(0, len(arrays.ids), 2):
        arrays.masks[image, image // 2 :] = IGNORE
    changes: dict[str, Any] = {
        "arrays": arrays, "channels": "native", "loss": {"cross-entropy": {"weights": "inverse-frequency"}},
    }  # fmt: skip
    ((_, alone),) = trained(1, tmp_path, HOLED, **changes)
    for _, model in trained(2, tmp_path, HOLED, **changes):
        for one, other in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


class HalfUsed(nn.Module):
    """Has a layer that no process uses, and one that only the images of the first process reach."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.some, self.never = (nn.Conv2d(3, 1, 1) for _ in range(3))

    def forward(self, images: Tensor, first: bool = False) -> Tensor:
        return self.used(images) + self.some(images) if first else self.used(images)  # type: ignore[no-any-return]


def test_a_gradient_that_one_process_lacks_counts_as_zero_and_one_that_all_lack_stays_away() -> None:
    def work(ranks: Ranks) -> list[Tensor | None]:
        torch.manual_seed(0)
        model = HalfUsed()
        model(torch.ones(1, 3, 2, 2), first=ranks.first).sum().backward()
        ranks.sum_gradients(model.parameters())
        return [parameter.grad for parameter in model.parameters()]

    for used, used_bias, some, some_bias, *never in together(2, work):
        assert torch.equal(used, torch.full_like(used, 8)) and used_bias is not None
        assert torch.equal(some, torch.full_like(some, 4)) and some_bias is not None
        assert never == [None, None]


def test_running_statistics_become_their_mean_and_other_buffers_the_first_ones() -> None:
    def work(ranks: Ranks) -> dict[str, Tensor]:
        model = nn.Sequential(nn.BatchNorm2d(2))
        model.register_buffer("table", torch.tensor([ranks.rank, 7]))
        model(torch.full((2, 2, 2, 2), float(ranks.rank)))
        ranks.settle_buffers(model, synchronized=False)
        return model.state_dict()

    for state in together(2, work):
        assert state["0.running_mean"].tolist() == pytest.approx([0.05, 0.05])
        assert state["table"].tolist() == [0, 7]


def test_a_nan_in_one_process_ends_all_with_its_image(tmp_path: Path) -> None:
    def work(ranks: Ranks) -> None:
        contract = tiny_contract(ranks=ranks, model=network(BINARY), augmentation=())
        contract.prepare(torch.device("cpu"))
        bad = torch.nan if ranks.rank == 1 else 0.0
        with pytest.raises(DivergedError, match="NaN for 2 of 4 images, case-13"):
            contract._setup.inference.count(contract.validation, lambda images: images[:, :1] + bad)

    together(2, work)


def test_a_runner_that_asks_ahead_is_told_so() -> None:
    def work(ranks: Ranks) -> None:
        contract = tiny_contract(ranks=ranks, batch_size=11, micro_batch=2, model=network(BINARY))
        contract.prepare(torch.device("cpu"))
        next(contract.epochs())
        if ranks.rank == 1:
            with pytest.raises(TrainingError, match="before it is done"):
                list(contract.train_batches(0))

    together(2, work)


def test_a_resumed_job_of_several_processes_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = trained(2, tmp_path, epochs=3)
    keepers = [MemoryKeeper(), MemoryKeeper()]
    # Made here, since threads draw from the same generators.
    unfinished, models = ([network(BINARY), network(BINARY)] for _ in range(2))
    changes: dict[str, Any] = {"epochs": 3, "augmentation": ()}

    def broken_off(ranks: Ranks) -> None:
        train(
            tiny_contract(ranks=ranks, keeper=keepers[ranks.rank], model=unfinished[ranks.rank], **changes),
            stop_before=2,
        )

    def resumed(ranks: Ranks) -> None:
        run(tiny_contract(ranks=ranks, keeper=keepers[ranks.rank], model=models[ranks.rank], **changes))

    together(2, broken_off)
    together(2, resumed)
    for (_, expected), model in zip(whole, models, strict=True):
        for one, other in zip(model.state_dict().values(), expected.state_dict().values(), strict=True):
            assert torch.equal(one, other)
