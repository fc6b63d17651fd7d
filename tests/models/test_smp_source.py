"""Names `smp:<decoder>/<encoder>` resolve without torch, and wrong ones name the nearest right one."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from bench_core import BuildRequest
from bench_core.errors import TrainingError, UnknownNameError
from bench_core.network import build_network
from bench_core.plugins.wiring import load_registry
from bench_core.spec.diagnostics import SpecError
from bench_core.spec.load import load_spec
from bench_core.weights.files import wanted_files
from bench_sources.smp_source import DECODERS, ENCODERS, SOURCE, encoders_of, resolve
from tests.helpers.checkpoints import shapes_alone


def test_lists_are_those_of_the_installed_library() -> None:
    import segmentation_models_pytorch as smp

    assert set(ENCODERS) == set(smp.encoders.get_encoder_names())
    assert {decoder.class_name for decoder in DECODERS.values()} == {
        kind.__name__ for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()
    }


def test_every_listed_name_resolves() -> None:
    names = SOURCE.names()
    assert len(names) > 700
    for name in names:
        assert resolve(name).name == name


def test_the_registry_knows_the_source() -> None:
    architecture = load_registry().model("smp:fpn/tu-resnet18")
    assert (architecture.family, architecture.runner) == ("generic", "torch")
    assert architecture.size_multiple == 32


def test_architectures_cross_process_borders() -> None:
    architecture = resolve("smp:unet/resnet18")
    assert pickle.loads(pickle.dumps(architecture)).name == architecture.name


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("smp:Unet/resnet34", "smp:unet/resnet34"),
        ("smp:unet/resnet43", "smp:unet/resnet34"),
        ("smp:unet++/resnet34", "smp:unet/resnet34"),
        ("smp:unet", "smp:unet/efficientnet-lite0"),
        ("smp:", "smp:unet/efficientnet-lite0"),
        ("smp:unet/", "smp:unet/efficientnet-lite0"),
        ("smp:unet/efficientnet_lite0", "smp:unet/efficientnet-lite0"),
        ("smp:deeplabv3/vgg11", "smp:deeplabv3/efficientnet-lite0"),
        ("smp:dpt/resnet18", "smp:dpt/tu-vit_tiny_patch16_224"),
        ("smp:unet/tu-../../evil", "smp:unet/"),
    ],
)
def test_wrong_names_name_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(name)
    assert repr(name) in caught.value.message
    assert caught.value.cause
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("decoder", "encoder"), [("linknet", "mit_b0"), ("pan", "densenet121"), ("deeplabv3plus", "xception")]
)
def test_what_does_not_go_together_is_refused_by_us_and_by_the_library(decoder: str, encoder: str) -> None:
    import segmentation_models_pytorch as smp

    assert encoder not in encoders_of(decoder)
    with pytest.raises(ValueError):
        getattr(smp, DECODERS[decoder].class_name)(encoder_name=encoder, encoder_weights=None)


def test_an_unknown_timm_encoder_names_the_nearest() -> None:
    from bench_sources.smp_build import build

    request = BuildRequest(
        name="smp:unet/tu-resnet1888", in_channels=3, num_classes=1, image_size=32, pretrained="none"
    )
    with pytest.raises(TrainingError) as caught:
        build(request)
    assert "resnet1888" in (caught.value.cause or "")
    assert "tu-resnet18" in (caught.value.fix or "")


def test_addresses_are_those_that_the_library_fetches_from() -> None:
    import segmentation_models_pytorch as smp

    for encoder in encoders_of("unet")[1:]:
        (file,) = wanted_files(resolve(f"smp:unet/{encoder}"), "imagenet", {})
        settings = smp.encoders.encoders[encoder]["pretrained_settings"].get("imagenet") or {}
        place = "https://huggingface.co/{repo_id}/resolve/{revision}/model.safetensors"
        expected = [place.format(**settings)] if settings else []
        assert [each.url for each in file.everywhere if each.url] == expected


@pytest.mark.parametrize(
    ("encoder", "sizes"),
    [
        ("tu-maxvit_nano_rw_256", (64, 96)),
        ("tu-swin_tiny_patch4_window7_224", (64, 224)),
        pytest.param("tu-gcvit_xxtiny", (64, 96), marks=pytest.mark.slow),
        pytest.param("tu-hiera_tiny_224", (64, 128), marks=pytest.mark.slow),
        pytest.param("tu-coatnet_pico_rw_224", (64, 96), marks=pytest.mark.slow),
        pytest.param("tu-botnet26t_256", (64, 96), marks=pytest.mark.slow),
        pytest.param("tu-efficientformerv2_s0", (64, 96), marks=pytest.mark.slow),
        ("tu-efficientformer_l1", (224,)),
        ("tu-halonet26t", (256,)),
        pytest.param("tu-inception_v4", (96, 107), marks=pytest.mark.slow),
        ("tu-resnet18", (32, 75)),
    ],
)
def test_timms_encoders_take_the_sizes_that_are_declared(encoder: str, sizes: tuple[int, ...]) -> None:
    import torch

    architecture = resolve(f"smp:unet/{encoder}")
    for size in sizes:
        assert size % architecture.size_multiple == 0 and size >= architecture.size_minimum
        with shapes_alone():
            network = build_network(
                architecture, in_channels=1, num_classes=2, image_size=size, options={}
            ).eval()
            assert network(torch.empty(1, 1, size, size)).shape == (1, 2, size, size)
    assert sizes[0] == architecture.size_minimum


@pytest.mark.parametrize("encoder", ["tu-vit_tiny_patch16_224", "tu-eva02_tiny_patch14_224", "tu-levit_128"])
def test_encoders_without_stages_are_refused_with_the_reason(encoder: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(f"smp:unet/{encoder}")
    assert "does not halve the resolution" in (caught.value.cause or "")


@pytest.mark.parametrize(("model", "size"), [("tu-maxvit_nano_rw_256", 48), ("tu-halonet26t", 64)])
def test_an_unfit_size_is_refused_by_the_spec(tmp_path: Path, model: str, size: int) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"version: 1\nname: sizes\nmodels: ['smp:unet/{model}']\ndatasets: [synthetic]\n"
        f"protocol: {{image_size: {size}, pretrained: none, learning_rate: 1e-3}}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    assert "image-size" in [item.check for item in caught.value.diagnostics]
