"""SegNeXt's published backbones: every tensor of every file finds its place, and nothing else is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench_core.errors import WeightsError
from bench_gpvm.segnext.mscan import SIZES
from bench_gpvm.segnext.network import SegNeXt
from bench_gpvm.segnext.weights import MMSEG_COPIES, to_backbone
from tests.helpers.checkpoints import nothing_drawn, numbered
from tests.helpers.networks import build_network, finder


def build(**settings: Any) -> SegNeXt:
    with nothing_drawn():
        network = build_network("segnext", **settings)
    assert isinstance(network, SegNeXt)
    return network


@pytest.mark.parametrize(
    ("variant", "publisher", "prefix"),
    [
        ("t", "authors", "backbone."),
        ("t", "mmseg", "backbone."),
        ("s", "authors", ""),
        ("b", "mmseg", ""),
        ("l", "authors", ""),
        pytest.param("l", "mmseg", "", marks=pytest.mark.slow),
    ],
)
def test_published_files_fill_the_whole_backbone(
    variant: str, publisher: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    published = {prefix + name: tensor for name, tensor in _published(variant, publisher).items()}
    head = {"head.weight": torch.zeros(2, 2), "head.bias": torch.zeros(2)}
    name = f"mscan_{variant}.pth" if publisher == "authors" else MMSEG_COPIES[variant]
    torch.save({"state_dict": published | head}, tmp_path / name)
    network = build(pretrained="imagenet", variant=variant)
    own = network.backbone.state_dict()
    report = network.weights_report
    assert (report.file, report.loaded, report.total) == (name, len(own), len(published))
    expected = to_backbone({name.removeprefix(prefix): tensor for name, tensor in published.items()})
    assert all(torch.equal(tensor, expected[name]) for name, tensor in own.items())


def test_one_channel_gets_the_sum_over_rgb(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(_published("t", "authors"), file)
    color, gray = (
        build(pretrained="imagenet", weights=file, variant="t"),
        build(pretrained="imagenet", weights=file, channels=1, variant="t"),
    )
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = color.eval().backbone(images.expand(-1, 3, -1, -1))
        found = gray.eval().backbone(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert gray.weights_report.notes == (
        "stages.0.downsample.0.weight summed over red, green and blue for one input channel",
    )


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    tensors = _published("t", "authors")
    torch.save(tensors, file)
    with pytest.raises(WeightsError, match="of another shape"):
        build(pretrained="imagenet", weights=file, variant="s")
    torch.save({name: tensor for name, tensor in tensors.items() if name != "norm4.bias"}, file)
    with pytest.raises(WeightsError, match=r"1 missing \(stages\.3\.norm\.bias\)"):
        build(pretrained="imagenet", weights=file, variant="t")
    torch.save({**tensors, "decode_head.conv_seg.bias": torch.zeros(2)}, file)
    with pytest.raises(WeightsError, match=r"1 unexpected \(decode_head\.conv_seg\.bias\)"):
        build(pretrained="imagenet", weights=file, variant="t")
    with pytest.raises(WeightsError, match="no pretrained weights for segnext from scratch"):
        build(weights=file, variant="t")


def test_a_missing_file_is_named_with_its_source_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("segnext")
    with pytest.raises(WeightsError, match=r"mscan_b\.pth or mscan_b_20230227-3ab7d230\.pth") as caught:
        find("imagenet", None, {"variant": "b"})
    assert str(tmp_path / "mscan_b.pth") in (caught.value.cause or "")
    for part in ("Visual-Attention-Network/SegNeXt", "MMSegmentation", "$SEGTRIAL_WEIGHTS", "`weights:`"):
        assert part in (caught.value.fix or "")
    assert find("none", None, {"variant": "b"}) is None
    (tmp_path / "mscan_b.pth").touch()
    assert find("imagenet", None, {"variant": "b"}) == tmp_path / "mscan_b.pth"


def _published(variant: str, publisher: str) -> dict[str, Tensor]:
    """Return random tensors under every name that a published file has."""
    size = SIZES[variant]
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, out: int, kernel: tuple[int, ...]) -> None:
        shapes.update({f"{name}.weight": (out, *kernel), f"{name}.bias": (out,)})

    def norm(name: str, width: int, batch: bool = True) -> None:
        leaves = ("weight", "bias", "running_mean", "running_var") if batch else ("weight", "bias")
        shapes.update({f"{name}.{leaf}": (width,) for leaf in leaves})
        if batch:
            shapes[f"{name}.num_batches_tracked"] = ()

    dwconv = "mlp.dwconv.dwconv" if publisher == "authors" else "mlp.dwconv"
    before = 3
    for stage, (width, depth, expansion) in enumerate(
        zip(size.widths, size.depths, size.expansions, strict=True), start=1
    ):
        embed, hidden = f"patch_embed{stage}", expansion * width
        if stage == 1:
            convolution(f"{embed}.proj.0", width // 2, (before, 3, 3))
            norm(f"{embed}.proj.1", width // 2)
            convolution(f"{embed}.proj.3", width, (width // 2, 3, 3))
            norm(f"{embed}.proj.4", width)
        else:
            convolution(f"{embed}.proj", width, (before, 3, 3))
            norm(f"{embed}.norm", width)
        for index in range(depth):
            block = f"block{stage}.{index}"
            unit = f"{block}.attn.spatial_gating_unit"
            for number in (1, 2):
                shapes[f"{block}.layer_scale_{number}"] = (width,)
                norm(f"{block}.norm{number}", width)
                convolution(f"{block}.attn.proj_{number}", width, (width, 1, 1))
            convolution(f"{unit}.conv0", width, (1, 5, 5))
            for number, length in enumerate((7, 11, 21)):
                convolution(f"{unit}.conv{number}_1", width, (1, 1, length))
                convolution(f"{unit}.conv{number}_2", width, (1, length, 1))
            convolution(f"{unit}.conv3", width, (width, 1, 1))
            convolution(f"{block}.mlp.fc1", hidden, (width, 1, 1))
            convolution(f"{block}.{dwconv}", hidden, (1, 3, 3))
            convolution(f"{block}.mlp.fc2", width, (hidden, 1, 1))
        norm(f"norm{stage}", width, batch=False)
        before = width
    return numbered(shapes)
