"""Wrong names of networks lead to right ones, their libraries' included."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.errors import UnknownNameError
from bench_core.plugins.nearest import nearest_names, parts_of
from bench_core.plugins.registry import Registry
from bench_core.plugins.wiring import load_registry

NAMES = [
    "mmseg:swin-tiny-patch4_upernet_8xb2-512x512",
    "mmseg:swin-base-patch4_upernet_8xb2-512x512",
    "mmseg:deeplabv3_r50-d8_769x769",
    "mmseg:deeplabv3plus_r101-d16-mg124_769x769",
    "mmseg:deeplabv3plus_r50-d8_769x769",
    "mmseg:segformer_mit-b0_512x512",
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("upernet_swin-tiny", NAMES[0]),
        ("swin-base upernet", NAMES[1]),
        ("deeplabv3plus", NAMES[4]),
        ("DeepLabV3+", NAMES[4]),
        ("deeplabv3", NAMES[2]),
        ("deeplabv3+_r101", NAMES[3]),
        ("segfromer", NAMES[5]),
    ],
)
def test_parts_count_in_any_order(word: str, name: str) -> None:
    assert nearest_names(word, NAMES) == [name]


@given(st.permutations(["swin", "tiny", "upernet"]), st.sampled_from("-_/ ."))
def test_order_and_signs_change_nothing(parts: list[str], sign: str) -> None:
    if sign != ".":
        assert nearest_names(sign.join(parts), NAMES) == [NAMES[0]]


@given(st.text(max_size=30))
def test_any_text_is_answered(word: str) -> None:
    assert set(nearest_names(word, NAMES, 3)) <= set(NAMES)
    assert all(part and part == part.lower() for part in parts_of(word))


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [
        ("deeplabv3+", ["smp:deeplabv3plus/", "mmseg:deeplabv3plus"]),
        ("unet++", ["smp:unetplusplus/"]),
        ("UNet++", ["smp:unetplusplus/"]),
        ("unetr", ["monai:unetr"]),
        ("attention-unet", ["monai:attentionunet"]),
        ("trans-unet", ["transunet"]),
    ],
)
def test_sources_are_searched(name: str, prefixes: list[str], registry: Registry) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.model(name)
    fix = caught.value.fix or ""
    suggested = fix.removeprefix("did you mean ").removesuffix("?").replace("'", "").split(" or ")
    assert len(suggested) == len(prefixes)
    for prefix in prefixes:
        (found,) = [item for item in suggested if item.startswith(prefix)]
        assert registry.model(found).name == found


@pytest.mark.parametrize("name", ["nnunet", "nnU-Net", "medsam", "", "?"])
def test_names_that_nothing_is_near_lead_to_the_lists(name: str, registry: Registry) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.model(name)
    assert "bench list models --source" in (caught.value.fix or "")
    assert all(f"{prefix}:" in (caught.value.cause or "") for prefix in ("smp", "timm", "monai", "mmseg"))
