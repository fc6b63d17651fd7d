"""Which layers an option means, and what is said of one that restates the logits."""

from __future__ import annotations

import pytest
import torch

from bench_core import Layers
from bench_core.errors import TrainingError
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_steps.grad_cam.automatic import last_with_gradient
from bench_steps.grad_cam.layers import LINEAR, Chosen, chosen_layers
from bench_steps.grad_cam.options import OPTIONS, parts, peers, resolve
from tests.steps.grad_cam.test_methods import Small

DECLARED = Layers(encoder=("encoder", "deep"), decoder="decoder")


def means(layer: str, declared: Layers = DECLARED) -> list[tuple[str, str, int, str]]:
    torch.manual_seed(0)
    network, images = Small(2).eval(), torch.randn(1, 3, 32, 32)
    found: tuple[Chosen, ...] = chosen_layers(declared, layer, network, images, "small")
    return [(each.name, each.part, each.depth, each.note) for each in found]


def test_each_word_means_its_layers() -> None:
    swept = [("encoder", "encoder", 1, ""), ("deep", "encoder", 2, ""), ("decoder", "decoder", 3, "")]
    assert means("sweep") == swept
    assert means("deep") == swept[1:2] and means("decoder") == swept[2:]
    # A module that is called like a word, as in many networks, is not what the word means.
    assert means("encoder") == swept[1:2] and means("encoder", Layers(encoder=("encoder",))) == swept[:1]
    assert means("encoder.0") == [("encoder.0", "named", 4, "")]
    assert means("head") == [("head", "named", 4, LINEAR)]
    assert means("auto") == [("head", "auto", 4, LINEAR)]


def test_a_layer_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(TrainingError, match="no layer 'decode'") as caught:
        means("decode")
    assert caught.value.fix == "did you mean 'decoder'?"
    for word in ("sweep", "decoder"):
        with pytest.raises(TrainingError, match="declares no layers") as caught:
            chosen_layers(Layers(), word, torch.nn.Identity(), torch.zeros(1, 3, 8, 8), "bare")
        assert "layer: auto" in str(caught.value.fix)
    with pytest.raises(TrainingError, match="no module of the network"):
        last_with_gradient(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2)), torch.zeros(1, 3, 8, 8)
        )


@pytest.mark.parametrize(
    ("model", "layer"), [("u-net", "head"), ("swin-umamba", "heads.0"), ("segformer", "decode_head")]
)
def test_the_study_rule_lands_on_the_logits(model: str, layer: str) -> None:
    declared = load_registry().model(model)
    options = complete_options(declared.options, declared.small)
    torch.manual_seed(0)
    network = build_network(declared, in_channels=3, num_classes=3, image_size=64, options=options).eval()
    (found,) = chosen_layers(declared.explained, "auto", network, torch.randn(1, 3, 64, 64), model)
    assert (found.name, found.note) == (layer, LINEAR)


def test_options_have_one_order_and_each_set_its_own() -> None:
    usual = {name: option.default for name, option in OPTIONS.items()}
    found = resolve({**usual, "sets": ["random", "worst"], "random": 7, "targets": ["truth"]}, {})
    assert found["sets"] == ["worst", "random"]
    each = parts(found)
    assert list(each) == ["worst", "random"]
    assert each["worst"] == {**found, "sets": ["worst"], "random": 50}
    assert each["random"] == {**found, "sets": ["random"]}
    assert [peers({"sets": [name], "pool": "few"}) for name in OPTIONS["sets"].choices] == [None, "few", None]
    for wrong in ({"sets": []}, {"methods": ["grad-cam", "grad-cam"]}, {"layer": ""}):
        with pytest.raises(ValueError, match="option"):
            resolve({**usual, **wrong}, {})
