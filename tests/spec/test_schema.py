from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.spec.catalog import CHECKS
from bench_core.spec.model import Spec
from bench_core.spec.schema import spec_schema
from tests.helpers.spec_files import VALID

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "specs").glob("*.yaml"))


def references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [found for value in part.values() for found in references(value)]
    if isinstance(part, list):
        return [found for value in part for found in references(value)]
    return []


def test_the_command_prints_the_schema_alike_each_time() -> None:
    first, second = (CliRunner().invoke(bench, ["schema"]) for _ in range(2))
    assert first.exit_code == 0 and first.output == second.output
    assert json.loads(first.output) == json.loads(json.dumps(spec_schema()))


def test_the_schema_is_complete_in_itself() -> None:
    schema = spec_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    names = {f"#/$defs/{name}" for name in schema["$defs"]}
    assert set(references(schema)) <= names
    assert {f"#/$defs/{name}" for name in ("Spec", "PartialSpec", "PartialProtocol", "Variable")} <= names


def test_every_key_of_the_spec_is_in_the_schema_and_explained() -> None:
    definitions = spec_schema()["$defs"]
    assert definitions["Spec"]["properties"].keys() == Spec.model_fields.keys() | {"extends"}
    assert "required" not in definitions["PartialSpec"]
    assert "required" not in definitions["PartialProtocol"]
    assert definitions["Protocol"]["required"] == ["evaluate"]
    assert "Pixels" in definitions["Protocol"]["properties"]["image_size"]["description"]
    for definition in definitions.values():
        assert definition["description" if "description" in definition else "properties"]


@pytest.mark.skipif(importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed")
@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (VALID, True),
        (VALID + "seed: ${SEED:-3}\n", True),
        (VALID + "analyses: [scores, {name: curves}]\n", True),
        ("extends: a.yaml\nprotocol: {search: {epochs: 3}}\n", True),
        ("extends: a.yaml\nprotocol: {search: {epoch: 3}}\n", False),
        (VALID.replace("image_size", "imagesize"), False),
        (VALID.replace("  evaluate: {folds: 5, layout: rotate, epochs: 4}\n", ""), False),
        (VALID.replace("{name: adamw, weight_decay: 0.01}", "sgd"), True),
        (VALID.replace("{name: adamw, weight_decay: 0.01}", "{name: sgd, momentum: 0.5}"), True),
        (VALID.replace("{name: adamw, weight_decay: 0.01}", "{momentum: 0.5}"), False),
        (VALID.replace("{name: rex, step: epoch}", "{name: constant, warmup: {steps: 5}}"), True),
        (VALID.replace("{name: rex, step: epoch}", "{name: constant, step: epoch}"), False),
        (VALID.replace("image_size: 256", "image_size: 256\n  loss: {focal: {gamma: 1}, dice: 0.5}"), True),
        (VALID.replace("image_size: 256", "image_size: 256\n  loss: {dice: {gamma: 1}}"), False),
        (
            VALID.replace("- tiny", "- {name: tiny, deviations: {because: x y, optimizer: {momentum: 0.5}}}"),
            True,
        ),
        *((path.read_text(), True) for path in SHIPPED),
    ],
)
def test_the_schema_knows_valid_specs_from_others(text: str, valid: bool) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(spec_schema())
    # PyYAML's own loader reads 1e-4 as text, as editors do not.
    data = json.loads(json.dumps(yaml.safe_load(text.replace("e-", ".0e-").replace("off", "'off'"))))
    assert (not list(validator.iter_errors(data))) is valid


def test_check_names_are_words() -> None:
    assert all(name.replace("-", "").isalpha() and line[0] != " " for name, line in CHECKS.items())
