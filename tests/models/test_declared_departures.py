"""What the published training does otherwise is said of every network of the study alike."""

from __future__ import annotations

import pytest

from bench_core.plugins.wiring import load_registry
from bench_sma.hiformer.network import SIZES

RECIPES = (
    "optimization",
    "optimizer",
    "training of the encoder",
    "learning rate of the Kolmogorov-Arnold layers",
)


@pytest.mark.parametrize(
    "name",
    [
        *("segformer", "segnext", "internimage", "transnext", "vw-mit", "vw-conv"),
        *("u-kan", "swin-umamba", "hiformer", "missformer", "transunet", "swin-unet"),
    ],
)
def test_a_recipe_of_its_own_is_a_departure(name: str) -> None:
    declared = load_registry().model(name)
    assert any(departure.what in RECIPES for departure in declared.departures)
    for departure in declared.departures:
        assert departure.published and departure.here and departure.because


def test_upernet_on_a_backbone_of_timm_says_where_it_is_not_the_published_one() -> None:
    registry = load_registry()

    def said(name: str) -> set[str]:
        return {departure.what for departure in registry.model(name).departures}

    assert said("timm:convnext_tiny/uper") == {"auxiliary head"}
    assert said("timm:vit_small_patch16_224") == {
        "auxiliary head",
        "feature pyramid of a vision transformer",
    }
    assert said("timm:convnext_tiny/fpn") == set()


def test_hiformers_fusion_has_the_heads_of_its_authors_configurations() -> None:
    assert {name: SIZES[name].fusion_heads for name in "sbl"} == {"s": (3, 3), "b": (6, 12), "l": (6, 6)}
