"""Whether the numbers of maps tell a network that looks at the structure from one that looks at a marker."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.planted_shortcut import SIDE, dice, draw, numbers_of, train

FINE, LAST = "encoder.2", "decoder.3"


@pytest.mark.parametrize("visible", [True, False])
def test_only_the_marker_tells_of_an_invisible_disc(visible: bool) -> None:
    drawn = draw(300, 0, visible=visible)
    inside = np.array([image[0][mask].mean() for image, mask in zip(drawn.images, drawn.masks, strict=True)])
    around = np.array([image[0][~mask].mean() for image, mask in zip(drawn.images, drawn.masks, strict=True)])
    assert (abs((inside - around).mean()) < 0.1) == (not visible)
    assert not (drawn.masks & drawn.markers).any()
    sides = [(np.argwhere(which).mean(axis=0) < SIDE / 2).tolist() for which in drawn.masks]
    marked = [(np.argwhere(which).mean(axis=0) < SIDE / 2).tolist() for which in drawn.markers]
    opposite = [one == [not side for side in other] for one, other in zip(sides, marked, strict=True)]
    assert np.mean(opposite) == 1 if not visible else 0.1 < np.mean(opposite) < 0.4


@pytest.mark.slow
def test_the_numbers_tell_a_shortcut_from_the_structure() -> None:
    found = {}
    for visible in (True, False):
        network, drawn = train(visible=visible), draw(24, 99, visible=visible)
        assert dice(network, drawn) > 0.9
        found[visible] = {
            each.layer: each.means for each in numbers_of(network, drawn, (FINE, LAST), "hires-cam")
        }
    honest, short = found[True][FINE], found[False][FINE]
    assert honest["lift"] > 4 > 1.2 > short["lift"]
    assert honest["marker"] < 1 < 10 < short["marker"]
    assert honest["pointing"] > 0.6 > 0.2 > short["pointing"]
    assert honest["loss_inside"] > 0.5 > 0.1 > short["loss_inside"]
    assert honest["loss_outside"] < 0.05 < 0.15 < short["loss_outside"]
    assert min(honest["deletion_gain"], short["deletion_gain"]) > 0.1
    # The last layer's maps look alike, and are the prediction: only what is lost tells the two apart.
    honest, short = found[True][LAST], found[False][LAST]
    assert min(honest["lift"], short["lift"]) > 8
    assert min(honest["pointing"], short["pointing"]) == 1
    assert min(honest["logits"], short["logits"]) > 0.85
    assert honest["loss_inside"] > 0.5 > 0.1 > short["loss_inside"]
