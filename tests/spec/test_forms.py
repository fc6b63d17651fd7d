"""Sections of several forms: which one is meant, what it may hold, and how layers and models change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bench_core.spec.change import applied, replaces, strays
from bench_core.spec.load import load_spec
from bench_core.spec.model import Deviations
from bench_core.spec.protocol import SGD, Adam, AdamW, Constant, Cosine, Last, Poly, Protocol, Rex
from bench_core.spec.section import Section
from tests.helpers.spec_files import VALID, edited, findings, small_registry, write

OPTIMIZER = "{name: adamw, weight_decay: 0.01}"
SCHEDULE = "{name: rex, step: epoch}"


def protocol(**settings: Any) -> Protocol:
    return Protocol.model_validate({"evaluate": {"epochs": 1}, "learning_rate": 1e-3} | settings)


def change(setting: str, value: Any) -> Section:
    found: Section = getattr(Deviations.model_validate({"because": "a test", setting: value}), setting)
    return found


@pytest.mark.parametrize(
    ("setting", "given", "expected"),
    [
        ("optimizer", "sgd", SGD(name="sgd")),
        ("optimizer", {"weight_decay": 0.5}, AdamW(weight_decay=0.5)),
        ("optimizer", {"name": "adam", "betas": [0.5, 0.9]}, Adam(name="adam", betas=(0.5, 0.9))),
        ("schedule", "constant", Constant(name="constant")),
        ("schedule", {"beta": 0.25}, Rex(beta=0.25)),
        ("schedule", {"name": "poly", "power": 2}, Poly(name="poly", power=2.0)),
        ("checkpoint", "last", Last(choose="last")),
    ],
)
def test_a_word_a_name_or_neither_chooses_the_form(setting: str, given: Any, expected: Section) -> None:
    assert getattr(protocol(**{setting: given}), setting) == expected


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        ("optimizer", {"name": "adamw", "momentum": 0.9}),
        ("optimizer", {"name": "sgd", "betas": [0.9, 0.9]}),
        ("schedule", {"name": "constant", "step": "step"}),
        ("schedule", {"name": "cosine", "power": 1.0}),
        ("schedule", {"power": 1.0}),
        ("checkpoint", {"choose": "last", "monitor": "miou"}),
        ("metrics", {"empty": "one"}),
    ],
)
def test_a_setting_without_effect_is_an_unknown_key(setting: str, given: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        protocol(**{setting: given})
    assert [item["type"] for item in caught.value.errors()] == ["extra_forbidden"]


def test_the_hint_says_whose_setting_it_is(tmp_path: Path) -> None:
    (found,) = findings(write(tmp_path, edited((OPTIMIZER, "{momentum: 0.9}"))))
    assert found.cause == "momentum belongs to optimizer sgd, and has no effect with adamw"
    assert found.fix == "remove it, or write `name: sgd`"


def test_a_split_under_evaluate_is_sent_to_its_dataset(tmp_path: Path) -> None:
    found = findings(write(tmp_path, VALID), ["protocol.evaluate.split=split.json"])
    assert [item.message for item in found] == ["unknown key 'split' in protocol.evaluate"]
    assert "folds: split.json" in (found[0].fix or "")


def test_only_the_chosen_forms_mistakes_are_told(tmp_path: Path) -> None:
    text = edited((OPTIMIZER, "{name: sgd, momentum: 2, weight_decay: -1, nesterov: true}"))
    found = findings(write(tmp_path, text))
    assert [(item.check, item.message) for item in found] == [
        ("range", "protocol.optimizer.momentum is 2, but must be less than 1"),
        ("range", "protocol.optimizer.weight_decay is -1, but must be at least 0"),
        ("unknown-key", "unknown key 'nesterov' in protocol.optimizer"),
    ]
    assert found[2].cause == (
        "valid keys are name, weight_decay, decay, encoder_factor, layer_decay, momentum"
    )


def test_a_deviation_that_names_another_form_replaces_and_any_other_keeps_the_rest() -> None:
    usual = AdamW(weight_decay=0.3, betas=(0.5, 0.5))
    assert applied(usual, change("optimizer", {"weight_decay": 0.1})) == AdamW(
        weight_decay=0.1, betas=(0.5, 0.5)
    )
    assert applied(usual, change("optimizer", {"name": "adamw", "weight_decay": 0.1})) == AdamW(
        weight_decay=0.1, betas=(0.5, 0.5)
    )
    assert applied(usual, change("optimizer", "sgd")) == SGD(name="sgd")
    assert applied(SGD(name="sgd"), change("optimizer", {"momentum": 0.5})) == SGD(name="sgd", momentum=0.5)
    with pytest.raises(ValueError, match="momentum would have no effect with adamw"):
        applied(usual, change("optimizer", {"momentum": 0.5}))


optimizers = st.sampled_from([AdamW(), Adam(name="adam", weight_decay=0.1), SGD(name="sgd", momentum=0.5)])
optimizer_changes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["adamw", "adam", "sgd"]),
        "weight_decay": st.floats(0, 1),
        "momentum": st.floats(0, 0.9),
        "betas": st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    },
)


@given(optimizers, optimizer_changes)
def test_a_change_is_all_there_or_refused(current: Any, given: dict[str, Any]) -> None:
    try:
        asked = change("optimizer", given)
    except ValidationError:
        return  # It names a form and gives a setting that this form does not have.
    if strays(current, asked):
        with pytest.raises(ValueError, match="no effect"):
            applied(current, asked)
        return
    after = applied(current, asked)
    assert {name: getattr(after, name) for name in given} == given
    if not replaces(current, asked):
        assert type(after) is type(current)
        assert all(
            getattr(after, name) == getattr(current, name)
            for name in type(current).model_fields
            if name not in given
        )


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ("{name: rex, alpha: 0.7}", "cosine", Cosine(name="cosine")),
        ("{name: rex, alpha: 0.7}", "{name: cosine, min_lr: 1e-7}", Cosine(name="cosine", min_lr=1e-7)),
        ("{alpha: 0.7}", "{name: rex, beta: 0.1}", Rex(alpha=0.7, beta=0.1)),
        ("{name: poly, power: 2.0}", "{step: step}", Poly(name="poly", power=2.0, step="step")),
        ("poly", "{step: step}", Poly(name="poly", step="step")),
        ("{name: poly, power: 2.0}", "poly", Poly(name="poly", power=2.0)),
    ],
)
def test_a_spec_that_names_another_form_replaces_that_of_its_base(
    base: str, over: str, expected: Section, tmp_path: Path
) -> None:
    write(tmp_path, edited((SCHEDULE, base)), "base.yaml")
    path = write(tmp_path, f"extends: base.yaml\nprotocol: {{schedule: {over}}}\n")
    assert load_spec(path, registry=small_registry()).spec.protocol.schedule == expected


def test_an_override_may_be_a_bare_word(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    loaded = load_spec(path, ["protocol.optimizer=sgd"], registry=small_registry())
    assert loaded.spec.protocol.optimizer == SGD(name="sgd")
