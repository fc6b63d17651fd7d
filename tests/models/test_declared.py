"""What the study's architectures declare of themselves: complete, consistent, and held to before a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench_core import Architecture
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec

ARCHITECTURES = [model for model in load_registry().models.values() if model.build is not None]
SPEC = """
version: 1
name: sides
models:
  - {{name: {name}, options: {{{option}: {value}}}}}
datasets: [synthetic]
protocol:
  image_size: 128
  learning_rate: 1e-4
  evaluate: {{folds: 3, epochs: 1}}
"""


@pytest.fixture(params=ARCHITECTURES, ids=lambda model: model.name)
def declared(request: pytest.FixtureRequest) -> Architecture:
    model = request.param
    assert isinstance(model, Architecture)
    return model


def test_all_thirteen_are_here() -> None:
    assert len(ARCHITECTURES) == 13


def test_the_year_is_the_papers(declared: Architecture) -> None:
    venue = re.search(r"\b(20\d\d),", declared.paper)
    preprint = re.search(r"arXiv:(\d\d)\d\d\.", declared.paper)
    assert preprint is not None
    assert declared.year == (int(venue[1]) if venue else 2000 + int(preprint[1]))


def test_license_limits_and_layers_are_said(declared: Architecture) -> None:
    assert declared.license and declared.title and declared.explained.decoder
    assert declared.size_minimum >= 16
    assert set(declared.parameters) == {1, 2, 3, 4}


def test_quirks_are_sentences(declared: Architecture) -> None:
    assert declared.quirks
    for quirk in declared.quirks:
        assert quirk[0].isupper() and quirk.endswith(".") and ". " not in quirk


def test_small_options_are_valid_and_others_than_the_published(declared: Architecture) -> None:
    published = complete_options(declared.options, {})
    small = complete_options(declared.options, declared.small)
    assert small != published
    assert {name for name in small if small[name] != published[name]} == set(declared.small)


@pytest.mark.parametrize(
    ("name", "option", "value", "nearest"),
    [
        ("missformer", "inner_size", 100, "96 or 128"),
        ("hiformer", "inner_size", 100, "96 or 112"),
        ("vw-mit", "decoder_width", 100, "64 or 128"),
        ("vw-conv", "decoder_width", 500, "448 or 512"),
    ],
)
def test_a_size_between_two_steps_is_refused_by_validate(
    tmp_path: Path, name: str, option: str, value: int, nearest: str
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(name=name, option=option, value=value))
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    assert f"option '{option}' must be a multiple of" in str(refused.value)
    assert f"nearest: {nearest}" in str(refused.value)


@pytest.mark.parametrize(("name", "option", "value"), [("missformer", "inner_size", 96)])
def test_a_size_that_fits_is_taken(tmp_path: Path, name: str, option: str, value: int) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(name=name, option=option, value=value))
    assert load_spec(spec).spec.models[0].options == {option: value}
