"""Two plans side by side."""

from __future__ import annotations

from typing import Any

import pytest

from bench_core.plan.diff import compare
from bench_core.plan.expand import Plan, make_plan
from tests.helpers.plans import architecture, dataset, registry, small_plan, small_protocol, small_spec


def test_a_plan_shares_everything_with_itself() -> None:
    diff = compare(small_plan(), small_plan())
    assert (diff.shared, diff.only_left, diff.only_right) == (32, 0, 0)
    assert all(cell.shared == 8 and not cell.changes and not cell.reasons for cell in diff.cells)


def test_labels_roots_and_names_change_nothing() -> None:
    other = small_plan(
        name="renamed",
        models=[{"name": "other-net"}, {"name": "net"}],
        datasets=[{"name": "gut", "root": "/elsewhere"}, {"name": "skin"}],
    )
    diff = compare(small_plan(), other)
    assert diff.shared == 32
    assert not [cell for cell in diff.cells if cell.changed or cell.changes or cell.reasons or cell.notes]


RENAMED = [{"name": "net", "label": "my-net"}, {"name": "other-net"}]


def test_a_renamed_model_is_the_same_model() -> None:
    diff = compare(small_plan(), small_plan(models=RENAMED), ("a", "b"))
    assert (diff.shared, diff.only_left, diff.only_right, len(diff.cells)) == (32, 0, 0, 4)
    notes = {note for cell in diff.cells for note in cell.notes}
    assert notes == {"model net is called my-net in b: the label changes nothing"}
    assert {(cell.model, cell.right_model) for cell in diff.cells} == {
        ("net", "my-net"),
        ("other-net", "other-net"),
    }
    assert not any(cell.reasons or cell.changes for cell in diff.cells)


def test_swapped_labels_are_two_renames() -> None:
    swapped = [{"name": "net", "label": "b"}, {"name": "other-net", "label": "a"}]
    usual = [{"name": "net", "label": "a"}, {"name": "other-net", "label": "b"}]
    diff = compare(small_plan(models=usual), small_plan(models=swapped))
    assert diff.shared == 32 and not any(cell.changed for cell in diff.cells)
    assert {(cell.model, cell.right_model) for cell in diff.cells} == {("a", "b"), ("b", "a")}


def test_a_renamed_and_changed_model_says_both() -> None:
    right = small_plan(models=RENAMED, protocol=small_protocol(batch_size=4))
    diff = compare(small_plan(), right, ("a", "b"))
    assert diff.shared == 0
    for cell in diff.cells:
        assert [(item.field, item.left, item.right) for item in cell.changes] == [
            ("training.batch_size", 8, 4)
        ]
        assert not cell.reasons
    assert len({note for cell in diff.cells for note in cell.notes}) == 1


def test_the_label_of_own_files_counts_and_is_said_to() -> None:
    def own(label: str) -> Plan:
        declared = registry([architecture("net")], [dataset("folder", own_files=True)])
        datasets = [{"name": "folder", "label": label}]
        return make_plan(small_spec(models=[{"name": "net"}], datasets=datasets), declared)

    diff = compare(own("polyps"), own("polyps-2"), ("a", "b"))
    (cell,) = diff.cells
    assert diff.shared == 0 and cell.changed == 8 and not cell.reasons
    assert cell.notes == (
        "dataset polyps is called polyps-2 in b: its files are your own, so that its label counts",
    )
    assert ("dataset.content", "polyps", "polyps-2") in [(c.field, c.left, c.right) for c in cell.changes]


@pytest.mark.parametrize(
    ("protocol", "shared", "expected"),
    [
        ({"batch_size": 4}, 0, [("training.batch_size", 8, 4)]),
        ({"optimizer": {"weight_decay": 0.02}}, 0, [("training.optimizer.weight_decay", 0.01, 0.02)]),
        ({"evaluate": {"epochs": 9}}, 12, [("training.epochs", 3, 9)]),
        (
            {"search": {"learning_rate": [1e-3, 1e-4, 1e-5], "epochs": 9}},
            0,
            [("training.epochs", 2, 9)],
        ),
        (
            {"search": {"learning_rate": [1e-3, 1e-4, 1e-5], "epochs": 2, "monitor": "mdsc"}},
            12,
            [("search_monitor", "miou", "mdsc")],
        ),
    ],
)
def test_a_changed_field_is_named(
    protocol: dict[str, Any], shared: int, expected: list[tuple[str, Any, Any]]
) -> None:
    diff = compare(small_plan(), small_plan(protocol=small_protocol(**protocol)))
    assert diff.shared == shared
    assert diff.only_left == diff.only_right == 32 - shared
    for cell in diff.cells:
        assert [(change.field, change.left, change.right) for change in cell.changes] == expected
        assert not cell.reasons


def test_fewer_rates_leave_the_search_and_change_only_who_chooses() -> None:
    protocol = small_protocol(search={"learning_rate": [1e-3, 1e-4], "epochs": 2})
    diff = compare(small_plan(), small_plan(protocol=protocol), ("all", "fewer"))
    cell = diff.cells[0]
    assert (cell.shared, cell.changed, cell.only_left, cell.only_right) == (2, 5, 1, 0)
    assert [change.field for change in cell.changes] == ["needs"]
    assert cell.reasons == ("fewer has no learning rate 1e-05 in its search",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"models": [{"name": "net"}]}, "right has no model other-net"),
        ({"datasets": [{"name": "skin"}]}, "right has no dataset gut"),
        (
            {"exclude": [{"model": "net", "dataset": "gut", "because": "does not converge"}]},
            "right excludes it: does not converge",
        ),
        (
            {"protocol": small_protocol(evaluate={"epochs": 3, "only": [0, 1]})},
            "right has no evaluate fold 2",
        ),
    ],
)
def test_missing_jobs_are_explained_from_both_sides(changes: dict[str, Any], reason: str) -> None:
    whole, part = small_plan(), small_plan(**changes)
    diff = compare(whole, part, ("left", "right"))
    assert diff.only_left > 0
    assert diff.only_right == 0
    assert reason in {text for cell in diff.cells for text in cell.reasons}
    turned = compare(part, whole, ("right", "left"))
    assert (turned.only_left, turned.only_right) == (0, diff.only_left)
    assert reason in {text for cell in turned.cells for text in cell.reasons}


def test_a_fixed_rate_has_no_search() -> None:
    protocol = small_protocol(learning_rate=1e-3)
    del protocol["search"]
    diff = compare(small_plan(), small_plan(protocol=protocol), ("left", "right"))
    cell = diff.cells[0]
    assert (cell.shared, cell.changed, cell.only_left) == (0, 5, 3)
    assert ("learning_rate", None, 0.001) in [(item.field, item.left, item.right) for item in cell.changes]
    assert cell.reasons == ("right has no search stage",)
