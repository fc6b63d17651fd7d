"""A small study whose networks are looked into: several stages, one class or two, one that draws."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from bench_core.analysis.verify import steps
from bench_core.analysis.verify.audit import open_audit
from bench_core.analysis.verify.predicted import Sampling
from bench_core.analysis.verify.recount import recount
from bench_core.cli.main import bench
from bench_core.plan.expand import make_plan
from bench_core.spec.load import load_spec
from bench_core.store.store import Store
from tests.helpers.step_study import write_boxes

NETS = '''

from bench_core import Layers, RunnerDeclaration


def look_net(request):
    import torch
    from torch import nn
    from torch.nn import functional

    class LookNet(nn.Module):
        """An encoder of two stages and a decoder; activations in place overwrite what they get."""

        def __init__(self, draws):
            super().__init__()
            self.draws = draws
            self.fine = nn.Sequential(nn.Conv2d(request.in_channels, 8, 3, padding=1), nn.BatchNorm2d(8))
            self.coarse = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.GroupNorm(2, 8))
            self.decoder = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.GroupNorm(2, 8))
            self.head = nn.Conv2d(8, request.num_classes, 1)

        def forward(self, images):
            fine = functional.relu_(self.fine(images))
            if self.draws:
                fine = fine * (1 + 0.1 * torch.rand(fine.shape, device=fine.device))
            coarse = functional.relu_(self.coarse(fine))
            coarse = functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear")
            return self.head(functional.relu_(self.decoder(torch.cat([fine, coarse], 1))))

    return LookNet(request.options.get("draws", False))


def fit_rule(session, options):
    from bench_core.protocol.outcome import Outcome

    maps = (
        (sample, np.digitize(image.mean(dim=0).cpu().numpy(), [0.5])[:].astype(np.uint8))
        for batch in session.images(session.test)
        for sample, image in zip(batch.ids, batch.images)
    )
    return Outcome(predictions=session.accept(session.test, maps))


class Box(Boxes):
    """One class."""

    def read(self, sample):
        image, mask = super().read(sample)
        mask[mask == 2] = 0
        return image, mask


class Piles(Boxes):
    """Other images, whose classes the networks do not know; the first may be those of the boxes."""

    def samples(self):
        return [Sample(f"pile{i:02d}", f"pile{i:02d}") for i in range(self.options["count"])]

    def read(self, sample):
        number = int(sample.id[4:])
        image, mask = super().read(Sample(f"box{number + 40 * (number >= self.options['copies']):02d}", "x"))
        mask[(mask > 0) & (mask != IGNORE)] = 1
        return image, mask


@hookimpl
def bench_runners():
    return [RunnerDeclaration(name="box-rule", fit=fit_rule, help="by brightness", protocol="own")]


@hookimpl
def bench_models():
    layers = Layers(encoder=("fine", "coarse"), decoder="decoder")
    shared = {"family": "SMA", "runner": "torch", "version": 1, "build": look_net, "explained": layers}
    draws = {"draws": Option(type=bool, default=True, help="in every pass")}
    return [
        Architecture(name="look-net", **shared),
        Architecture(name="look-net-b", **shared),
        Architecture(name="draw-net", options=draws, random_at_inference=True, **shared),
        Architecture(name="bare-net", family="SMA", runner="torch", version=1, build=build),
        Architecture(name="box-rule", family="baseline", runner="box-rule", version=1),
    ]


@hookimpl
def bench_datasets():
    options = {"count": Option(type=int, default=12, help="images"),
               "spacing": Option(type=str, default="none", help="known of")}
    shared = {"version": 1, "needs_root": False, "options": options}
    copies = {"copies": Option(type=int, default=0, help="images of boxes")}
    two = Task(classes=("dark", "bright"), channels=1, ignore=True)
    return [Dataset(name="boxes", task=two, open=Boxes, **shared),
            Dataset(name="piles", task=Task(classes=("crate",), channels=1, ignore=True), open=Piles,
                    **{**shared, "options": options | copies}),
            Dataset(name="box", task=Task(classes=("dark",), channels=1, ignore=True), open=Box, **shared)]
'''


def write_cams(
    folder: Path,
    step: str = "{name: grad-cam}",
    folds: str = "folds: 3, only: [0]",
    epochs: int = 30,
    **settings: str,
) -> Path:
    """Write plugin.py and spec.yaml and return the spec's path; by default one fold is evaluated."""
    chosen = {"models": "[look-net]", "datasets": "[boxes]", **settings}
    path = write_boxes(folder, f"[{step}]", plugin=NETS, **chosen)  # type: ignore[arg-type]
    text = path.read_text().replace("epochs: 3", f"epochs: {epochs}").replace("rate: 0.05", "rate: 0.01")
    path.write_text(text.replace("folds: 3", folds))
    return path


def verified(spec: Path, store: Path, *options: str) -> list[str]:
    """Return the messages of errors of `bench verify`."""
    arguments = ["verify", str(spec), "--store", str(store), "--json", *options]
    done = CliRunner().invoke(bench, arguments, catch_exceptions=False)
    found = [item for check in json.loads(done.stdout)["checks"] for item in check["findings"]]
    assert done.exit_code == (1 if found else 0)
    return [item["message"] for item in found]


def asked(spec: Path, store: Path, digest: str, images: int | None = None, *, data: bool = True) -> list[str]:
    """Return what `bench verify` finds of one step's job: from its tables, with the data, and with networks
    for `images` images."""
    loaded, opened = load_spec(spec), Store(store)
    plan = make_plan(loaded.spec, loaded.registry)
    audit = open_audit(loaded.spec, plan, loaded.registry, opened)
    subject = next(each for each in audit.subjects if each.job.digest == digest)
    found = list(steps.follows(subject, audit) or ())
    if data:
        sampling = None if images is None else Sampling(images=images)
        found += recount(opened.cache, sampling)(subject, audit) or ()
    return [item.message for item in found]
