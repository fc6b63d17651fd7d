from __future__ import annotations

import pytest

from tests.helpers.trained_boxes import TrainedBoxes, train_boxes


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> TrainedBoxes:
    """A trained study; its folder must not be changed."""
    return train_boxes(tmp_path_factory.mktemp("boxes"))
