"""Swin-UMamba: published counts, four directions, VMamba's published file loaded strictly."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sma.swin_umamba.network import SwinUMamba
from bench_sma.swin_umamba.scan import dispatcher
from bench_sma.swin_umamba.vmamba import FourWayScan, VMamba
from bench_sma.swin_umamba.weights import VMAMBA_TINY, from_reference, load_encoder
from tests.helpers.checkpoints import nothing_drawn, shapes_alone
from tests.helpers.networks import build_network, finder

WIDTHS, DEPTHS = (96, 192, 384, 768), (2, 2, 9, 2)
SMALL_WIDTHS, SMALL_DEPTHS = (16, 32, 64, 128), (1, 1, 2, 1)
NAMES = tuple(file.name for file in VMAMBA_TINY.everywhere)
PER_BLOCK = 12


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def small_encoder() -> VMamba:
    return VMamba(8, SMALL_WIDTHS, SMALL_DEPTHS, 0.0)


def published_shapes(
    widths: tuple[int, ...], depths: tuple[int, ...], newer: bool
) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of VMamba's file, by its older or newer names."""
    embed, embed_norm = (
        ("patch_embed.0", "patch_embed.2") if newer else ("patch_embed.proj", "patch_embed.norm")
    )
    norm, scan = ("norm", "op") if newer else ("ln_1", "self_attention")
    merge_norm, reduction = (
        ("downsample.1", "downsample.2") if newer else ("downsample.norm", "downsample.reduction")
    )
    classifier = "classifier." if newer else ""
    first, last = widths[0], widths[-1]
    shapes: dict[str, tuple[int, ...]] = {
        f"{embed}.weight": (first, 3, 4, 4),
        f"{embed}.bias": (first,),
        f"{embed_norm}.weight": (first,),
        f"{embed_norm}.bias": (first,),
        f"{classifier}norm.weight": (last,),
        f"{classifier}norm.bias": (last,),
        f"{classifier}head.weight": (1000, last),
        f"{classifier}head.bias": (1000,),
    }
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        inner, rank = 2 * width, -(-width // 16)
        for block in range(depth):
            prefix = f"layers.{stage}.blocks.{block}"
            shapes |= {f"{prefix}.{norm}.{leaf}": (width,) for leaf in ("weight", "bias")}
            inside = {
                "x_proj_weight": (4, rank + 32, inner),
                "dt_projs_weight": (4, inner, rank),
                "dt_projs_bias": (4, inner),
                "A_logs": (4 * inner, 16),
                "Ds": (4 * inner,),
                "in_proj.weight": (2 * inner, width),
                "conv2d.weight": (inner, 1, 3, 3),
                "conv2d.bias": (inner,),
                "out_norm.weight": (inner,),
                "out_norm.bias": (inner,),
                "out_proj.weight": (width, inner),
            }
            shapes |= {f"{prefix}.{scan}.{name}": shape for name, shape in inside.items()}
        if stage < len(widths) - 1:
            shapes |= {f"layers.{stage}.{merge_norm}.{leaf}": (4 * width,) for leaf in ("weight", "bias")}
            shapes[f"layers.{stage}.{reduction}.weight"] = (2 * width, 4 * width)
    return shapes


def published(newer: bool = False) -> dict[str, Tensor]:
    """Return the tensors of a small VMamba's file, each its own numbers, the same by either names."""
    shapes = published_shapes(SMALL_WIDTHS, SMALL_DEPTHS, newer)
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
def test_parameter_counts_are_the_published_ones(classes: int) -> None:
    with shapes_alone():
        network = SwinUMamba(3, classes)
    assert count(network) == 59_885_620 + (classes - 1) * 724
    assert count(network) == load_registry().model("swin-umamba").parameters[classes]
    assert count(network.heads[1:]) == classes * (96 + 192 + 384 + 3)


def test_parts_have_the_published_sizes() -> None:
    with shapes_alone():
        network, gray = SwinUMamba(3, 3), SwinUMamba(1, 3)
    assert count(network.encoder) / 1e6 == pytest.approx(22.14, abs=0.01)
    skips = [count(block) / 1e6 for block in network.skips]
    assert skips == pytest.approx([0.022, 0.129, 0.516, 2.06, 8.26], rel=0.02)
    decoder = [count(block) / 1e6 for block in (*network.decoder, network.finish)]
    assert decoder == pytest.approx([19.46, 5.46, 1.36, 0.34, 0.085, 0.041], rel=0.02)
    assert count(network) - count(gray) == 2 * (48 * 7 * 7 + 48 * 3 * 3 + 48)


def test_sides_may_differ() -> None:
    network = build_network("swin-umamba", variant="pico").eval()
    images = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        assert network(images).shape == (1, 2, 96, 64)
        features = network.get_submodule("encoder")(torch.randn(1, 8, 48, 32))
    assert [tuple(maps.shape[1:]) for maps in features] == [
        (16, 24, 16),
        (32, 12, 8),
        (64, 6, 4),
        (128, 3, 2),
    ]


def test_drop_path_grows_linearly_over_the_blocks() -> None:
    with shapes_alone():
        network = SwinUMamba(3, 1, drop_path=0.28)
    rates = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.02 * index for index in range(15)])


def test_initialization_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    scan = FourWayScan(64)
    steps = functional.softplus(scan.step_bias)
    assert 1e-3 * 0.999 < steps.min() < 2e-3 and 0.05 < steps.max() < 0.1001
    torch.testing.assert_close(scan.log_decay.exp(), torch.arange(1.0, 17).expand(512, 16))
    assert (scan.through == 1).all()
    assert scan.step_weight.abs().max().item() == pytest.approx(0.5, rel=0.05)
    assert scan.enter.weight.std().item() == pytest.approx(0.02, rel=0.05)


def exchanged(scan: FourWayScan, order: list[int]) -> FourWayScan:
    """Return the scan with the parameters of its directions in another order."""
    other = FourWayScan(scan.enter.in_features).double()
    state = scan.state_dict()
    for name in ("select", "step_weight", "step_bias", "log_decay", "through"):
        tensor = state[name]
        state[name] = tensor.view(4, -1, *tensor.shape[1:])[order].view(tensor.shape)
    other.load_state_dict(state)
    return other


def varied_scan() -> FourWayScan:
    """Return a scan whose directions differ in every parameter."""
    torch.manual_seed(0)
    scan = FourWayScan(8).double()
    for parameter in scan.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return scan


def test_rows_come_first_and_columns_second() -> None:
    """Transposing the image is exchanging directions 0 and 1, and 2 and 3."""
    scan, grid = varied_scan(), torch.randn(2, 5, 3, 8, dtype=torch.float64)
    other = exchanged(scan, [1, 0, 3, 2])
    other.depthwise.weight.data = scan.depthwise.weight.data.mT.contiguous()
    torch.testing.assert_close(other(grid.transpose(1, 2)), scan(grid).transpose(1, 2))
    assert not torch.allclose(scan(grid.transpose(1, 2)), scan(grid).transpose(1, 2))


def test_the_last_two_directions_run_backwards() -> None:
    """Turning the image by 180 degrees is exchanging directions 0 and 2, and 1 and 3."""
    scan, grid = varied_scan(), torch.randn(2, 5, 3, 8, dtype=torch.float64)
    other = exchanged(scan, [2, 3, 0, 1])
    other.depthwise.weight.data = scan.depthwise.weight.data.flip(2, 3)
    torch.testing.assert_close(other(grid.flip(1, 2)), scan(grid).flip(1, 2))
    assert not torch.allclose(scan(grid.flip(1, 2)), scan(grid).flip(1, 2))


def test_a_direction_sees_only_what_it_has_passed() -> None:
    """A row-wise scan alone: a pixel acts on itself and on later ones, after the 3x3 neighborhood."""
    scan = varied_scan()
    weight = torch.zeros_like(scan.depthwise.weight)
    weight[:, :, 1, 1] = 1
    scan.depthwise.weight.data = weight
    scan.through.data.zero_()
    # Directions other than the first select nothing.
    scan.select.data[1:, scan.rank :] = 0
    maps = torch.randn(1, 16, 3, 4, dtype=torch.float64)
    changed = maps.clone()
    changed[..., 1, 2] += 1
    differs = (scan._scan(maps) != scan._scan(changed)).any(1)[0].flatten()
    assert differs.tolist() == [False] * 6 + [True] * 6


@pytest.mark.parametrize("newer", [False, True])
def test_the_published_file_fills_the_encoder(tmp_path: Path, newer: bool) -> None:
    """At full size; the numbers of the file are one each, which keeps it small."""
    shapes = published_shapes(WIDTHS, DEPTHS, newer)
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 22_893_448
    file = tmp_path / NAMES[0]
    torch.save({"model": {name: torch.ones(()).expand(shape) for name, shape in shapes.items()}}, file)
    with nothing_drawn():
        network = build_network("swin-umamba", pretrained="imagenet", weights=file)
    report = network.weights_report
    assert (report.loaded, report.total) == (
        len(shapes) - 7,
        len(network.get_submodule("encoder").state_dict()),
    )


def test_old_and_new_names_give_the_same_encoder(tmp_path: Path) -> None:
    encoders = []
    for newer in (False, True):
        file = tmp_path / f"{newer}.pth"
        torch.save({"model": published(newer)}, file)
        encoder = small_encoder()
        before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        report = load_encoder(encoder, file, "imagenet")
        after = encoder.state_dict()
        kept = {name for name, tensor in before.items() if torch.equal(tensor, after[name])}
        assert kept == {
            "patch_embed.projection.weight",
            "patch_embed.projection.bias",
            "patch_embed.norm.weight",
        }
        assert (report.loaded, report.total) == (len(after) - len(kept), len(after))
        assert "start anew" in report.notes[0]
        encoders.append({name: tensor for name, tensor in after.items() if name not in kept})
    old, new = encoders
    assert all(torch.equal(tensor, new[name]) for name, tensor in old.items())
    tensors = published()
    assert torch.equal(old["stages.2.1.scan.log_decay"], tensors["layers.2.blocks.1.self_attention.A_logs"])
    assert torch.equal(old["merges.1.reduction.weight"], tensors["layers.1.downsample.reduction.weight"])
    assert torch.equal(old["patch_embed.norm.bias"], tensors["patch_embed.norm.bias"])


def test_training_settings_in_the_file_are_read_without_their_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CfgNode(dict[str, Any]):
        """Like yacs': a dictionary with attributes of its own."""

        __module__ = "yacs.config"
        __qualname__ = "CfgNode"

        def __init__(self, content: dict[str, Any]) -> None:
            super().__init__(content)
            self.__dict__ |= {"__immutable__": True, "__deprecated_keys__": set(), "__renamed_keys__": {}}

    module = ModuleType("yacs.config")
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    config = CfgNode(
        {"DATA": CfgNode({"IMG_SIZE": 224, "MEAN": (0.5, 0.5)}), "TAG": "vssm1_tiny", "AUG": None}
    )
    content = {
        "model": published(),
        "epoch": 292,
        "max_accuracy": 82.2,
        "config": config,
        "optimizer": {"state": {}},
    }
    file = tmp_path / "ours.pth"
    torch.save(content, file)
    monkeypatch.setitem(sys.modules, "yacs.config", None)
    assert load_encoder(small_encoder(), file, "imagenet").loaded == len(small_encoder().state_dict()) - 3

    torch.save({"model": published(), "config": Path("/")}, file)
    with pytest.raises(WeightsError, match="claims what no weights need") as caught:
        load_encoder(small_encoder(), file, "imagenet")
    assert "pathlib" in (caught.value.cause or "")


@pytest.mark.parametrize("change", ["missing", "unexpected", "larger"])
def test_a_file_that_does_not_fit_fails(tmp_path: Path, change: str) -> None:
    tensors = published()
    if change == "missing":
        del tensors["layers.2.blocks.1.self_attention.Ds"]
    elif change == "unexpected":
        tensors["layers.2.blocks.1.mlp.fc1.weight"] = torch.zeros(1)
    else:
        tensors["layers.3.blocks.0.self_attention.A_logs"] = torch.zeros(1024, 8)
    file = tmp_path / "weights.pth"
    torch.save(tensors, file)
    named = {
        "missing": "stages.2.1.scan.through",
        "unexpected": "layers.2.blocks.1.mlp.fc1.weight",
        "larger": r"stages.3.0.scan.log_decay is \(1024, 8\), not \(1024, 16\)",
    }
    with pytest.raises(WeightsError, match=named[change]):
        load_encoder(small_encoder(), file, "imagenet")


def test_a_missing_file_is_named_with_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = finder("swin-umamba")
    assert find("none", None, {}) is None
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        find("imagenet", None, {"variant": "vmamba-tiny"})
    assert all(name in caught.value.message for name in NAMES)
    assert "MzeroMiko/VMamba" in (caught.value.fix or "") and "$SEGTRIAL_WEIGHTS" in (caught.value.fix or "")
    for name in reversed(NAMES):
        (tmp_path / name).touch()
        assert find("imagenet", None, {}) == tmp_path / name
    with pytest.raises(WeightsError, match="no pretrained weights for swin-umamba with variant pico"):
        find("imagenet", None, {"variant": "pico"})
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build_network("swin-umamba", weights=tmp_path / NAMES[0], variant="pico")


def test_the_authors_names_are_all_known() -> None:
    """Names of the whole network as its authors' checkpoints have them."""
    theirs = {
        "stem.0.weight": "stem.0.weight",
        "stem.1.bias": "stem.1.bias",
        "vssm_encoder.patch_embed.proj.weight": "encoder.patch_embed.projection.weight",
        "vssm_encoder.layers.2.blocks.8.ln_1.weight": "encoder.stages.2.8.norm.weight",
        "vssm_encoder.layers.2.blocks.8.self_attention.x_proj_weight": "encoder.stages.2.8.scan.select",
        "vssm_encoder.downsamples.2.reduction.weight": "encoder.merges.2.reduction.weight",
        "encoder1.layer.conv1.conv.weight": "skips.0.conv1.weight",
        "encoder5.layer.conv3.conv.weight": "skips.4.shortcut.weight",
        "decoder6.transp_conv.conv.weight": "decoder.0.upsample.weight",
        "decoder2.conv_block.conv3.conv.weight": "decoder.4.fuse.shortcut.weight",
        "decoder1.layer.conv2.conv.weight": "finish.conv2.weight",
        "out_layers.3.conv.conv.bias": "heads.3.bias",
    }
    renamed = from_reference({name: torch.zeros(()) for name in theirs})
    assert list(renamed) == list(theirs.values())
    with shapes_alone():
        assert renamed.keys() <= SwinUMamba(3, 3).state_dict().keys()


def test_reports_say_what_is_not_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    (note,) = build_network("swin-umamba", variant="pico").network_notes
    assert "variant pico" in note
    monkeypatch.setattr(dispatcher, "MISSING", {"numba"})
    notes = build_network("swin-umamba", variant="pico").network_notes
    assert any("numba is not installed" in note for note in notes)


def test_sizes_that_do_not_fit_are_one_clear_error() -> None:
    network = build_network("swin-umamba", variant="pico")
    with pytest.raises(TrainingError, match="48x64") as caught:
        network(torch.zeros(1, 3, 48, 64))
    assert "multiples of 32" in (caught.value.fix or "")


def test_operations_can_be_counted_where_nothing_is_computed() -> None:
    with torch.device("meta"):
        network = SwinUMamba(3, 2, "pico")
        assert network(torch.empty(1, 3, 64, 64)).shape == (1, 2, 64, 64)
