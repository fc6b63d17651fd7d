"""Every family of MMSegmentation's zoo trains a step, and computes what mmseg's own segmentor computes."""

from __future__ import annotations

import contextlib
import copy
import io
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.errors import MissingDependencyError, TrainingError, WeightsError
from bench_mmseg import zoo
from bench_mmseg.adapt import adapt
from bench_mmseg.build import build_config
from bench_mmseg.config_file import read_packaged
from bench_mmseg.segmentor import Segmentor, build_segmentor
from bench_mmseg.source import resolve
from tests.helpers.networks import build_network, finder

R50 = "_4xb2-40k_cityscapes-512x1024"
R18 = "_4xb2-80k_cityscapes-512x1024"
SMALL = {
    "bisenetv1": "bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024",
    "bisenetv2": "bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024",
    "cgnet": "cgnet_fcn_4xb4-60k_cityscapes-680x680",
    "ddrnet": "ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024",
    "deeplabv3": f"deeplabv3_r18-d8{R18}",
    "deeplabv3plus": f"deeplabv3plus_r18-d8{R18}",
    "erfnet": "erfnet_fcn_4xb4-160k_cityscapes-512x1024",
    "fastscnn": "fast_scnn_8xb4-160k_cityscapes-512x1024",
    "fcn": f"fcn_r18-d8{R18}",
    "hrnet": "fcn_hr18s_4xb2-160k_cityscapes-512x1024",
    "icnet": "icnet_r18-d8_4xb2-80k_cityscapes-832x832",
    "mobilenet_v2": "mobilenet-v2-d8_fcn_4xb2-80k_cityscapes-512x1024",
    "ocrnet": "ocrnet_hr18s_4xb2-160k_cityscapes-512x1024",
    "pidnet": "pidnet-s_2xb6-120k_1024x1024-cityscapes",
    "pspnet": f"pspnet_r18-d8{R18}",
    "segformer": "segformer_mit-b0_8xb2-160k_ade20k-512x512",
    "segmenter": "segmenter_vit-t_mask_8xb1-160k_ade20k-512x512",
    "segnext": "segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512",
    "stdc": "stdc1_4xb12-80k_cityscapes-512x1024",
    "unet": "unet-s5-d16_fcn_4xb4-40k_drive-64x64",
}
LARGE = {
    "danet": f"danet_r50-d8{R50}",
    "emanet": "emanet_r50-d8_4xb2-80k_cityscapes-512x1024",
    "encnet": f"encnet_r50-d8{R50}",
    "isanet": f"isanet_r50-d8{R50}",
    "mobilenet_v3": "mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024",
    "sem_fpn": "fpn_r50_4xb2-80k_cityscapes-512x1024",
    "ann": f"ann_r50-d8{R50}",
    "apcnet": f"apcnet_r50-d8{R50}",
    "beit": "beit-base_upernet_8xb2-160k_ade20k-640x640",
    "dmnet": f"dmnet_r50-d8{R50}",
    "dnlnet": f"dnl_r50-d8{R50}",
    "dpt": "dpt_vit-b16_8xb2-160k_ade20k-512x512",
    "dsdl": "cityscapes",
    "fastfcn": "fastfcn_r50-d32_jpu_psp_4xb2-80k_cityscapes-512x1024",
    "gcnet": f"gcnet_r50-d8{R50}",
    "knet": "knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512",
    "mae": "mae-base_upernet_8xb2-amp-160k_ade20k-512x512",
    "nonlocal_net": f"nonlocal_r50-d8{R50}",
    "resnest": "resnest_s101-d8_pspnet_4xb4-160k_ade20k-512x512",
    "setr": "setr_vit-l_naive_8xb2-160k_ade20k-512x512",
    "swin": "swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512",
    "twins": "twins_pcpvt-s_fpn_fpnhead_8xb4-80k_ade20k-512x512",
    "upernet": "upernet_r18_4xb4-20k_voc12aug-512x512",
    "vit": "vit_deit-s16_upernet_8xb2-80k_ade20k-512x512",
}
NOT_HERE = {
    "ccnet": ("ccnet_r50-d8_4xb2-40k_cityscapes-512x1024", "CrissCrossAttention ops"),
    "psanet": ("psanet_r50-d8_4xb2-40k_cityscapes-512x1024", "PSAMask ops"),
    "convnext": ("convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512", "mmpretrain"),
    "poolformer": ("fpn_poolformer_s12_8xb4-40k_ade20k-512x512", "mmpretrain"),
}
"""Family to a config and what mmseg or the import of its parts says without these packages."""
UNTRAINABLE = {
    "mask2former": "mask2former_r50_8xb2-90k_cityscapes-512x1024",
    "maskformer": "maskformer_r50-d32_8xb2-160k_ade20k-512x512",
    "point_rend": "pointrend_r50_4xb2-80k_cityscapes-512x1024",
    "san": "san-vit-b16_coco-stuff164k-640x640",
    "vpd": "vpd_sd_4xb8-25k_nyu-480x480",
}
each_family = pytest.mark.parametrize(
    "config",
    [
        *(
            pytest.param(
                config, marks=[pytest.mark.slow] if family in ("unet", "icnet", "ocrnet", "stdc") else []
            )
            for family, config in SMALL.items()
        ),
        *(pytest.param(config, marks=pytest.mark.slow) for config in LARGE.values()),
    ],
    ids=[*SMALL, *LARGE],
)


pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_family_of_the_zoo_is_listed_here() -> None:
    families = {path.parent.name for path in zoo.zoo_configs().values()}
    assert families == {*SMALL, *LARGE, *NOT_HERE, *UNTRAINABLE}
    for family, config in {**SMALL, **LARGE}.items():
        assert zoo.zoo_configs()[config].parent.name == family
        assert resolve(f"mmseg:{config}").unavailable is None


@each_family
def test_a_family_trains_a_step_and_computes_what_mmseg_computes(config: str) -> None:
    model = _model(config)
    size = max(64, resolve(f"mmseg:{config}").size_minimum)
    request = _request(classes=3, size=size)
    torch.manual_seed(0)
    network = build_segmentor(model, request)
    _compare_with_mmseg(network, model, request)
    before = copy.deepcopy(network.state_dict())
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    logits = network(_images(2, 3, size))
    assert logits.shape == (2, 3, size, size)
    loss = functional.cross_entropy(logits, torch.randint(3, (2, size, size)))
    loss.backward()  # type: ignore[no-untyped-call]
    silent = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []
    optimizer.step()
    assert torch.isfinite(loss)
    assert any(not torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "family",
    [
        "segformer",
        "segmenter",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ocrnet", "pidnet", "mobilenet_v2")),
    ],
)
def test_one_logit_and_one_channel(family: str) -> None:
    # Under some initial weights Segmenter stays on a plateau for longer than these few steps.
    torch.manual_seed(1)
    network = build_segmentor(_model(SMALL[family]), _request(channels=1, classes=1, size=64))
    images = _images(2, 1, 64)
    images[:, :, 16:48, 16:48] += 2
    masks = torch.zeros(2, 1, 64, 64)
    masks[:, :, 16:48, 16:48] = 1
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(8):
        loss = functional.binary_cross_entropy_with_logits(network(images), masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    network.eval()
    with torch.no_grad():
        logits = network(images)
    # A head that normalized over a single class would give every pixel the same logit.
    assert logits.shape == (2, 1, 64, 64) and logits.std() > 1e-3


def test_what_was_changed_is_noted() -> None:
    network = build_segmentor(_model(SMALL["segmenter"]), _request(classes=1, size=64))
    assert any("difference is the logit" in note for note in network.network_notes)
    assert "img_size of backbone (512, 512) -> 64" in network.network_notes
    assert "inference in windows of (512, 512) replaced by whole images" in network.network_notes
    network = build_segmentor(_model(SMALL["pspnet"]), _request(size=64))
    assert network.network_notes == (
        "auxiliary_head FCNHead dropped",
        "CrossEntropyLoss of decode_head replaced by the protocol's loss",
        "SyncBN -> BN",
    )
    assert not any("loss" in name for name, _ in network.named_modules())
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    network = build_segmentor(_model(SMALL["pidnet"]), _request(size=64))
    assert "auxiliary branches of PIDHead dropped" in network.network_notes


def test_building_leaves_the_config_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    model = _model(SMALL["fastscnn"])
    before = copy.deepcopy(model)
    build_segmentor(model, _request(size=32))
    assert model == before
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("family", ["segformer", "ocrnet", "ddrnet"])
def test_copies_compute_the_same(family: str) -> None:
    network = build_segmentor(_model(SMALL[family]), _request(size=64)).eval()
    images = _images(1, 3, 64)
    with torch.no_grad():
        expected = network(images)
        for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            assert torch.equal(other(images), expected)


@pytest.mark.parametrize("family", NOT_HERE)
def test_reasons_for_missing_packages_are_true(family: str) -> None:
    config, says = NOT_HERE[family]
    reason = resolve(f"mmseg:{config}").unavailable
    if reason is None:
        build_config(zoo.zoo_configs()[config], _request(size=64))
        return
    assert reason.startswith("needs ")
    with pytest.raises((TrainingError, MissingDependencyError)) as caught:
        build_config(zoo.zoo_configs()[config], _request(size=64))
    assert says in f"{caught.value.message} {caught.value.cause}"


@pytest.mark.parametrize("family", UNTRAINABLE)
def test_what_a_loss_on_logits_cannot_train_is_refused(family: str) -> None:
    reason = resolve(f"mmseg:{UNTRAINABLE[family]}").unavailable
    assert reason
    with pytest.raises(TrainingError) as caught:
        build_segmentor(_model(UNTRAINABLE[family]), _request(size=64))
    assert caught.value.cause == reason


@pytest.mark.parametrize(
    ("family", "sizes"),
    [("unet", (17, 40)), ("pidnet", (45, 97)), ("segformer", (28, 17)), ("mobilenet_v3", (384,))],
)
def test_sizes_beyond_the_declared_limits_fail(family: str, sizes: tuple[int, ...]) -> None:
    config = {**SMALL, **LARGE}[family]
    architecture = resolve(f"mmseg:{config}")
    network = build_segmentor(_model(config), _request(size=400)).eval()
    step, smallest = architecture.size_multiple, architecture.size_minimum
    fine = step * -(-smallest // step)
    with torch.no_grad():
        assert network(_images(1, 3, fine)).shape[-1] == fine
        for size in sizes:
            assert size % step or size < smallest
            with pytest.raises((RuntimeError, AssertionError)):
                network(_images(1, 3, size))


def test_a_user_s_file_with_components_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_heads.py").write_text(
        "from mmseg.models.decode_heads import FCNHead\n"
        "from mmseg.registry import MODELS\n\n\n"
        "@MODELS.register_module(force=True)\n"
        "class TwiceHead(FCNHead):\n"
        "    def forward(self, inputs):\n"
        "        return 2 * super().forward(inputs)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = tmp_path / "own.py"
    config.write_text(
        f"_base_ = 'mmseg::fcn/{SMALL['fcn']}.py'\n"
        "custom_imports = dict(imports=['own_heads'])\n"
        "model = dict(decode_head=dict(type='TwiceHead'))\n"
    )
    network = build_config(config, _request(size=32))
    assert type(network.decode_head).__name__ == "TwiceHead"
    config.write_text("custom_imports = dict(imports='absent_module')\nmodel = dict(type='EncoderDecoder')\n")
    with pytest.raises(MissingDependencyError, match="absent_module"):
        build_config(config, _request(size=32))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "Mine"}, "only EncoderDecoder"),
        ({"backbone": {"type": "NoSuchNet"}}, "NoSuchNet"),
        ({"decode_head": {"type": "FCNHead", "num_classes": 2}}, "in_channels"),
    ],
)
def test_a_config_that_cannot_be_built_says_why(change: dict[str, Any], says: str) -> None:
    with pytest.raises(TrainingError) as caught:
        build_segmentor({**_model(SMALL["fcn"]), **change}, _request(size=32))
    assert says in (caught.value.cause or "")
    assert caught.value.fix


class TestWeights:
    """Published weights, as far as their names can be made up: of a backbone, or of a whole segmentor."""

    CONFIG = SMALL["fcn"]

    def _build(self, file: Path | None, config: str = CONFIG, **changes: Any) -> Segmentor:
        request = _request(pretrained="imagenet", weights_file=file, **changes)
        return build_config(zoo.zoo_configs()[config], request)

    def test_a_backbone_loads_strictly(self, tmp_path: Path) -> None:
        torch.manual_seed(1)
        source = build_segmentor(_model(self.CONFIG), _request(size=32)).backbone.state_dict()
        source["fc.weight"] = torch.zeros(1000, 512)
        torch.save({"state_dict": source}, tmp_path / "backbone.pth")
        network = self._build(tmp_path / "backbone.pth")
        own = network.backbone.state_dict()
        assert all(torch.equal(value, source[name]) for name, value in own.items())
        assert network.weights_report.loaded == len(own)
        source.pop("layer1.0.conv1.weight")
        torch.save(source, tmp_path / "less.pth")
        with pytest.raises(WeightsError, match=r"1 missing \(layer1\.0\.conv1\.weight\)"):
            self._build(tmp_path / "less.pth")

    def test_a_gray_image_gets_the_sum_over_colors(self, tmp_path: Path) -> None:
        source = build_segmentor(_model(self.CONFIG), _request(size=32)).backbone.state_dict()
        torch.save(source, tmp_path / "backbone.pth")
        network = self._build(tmp_path / "backbone.pth", channels=1)
        stem = network.backbone.state_dict()["stem.0.weight"]
        torch.testing.assert_close(stem, source["stem.0.weight"].sum(dim=1, keepdim=True))
        assert "stem.0.weight summed" in network.weights_report.notes[0]

    def test_a_whole_segmentor_of_other_classes(self, tmp_path: Path) -> None:
        torch.manual_seed(1)
        source = build_segmentor(_model(self.CONFIG), _request(classes=19, size=32)).state_dict()
        source["auxiliary_head.conv_seg.bias"] = torch.zeros(19)
        torch.save({"state_dict": source}, tmp_path / "trained.pth")
        network = self._build(tmp_path / "trained.pth", classes=3)
        own = network.state_dict()
        differ = [
            name
            for name in own
            if not torch.equal(
                own[name],
                source[name].reshape_as(own[name])
                if own[name].shape == source[name].shape
                else torch.full_like(own[name], torch.nan),
            )
        ]
        assert differ == ["decode_head.conv_seg.weight", "decode_head.conv_seg.bias"]
        assert "conv_seg" in network.weights_report.notes[0]

    def test_positions_of_a_transformer_are_interpolated(self, tmp_path: Path) -> None:
        config = SMALL["segmenter"]
        source = build_segmentor(_model(config), _request(size=96)).backbone.state_dict()
        torch.save(source, tmp_path / "vit.pth")
        network = self._build(tmp_path / "vit.pth", config, size=64)
        assert network.backbone.pos_embed.shape[1] == 1 + 16
        assert "from 6x6 to 4x4" in network.weights_report.notes[0]

    def test_from_scratch_takes_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "any.pth").touch()
        with pytest.raises(WeightsError, match="no pretrained weights"):
            finder(resolve(f"mmseg:{SMALL['unet']}"))("imagenet", tmp_path / "any.pth", {})


def _model(config: str) -> Mapping[str, Any]:
    model = read_packaged(zoo.zoo_configs()[config])["model"]
    assert isinstance(model, Mapping)
    return model


def _request(
    *,
    channels: int = 3,
    classes: int = 3,
    size: int = 32,
    pretrained: str = "none",
    weights_file: Path | None = None,
) -> BuildRequest:
    return BuildRequest(
        in_channels=channels,
        num_classes=classes,
        image_size=size,
        pretrained=pretrained,
        weights_files=() if weights_file is None else (weights_file,),
    )


def _images(batch: int, channels: int, size: int) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


def _compare_with_mmseg(network: Segmentor, model: Mapping[str, Any], request: BuildRequest) -> None:
    """Build the same parts in mmseg's own segmentor under the same seed: equal weights, equal logits."""
    parts = adapt(model, request)
    config = {
        "type": model["type"],
        "backbone": parts.backbone,
        "neck": parts.neck,
        "decode_head": parts.heads if len(parts.heads) > 1 else parts.heads[0],
        "test_cfg": {"mode": "whole"},
    }
    if "num_stages" in model:
        config["num_stages"] = model["num_stages"]
    with (
        DefaultScope.overwrite_default_scope("mmseg"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        theirs = MODELS.build(config)
        theirs._dump_init_info = lambda: None
        theirs.init_weights()
    theirs.eval()
    images = _images(2, 3, request.image_size)
    meta = [{"img_shape": images.shape[-2:], "pad_shape": images.shape[-2:]}] * 2
    with torch.no_grad():
        torch.manual_seed(1)
        expected = theirs.encode_decode(images, meta)
        torch.manual_seed(1)
        found = network.eval()(images)
    stripped = tuple(network.dropped)
    published = {
        name: value for name, value in theirs.state_dict().items() if not name.startswith(stripped or "-")
    }
    own = network.state_dict()
    assert own.keys() == published.keys()
    assert all(torch.equal(value, published[name]) for name, value in own.items())
    assert torch.equal(found, expected)


def test_the_declared_fault_of_single_images_is_there_and_ends_with_the_second() -> None:
    """Where this fails, PyTorch's kernel is right, and the quirk that says otherwise must go."""
    torch.manual_seed(0)
    network = build_network(f"mmseg:{SMALL['segnext']}").eval()
    image = torch.randn(1, 3, 64, 64)

    def gradient(copies: int) -> Tensor:
        images = image.repeat(copies, 1, 1, 1).requires_grad_()
        features = network.get_submodule("backbone")(images)[-1]
        (found,) = torch.autograd.grad(features[0].square().sum(), images)
        return found[0]

    once, twice, often = (gradient(copies) for copies in (1, 2, 3))
    assert (once - twice).abs().max() > 0.1 * twice.abs().max()
    torch.testing.assert_close(twice, often, rtol=0, atol=1e-4 * twice.abs().max().item())
