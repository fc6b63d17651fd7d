"""From the classes of one dataset to those of another: every way to leave something open is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.declarations import IGNORE, Side, Task
from bench_core.execute.outcome import LONGEST_VALUE
from bench_core.labels import count
from bench_steps.class_maps import BACKGROUND, class_map, fits

NAMES = ("ash", "birch", "cedar", "elm", "fir")
CLASSES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple)


def task(*classes: str) -> Task:
    return Task(classes=classes, channels=1)


def options(given: dict[str, str] | None = None, unreached: str = "refuse") -> dict[str, Any]:
    return {"map": given or {}, "unreached": unreached}


@given(mine=CLASSES, theirs=CLASSES, data=st.data())
def test_a_map_is_what_it_says_or_refused(mine: tuple[str, ...], theirs: tuple[str, ...], data: Any) -> None:
    written = {name: data.draw(st.sampled_from((*theirs, BACKGROUND)), label=name) for name in mine}
    reached = {target for target in written.values() if target != BACKGROUND}
    lax, strict = (options(written, way) for way in ("leave-out", "refuse"))
    if not reached:
        with pytest.raises(ValueError, match="no class is left"):
            class_map(lax, task(*mine), task(*theirs))
        return
    found = class_map(lax, task(*mine), task(*theirs))
    for label, name in enumerate(mine, start=1):
        target = int(found.table[label])
        assert (BACKGROUND, *theirs)[target] == written[name]
    assert found.table[0] == 0 and found.table[IGNORE] == IGNORE
    assert {theirs[place] for place in found.scored} == reached
    if reached == set(theirs):
        assert class_map(strict, task(*mine), task(*theirs)).names == found.names
    else:
        with pytest.raises(ValueError, match="stands for"):
            class_map(strict, task(*mine), task(*theirs))


@given(mine=CLASSES, theirs=CLASSES)
def test_without_a_map_only_what_cannot_be_meant_otherwise_is_taken(
    mine: tuple[str, ...], theirs: tuple[str, ...]
) -> None:
    if set(mine) == set(theirs):
        found = class_map(options(), task(*mine), task(*theirs))
        assert found.names == {name: name for name in mine}
    elif len(mine) == len(theirs) == 1:
        assert class_map(options(), task(*mine), task(*theirs)).names == {mine[0]: theirs[0]}
    else:
        with pytest.raises(ValueError, match=r"no class|stands for"):
            class_map(options(), task(*mine), task(*theirs))


@given(mine=CLASSES, data=st.data(), seed=st.integers(0, 99))
def test_mapped_label_maps_count_what_their_classes_count_together(
    mine: tuple[str, ...], data: Any, seed: int
) -> None:
    """A merged class holds the pixels of the classes that were merged, in masks and in predictions."""
    random = np.random.default_rng(seed)
    written = {name: data.draw(st.sampled_from(("one", "other", BACKGROUND))) for name in mine}
    if set(written.values()) == {BACKGROUND}:
        return
    found = class_map(options(written, "leave-out"), task(*mine), task("one", "other"))
    labels, truth = random.integers(0, len(mine) + 1, (2, 9, 7)).astype(np.uint8)
    truth[0, :3] = IGNORE
    counts = count(found.table[labels], found.table[truth], 2)
    for place, target in enumerate(("one", "other")):
        merged = [label for label, name in enumerate(mine, start=1) if written[name] == target]
        seen = truth != IGNORE
        mine_, theirs_ = np.isin(labels, merged) & seen, np.isin(truth, merged) & seen
        expected = [(mine_ & theirs_).sum(), (mine_ & ~theirs_).sum(), (~mine_ & theirs_).sum()]
        assert counts[place].tolist() == expected


@pytest.mark.parametrize(
    ("given_map", "said"),
    [
        ({"ash": "polyp"}, "says nothing of 'elm'; add elm: CLASS, or elm: background"),
        ({"ash": "polyp", "elm": "polyp", "oak": "polyp"}, "is about 'oak'"),
        ({"ash": "polyp", "elm": "polip"}, "'polip', which is none of 'polyp' and 'background'"),
        ({"ash": "polyp", "elm": ["polyp"]}, "is none of"),
        ({"ash": BACKGROUND, "elm": BACKGROUND}, "no class is left"),
        ({}, "no class there is called 'ash' and 'elm'; write `map: {ash: CLASS}`"),
    ],
)
def test_what_is_wrong_with_a_map_is_said(given_map: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        class_map(options(given_map), task("ash", "elm"), task("polyp"))
    assert said in str(caught.value)


def test_a_map_of_many_long_names_is_said_in_few_words() -> None:
    names = tuple(f"{number:03d}" + "x" * 61 for number in range(254))
    words = class_map(options(), task(*names), task(*names)).words
    assert len(words) < LONGEST_VALUE and words.endswith("; and 234 more")


def test_background_as_a_class_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="which is a class there as well"):
        class_map(options({"ash": BACKGROUND}), task("ash"), task(BACKGROUND, "elm"))


def test_one_class_of_two_kinds_of_images_is_not_taken_for_one() -> None:
    skin, gut = (
        Side(title="A", task=task("lesion"), modality="x"),
        Side(title="B", task=task("polyp"), modality="y"),
    )
    with pytest.raises(ValueError, match=r"write `map: \{lesion: polyp\}` if they are"):
        fits(options(), skin, gut)
    fits(options({"lesion": "polyp"}), skin, gut)
    fits(options(), skin, Side(title="B", task=task("polyp")))
    fits(options(), skin, Side(title="B", task=task("lesion"), modality="y"))
