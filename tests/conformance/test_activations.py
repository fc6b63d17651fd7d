"""What layers return and the gradients in them: kept before anything overwrites them, in every form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench_core import Layers
from bench_core.activations import as_maps, look
from bench_core.errors import PluginError


class Overwriting(nn.Module):
    """Whatever can go wrong behind a layer: an activation in place, tokens, channels that come last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.tokens = nn.LayerNorm(4)
        self.last = nn.LayerNorm(4)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        images += 0.5
        maps = self.act(self.norm(self.first(images)))
        batch, channels, height, width = maps.shape
        extra = maps.new_ones(batch, 2, channels)
        tokens = self.tokens(torch.cat([extra, maps.flatten(2).transpose(1, 2)], dim=1))[:, 2:]
        maps = self.last(tokens.square().reshape(batch, height, width, channels))
        return self.head(maps.permute(0, 3, 1, 2).tanh())


def test_layers_are_kept_as_they_were_and_alone_as_in_a_batch() -> None:
    torch.manual_seed(0)
    network = Overwriting().double().eval()
    images = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    given = images.clone()
    forms = {"norm": "maps", "tokens": "tokens", "last": "channels-last"}
    seen = look(network, images, forms)  # type: ignore[arg-type]
    assert torch.equal(images, given) and all(part.requires_grad for part in network.parameters())
    assert seen.features["norm"].min() < 0 and set(seen.features) == set(forms)
    both = seen.layers(seen.logits[:, 1].sum())
    # Another score of the same pass, and the first again.
    assert not torch.equal(seen.layers(seen.logits[:, 0].sum())["norm"].gradient, both["norm"].gradient)
    for place in range(2):
        alone = look(network, images[place : place + 1], forms)  # type: ignore[arg-type]
        found = alone.layers(alone.logits[:, 1].sum())
        for name, layer in found.items():
            assert layer.features.shape == layer.gradient.shape == (1, 4, 6, 6), name
            assert torch.allclose(layer.features[0], both[name].features[place], atol=1e-9), name
            assert torch.allclose(layer.gradient[0], both[name].gradient[place], atol=1e-9), name
    # By its definition: what the logits change by where the layer does, at one value of it.
    step = torch.zeros(1, 4, 6, 6, dtype=torch.float64)
    step[0, 2, 3, 4] = 1e-6

    def moved(sign: float) -> float:
        handle = network.norm.register_forward_hook(lambda module, given, output: output + sign * step)
        with torch.no_grad():
            logits = network(images[:1].clone())
        handle.remove()
        return float(logits[:, 1].sum())

    slope = (moved(1) - moved(-1)) / 2e-6
    assert float(both["norm"].gradient[0, 2, 3, 4]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_a_layer_that_is_not_there_or_of_another_form_is_told() -> None:
    network, images = Overwriting().eval(), torch.randn(1, 3, 6, 6)
    with pytest.raises(KeyError, match="nowhere"):
        look(network, images, {"nowhere": "maps"})
    with pytest.raises(ValueError, match="tokens: an output of shape"):
        look(network, images, {"tokens": "maps"})
    with pytest.raises(ValueError, match="not of the form 'channels-last'"):
        look(network, images, {"norm": "channels-last"})
    with pytest.raises(ValueError, match="is not tokens"):
        as_maps(torch.zeros(1, 2, 3, 3), "tokens")
    with pytest.raises(PluginError, match="not among those"):
        Layers(encoder=("a",), forms={"b": "tokens"})
    with pytest.raises(PluginError, match="named twice"):
        Layers(encoder=("a",), decoder="a")


def test_a_single_image_has_its_gradient_behind_batch_norm() -> None:
    """Of mmseg's SegNeXt, whose gradients of one image are wrong by more than 100 % without care."""
    pytest.importorskip("mmseg")
    from bench_core.network import build_network
    from bench_core.plugins.wiring import load_registry

    declared = load_registry().model("mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512")
    torch.manual_seed(0)
    network = build_network(declared, in_channels=3, num_classes=2, image_size=64, options={}).eval()
    images = torch.rand(1, 3, 64, 64)
    forms = {name: declared.explained.form(name) for name in declared.explained.names}

    def found(batch: Tensor) -> dict[str, Tensor]:
        torch.manual_seed(1)  # its bases, drawn in every pass
        seen = look(network, batch, forms)
        return {name: layer.gradient[:1] for name, layer in seen.layers(seen.logits[:1, 1].sum()).items()}

    alone, twice = found(images), found(images.repeat(2, 1, 1, 1))
    backbone = [name for name in alone if not name.startswith("decode_head")]
    assert len(backbone) >= 3
    for name in backbone:
        worst = (alone[name] - twice[name]).abs().max() / twice[name].abs().max()
        assert worst < 1e-3, (name, float(worst))
