"""Damage of published datasets is told once, with its path, and excused only where something is missing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.published import Damage, check_damage, draw, told
from tests.helpers.published_damages import LAYOUTS

Whole = Callable[[str], tuple[Path, frozenset[str]]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return the copy of a layout, drawn when first asked for, and what is told of it as it is."""

    @functools.cache
    def drawn(layout: str) -> tuple[Path, frozenset[str]]:
        dataset, samples, seed, _ = LAYOUTS[layout]
        folder = tmp_path_factory.mktemp(dataset)
        draw(dataset, folder / "root", samples, seed)
        return folder / "root", frozenset(told(dataset, folder / "root", folder / "cache"))

    return drawn


@pytest.mark.parametrize(
    ("layout", "damage"),
    [
        pytest.param(layout, damage, id=f"{layout}: {damage.name}")
        for layout, (*_, damages) in LAYOUTS.items()
        for damage in damages
    ],
)
def test_damage_is_told_once(layout: str, damage: Damage, whole: Whole, tmp_path: Path) -> None:
    root, before = whole(layout)
    check_damage(damage, LAYOUTS[layout][0], root, before, tmp_path)
