"""A session: images without masks, label maps made or taken, and what a job leaves in its folder."""

from __future__ import annotations

import csv
import io
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench_core.data.loader import Split
from bench_core.declarations import JobEvent, Task
from bench_core.errors import DivergedError, PluginError, TrainingError
from bench_core.plan.job import Apply, Own, Work
from bench_core.protocol.session import Session
from bench_core.protocol.site import ImageBatch, Site, Source
from bench_core.records import Predictions
from bench_core.spec.protocol import Normalization
from bench_core.spec.training import Scoring
from bench_core.store.folder import read_records
from tests.helpers.tiny_jobs import BINARY, SIZE, THREE, tiny_arrays, tiny_job, tiny_network, tiny_training

pytestmark = pytest.mark.usefixtures("one_thread")
OWN = Own(1, {})
STEP = Apply("look", 1, {}, "blobs")
MAP = np.zeros((SIZE, SIZE), np.uint8)


def session(
    task: Task = BINARY,
    work: Work = OWN,
    *,
    source: Source | None = None,
    scoring: Scoring | None = None,
    **site: Any,
) -> Session:
    """Return a session over 12 training, 4 validation and 4 test images."""
    arrays = tiny_arrays(task)
    parts = [Split(arrays, part, "rgb") for part in np.split(np.arange(20), [12, 16])]
    sources = {} if source is None else {"weights": source}
    job = tiny_job(task, work=work, scoring=scoring)
    return Session(Site(job, *parts, sources=sources, **site))


def source(network: nn.Module, **training: Any) -> Source:
    """Return a finished job whose network is this one."""
    job = tiny_job(training=tiny_training(**training))
    return Source(
        job=job,
        predictions=lambda: Predictions((), np.zeros((0, SIZE, SIZE), np.uint8)),
        weights=network.state_dict,
        network=lambda: network,
    )


def bright(batch: ImageBatch) -> Tensor:
    return batch.images.mean(dim=1, keepdim=True) - 0.4


def test_images_come_once_each_in_order_in_the_unit_interval_without_masks() -> None:
    found = session()
    batches = list(found.images(found.test, batch_size=3))
    assert [len(batch.ids) for batch in batches] == [3, 1]
    assert tuple(sample for batch in batches for sample in batch.ids) == found.test.ids
    images = torch.cat([batch.images for batch in batches])
    expected, _ = found.test.read(range(4))
    torch.testing.assert_close(images, expected.float() / 255)
    assert set(vars(batches[0])) == {"ids", "images"}


def test_reading_images_leaves_no_process() -> None:
    before = set(multiprocessing.active_children())
    one = session(loader_workers=2)
    assert one.test is not None
    images = one.images(one.test, batch_size=2)
    first = next(images)
    assert len(set(multiprocessing.active_children()) - before) == 2
    rest = list(images)
    assert set(multiprocessing.active_children()) <= before
    assert [*first.ids, *(sample for batch in rest for sample in batch.ids)] == list(one.test.ids)


def test_images_are_normalized_as_the_needed_job_s_network_takes_them() -> None:
    found = session(source=source(nn.Identity(), normalization=Normalization(mean=0.25, std=0.5)))
    (batch,) = found.images(found.test)
    expected, _ = found.test.read(range(4))
    torch.testing.assert_close(batch.images, (expected.float() / 255 - 0.25) / 0.5)


def test_label_maps_follow_the_scoring_of_the_job() -> None:
    found, low = session(), session(scoring=Scoring(threshold=-0.2, threshold_space="logit"))
    images, _ = found.test.read(range(4))
    mean = (images.float() / 255).mean(dim=1)
    np.testing.assert_array_equal(found.predict(found.test, bright).labels, (mean > 0.4).numpy())
    np.testing.assert_array_equal(low.predict(low.test, bright).labels, (mean - 0.4 > -0.2).numpy())
    assert found.predict(found.validation, bright).ids == found.validation.ids


def test_of_several_classes_the_largest_logit_decides() -> None:
    found = session(THREE)
    labels = found.predict(
        found.test, lambda batch: torch.stack([bright(batch)[:, 0] * k for k in (0, 1, 2)], 1)
    )
    assert set(np.unique(labels.labels)) == {0, 2}


def test_predictions_are_made_without_gradients_and_progress_is_told() -> None:
    events: list[JobEvent] = []
    found = session(emit=events.append)
    enabled: list[bool] = []

    def predict(batch: ImageBatch) -> Tensor:
        enabled.append(torch.is_grad_enabled())
        return bright(batch)

    found.predict(found.test, predict)
    assert enabled == [False]
    assert [(event.kind, event.done, event.total) for event in events] == [("progress", 4, 4)]


def test_logits_that_are_not_a_number_diverge() -> None:
    found = session()
    with pytest.raises(DivergedError, match=r"NaN for 4 of 4 images, case-16"):
        found.predict(found.test, lambda batch: bright(batch) * float("nan"))


@pytest.mark.parametrize(
    "wrong", [lambda logits: logits[:, 0], lambda logits: logits.numpy(), lambda logits: logits[:1]]
)
def test_something_else_than_logits_is_refused(wrong: Any) -> None:
    found = session()
    with pytest.raises(PluginError, match="logits"):
        found.predict(found.test, lambda batch: wrong(bright(batch)))


def test_label_maps_made_elsewhere_are_taken_in_any_order() -> None:
    found = session()
    given = {sample: np.full((SIZE, SIZE), row % 2, np.int64) for row, sample in enumerate(found.test.ids)}
    taken = found.accept(found.test, reversed(given.items()))
    assert taken.ids == found.test.ids and taken.labels.dtype == np.uint8
    np.testing.assert_array_equal(taken.labels, np.stack([given[sample] for sample in found.test.ids]))


def test_maps_of_true_and_false_are_label_maps() -> None:
    found = session()
    taken = found.accept(found.test, [(sample, MAP == 0) for sample in found.test.ids])
    assert (taken.labels == 1).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda maps: maps[1:], "no label map for 1 of 4 images, case-16"),
        (lambda maps: [*maps, maps[0]], "two label maps for case-16"),
        (lambda maps: [*maps, ("case-00", MAP)], "'case-00', which is not an image of the split"),
        (lambda maps: [(maps[0][0], MAP[1:]), *maps[1:]], r"case-16 is uint8 \(15, 16\)"),
        (lambda maps: [(maps[0][0], MAP + 0.5), *maps[1:]], "case-16 is float64"),
        (lambda maps: [(maps[0][0], MAP + 2), *maps[1:]], "case-16 holds class 2"),
        (lambda maps: [(maps[0][0], MAP.astype(int) - 1), *maps[1:]], "case-16 holds class -1"),
        (lambda maps: [(maps[0][0], MAP.astype(int) + 256), *maps[1:]], "case-16 holds class 256"),
    ],
)
def test_label_maps_that_do_not_fit_are_refused(change: Any, says: str) -> None:
    found = session()
    with pytest.raises(PluginError, match=says):
        found.accept(found.test, change([(sample, MAP) for sample in found.test.ids]))


@given(st.permutations(range(4)), st.integers(0, 3))
def test_every_image_needs_exactly_one_map(order: list[int], left_out: int) -> None:
    found = session()
    maps = [(found.test.ids[row], MAP) for row in order]
    assert found.accept(found.test, maps).ids == found.test.ids
    with pytest.raises(PluginError, match="no label map for 1"):
        found.accept(found.test, maps[:left_out] + maps[left_out + 1 :])
    with pytest.raises(PluginError, match="two label maps"):
        found.accept(found.test, [*maps, maps[left_out]])


def test_a_procedure_does_not_see_the_masks_of_its_test_images() -> None:
    found = session()
    with pytest.raises(TrainingError, match="masks of its test images") as caught:
        list(found.truth(found.test))
    assert "session.validation" in (caught.value.fix or "")
    _, masks = found.validation.read(range(4))
    truth = dict(found.truth(found.validation))
    assert tuple(truth) == found.validation.ids
    np.testing.assert_array_equal(np.stack(list(truth.values())), masks.numpy())


def test_a_step_sees_the_masks_of_the_images_that_it_looks_at() -> None:
    found = session(work=STEP)
    _, masks = found.test.read(range(4))
    np.testing.assert_array_equal(np.stack([mask for _, mask in found.truth(found.test)]), masks.numpy())


def test_the_network_of_the_needed_job_is_in_evaluation_mode() -> None:
    network = tiny_network(BINARY).train()
    found = session(work=STEP, source=source(network))
    assert found.network() is network and not network.training
    assert found.source() is found.source("weights")
    one, two = (found.predict(found.test, lambda batch: network(batch.images)) for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)


def test_what_is_random_at_inference_is_drawn_image_by_image_from_the_seed() -> None:
    network = nn.Sequential(nn.AvgPool2d(1), nn.Conv2d(3, 1, 1))
    random = replace(source(network), random_at_inference=True)

    def predict(batch: ImageBatch) -> Tensor:
        assert len(batch.ids) == 1
        return torch.randn(1, 1, SIZE, SIZE)

    one, two = (session(work=STEP, source=random) for _ in range(2))
    found = one.predict(one.test, predict).labels
    torch.rand(3)
    np.testing.assert_array_equal(found, two.predict(two.test, predict).labels)
    assert len({labels.tobytes() for labels in found}) == 4


def test_a_job_that_needs_none_has_no_source() -> None:
    with pytest.raises(PluginError, match="needs no job"):
        session().source()
    with pytest.raises(PluginError, match="needs no job for its predictions"):
        session(source=source(nn.Identity())).source("predictions")
    with pytest.raises(TrainingError, match="has no train images"):
        _ = Session(Site(tiny_job(work=STEP), None, None, None)).train


def test_files_are_those_of_each_image(tmp_path: Path) -> None:
    found = session(files=lambda sample: (tmp_path / f"{sample}.png",))
    assert dict(found.files(found.test))["case-17"] == (tmp_path / "case-17.png",)


def test_artifacts_and_records_are_remembered_once_and_lie_in_the_folder(tmp_path: Path) -> None:
    found = session(folder=tmp_path)
    found.artifact("map.npy").write_bytes(b"x")
    found.artifact("map.npy").write_bytes(b"y")
    found.records("scores", [{"id": "a", "share": 0.1}, {"id": "b", "share": 1 / 3}])
    assert found.left == ("artifacts/map.npy", "records/scores.csv")
    assert (tmp_path / "artifacts" / "map.npy").read_bytes() == b"y"
    rows = read_records(tmp_path, "scores")
    assert [float(row["share"]) for row in rows] == [0.1, 1 / 3]  # to the last digit


@pytest.mark.parametrize(
    "name", ["../out", "a/b", "", ".hidden", "/etc/x", "a\\b", "x" * 101, "a\n", "é", ".."]
)
def test_names_that_could_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    found = session(folder=tmp_path / "job")
    for leave in (found.artifact, lambda name: found.records(name, [])):
        with pytest.raises(PluginError, match="not a name for a file"):
            leave(name)
    assert found.left == () and not (tmp_path / "job").exists()


def test_without_a_folder_nothing_can_be_left() -> None:
    with pytest.raises(PluginError, match="no folder"):
        session().artifact("map.npy")


def test_rows_of_records_have_one_set_of_columns(tmp_path: Path) -> None:
    found = session(folder=tmp_path)
    with pytest.raises(PluginError, match="columns b, not a"):
        found.records("scores", [{"a": 1}, {"b": 2}])
    with pytest.raises(PluginError, match="cannot be written"):
        found.records("scores", [{"a": "\udcff"}])
    found.records("none", [])
    assert read_records(tmp_path, "none") == []


@given(rows=st.lists(st.fixed_dictionaries({"id": st.text(), "more,": st.text(min_size=1)}), max_size=5))
def test_records_are_read_as_they_were_left(rows: list[dict[str, str]], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("job")
    session(folder=folder).records("table", rows)
    assert read_records(folder, "table") == rows
    text = (folder / "records" / "table.csv").read_bytes().decode()
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == len(rows) + 1
