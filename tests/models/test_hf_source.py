"""Names `hf:...` resolve without transformers; configs build, and fill from checkpoints on disk."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from bench_core import Architecture
from bench_core.errors import TrainingError, UnknownNameError, WeightsError
from bench_core.network import build_network
from bench_core.plan.expand import make_plan
from bench_core.plugins.wiring import load_registry
from bench_core.spec.load import load_spec
from bench_sources.hf_networks import KINDS, NETWORKS
from bench_sources.hf_source import SOURCE, resolve
from tests.helpers.checkpoints import nothing_drawn
from tests.helpers.networks import finder

VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
TOKENS = {**VIT, "image_size": 32, "out_indices": [1, 2, 3, 4], "use_relative_position_bias": True}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
CONVNEXT = {"model_type": "convnext", "depths": [1] * 4, "hidden_sizes": [8] * 4, "out_features": STAGES}
SWIN = {"model_type": "swin", "embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4, "out_features": STAGES}
SMALL: dict[str, dict[str, Any]] = {
    "segformer": {
        "depths": [1] * 4,
        "hidden_sizes": [8, 8, 16, 16],
        "num_attention_heads": [1] * 4,
        "decoder_hidden_size": 16,
    },
    "upernet": {"hidden_size": 16, "auxiliary_in_channels": 8, "backbone_config": CONVNEXT},
    "dpt": {
        **VIT,
        "image_size": 32,
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [8] * 4,
        "fusion_hidden_size": 8,
    },
    "beit": TOKENS,
    "data2vec-vision": TOKENS,
    "mobilevit": {
        "hidden_sizes": [8] * 3,
        "neck_hidden_sizes": [4, 4, 8, 8, 8, 8, 16],
        "aspp_out_channels": 8,
    },
    "mobilevitv2": {"width_multiplier": 0.5, "aspp_out_channels": 8},
    "mobilenet_v2": {"depth_multiplier": 0.25},
}
"""A config of every type that is affordable here."""


pytestmark = pytest.mark.usefixtures("one_thread")


def write(folder: Path, kind: str, **more: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.json"
    file.write_text(json.dumps({"model_type": kind, **SMALL.get(kind, {}), **more}))
    return file


def build(declared: Architecture, channels: int = 3, classes: int = 2, **more: Any) -> torch.nn.Module:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    values = {"image_size": 64, "options": {}, **more}
    return build_network(declared, in_channels=channels, num_classes=classes, **values)


def saved(folder: Path, kind: str, class_name: str = "", **more: Any) -> Any:
    """Save a small network of 5 classes with its weights drawn anew, as transformers writes it."""
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(kind, **{**SMALL[kind], "num_labels": 5, **more})
    torch.manual_seed(1)
    network = getattr(transformers, class_name or KINDS[kind].class_name)(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    return network.eval()


def test_the_registry_knows_the_source_and_declarations_cross_process_borders(tmp_path: Path) -> None:
    declared = load_registry().model("hf:segformer")
    assert (declared.family, declared.runner, declared.pretrained) == ("generic", "torch", ("none",))
    assert [resolve(name).name for name in SOURCE.names()] == [f"hf:{network}" for network in NETWORKS]
    own = resolve(f"hf:{write(tmp_path / 'mine', 'beit', patch_size=8)}")
    assert (own.title, own.size_multiple) == ("mine (transformers)", 8)
    assert own.pretrained == ("checkpoint", "none")
    assert pickle.loads(pickle.dumps(own)).name == own.name


@pytest.mark.parametrize(
    ("name", "cause", "fix"),
    [
        ("hf:segformr", "none of the networks", "'hf:segformer'"),
        ("hf:UperNet-Swin", "none of the networks", "'hf:upernet-swin'"),
        ("hf:", "none of the networks", "'hf:segformer'"),
        ("hf:beit", "config of yours only", "hf:./folder/config.json"),
        ("hf:./nowhere/config.json", "there is no file", "hf:./folder/config.json"),
        ("hf:../../evil", "there is no file", "hf:./folder/config.json"),
        ("hf:nvidia/mit-b0", "SEGTRIAL_WEIGHTS is not set", "$SEGTRIAL_WEIGHTS/nvidia/mit-b0"),
        ("hf:mask2former", "set of masks", "hf:segformer"),
    ],
)
def test_wrong_names_say_what_is_valid(
    monkeypatch: pytest.MonkeyPatch, name: str, cause: str, fix: str
) -> None:
    monkeypatch.delenv("SEGTRIAL_WEIGHTS", raising=False)
    with pytest.raises(UnknownNameError) as caught:
        resolve(name)
    assert repr(name) in caught.value.message
    assert cause in (caught.value.cause or "")
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[1]", "not a mapping"),
        ('{"model_type": "bert"}', "not a network for semantic segmentation"),
        ("{}", "not a network for semantic segmentation"),
        ('{"model_type": "oneformer"}', "cannot be trained here"),
        ('{"model_type": "upernet", "backbone": "microsoft/resnet-50"}', "names its backbone"),
        (
            '{"model_type": "upernet", "backbone_config": {"model_type": "timm_backbone"}}',
            "names its backbone",
        ),
    ],
)
def test_configs_that_cannot_be_built_are_refused_before_anything_is_imported(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UnknownNameError, match=says) as caught:
        resolve(f"hf:{tmp_path / 'config.json'}")
    assert caught.value.cause and caught.value.fix


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4)])
def test_every_type_gives_logits_and_all_but_the_declared_parameters_gradients(
    tmp_path: Path, kind: str, channels: int, classes: int
) -> None:
    declared = resolve(f"hf:{write(tmp_path, kind)}")
    with nothing_drawn():
        network = build(declared, channels, classes, image_size=64)
    logits = network(torch.randn(2, channels, 64, 64))
    assert logits.shape == (2, classes, 64, 64)
    logits.square().mean().backward()
    silent = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    dead = {
        name for name, _ in network.named_parameters() if name.startswith(declared.dead_parameters or "-")
    }
    assert silent == dead


def test_swin_under_upernet_and_the_last_layers_of_beit_are_declared_dead(tmp_path: Path) -> None:
    for declared in (
        resolve(f"hf:{write(tmp_path / 'swin', 'upernet', backbone_config=SWIN)}"),
        resolve(f"hf:{write(tmp_path / 'beit', 'beit')}"),
    ):
        network = build(declared)
        network(torch.randn(2, 3, 64, 64)).square().mean().backward()
        silent = {name for name, parameter in network.named_parameters() if parameter.grad is None}
        assert silent == {
            name for name, _ in network.named_parameters() if name.startswith(declared.dead_parameters)
        }
        assert silent


@pytest.mark.parametrize("kind", ["segformer", "beit", "upernet", "dpt"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_checkpoint_fills_all_but_the_classifier(tmp_path: Path, kind: str, channels: int) -> None:
    whole = saved(tmp_path, kind)
    declared = resolve(f"hf:{tmp_path / 'config.json'}")
    assert finder(declared)("checkpoint", None, {}) == tmp_path / "model.safetensors"
    network: Any = build(declared, channels, 3, image_size=32, pretrained="checkpoint").eval()
    report = network.weights_report
    assert report.total - report.loaded == 2 and report.file == "model.safetensors"
    assert any("summed over" in note for note in report.notes) == (channels == 1)
    # With the checkpoint's own classifier it computes what the saved network computes.
    classifier = KINDS[kind].classifier
    twin: Any = build(declared, channels, 5, image_size=32, pretrained="checkpoint").eval()
    twin.network.get_submodule(classifier).load_state_dict(whole.get_submodule(classifier).state_dict())
    image = torch.randn(1, 1, 64, 64).expand(1, 3, 64, 64)
    with torch.no_grad():
        expected = torch.nn.functional.interpolate(whole(image).logits, size=64, mode="bilinear")
        torch.testing.assert_close(twin(image[:, :channels]), expected, rtol=1e-3, atol=1e-3)


def test_a_hub_name_is_a_folder_of_weights_and_a_backbone_leaves_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with pytest.raises(UnknownNameError, match="no local copy") as caught:
        resolve("hf:some/mit")
    assert str(tmp_path / "some/mit/config.json") in (caught.value.cause or "")
    encoder = saved(tmp_path / "some/mit", "segformer", "SegformerForImageClassification")
    declared = resolve("hf:some/mit")
    assert declared.title == "some/mit (transformers)" and len(declared.content) == 64
    network: Any = build(declared, pretrained="checkpoint")
    own = network.network.segformer.state_dict()
    assert network.weights_report.loaded == len(own) == len(encoder.segformer.state_dict())
    assert all(torch.equal(own[name], tensor) for name, tensor in encoder.segformer.state_dict().items())
    assert any("decoder starts at random" in note for note in network.weights_report.notes)


def test_weights_that_are_missing_or_not_the_configs_own_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    declared = resolve(f"hf:{write(tmp_path / 'own', 'segformer')}")
    with pytest.raises(WeightsError, match=r"model\.safetensors or pytorch_model\.bin is not there"):
        build(declared, pretrained="checkpoint")
    saved(tmp_path / "deep", "segformer", depths=[2, 1, 1, 1])
    saved(tmp_path / "shallow", "segformer")
    saved(tmp_path / "wide", "segformer", hidden_sizes=[16, 8, 16, 16])
    for folder in ("deep", "wide"):
        with pytest.raises(WeightsError, match="do not fit"):
            build(declared, pretrained="checkpoint", weights=tmp_path / folder / "model.safetensors")
    deep = resolve(f"hf:{tmp_path / 'deep/config.json'}")
    with pytest.raises(WeightsError, match="missing"):
        build(deep, pretrained="checkpoint", weights=tmp_path / "shallow/model.safetensors")
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build(resolve("hf:segformer"), pretrained="imagenet")


def test_what_transformers_cannot_build_is_refused_with_its_word(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught:
        build(resolve(f"hf:{write(tmp_path, 'segformer', depths='many')}"))
    assert "depths" in (caught.value.cause or "")


def test_copies_compute_the_same_and_draw_nothing(tmp_path: Path) -> None:
    network = build(resolve(f"hf:{write(tmp_path, 'segformer')}")).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        state = torch.get_rng_state()
        for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            assert torch.equal(other(images), expected) and not other.training
    assert torch.equal(torch.get_rng_state(), state)


def test_a_spec_names_a_config_from_its_own_folder_and_its_content_is_identity(tmp_path: Path) -> None:
    text = (
        "version: 1\nname: own\nmodels: ['hf:./nets/config.json']\ndatasets: [synthetic]\n"
        "protocol: {image_size: 64, learning_rate: 1e-3, pretrained: none, evaluate: {folds: 3, epochs: 1}}\n"
    )
    (tmp_path / "spec.yaml").write_text(text)
    digests = set()
    for width in (16, 16, 32):
        write(tmp_path / "nets", "segformer", decoder_hidden_size=width)
        loaded = load_spec(tmp_path / "spec.yaml")
        digests.add(make_plan(loaded.spec, loaded.registry).jobs[0].digest)
    assert len(digests) == 2
