"""A vote is the mean of probabilities, whatever they are; the views of an image vote in one order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench_core.declarations import Step
from bench_core.protocol.site import ImageBatch
from bench_steps.views import FLIPS, resolve
from bench_steps.votes import voting

LOGITS = st.lists(st.floats(-120, 120, width=32), min_size=1, max_size=5)


class Says(nn.Module):
    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, images: Tensor) -> Tensor:
        return self.answer(images)


def vote(
    networks: list[nn.Module], images: Tensor, flips: tuple[str, ...] = (), binary: bool = True
) -> Tensor:
    return voting(networks, flips, binary=binary)(ImageBatch(("a",), images))


@given(values=LOGITS)
def test_one_logit_is_that_of_the_mean_probability(values: list[float]) -> None:
    image = torch.zeros(1, 1, 2, 2)
    found = vote([Says(lambda images, at=at: images + at) for at in values], image)
    expected = torch.tensor(values, dtype=torch.float64).sigmoid().mean()
    assert not found.isnan().any()
    assert found.double().sigmoid().flatten().tolist() == pytest.approx([float(expected)] * 4, abs=1e-6)


@given(one=LOGITS, other=LOGITS)
def test_the_class_is_that_of_the_largest_mean_probability(one: list[float], other: list[float]) -> None:
    rows = torch.tensor([list(pair) for pair in zip(one, other, strict=False)])
    networks = [Says(lambda images, row=row: row.view(1, 2, 1, 1) + images) for row in rows]
    found = vote(list(networks), torch.zeros(1, 1, 1, 1), binary=False).flatten()
    expected = rows.double().softmax(dim=1).mean(dim=0)
    assert found.double().exp().tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_what_is_undefined_stays_so() -> None:
    broken = Says(lambda images: images * float("nan"))
    assert vote([Says(lambda images: images), broken], torch.ones(1, 1, 2, 2)).isnan().all()


def test_mirrored_images_are_mirrored_back() -> None:
    image = torch.arange(12.0).view(1, 1, 3, 4) / 12
    # What looks at each pixel alone says the same of every view.
    assert torch.allclose(vote([Says(lambda images: images)], image, tuple(FLIPS)), image, atol=1e-5)
    # What answers by place gives the mean of its four mirrored answers.
    place = Says(lambda images: torch.arange(12.0).view(1, 1, 3, 4) / 12)
    found = vote([place], image, tuple(FLIPS)).sigmoid()
    assert torch.allclose(found, found.flip(-1)) and torch.allclose(found, found.flip(-2))


def test_views_are_listed_once_and_in_one_order() -> None:
    assert resolve({"flips": ["both", "horizontal"]}, {})["flips"] == ["horizontal", "both"]
    with pytest.raises(ValueError, match="lists a view twice"):
        resolve({"flips": ["both", "both"]}, {})


def test_only_steps_on_another_dataset_are_over_folds() -> None:
    with pytest.raises(ValueError, match="not on another dataset"):
        Step(name="odd", version=1, run="x:y", help="x", over="folds")
