"""The protocol in words: what a reviewer has to be told."""

from __future__ import annotations

from typing import Any

import pytest

from bench_core.report.protocol import protocol_lines
from bench_core.spec.model import Spec


def lines(**protocol: Any) -> dict[str, str]:
    spec = {
        "version": 1,
        "name": "words",
        "models": [{"name": "any"}],
        "datasets": [{"name": "any"}],
        "protocol": {"learning_rate": 1e-3, **protocol},
    }
    return dict(protocol_lines(Spec.model_validate(spec)))


@pytest.mark.parametrize(
    ("layout", "choose", "said"),
    [("holdout", "best", True), ("holdout", "last", False), ("rotate", "best", False)],
)
def test_choosing_the_epoch_on_test_images_is_said(layout: str, choose: str, said: bool) -> None:
    words = lines(evaluate={"epochs": 3, "layout": layout}, checkpoint={"choose": choose})["cross-validation"]
    assert ("flatters every model" in words) == said
