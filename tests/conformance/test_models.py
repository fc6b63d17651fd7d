"""What every architecture must do, whoever wrote it: the shipped suite, one test a property.

Large ones under their declared small options. Your own: bench test my-net --plugin my_net.py
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from bench_core.conformance.candidate import Candidate
from bench_core.conformance.models import PROPERTIES, Property, judge
from bench_core.plugins.registry import Registry
from bench_core.plugins.wiring import load_registry

FROM_SOURCES = (
    "smp:unet/efficientnet-lite0",
    "timm:resnet10t/fpn",
    "mmseg:erfnet_fcn_4xb4-160k_cityscapes-512x1024",
)
SLOW = (
    "smp:deeplabv3plus/efficientnet-lite0",
    "smp:pspnet/efficientnet-lite0",
    "smp:segformer/mit_b0",
    "hf:mobilenet_v2",
    "mmseg:segformer_mit-b0_8xb2-160k_ade20k-512x512",
    "smp:dpt/tu-vit_tiny_patch16_224",
    "smp:pan/resnet18",
    "smp:pspnet/mit_b0",
    "smp:upernet/efficientnet-b0",
    "timm:edgenext_xx_small/uper",
    "timm:vit_tiny_patch16_224/fpn",
    "hf:dpt",
    "hf:mobilevitv2",
    "hf:segformer",
    "hf:upernet-convnext",
    "hf:upernet-swin",
    "mmseg:segmenter_vit-t_mask_8xb1-160k_ade20k-512x512",
    "mmseg:segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512",
    "mmseg:stdc1_4xb12-80k_cityscapes-512x1024",
    "mmseg:unet-s5-d16_fcn_4xb4-40k_drive-64x64",
)

QUICK = ("u-net", "segformer", "hiformer")
"""Which are tried for all in the default suite, too: a plain one, a transformer, one of both."""
TWICE = (
    *("shapes: gray, 1 logit channel", "shapes: RGB, 2 logit channels", "shapes: RGB, 4 logit channels"),
    *("bf16 is finite", "the loss falls"),
)
"""Tried for the others in the slow suite alone: channels vary in two other shapes, and fp16 holds less."""
OF_LIBRARIES = (
    *("evaluation is deterministic", "evaluation is independent of the batch", "fp16 is finite"),
    *("copies and pickles compute the same", "channels-last computes the same"),
)
"""Tried in the slow suite alone where the network is a library's and only the way to it is ours."""


@functools.cache
def _registry(plugins: tuple[Path, ...]) -> Registry:
    # Once: a plugin file that is loaded again has new classes, and instances of the old no longer pickle.
    return load_registry(plugins)


@functools.lru_cache(maxsize=1)
def _candidate(name: str, plugins: tuple[Path, ...]) -> Candidate:
    # It keeps its network, which takes seconds to initialize and much memory: one at a time.
    declared = _registry(plugins).model(name)
    return Candidate(declared, declared.small)


def _takes_long(name: str, item: Property) -> bool:
    of_library = name in FROM_SOURCES and item.name in OF_LIBRARIES
    return name in SLOW or of_library or (item.name in TWICE and name not in QUICK)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "model" not in metafunc.fixturenames:
        return
    registry = _registry(_plugins(metafunc.config))
    wanted = metafunc.config.getoption("--model", default=[])
    built = [name for name, declared in registry.models.items() if declared.build]
    cases = [(name, item) for name in wanted or [*built, *FROM_SOURCES, *SLOW] for item in PROPERTIES]
    metafunc.parametrize(
        ("model", "item"),
        [
            pytest.param(
                name,
                item,
                id=f"{name}-{item.name}",
                marks=[pytest.mark.slow] if not wanted and _takes_long(name, item) else [],
            )
            for name, item in cases
        ],
    )


def _plugins(config: pytest.Config) -> tuple[Path, ...]:
    return tuple(config.getoption("--plugin", default=[]))


pytestmark = pytest.mark.usefixtures("one_thread")


def test_architecture(model: str, item: Property, pytestconfig: pytest.Config) -> None:
    finding = judge(item, _candidate(model, _plugins(pytestconfig)))
    if finding.state == "skipped":
        pytest.skip(finding.note)
    assert finding.state == "ok", finding.note
