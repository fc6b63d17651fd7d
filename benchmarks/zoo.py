"""Builds every config of MMSegmentation's zoo and trains a step of it: how many do, and why the rest do not.

python benchmarks/zoo.py [--only FAMILY] [--json] [--time-limit SECONDS]

Configs that differ in nothing but data and schedule have one network and are tried once. Every network takes
one SGD step on two noise images of the smallest size from 64 pixels on that it accepts, on one thread, first
with one logit channel (binary cross-entropy), and has to return finite logits and gradients.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import json
import math
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.errors import BenchError
from bench_mmseg.adapt import adapt
from bench_mmseg.config_file import read_config
from bench_mmseg.segmentor import build_segmentor
from bench_mmseg.zoo import size_limits, why_not, zoo_configs

SIZE = 64


@dataclass
class Family:
    """What was found in one folder of the zoo."""

    name: str
    configs: int = 0
    networks: int = 0
    trained: int = 0
    configs_trained: int = 0
    seconds: float = 0.0
    reasons: dict[str, list[str]] = field(default_factory=dict)
    """Why configs do not train, to their names."""
    dead: dict[str, list[str]] = field(default_factory=dict)
    """Config to its parameters without a gradient."""


class TimeLimitError(Exception):
    """A network that takes longer than the limit."""


def main() -> int:
    """Try the zoo and print what was found; exit with 1 if a config fails for no declared reason."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", metavar="FAMILY", action="append", help="folders of the zoo")
    parser.add_argument("--time-limit", type=int, default=300, metavar="SECONDS", help="for one network")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not zoo_configs():
        print("mmseg is not installed: pip install 'segtrial[mmseg]'", file=sys.stderr)
        return 2
    families: dict[str, Family] = {}
    outcomes: dict[str, str | None] = {}
    for config, path in zoo_configs().items():
        if options.only and path.parent.name not in options.only:
            continue
        family = families.setdefault(path.parent.name, Family(path.parent.name))
        _try(config, path, family, outcomes, options.time_limit)
    if options.json:
        print(json.dumps([asdict(family) for family in families.values()], indent=1))
    else:
        _print(list(families.values()))
    return int(any(reason.startswith("fails: ") for f in families.values() for reason in f.reasons))


def _try(config: str, path: Path, family: Family, outcomes: dict[str, str | None], limit: int) -> None:
    family.configs += 1
    model = read_config(path).values["model"]
    reason = why_not(model)
    if reason is None:
        key = _digest(model)
        if key not in outcomes:
            family.networks += 1
            started = time.monotonic()
            outcomes[key] = _outcome(config, model, family, limit)
            family.seconds += time.monotonic() - started
            family.trained += outcomes[key] is None
            print(f"{family.name}/{config}: {outcomes[key] or 'ok'}", file=sys.stderr, flush=True)
            gc.collect()
        reason = outcomes[key]
    if reason is None:
        family.configs_trained += 1
    else:
        family.reasons.setdefault(reason, []).append(config)


def _digest(model: Mapping[str, Any]) -> str:
    adapted = adapt(model, _request(model, 3))
    parts = (adapted.backbone, adapted.neck, adapted.heads)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _request(model: Mapping[str, Any], classes: int) -> BuildRequest:
    step, smallest = size_limits(model)
    size = step * math.ceil(max(SIZE, smallest) / step)
    return BuildRequest(in_channels=3, num_classes=classes, image_size=size, pretrained="none")


def _outcome(config: str, model: Mapping[str, Any], family: Family, limit: int) -> str | None:
    try:
        with _limit(limit):
            silent = train_step(model, _request(model, 1))
    except TimeLimitError:
        return f"fails: takes more than {limit} s"
    except BenchError as error:
        return f"fails: {error.cause or error.message}"
    except Exception as error:  # a network of the zoo can fail in any way
        return f"fails: {type(error).__name__}: {str(error)[:200]}"
    if silent:
        family.dead[config] = silent
    return None


def train_step(model: Mapping[str, Any], request: BuildRequest) -> list[str]:
    """Build a config's network and take one step; return the parameters that got no gradient.

    Raises what building and computing raise, FloatingPointError for logits or gradients that are not finite.
    """
    torch.manual_seed(0)
    network: nn.Module = build_segmentor(model, request).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    shape = (2, request.in_channels, request.image_size, request.image_size)
    logits = network(torch.randn(shape))
    if request.num_classes == 1:
        loss = functional.binary_cross_entropy_with_logits(logits, torch.rand(logits.shape).round())
    else:
        loss = functional.cross_entropy(logits, torch.randint(request.num_classes, (2, *shape[2:])))
    loss.backward()  # type: ignore[no-untyped-call]
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    gradients = [p.grad for p in trained.values() if p.grad is not None]
    if not (torch.isfinite(loss) and all(torch.isfinite(gradient).all() for gradient in gradients)):
        raise FloatingPointError("the loss or a gradient is not finite")
    optimizer.step()
    return [name for name, parameter in trained.items() if parameter.grad is None]


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _print(families: list[Family]) -> None:
    print(f"{'family':<16}{'configs':>8}{'networks':>10}{'train':>7}{'seconds':>9}  not trained")
    for family in families:
        reasons = "; ".join(f"{len(names)} {reason}" for reason, names in family.reasons.items())
        print(
            f"{family.name:<16}{family.configs:>8}{family.networks:>10}{family.trained:>7}"
            f"{family.seconds:>9.1f}  {reasons}"
        )
        for config, names in family.dead.items():
            print(f"  {config}: no gradient for {', '.join(names)}")
    configs, trained = sum(f.configs for f in families), sum(f.configs_trained for f in families)
    networks = sum(f.networks for f in families)
    print(f"{trained} of {configs} configs build and train a step ({networks} different networks tried)")


if __name__ == "__main__":
    sys.exit(main())
