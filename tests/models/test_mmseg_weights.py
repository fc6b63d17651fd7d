"""Weights of MMSegmentation's networks: which are asked for, found and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench_core.errors import WeightsError
from bench_mmseg import zoo
from bench_mmseg.build import build_config
from bench_mmseg.segmentor import Segmentor, build_segmentor
from bench_mmseg.source import resolve
from tests.helpers.checkpoints import nothing_drawn, numbered_like
from tests.helpers.mmseg_configs import SMALL, model_of, request_of
from tests.helpers.networks import finder


class TestWeights:
    """Published weights, as far as their names can be made up: of a backbone, or of a whole segmentor."""

    CONFIG = SMALL["fcn"]

    def _build(self, file: Path | None, config: str = CONFIG, **changes: Any) -> Segmentor:
        request = request_of(pretrained="imagenet", weights_file=file, **changes)
        with nothing_drawn():
            return build_config(zoo.zoo_configs()[config], request)

    def _numbers(self, config: str = CONFIG, **changes: Any) -> dict[str, Tensor]:
        with nothing_drawn():
            network = build_segmentor(model_of(config), request_of(**changes))
        return numbered_like(network)

    def _backbone(self, config: str = CONFIG, size: int = 32) -> dict[str, Tensor]:
        whole = self._numbers(config, size=size)
        return {
            name.removeprefix("backbone."): t for name, t in whole.items() if name.startswith("backbone.")
        }

    def test_a_backbone_loads_strictly(self, tmp_path: Path) -> None:
        source = self._backbone()
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
        source = self._backbone()
        torch.save(source, tmp_path / "backbone.pth")
        network = self._build(tmp_path / "backbone.pth", channels=1)
        stem = network.backbone.state_dict()["stem.0.weight"]
        torch.testing.assert_close(stem, source["stem.0.weight"].sum(dim=1, keepdim=True))
        assert "stem.0.weight summed" in network.weights_report.notes[0]

    def test_a_whole_segmentor_of_other_classes(self, tmp_path: Path) -> None:
        source = self._numbers(classes=19, size=32)
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
        source = self._backbone(config, size=96)
        torch.save(source, tmp_path / "vit.pth")
        network = self._build(tmp_path / "vit.pth", config, size=64)
        assert network.backbone.pos_embed.shape[1] == 1 + 16
        assert "from 6x6 to 4x4" in network.weights_report.notes[0]

    def test_from_scratch_takes_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "any.pth").touch()
        with pytest.raises(WeightsError, match="no pretrained weights"):
            finder(resolve(f"mmseg:{SMALL['unet']}"))("imagenet", tmp_path / "any.pth", {})
