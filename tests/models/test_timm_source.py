"""Names `timm:<backbone>/<head>` resolve without timm; backbones of every kind build, and fill from files."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from bench_core.cli.declaration import facts
from bench_core.errors import TrainingError, UnknownNameError, WeightsError
from bench_core.execute.weights import needs_of_model
from bench_core.network import build_network
from bench_core.plugins.wiring import load_registry
from bench_core.weights.files import find_files, wanted_files
from bench_sources import timm_metadata, timm_source
from bench_sources.timm_source import SOURCE, backbones, resolve
from tests.helpers.checkpoints import nothing_drawn, numbered_like, shapes_alone
from tests.helpers.networks import finder

timm = pytest.importorskip("timm")


def build(name: str, size: int = 32, classes: int = 2, channels: int = 3, **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(
        resolve(name),
        in_channels=channels,
        num_classes=classes,
        image_size=size,
        options={},
        **more,  # type: ignore[arg-type]
    )


def test_the_list_is_that_of_the_installed_library() -> None:
    assert set(backbones()) == set(timm.list_models())


def test_every_listed_name_resolves() -> None:
    for name in SOURCE.names():
        assert resolve(name).name == name


def test_the_registry_knows_the_source_and_declarations_cross_process_borders() -> None:
    declared = load_registry().model("timm:resnet18/fpn")
    assert (declared.family, declared.runner, declared.title) == ("generic", "torch", "FPN (resnet18)")
    assert pickle.loads(pickle.dumps(declared)).name == "timm:resnet18/fpn"
    assert resolve("timm:vit_small_patch14_dinov2").size_multiple == 14
    assert resolve("timm:swin_tiny_patch4_window7_224").size_multiple == 32


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("timm:resnet1888/fpn", "timm:resnet18/fpn"),
        ("timm:convnext_tin", "timm:convnext_tiny/uper"),
        ("timm:resnet18/upper", "timm:resnet18/uper"),
        ("timm:resnet18/", "timm:resnet18/uper"),
        ("timm:ResNet18", "timm:resnet18/uper"),
        ("timm:", "timm:convnext_tiny/uper"),
        ("timm:../../evil", "timm:convnext_tiny/uper"),
    ],
)
def test_wrong_names_name_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(name)
    assert repr(name) in caught.value.message
    assert caught.value.cause
    assert f"'{fix}'" in (caught.value.fix or "")


def test_without_timm_a_name_waits_for_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_source, "backbones", lambda: ())
    assert resolve("timm:resnet1888").requires == ("timm",)
    with pytest.raises(UnknownNameError):
        resolve("timm:resnet18/upper")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("timm:resnet10t", 64),
        ("timm:edgenext_xx_small/fpn", 64),
        ("timm:swin_tiny_patch4_window7_224/fpn", 64),
        ("timm:vit_tiny_patch16_224", 48),
        ("timm:vgg11/fpn", 32),
        ("timm:mobilenetv3_small_050.lamb_in1k/fpn", 96),
    ],
)
def test_backbones_of_every_kind_build(name: str, size: int) -> None:
    with nothing_drawn():
        network = build(name, size, classes=3, channels=1).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, size, size)).shape == (1, 3, size, size)


def test_vision_transformers_are_read_at_the_quarters_of_their_depth() -> None:
    backbone = build("timm:vit_tiny_patch16_224/fpn").backbone
    assert backbone.feature_info.out_indices == (2, 5, 8, 11)  # type: ignore[union-attr]


@pytest.mark.parametrize("backbone", ["resnet10t", "convnext_atto", "vit_tiny_patch16_224"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_checkpoint_of_timm_fills_the_whole_backbone(tmp_path: Path, backbone: str, channels: int) -> None:
    torch.manual_seed(1)
    whole = timm.create_model(backbone, pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "w.pth")
    with nothing_drawn():
        network = build(
            f"timm:{backbone}/fpn", channels=channels, pretrained="imagenet", weights=tmp_path / "w.pth"
        )
    report = network.weights_report
    assert report.loaded == report.total == len(network.backbone.state_dict())  # type: ignore[union-attr,arg-type]
    assert bool(report.notes) == (channels == 1)  # type: ignore[union-attr]
    size = 224 if "224" in backbone else 64
    image = torch.randn(1, 1, size, size).expand(1, 3, size, size)
    with torch.no_grad():
        expected = whole.eval().forward_intermediates(image, norm=False, intermediates_only=True)[-1]
        found = network.eval().backbone(image[:, :channels])[-1]  # type: ignore[operator]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_of_another_backbone_is_refused(tmp_path: Path) -> None:
    with shapes_alone():
        other = timm.create_model("resnet14t", pretrained=False)
    torch.save(numbered_like(other), tmp_path / "w.pth")
    with nothing_drawn(), pytest.raises(WeightsError, match="do not fit"):
        build("timm:resnet10t", pretrained="imagenet", weights=tmp_path / "w.pth")


def test_weights_are_looked_for_under_the_backbones_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder(resolve("timm:resnet10t.c3_in1k"))
    with pytest.raises(WeightsError, match=r"resnet10t\.c3_in1k\.safetensors"):
        find("imagenet", None, {})
    (tmp_path / "resnet10t.c3_in1k.pth").touch()
    assert find("imagenet", None, {}) == tmp_path / "resnet10t.c3_in1k.pth"


def test_what_timm_cannot_build_is_refused_with_its_word() -> None:
    with pytest.raises(TrainingError) as caught:
        build("timm:resnet10t.no_such_tag")
    assert "no_such_tag" in (caught.value.cause or "")


def test_licenses_and_addresses_are_those_that_timm_declares() -> None:
    from timm.models import get_pretrained_cfg

    said = {
        name: timm_metadata.pretrained(name) for name in {*backbones(), *timm.list_models(pretrained=True)}
    }
    known = {name: found for name, found in said.items() if found is not None}
    # Those that timm computes when it is imported are not known, and nothing is said of them.
    assert len(known) > 0.97 * len(said)
    for name, found in known.items():
        declared = get_pretrained_cfg(name)
        assert found.license == (declared.license or "").replace("unknown", ""), name
        assert found.is_fixed == declared.fixed_input_size, name
        if declared.tag:
            assert found.name == f"{declared.architecture}.{declared.tag}", name
        hub = f"/{declared.hf_hub_id}/resolve/"
        assert not found.url or hub in found.url or found.url == declared.url or "qwen" in name, name


def test_unknown_to_timm_is_not_known() -> None:
    assert timm_metadata.pretrained("no_such_net") is None
    assert timm_metadata.pretrained("resnet18.no_such_tag") is None
    (file,) = wanted_files(resolve("timm:resnet18.no_such_tag"), "imagenet", {})
    assert [each.name for each in file.everywhere] == [
        "resnet18.no_such_tag.safetensors",
        "resnet18.no_such_tag.pth",
    ]
    assert not any(each.url or each.license for each in file.everywhere)


@pytest.mark.parametrize(
    ("name", "license"),
    [
        ("timm:vit_small_patch16_dinov3.lvd1689m", "dinov3-license"),
        ("timm:convnextv2_atto", "cc-by-nc-4.0"),
        ("timm:fastvit_t8/fpn", "fastvit-license"),
        ("smp:upernet/tu-convnextv2_atto", "cc-by-nc-4.0"),
        ("smp:dpt/tu-vit_small_patch16_dinov3", "dinov3-license"),
        ("smp:segformer/mit_b0", "NVIDIA Source Code License (non-commercial)"),
        ("smp:unet/resnet34", "not known"),
        ("mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512", "NVIDIA Source Code License (non-commercial)"),
        ("mmseg:pspnet_r50-d8_4xb2-40k_cityscapes-512x1024", "not known"),
    ],
)
def test_a_license_is_the_weights_own_and_never_the_librarys(name: str, license: str) -> None:
    if name.startswith("mmseg:"):
        pytest.importorskip("mmseg")
    declared = load_registry().model(name)
    assert [need.license for need in needs_of_model(declared)] == [license]
    assert facts(declared, "")["license"] == license


def test_the_missing_files_address_and_command_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGTRIAL_WEIGHTS", raising=False)
    with pytest.raises(WeightsError) as caught:
        find_files(resolve("timm:resnet18"), "imagenet", {})
    fix = caught.value.fix or ""
    assert "`bench weights get timm:resnet18`" in fix and "as resnet18.a1_in1k.safetensors" in fix
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors" in fix
