from __future__ import annotations

import inspect
from typing import Any

import pytest

from bench_core.spec.transforms import REFUSED, REFUSED_ARGUMENTS, REQUIRED, TRANSFORMS, Kind

SAMPLES: dict[str, Any] = {
    "BOOL": True, "PROBABILITY": 0.5, "NUMBER": -1.5, "NON_NEGATIVE": 2, "BITS": 4, "CHANNELS": 3,
    "POINT": [1, 2],
    "FRACTIONS": [0.1, 0.2], "RATIOS": [0.5, 2], "FACTORS": [0, 2], "HUES": [-0.1, 0.1], "DEGREES": 180,
    "SHEAR": 17.5,
    "JITTER": 0.5, "HUE_JITTER": 0.05, "ODD": 25, "SIGMA": [0.001, 2], "STRENGTH": 50.0, "QUALITY": [50, 90],
    "SIZE": 32, "PADDING": [1, 2], "INTERPOLATION": "nearest", "PADDING_MODE": "reflect",
}  # fmt: skip


def kinds() -> dict[str, Kind]:
    from bench_core.spec import transforms

    return {name: value for name, value in vars(transforms).items() if isinstance(value, Kind)}


def test_every_kind_has_a_sample_that_it_accepts() -> None:
    assert kinds().keys() == SAMPLES.keys()
    for name, kind in kinds().items():
        assert kind.accepts(SAMPLES[name]), name


@pytest.mark.parametrize(
    "value", [None, "a lot", {}, {"a": 1}, [], ["a"], [1, "b"], [[1, 2]], float("nan"), float("inf")]
)
def test_no_kind_accepts_nonsense(value: object) -> None:
    assert not [name for name, kind in kinds().items() if kind.accepts(value)]


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("PROBABILITY", 1.1), ("PROBABILITY", True), ("BITS", 4.0), ("BITS", 9), ("ODD", 4), ("ODD", [3, 4]),
        ("FRACTIONS", [0.5]), ("FRACTIONS", [0, 1.5]), ("RATIOS", [2, 1]), ("RATIOS", [0, 1]),
        ("HUES", [-1, 1]),
        ("DEGREES", -1), ("SHEAR", [1, 2, 3]), ("HUE_JITTER", 0.6), ("SIGMA", 0), ("QUALITY", 0),
        ("QUALITY", [1.5, 2]), ("SIZE", -3), ("PADDING", [1, 2, 3]),
        ("INTERPOLATION", "lanczos"), ("CHANNELS", 2),
    ],
)  # fmt: skip
def test_kinds_refuse_what_torchvision_would(kind: str, bad: object) -> None:
    assert not kinds()[kind].accepts(bad)


def test_the_table_agrees_with_torchvision() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    for name, arguments in TRANSFORMS.items():
        signature = inspect.signature(getattr(v2, name).__init__).parameters
        own = {key: value for key, value in signature.items() if key != "self"}
        assert arguments.keys() <= own.keys(), name
        assert own.keys() - arguments.keys() <= REFUSED_ARGUMENTS.keys(), name
        required = [key for key, value in own.items() if value.default is inspect.Parameter.empty]
        assert list(REQUIRED.get(name, ())) == required, name


def test_every_accepted_sample_makes_a_transform() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    samples = {id(kind): SAMPLES[name] for name, kind in kinds().items()}
    for name, arguments in TRANSFORMS.items():
        getattr(v2, name)(**{key: samples[id(kind)] for key, kind in arguments.items()})


def test_all_of_torchvision_s_transforms_are_decided_on() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    base = v2.Transform
    names = {name for name, value in vars(v2).items() if inspect.isclass(value) and issubclass(value, base)}
    # No augmentation at all: base classes, boxes and key points, video, types.
    neutral = {
        "Transform", "Identity", "ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat",
        "SanitizeBoundingBoxes", "SanitizeKeyPoints", "SetClampingMode", "ToPureTensor",
        "UniformTemporalSubsample",
    }  # fmt: skip
    assert names - TRANSFORMS.keys() - REFUSED.keys() - neutral == set()
