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
from bench_core.errors import MissingDependencyError, TrainingError
from bench_mmseg import zoo
from bench_mmseg.adapt import adapt
from bench_mmseg.build import build_config
from bench_mmseg.segmentor import Segmentor, build_segmentor
from bench_mmseg.source import resolve
from tests.helpers.checkpoints import nothing_drawn
from tests.helpers.mmseg_configs import (
    LARGE,
    NOT_HERE,
    SMALL,
    UNTRAINABLE,
    model_of,
    random_images,
    request_of,
)
from tests.helpers.networks import build_network

SIMILAR = (
    *("unet", "icnet", "ocrnet", "stdc", "bisenetv1"),
    *("cgnet", "deeplabv3", "erfnet", "mobilenet_v2", "pspnet"),
)
"""Families whose parts fit together as another's do that is tried by default."""
each_family = pytest.mark.parametrize(
    "config",
    [
        *(
            pytest.param(config, marks=[pytest.mark.slow] if family in SIMILAR else [])
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
    model = model_of(config)
    size = max(64, resolve(f"mmseg:{config}").size_minimum)
    request = request_of(classes=3, size=size)
    torch.manual_seed(0)
    network = build_segmentor(model, request)
    _compare_with_mmseg(network, model, request)
    before = copy.deepcopy(network.state_dict())
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    logits = network(random_images(2, 3, size))
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
    network = build_segmentor(model_of(SMALL[family]), request_of(channels=1, classes=1, size=64))
    images = random_images(2, 1, 64)
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
    with nothing_drawn():
        network = build_segmentor(model_of(SMALL["segmenter"]), request_of(classes=1, size=64))
    assert any("difference is the logit" in note for note in network.network_notes)
    assert "img_size of backbone (512, 512) -> 64" in network.network_notes
    assert "inference in windows of (512, 512) replaced by whole images" in network.network_notes
    with nothing_drawn():
        network = build_segmentor(model_of(SMALL["pspnet"]), request_of(size=64))
    assert network.network_notes == (
        "auxiliary_head FCNHead dropped",
        "CrossEntropyLoss of decode_head replaced by the protocol's loss",
        "SyncBN -> BN",
    )
    assert not any("loss" in name for name, _ in network.named_modules())
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())
    with nothing_drawn():
        network = build_segmentor(model_of(SMALL["pidnet"]), request_of(size=64))
    assert "auxiliary branches of PIDHead dropped" in network.network_notes


def test_building_leaves_the_config_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    model = model_of(SMALL["fastscnn"])
    before = copy.deepcopy(model)
    build_segmentor(model, request_of(size=32))
    assert model == before
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("family", ["segformer", pytest.param("ocrnet", marks=pytest.mark.slow), "ddrnet"])
def test_copies_compute_the_same(family: str) -> None:
    network = build_segmentor(model_of(SMALL[family]), request_of(size=64)).eval()
    images = random_images(1, 3, 64)
    with torch.no_grad():
        expected = network(images)
        for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            assert torch.equal(other(images), expected)


@pytest.mark.parametrize("family", NOT_HERE)
def test_reasons_for_missing_packages_are_true(family: str) -> None:
    config, says = NOT_HERE[family]
    reason = resolve(f"mmseg:{config}").unavailable
    if reason is None:
        build_config(zoo.zoo_configs()[config], request_of(size=64))
        return
    assert reason.startswith("needs ")
    with pytest.raises((TrainingError, MissingDependencyError)) as caught:
        build_config(zoo.zoo_configs()[config], request_of(size=64))
    assert says in f"{caught.value.message} {caught.value.cause}"


@pytest.mark.parametrize("family", UNTRAINABLE)
def test_what_a_loss_on_logits_cannot_train_is_refused(family: str) -> None:
    reason = resolve(f"mmseg:{UNTRAINABLE[family]}").unavailable
    assert reason
    with pytest.raises(TrainingError) as caught:
        build_segmentor(model_of(UNTRAINABLE[family]), request_of(size=64))
    assert caught.value.cause == reason


@pytest.mark.parametrize(
    ("family", "sizes"),
    [("unet", (17, 40)), ("pidnet", (45, 97)), ("segformer", (28, 17)), ("mobilenet_v3", (384,))],
)
def test_sizes_beyond_the_declared_limits_fail(family: str, sizes: tuple[int, ...]) -> None:
    config = {**SMALL, **LARGE}[family]
    architecture = resolve(f"mmseg:{config}")
    with nothing_drawn():
        network = build_segmentor(model_of(config), request_of(size=400)).eval()
    step, smallest = architecture.size_multiple, architecture.size_minimum
    fine = step * -(-smallest // step)
    with torch.no_grad():
        assert network(random_images(1, 3, fine)).shape[-1] == fine
        for size in sizes:
            assert size % step or size < smallest
            with pytest.raises((RuntimeError, AssertionError)):
                network(random_images(1, 3, size))


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
    network = build_config(config, request_of(size=32))
    assert type(network.decode_head).__name__ == "TwiceHead"
    config.write_text("custom_imports = dict(imports='absent_module')\nmodel = dict(type='EncoderDecoder')\n")
    with pytest.raises(MissingDependencyError, match="absent_module"):
        build_config(config, request_of(size=32))


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
        build_segmentor({**model_of(SMALL["fcn"]), **change}, request_of(size=32))
    assert says in (caught.value.cause or "")
    assert caught.value.fix


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
    images = random_images(2, 3, request.image_size)
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
