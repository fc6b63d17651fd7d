"""Which class is predicted for which: counted with the data, bounded without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.confusion import bounds, confusion
from bench_core.execute.datasets import arrays_of
from bench_core.report.sections.confusions import confusion_table
from tests.helpers.fake_study import Study
from tests.helpers.pictured_study import IMAGES, READERS, drawn, predicted, write_pictured


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("pictured")
    return write_pictured(folder, plugin=READERS, searches=False, cache=folder / "cache")


def counted(dataset: str, model: str, classes: int, channels: int, shift: int) -> np.ndarray:
    """Return the confusion by loops over images and classes."""
    found = np.zeros((classes + 1, classes + 1), np.int64)
    for number in range(IMAGES[dataset]):
        _, truth = drawn(dataset, number, classes, channels, 40)
        guess = predicted(truth, model, dataset, number, shift)
        for one in range(classes + 1):
            for two in range(classes + 1):
                found[one, two] += int(((truth == one) & (guess == two)).sum())
    found[0, 0] = -1
    return found


KINDS = [("moles", 1, 3), ("polyps", 2, 3), ("hearts", 3, 1)]


@pytest.mark.parametrize(("dataset", "classes", "channels"), KINDS)
def test_confusions_are_those_of_the_pixels(study: Study, dataset: str, classes: int, channels: int) -> None:
    evidence = study.evidence()
    cache = study.loaded.base / "cache"
    opened = replace(evidence, arrays=lambda job: arrays_of(job, study.loaded.registry, cache))
    for model, shift in (("broad", 0), ("ring", 3)):
        truth = counted(dataset, model, classes, channels, shift)
        found = confusion(opened, opened.cell(model, dataset))
        assert found is not None and found.exact
        assert (found.low == truth).all()
        # Counts alone leave a range, and the truth lies in it.
        left = confusion(evidence, evidence.cell(model, dataset))
        assert left is not None
        assert left.exact == (classes == 1)
        assert ((left.low <= truth) & (truth <= left.high)).all()


def test_the_table_says_what_is_known_and_what_is_not(study: Study) -> None:
    evidence = study.evidence()
    data = evidence.dataset("hearts")
    table = confusion_table(evidence, data, ("broad", "ring"))
    assert table is not None
    assert len(table.rows) == 6
    assert "limits that the counts of each image leave" in table.caption
    matrix = bounds(evidence.cell("ring", "hearts").folds)
    truth = counted("hearts", "ring", 3, 1, 3)
    for place, row in enumerate(table.rows[3:], start=1):
        assert row.cells[2].values == (truth[place].sum(),)
        assert row.cells[2 + place + 1].text == f"{100 * truth[place, place] / truth[place].sum():.1f}"
        low, high = row.cells[3].values
        assert (low, high) == (matrix.low[place, 0], matrix.high[place, 0])
    assert any(cell.text.startswith("≤ ") for row in table.rows for cell in row.cells)
    cache = Path(study.loaded.base or "") / "cache"
    opened = replace(evidence, arrays=lambda job: arrays_of(job, study.loaded.registry, cache))
    known = confusion_table(opened, data, ("broad",))
    assert known is not None
    assert "Counted from label maps and masks" in known.caption
    for row in known.rows:
        shares = [float(cell.text) for cell in row.cells[3:]]
        assert sum(shares) == pytest.approx(100, abs=0.2)
