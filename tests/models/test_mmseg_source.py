"""Names `mmseg:<config>` resolve without a framework, configs read as MMEngine reads them."""

from __future__ import annotations

import importlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mmengine.config import Config

from bench_core.cli.list import command as list_command
from bench_core.errors import PluginError, UnknownNameError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_mmseg import zoo
from bench_mmseg.config_file import read_config
from bench_mmseg.source import EXAMPLE, SOURCE, resolve
from tests.helpers.networks import finder

OCRNET = "ocrnet_hr18s_4xb2-160k_cityscapes-512x1024"
PSPNET = "pspnet_r50-d8_4xb2-40k_cityscapes-512x1024"


def test_the_list_of_the_zoo_says_what_is_ready() -> None:
    done = CliRunner().invoke(list_command, ["models", "--source", "mmseg", "--json"])
    assert done.exit_code == 0
    found = {row["name"]: row["state"] for row in json.loads(done.output)}
    assert len(found) > 600
    assert list(found) == list(SOURCE.names())
    assert len([state for state in found.values() if state == "ready"]) > 550
    assert found[f"mmseg:{PSPNET}"] == "ready"
    assert "loss on logits" in found["mmseg:pointrend_r50_4xb2-80k_cityscapes-512x1024"]


def test_configs_read_as_mmengine_reads_them() -> None:
    configs = zoo.zoo_configs()
    one_a_folder = {path.parent.name: path for path in configs.values()}
    for path in one_a_folder.values():
        ours = read_config(path).values
        if "mmpretrain" in str(ours.get("custom_imports")):
            continue
        theirs = Config.fromfile(path, import_custom_modules=False).to_dict()
        assert _plain(ours) == _plain(theirs), path.name


@pytest.mark.parametrize("name", [PSPNET, f"pspnet/{PSPNET}", f"pspnet/{PSPNET}.py", f"{PSPNET}.py"])
def test_a_config_goes_by_several_names(name: str) -> None:
    architecture = resolve(f"mmseg:{name}")
    assert architecture.name == f"mmseg:{name}"
    assert architecture.title == "pspnet_r50-d8 (mmseg)"
    assert architecture.paper == "https://arxiv.org/abs/1612.01105"
    assert architecture.pretrained == ("imagenet", "none")
    assert architecture.runner == "mmseg" and architecture.content == ""
    assert [(each.what, each.published) for each in architecture.departures] == [
        ("auxiliary heads", "FCNHead"),
        ("losses", "the config's own"),
    ]
    assert [each.what for each in resolve(f"mmseg:{EXAMPLE}").departures] == ["losses"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pspnet_r50-d8_4xb2-40k_cityscape-512x1024", PSPNET),
        ("PSPNet/" + PSPNET, PSPNET),
        ("segformer_mit-b0", "segformer_mit-b0"),
        ("nothing-like-it", "nothing-like-it"),
        ("./no/such/config.py", "config"),
        ("", EXAMPLE),
    ],
)
def test_wrong_names_name_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(f"mmseg:{name}")
    assert repr(f"mmseg:{name}") in caught.value.message
    assert "did you mean 'mmseg:" in (caught.value.fix or "")
    if near == PSPNET or near.startswith("segformer"):
        assert near in (caught.value.fix or "")


def test_own_modules_that_a_config_imports_are_part_of_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    config = tmp_path / "net.py"
    config.write_text(
        f"_base_ = 'mmseg::{zoo.zoo_configs()[PSPNET].parent.name}/{PSPNET}.py'\n"
        "custom_imports = dict(imports=['own_test_head', 'own_test_parts.necks', 'json', 'absent_test'])\n"
    )
    (tmp_path / "own_test_parts").mkdir()
    contents = []
    for file in ("own_test_head.py", "own_test_parts/necks.py", "own_test_parts/blocks.py"):
        contents.append(resolve(f"mmseg:{config}").content)
        (tmp_path / file).write_text("raise RuntimeError('imported before it is needed')")
        importlib.invalidate_caches()
    contents.append(resolve(f"mmseg:{config}").content)
    (tmp_path / "unused.py").touch()
    assert len(set(contents)) == len(contents)
    assert resolve(f"mmseg:{config}").content == contents[-1]


def test_architectures_cross_process_borders() -> None:
    architecture = resolve(f"mmseg:{EXAMPLE}")
    assert pickle.loads(pickle.dumps(architecture)).content == architecture.content


def test_without_mmseg_names_are_taken_and_packages_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "zoo_configs", lambda: {})
    architecture = resolve("mmseg:whatever_r50_ade20k")
    assert architecture.requires == ("mmengine", "mmcv", "mmseg")
    assert architecture.unavailable is None and "imagenet" in architecture.pretrained
    with pytest.raises(UnknownNameError):
        resolve("mmseg:./not-there.py")


def test_weights_are_looked_for_under_the_published_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder(resolve(f"mmseg:{PSPNET}"))
    assert find("none", None, {}) is None
    with pytest.raises(WeightsError, match=r"resnet50_v1c-2cccc1ad\.pth or resnet50_v1c\.pth"):
        find("imagenet", None, {})
    (tmp_path / "resnet50_v1c.pth").touch()
    assert find("imagenet", None, {}) == tmp_path / "resnet50_v1c.pth"
    scratch = resolve("mmseg:unet-s5-d16_fcn_4xb4-40k_drive-64x64")
    assert scratch.pretrained == ("none",)


def test_the_checkpoint_of_a_nested_backbone_names_its_place() -> None:
    path = zoo.zoo_configs()["bisenetv1_r18-d32-in1k-pre_4xb4-160k_cityscapes-1024x1024"]
    checkpoint = zoo.checkpoint_of(read_config(path).values["model"])
    assert checkpoint is not None and checkpoint.module == "backbone.backbone"


@pytest.mark.parametrize(
    ("config", "limits"),
    [
        ("unet-s5-d16_fcn_4xb4-40k_drive-64x64", (16, 16)),
        ("pidnet-s_2xb6-120k_1024x1024-cityscapes", (8, 8)),
        ("beit-base_upernet_8xb2-160k_ade20k-640x640", (16, 32)),
        ("mobilenet-v3-d8_lraspp_4xb4-320k_cityscapes-512x1024", (1, 385)),
        (EXAMPLE, (1, 29)),
        (PSPNET, (1, 1)),
    ],
)
def test_limits_of_the_image_size_are_declared(config: str, limits: tuple[int, int]) -> None:
    architecture = resolve(f"mmseg:{config}")
    assert (architecture.size_multiple, architecture.size_minimum) == limits


def test_segnext_is_random_at_inference_and_computes_in_full_precision() -> None:
    architecture = resolve("mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512")
    assert architecture.random_at_inference
    assert architecture.deviations["precision"].value == "fp32"
    assert not resolve(f"mmseg:{PSPNET}").random_at_inference
    assert "a batch of one image is wrong" in architecture.quirks[0]
    assert not resolve(f"mmseg:{PSPNET}").quirks


def test_what_heads_in_a_row_lose_of_their_losses_is_a_departure() -> None:
    departures = {each.what: each for each in resolve(f"mmseg:{OCRNET}").departures}
    assert departures["intermediate supervision"].published == "a loss on each of 2 heads in a row"
    assert "intermediate supervision" not in {each.what for each in resolve(f"mmseg:{PSPNET}").departures}


def test_availability_follows_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    ccnet = "mmseg:ccnet_r50-d8_4xb2-40k_cityscapes-512x1024"
    convnext = "mmseg:convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512"
    monkeypatch.setattr(zoo, "is_there", lambda module: False)
    assert resolve(ccnet).unavailable == "needs mmcv with compiled operations"
    assert resolve(convnext).unavailable == "needs mmpretrain"
    monkeypatch.setattr(zoo, "is_there", lambda module: True)
    assert resolve(ccnet).unavailable is None
    assert resolve(convnext).unavailable is None


class TestUsersFile:
    """A config file of the user's own."""

    def test_it_inherits_from_the_zoo_and_from_files(self, tmp_path: Path) -> None:
        (tmp_path / "base.py").write_text("width = 24\nnorm = dict(type='BN', momentum=0.1)\n")
        own = tmp_path / "own.py"
        own.write_text(
            f"_base_ = ['mmseg::pspnet/{PSPNET}.py', 'base.py']\n"
            "model = dict(decode_head=dict(channels={{_base_.width}}, norm_cfg=_base_.norm),\n"
            "    auxiliary_head=dict(_delete_=True, type='FCNHead'))\n"
        )
        model = read_config(own).values["model"]
        assert model["decode_head"]["channels"] == 24
        # A base's SyncBN settings stay, beside what this file adds to them.
        assert model["decode_head"]["norm_cfg"] == {"type": "BN", "momentum": 0.1, "requires_grad": True}
        assert model["auxiliary_head"] == {"type": "FCNHead"}
        # MMEngine knows the package by the upstream distribution's name alone, so it gets the path.
        folder = zoo.zoo_configs()[PSPNET].parents[1]
        own.write_text(own.read_text().replace("mmseg::", f"{folder}/"))
        assert _plain(model) == _plain(Config.fromfile(own).to_dict()["model"])

    def test_its_content_is_part_of_the_identity(self, tmp_path: Path) -> None:
        base, own = tmp_path / "base.py", tmp_path / "own.py"
        base.write_text("width = 24\n")
        own.write_text(f"_base_ = ['mmseg::pspnet/{PSPNET}.py', './base.py']\n")
        first = resolve(f"mmseg:{own}")
        assert len(first.content) == 64 and first.title == "own (mmseg)"
        base.write_text("width = 25\n")
        assert resolve(f"mmseg:{own}").content != first.content
        base.write_text("width = 24\n")
        assert resolve(f"mmseg:{own}").content == first.content

    def test_a_relative_path_starts_at_the_specs_folder(self, tmp_path: Path) -> None:
        (tmp_path / "nets").mkdir()
        own = tmp_path / "nets/own.py"
        own.write_text(f"_base_ = ['mmseg::pspnet/{PSPNET}.py']\n")
        registry = load_registry(base=tmp_path)
        assert registry.model("mmseg:nets/own.py").name == f"mmseg:{own}"
        # With its ending a name of the zoo stays one.
        assert registry.model(f"mmseg:pspnet/{PSPNET}.py").content == ""

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("model = dict(", "own.py:1: config is not Python"),
            ("a = 1\nmodel = b", "own.py:2: config cannot be read: NameError"),
            ("_base_ = './missing.py'", "missing.py"),
            ("_base_ = './own.py'", "inherits from itself"),
            ("_base_ = 3 + x", "own.py:1: _base_ must be a path"),
            ("_base_ = 'absent::x.py'", "package is not installed"),
            ("with read_base():\n    pass", "own.py:1: config of MMEngine's new style"),
            ("lr = 1", "sets lr"),
            ("_base_ = ['./one.py', './two.py']", "two bases of this config define width"),
            ("_base_ = './one.py'\nwidth = dict(a=1)", "width is a dict here and int in the base"),
        ],
    )
    def test_mistakes_say_where(self, tmp_path: Path, text: str, says: str) -> None:
        (tmp_path / "one.py").write_text("width = 1\n")
        (tmp_path / "two.py").write_text("width = 2\n")
        own = tmp_path / "own.py"
        own.write_text(text)
        with pytest.raises(UnknownNameError) as caught:
            resolve(f"mmseg:{own}")
        assert says in f"{caught.value.message} {caught.value.cause}"
        assert caught.value.fix

    def test_an_unreadable_file_is_a_plugin_error_of_its_own(self, tmp_path: Path) -> None:
        with pytest.raises(PluginError):
            read_config(tmp_path / "nowhere.py")


def _plain(value: Any) -> Any:
    """Return a config without the difference between lists and tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
