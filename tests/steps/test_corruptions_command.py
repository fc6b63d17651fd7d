"""`bench corruptions` draws what the step would, on one's own images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from PIL import Image

from bench_core.cli.main import bench
from bench_core.data.automatic import image_box
from bench_core.data.resize import Fit, fit_square
from bench_core.declarations import DatasetRequest
from bench_core.options import complete_options
from bench_datasets.plugin import SYNTHETIC
from bench_datasets.synthetic.reader import open_synthetic
from bench_steps.corruption.apply import corrupted
from bench_steps.corruption.declared import KINDS
from tests.helpers.bench import call_bench


def sheets(folder: Path, *arguments: str) -> list[Path]:
    given = ["corruptions", *arguments, "--out", str(folder / "out"), "--json"]
    done = CliRunner().invoke(bench, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [Path(path) for path in json.loads(done.stdout)["files"]]


LOOK = ("synthetic", "--option", "size=40", "--option", "samples=5")


def test_a_sheet_shows_the_images_that_a_network_would_see(tmp_path: Path) -> None:
    (path,) = sheets(tmp_path, *LOOK, "--kind", "hair", "--kind", "jpeg", "--images", "1")
    page = np.asarray(Image.open(path))
    assert page.shape == (2 * 278 + 6, 6 * 262 + 6, 3)
    reader = open_synthetic(
        DatasetRequest(root=None, options=complete_options(SYNTHETIC.options, {"size": 40, "samples": 5}))
    )
    sample = reader.samples()[0]
    raw = reader.read(sample)
    image, _ = fit_square(*raw, Fit(256))
    kind = next(kind for kind in KINDS if kind.name == "hair")
    found = corrupted(image, image_box(raw[0].shape[:2], 256, "pad-square"), kind, 4, sample.id)
    left = 6 + 4 * 262
    assert (page[6 + 278 : 6 + 278 + 256, left : left + 256] == found).all()


def test_kinds_follow_the_modality_and_what_does_not_go_is_refused(tmp_path: Path) -> None:
    (path,) = sheets(tmp_path, *LOOK, "--option", "look=ultrasound", "--images", "1")
    general = len([kind for kind in KINDS if not kind.modalities])
    assert np.asarray(Image.open(path)).shape[0] == (general + 2) * 278 + 6
    done = call_bench("corruptions", *LOOK, "--kind", "smoke", "--out", tmp_path / "none")
    assert done.returncode == 1 and "smoke is a corruption of endoscopy" in done.stderr
    assert not (tmp_path / "none").exists()
