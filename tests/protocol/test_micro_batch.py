"""Batches in parts: the optimizer steps of whole batches, up to rounding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench_core.data.order import batch_sizes
from bench_core.declarations import IGNORE, Task
from bench_core.errors import TrainingError
from bench_core.protocol.interfaces import DeviceBatch
from bench_core.protocol.loss import build_loss
from bench_core.protocol.parts import Parts, part_sizes
from bench_core.spec.loss import Losses
from tests.helpers.tiny_jobs import (
    BINARY,
    THREE,
    MemoryKeeper,
    history,
    run,
    tiny_arrays,
    tiny_contract,
    train,
)

torch.set_num_threads(1)
HOLED = Task(classes=("left", "right"), channels=1, ignore=True)


def network(task: Task, channels: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1), nn.GELU(), nn.Conv2d(6, task.logit_channels, 3, padding=1)
    )


def trained(task: Task, **settings: Any) -> tuple[list[float], list[Tensor]]:
    channels = settings.get("channels", "rgb")
    model = network(task, 3 if channels == "rgb" else task.channels)
    outcome = run(tiny_contract(task, model=model, epochs=2, rate=0.01, **settings))
    return [record.loss for record in history(outcome)], list(model.state_dict().values())


def close(ours: tuple[list[float], list[Tensor]], theirs: tuple[list[float], list[Tensor]]) -> None:
    assert ours[0] == pytest.approx(theirs[0], abs=1e-6)
    for one, other in zip(ours[1], theirs[1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("micro_batch", [1, 2, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_clipping": 0.01},
        {"loss": {"bce": {"weights": {"lesion": 4}, "label_smoothing": 0.1}}},
        {"loss": {"bce": 0.5, "focal": {"gamma": 1.5, "alpha": 0.3}}},
        {"batch_size": 5},
    ],
    ids=str,
)
def test_a_network_without_batch_norm_takes_the_steps_of_the_whole_batch(
    micro_batch: int, settings: dict[str, Any]
) -> None:
    close(trained(BINARY, micro_batch=micro_batch, **settings), trained(BINARY, **settings))


@pytest.mark.parametrize("loss", [{"cross-entropy": 1}, {"focal": {"weights": "inverse-frequency"}}], ids=str)
def test_pixels_that_count_nowhere_leave_each_part_its_share(loss: dict[str, Any]) -> None:
    arrays = tiny_arrays(HOLED)
    # Some images lose most of their pixels, one all of them.
    for image in range(0, len(arrays.ids), 2):
        arrays.masks[image, image // 2 :] = IGNORE
    settings: dict[str, Any] = {"arrays": arrays, "channels": "native", "loss": loss, "augmentation": ()}
    close(trained(HOLED, micro_batch=2, **settings), trained(HOLED, **settings))


def test_one_part_is_the_batch_to_the_last_bit() -> None:
    ours, theirs = trained(BINARY, micro_batch=4), trained(BINARY)
    assert ours[0] == theirs[0]
    assert all(torch.equal(one, other) for one, other in zip(ours[1], theirs[1], strict=True))


@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_losses_of_regions_are_the_mean_over_the_parts(name: str) -> None:
    torch.manual_seed(0)
    logits, masks = torch.randn(5, 1, 4, 4), torch.randint(0, 2, (5, 4, 4))
    criterion = build_loss(Losses.model_validate({name: 2.0}), BINARY)
    shares = [criterion(logits[part], masks[part], masks) for part in (slice(0, 3), slice(3, 5))]
    alone = [criterion(logits[part], masks[part]) for part in (slice(0, 3), slice(3, 5))]
    assert sum(shares).item() == pytest.approx((3 * alone[0] + 2 * alone[1]).item() / 5)  # type: ignore[union-attr]


def test_the_trace_has_one_line_for_each_optimizer_step_with_all_ids_and_the_batchs_loss(
    tmp_path: Path,
) -> None:
    lines: dict[int | None, list[dict[str, Any]]] = {}
    for micro_batch in (None, 2):
        path = tmp_path / f"{micro_batch}.jsonl"
        contract = tiny_contract(
            BINARY, model=network(BINARY), batch_size=5, micro_batch=micro_batch, trace=path, epochs=2
        )
        run(contract)
        assert contract.steps == {None: 3, 2: 7}[micro_batch]
        lines[micro_batch] = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines[2]) == len(lines[None])
    for ours, theirs in zip(lines[2], lines[None], strict=True):
        assert {key: ours.get(key) for key in ("epoch", "step", "ids", "lr")} == {
            key: theirs.get(key) for key in ("epoch", "step", "ids", "lr")
        }
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)


def test_a_kill_between_the_parts_of_a_step_changes_nothing() -> None:
    settings: dict[str, Any] = {"epochs": 2, "micro_batch": 2}
    whole = run(tiny_contract(model=network(BINARY), **settings))
    keeper = MemoryKeeper()
    train(tiny_contract(model=network(BINARY), keeper=keeper, **settings), stop_before=1)
    resumed = run(tiny_contract(model=network(BINARY), keeper=keeper, **settings))
    assert [record.loss for record in history(resumed)] == [record.loss for record in history(whole)]


def test_with_fp16_scaling_the_parts_add_up_too() -> None:
    ours, theirs = (
        trained(THREE, channels="native", precision="bf16", **more) for more in ({"micro_batch": 2}, {})
    )
    assert ours[0] == pytest.approx(theirs[0], rel=1e-2)


@given(st.integers(1, 400), st.integers(1, 64), st.integers(1, 64))
def test_parts_are_as_few_and_as_even_as_the_limit_allows(samples: int, batch: int, most: int) -> None:
    number = 0
    parts = Parts(most)
    for step, size in enumerate(batch_sizes(samples, batch)):
        sizes = part_sizes(size, most)
        assert sum(sizes) == size and max(sizes) <= most
        assert len(sizes) == -(-size // most) and max(sizes) - min(sizes) <= 1
        for _ in sizes:
            assert parts.step_of(number, samples, batch) == step
            number += 1
    assert parts.count(samples, batch) == number


@given(st.integers(1, 20), st.integers(1, 20))
def test_parts_hold_the_batch_in_its_order_and_end_with_its_step(images: int, most: int) -> None:
    batch = DeviceBatch(
        tuple(map(str, range(images))), torch.arange(images)[:, None], torch.arange(images)[:, None]
    )
    parts = Parts(most)
    found = list(parts.of(batch))
    assert tuple(name for part in found for name in part.ids) == batch.ids
    assert torch.equal(torch.cat([part.masks for part in found]), batch.masks)
    assert [parts.done() for _ in found] == [False] * (len(found) - 1) + [True]
    with pytest.raises(TrainingError, match="not given"):
        parts.done()
