"""For every check that `bench validate --help` lists: a spec that it fires on, at the place that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench_core.cli.main import bench
from bench_core.spec.catalog import CHECKS
from tests.helpers.spec_files import VALID, edited, findings, small_registry, unmarked, write

EXCLUDED = """exclude:
  - {model: boxy, dataset: heart, because: "too slow"}
"""
EPOCHS = "layout: rotate, epochs: 4}"
FLIP = "    - RandomHorizontalFlip\n"
HEART = "  - heart\n"
MATRIX_END = "exclude:\n"
NORMALIZATION = "{mean: 0.5, std: 0.5}"
RATES = "[1e-4, 5e-5]"
SCHEDULE = "{name: rex, step: epoch}"
SEARCH = "  search: {learning_rate: [1e-4, 5e-5], epochs: 3, folds: [0]}\n"
SIZE = "image_size: 256"
TINY = "  - tiny\n"
TWO_DEVICES = "runtime: {devices_per_job: 2}\n"
WITHOUT_BOXY = (
    ("{name: boxy, options: {width: 8}}", "{name: tiny, label: other, options: {width: 8}}"),
    ("model: boxy", "model: other"),
)


def shown(metrics: str, step: str) -> str:
    """Return the lines of a step and of an analysis that shows these metrics."""
    return f"steps: [{step}]\nanalyses: [{{name: scores, options: {{metrics: {metrics}}}}}]\n"


@dataclass(frozen=True)
class Case:
    """A spec with a mark where the diagnostic belongs, and a word of its fix."""

    check: str
    text: str
    fix: str
    severity: str = "error"
    overrides: Sequence[str] = ()


CASES = [
    Case("file-size", "«#" + "x" * 1024 * 1024, "extends"),
    Case("encoding", "version: 1\nname: «\ufffe\n", "UTF-8"),
    Case("syntax", edited(("image_size: 256", "image_size: 256\n«\tresize: stretch")), "spaces"),
    Case("documents", VALID + "«---\nversion: 1\n", "own file"),
    Case("documents", "«- version: 1\n", "key: value"),
    Case("nesting", "version: " + "[" * 39 + "«[" + "]" * 41, "flatten"),
    Case("alias", VALID + "description: «*nothing\n", "define &nothing"),
    Case("tag", edited(("version: 1", "version: «!!python/name:os.system 1")), "remove the tag"),
    Case("number", VALID + "seed: «" + "1" * 999 + "\n", "shorten"),
    Case("duplicate-key", edited((SIZE, SIZE + "\n  «image_size: 128")), "remove"),
    Case("key-type", edited((SIZE, SIZE + "\n  «1: 128")), '"1":'),
    Case("merge-key", edited((SIZE, SIZE + "\n  «<<: 5")), "<<: *name"),
    Case("extends", VALID + "extends: «nothing.yaml\n", "path"),
    Case("extends", VALID + "extends: [«3]\n", "base.yaml"),
    Case("variable", VALID + 'description: «"${SEGTRIAL_SURELY_UNSET}"\n', ":-value"),
    Case("variable", VALID + 'description: «"${a b}"\n', "$$"),
    Case("text", edited(('"too slow"', '«"too\\x1bslow"')), "remove"),
    Case("path", edited(("root: data/skin", "root: «~nosuchuser/skin")), "write the path out"),
    Case("set", VALID, "models.1", overrides=["models.7.label=x"]),
    Case("set", VALID, "as a whole", overrides=["name=x", "seed=3", "exclude=[]", "name.search=3"]),
    Case("set", VALID, "--set protocol.batch_size=4", overrides=["protocol.batch_size"]),
    Case("unknown-key", edited((SIZE, SIZE + "\n  «bach_size: 4")), "'batch_size'"),
    Case("unknown-key", VALID + "«batch_size: 4\n", "belongs to models.deviations or protocol"),
    Case("missing-key", edited(("version: 1\n", "")).replace("name", "«name", 1), "version: ..."),
    Case("missing-key", edited(("  evaluate", "  «evaluate"), (EPOCHS, "layout: rotate}")), "epochs: ..."),
    Case("type", edited((SIZE, "image_size: «'256'")), "image_size: 256"),
    Case("type", edited((SIZE, "image_size: «256.0")), "write 256"),
    Case("type", edited(("version: 1", "version: «true")), "whole number"),
    Case("type", edited((TINY, "  - «[tiny]\n")), "a mapping"),
    Case("type", edited((NORMALIZATION, "{mean: «half}")), "a number or a list"),
    Case("range", edited((SIZE, "image_size: «0")), "greater than 0"),
    Case("range", edited((RATES, "«[]")), "add one"),
    Case("range", edited(("weight_decay: 0.01", "betas: [0.9, «1]")), "less than 1"),
    Case("range", edited(("weight_decay: 0.01", "betas: «[0.9]")), "add"),
    Case("range", edited(("weight_decay: 0.01", "weight_decay: «.inf")), "a number"),
    Case("choice", edited(("name: adamw", "name: «adamm")), "'adam"),
    Case("choice", edited((SIZE, SIZE + "\n  early_stopping: «of")), "'off'"),
    Case("choice", edited((SIZE, SIZE + "\n  loss: «dise")), "'dice'"),
    Case("name", edited(("name: small-study", "name: «small study/")), "small-study"),
    Case("name", edited(("{name: boxy,", "{name: boxy, label: «" + "x" * 65 + ",")), "length"),
    Case(
        "reason",
        edited(('{model: boxy, dataset: heart, because: "too slow"}', "«{model: boxy}")),
        "because",
    ),
    Case("reason", edited((TINY, "  - {name: tiny, «deviations: {precision: fp16}}\n")), "because"),
    Case("reason", edited((TINY, "  - {name: tiny, pretrained: «none}\n")), "because"),
    Case("reason", edited(('"too slow"', '«"-"')), "say why"),
    Case("model", edited((TINY, "  - «tini\n")), "'tiny'"),
    Case("model", edited((TINY, "  - «zoo:tigr\n")), "'zoo:tiger'"),
    Case("model", edited((TINY, "  - «zo:tiger\n")), "'zoo'"),
    Case("dataset", edited((HEART, HEART + "  - «hart\n")), "'heart'"),
    Case("runner", edited((TINY, "  - {name: tiny, runner: «torsch}\n")), "'torch'"),
    Case("analysis", VALID + "analyses: [scores, «skores]\n", "'scores'"),
    Case("analysis", VALID + "analyses: [scores, «scores]\n", "remove one"),
    Case("runner", VALID + "runtime: {runners: {«torsch: {}}}\n", "'torch'"),
    Case("model", VALID + "runtime: {memory: {«tinny: 20GB}}\n", "'tiny'"),
    Case("executor", VALID + "runtime: {executor: «quueue}\n", "'queue'"),
    Case("executor", VALID + "runtime: {executor: queue, executors: {«lokal: {}}}\n", "'local'"),
    Case("step", VALID + "steps: [maps, «mapz]\n", "'maps'"),
    Case("step", VALID + "steps: [«moved]\n", "dataset: {name"),
    Case("step", VALID + "steps: [{name: maps, «dataset: {name: heart}}]\n", "remove `dataset`"),
    Case("step", VALID + "steps: [{name: moved, dataset: {name: heart, «loss: dice}}]\n", "remove it"),
    Case("dataset", VALID + "steps: [{name: moved, dataset: {name: «hart}}]\n", "'heart'"),
    Case("root", VALID + "steps: [{name: moved, dataset: {name: «skin}}]\n", "SEGTRIAL_DATA"),
    Case("path", VALID + "steps: [{name: moved, dataset: {name: skin, root: «~nosuchuser/x}}]\n", "write"),
    Case("label", VALID + "steps: [{name: moved, dataset: {name: «own, root: x}}]\n", "my-images"),
    Case("label", VALID + "steps: [maps, {name: «maps, options: {width: 4}}]\n", "label"),
    Case("label", VALID + "steps: [{name: maps, label: «evaluate}]\n", "another `label`"),
    Case("option", VALID + "steps: [{name: maps, options: {«widht: 4}}]\n", "correct the name"),
    Case("option", VALID + "steps: [{name: maps, options: {width: «65}}]\n", ""),
    Case("option", VALID + "steps: [{name: moved, dataset: {name: toy, options: {classes: «two}}}]\n", ""),
    Case("missing-key", VALID + "steps: [{name: moved, «dataset: {label: a}}]\n", "name: ..."),
    Case(
        "step",
        edited((TINY, "  - rule\n"), ("  - {name: boxy, options: {width: 8}}\n", ""), (EXCLUDED, ""))
        + "steps: [«maps]\n",
        "shared protocol",
        "warning",
    ),
    Case("option", edited((TINY, "  - {name: rule, options: {«topp: 3}}\n")), "correct the name"),
    Case("option", edited((TINY, "  - {name: rule, options: {top: «many}}\n")), ""),
    Case("option", edited((TINY, "  - {name: tiny, options: {«top: 3}}\n")), "correct the name"),
    Case("option", VALID + "runtime: {runners: {alone: {«top: 4}}}\n", "`options` of the models"),
    Case(
        "deviation",
        edited((TINY, "  - {name: rule, «deviations: {batch_size: 2, because: a test}}\n")),
        "settings of the procedure",
    ),
    Case("type", VALID + "runtime: {runners: {other: «[log]}}\n", "mapping"),
    Case("option", VALID + "runtime: {runners: {other: {«lgo: true}}}\n", "correct the name"),
    Case("option", VALID + "runtime: {runners: {other: {log: «3}}}\n", ""),
    Case("type", VALID + "runtime: {memory: {tiny: «20 gigs}}\n", "20GB"),
    Case("type", VALID + "runtime: {executors: {queue: «[minutes]}}\n", "mapping"),
    Case("option", VALID + "runtime: {executors: {queue: {«minuts: 5}}}\n", "correct the name"),
    Case("option", VALID + "runtime: {executors: {queue: {minutes: «0}}}\n", ""),
    Case("option", VALID + "runtime: {executors: {local: {«workers: 2}}}\n", "correct the name"),
    Case("option", edited(("{width: 8}", "{«widht: 8}")), "correct the name"),
    Case("option", edited(("{width: 8}", "{width: «65}")), ""),
    Case("option", edited(("{width: 8}", "{width: «eight}")), ""),
    Case("option", edited(("{width: 8}", "{mode: «exacd}")), ""),
    Case("option", edited((HEART, HEART + "  - {name: toy, «options: {classes: 3}}\n")), ""),
    Case("option", VALID + "analyses: [{name: scores, options: {«topp: 3}}]\n", "correct the name"),
    Case("option", VALID + "analyses: [{name: scores, options: {metrics: «[mdsc, hd59]}}]\n", "'hd95'"),
    Case("option", VALID + "analyses: [{name: scores, options: {metrics: «[assd]}}]\n", "metrics: [assd]"),
    Case("option", VALID + "analyses: [{name: scores, options: {metrics: «[miou-native]}}]\n", "[native]"),
    Case("option", VALID + shown("«[miou-large]", "native"), "'miou-native'"),
    Case("option", VALID + shown("«[hd95-measure]", "measure"), "'hd95'"),
    Case("option", VALID + "steps: [{name: measure, options: {metrics: «[hd59]}}]\n", "'hd95'"),
    Case("option", VALID + "steps: [{name: measure, «options: {metrics: [hd95], tolerance: 1}}]\n", "change"),
    Case("label", edited((TINY, TINY + "  - {name: «tiny, options: {width: 4}}\n")), "label"),
    Case("label", edited((HEART, HEART + "  - {name: toy, label: «heart}\n")), "label"),
    Case("label", edited((HEART, HEART + "  - {name: «own, root: x}\n")), "my-images"),
    Case(
        "duplicate",
        edited((TINY, TINY + "  - «{name: tiny, label: b, options: {width: 16}}\n")),
        "remove one",
    ),
    Case("duplicate", edited((HEART, HEART + "  - «{name: heart, label: b}\n")), "remove one"),
    Case(
        "jobs",
        edited(("evaluate: {folds: 5, layout: rotate", "«evaluate: {folds: 1000, repeats: 100")),
        "fewer learning rates",
    ),
    Case("padding", edited((SIZE, SIZE + "\n  resize: stretch\n  padding: «ignore")), "remove `padding`"),
    Case("dataset", VALID + "steps: [{name: moved, dataset: «skinn}]\n", "'skin'"),
    Case("root", VALID + "steps: [{name: moved, dataset: «skin}]\n", "SEGTRIAL_DATA"),
    Case("root", edited(("    root: data/skin\n", ""), ("name: skin", "name: «skin")), "SEGTRIAL_DATA"),
    Case("pretrained", edited((TINY, "  - {name: tiny, pretrained: «imagenett}\n")), "'imagenet'"),
    Case("pretrained", edited((TINY, "  - «bare\n")), "pretrained: none"),
    Case("weights", edited((TINY, "  - {name: tiny, weights: «no/file.pt}\n")), "get the file", "warning"),
    Case(
        "weights",
        edited((TINY, "  - {name: tiny, pretrained: none, because: 'to compare', weights: «x.pt}\n")),
        "remove `weights`",
    ),
    Case("exclusion", edited(("model: boxy, dataset", "model: «boksy, dataset")), "'boxy'"),
    Case("exclusion", edited(("{model: boxy, dataset: heart,", "{model: boxy, dataset: «hart,")), "'heart'"),
    Case(
        "exclusion",
        edited(("- {model: boxy,", "«- {dataset: skin, because: slow}\n  - {")),
        "remove an",
    ),
    Case("deviation", edited((TINY, "  - {name: tiny, «deviations: {because: none given}}\n")), "add one of"),
    Case("deviation", edited((TINY, "  - {name: tiny, because: «none given}\n")), "deviations", "warning"),
    Case("rate-source", edited((SEARCH, SEARCH + "  «learning_rate: 1e-4\n")), "search: null"),
    Case("rate-source", edited((SEARCH, ""), ("protocol:", "«protocol:")), "learning_rate: 1e-4"),
    Case("image-size", edited((SIZE, "image_size: «250")), "192 or 256"),
    Case("image-size", edited((SIZE, "image_size: «64")), "use 128"),
    Case("batch-size", edited((SIZE, SIZE + "\n  batch_size: «1")), "2 or more"),
    Case("micro-batch", edited((SIZE, SIZE + "\n  micro_batch: «2")), "3 or more"),
    Case("loss", edited((SIZE, SIZE + "\n  loss: «bce")), "'cross-entropy'"),
    Case("loss", edited((SIZE, SIZE + "\n  loss: {«cross-entropy: 1, dice: 1}")), "'bce'"),
    Case("unknown-key", edited((SIZE, SIZE + "\n  loss: {«dise: 1}")), "'dice'"),
    Case("unknown-key", edited((SIZE, SIZE + "\n  loss: {«auto: 1}")), "stands alone"),
    Case("loss", edited((SIZE, SIZE + "\n  «loss: {}")), "bce: 0.5"),
    Case("loss", edited((HEART, "  - {name: heart, loss: «bce}\n")), "'cross-entropy'"),
    Case("loss", edited((TINY, "  - {name: tiny, deviations: {loss: «bce, because: a test}}\n")), "'dice'"),
    Case("unknown-key", edited((SIZE, SIZE + "\n  loss: {dice: {«gamma: 2}}")), "to protocol.loss.focal"),
    Case("unknown-key", edited((SIZE, SIZE + "\n  loss: {focal: {«gama: 2}}")), "'gamma'"),
    Case("range", edited((SIZE, SIZE + "\n  loss: {dice: «-1}")), "greater than 0"),
    Case("range", edited((SIZE, SIZE + "\n  loss: {focal: {alpha: «1}}")), "less than 1"),
    Case("type", edited((SIZE, SIZE + "\n  loss: {dice: «half}")), "a number"),
    Case("choice", edited((SIZE, SIZE + "\n  loss: {focal: {weights: «inverse}}")), "'inverse-frequency'"),
    Case("range", edited((HEART, "  - {name: heart, loss: {focal: {weights: {a: «0}}}}\n")), "greater"),
    Case("range", edited((HEART, "  - {name: heart, loss: {focal: {«weights: {}}}}\n")), "add one"),
    Case("loss", edited((HEART, "  - {name: heart, loss: {focal: {weights: {a: 2, «aa: 2}}}}\n")), "'a'"),
    Case("loss", edited((SIZE, SIZE + "\n  loss: {focal: {weights: {«lesion: 2}}}")), "a `loss` of its own"),
    Case(
        "loss",
        edited((SIZE, SIZE + "\n  loss: {«cross-entropy: {label_smoothing: 0.1}, dice: 1}")),
        "'bce'",
    ),
    Case("normalization", edited((NORMALIZATION, "{mean: «[0.5, 0.5]}")), "one value"),
    Case(
        "channels",
        edited((HEART, HEART + "  - «{name: toy, label: five, options: {classes: 10}}\n")),
        "channels: native",
    ),
    Case(
        "normalization",
        edited((NORMALIZATION, "{mean: «[123.675, 116.28, 103.53]}")),
        "[0.485, 0.456, 0.406]",
    ),
    Case("normalization", edited((NORMALIZATION, "{mean: 0, std: «58.395}")), "divide it by 255: 0.229"),
    Case(
        "normalization",
        edited((NORMALIZATION, "{std: «[0.5, 0.5, 0.5]}\n  channels: native")),
        "one value",
    ),
    Case("unknown-key", edited(("weight_decay: 0.01", "«momentum: 0.5")), "write `name: sgd`"),
    Case("unknown-key", edited((SCHEDULE, "{name: cosine, «alpha: 0.5}")), "write `name: rex`"),
    Case("unknown-key", edited((SCHEDULE, "{name: constant, «min_lr: 1e-9}")), "`name: poly`"),
    Case("unknown-key", edited((SCHEDULE, "{«stepp: epoch}")), "'step'"),
    Case("unknown-key", edited(("name: adamw", "name: sgd, «betas: [0.9, 0.9]")), "or `name: adam`"),
    Case(
        "unknown-key",
        edited((SIZE, SIZE + "\n  checkpoint: {choose: last, «monitor: mdsc}")),
        "write `choose: best`",
    ),
    Case("unknown-key", edited((SIZE, SIZE + "\n  metrics: {«empty: one}")), "options: {empty: one}"),
    Case(
        "unknown-key",
        edited((TINY, "  - {name: tiny, deviations: {optimizer: {«momentun: 1}, because: a test}}\n")),
        "'momentum'",
    ),
    Case("choice", edited((SCHEDULE, "«cosin")), "'cosine'"),
    Case("type", edited((SCHEDULE, "{name: «3}")), "write rex"),
    Case("type", edited((SCHEDULE, "«[rex]")), "a mapping"),
    Case(
        "optimizer",
        edited((TINY, "  - {name: tiny, deviations: {optimizer: {«momentum: 0.5}, because: a test}}\n")),
        "name the optimizer",
    ),
    Case(
        "schedule",
        edited((TINY, "  - {name: tiny, deviations: {schedule: {«power: 0.5}, because: a test}}\n")),
        "name the schedule",
    ),
    Case("schedule", edited((SCHEDULE, "{min_lr: «1e-4}")), "lower"),
    Case("unknown-key", edited((SCHEDULE, "{warmup: {«epochs: 1, steps: 9}}")), "remove `epochs` or `steps`"),
    Case("unknown-key", edited((SCHEDULE, "{warmup: {epochs: 1, «factr: 0.1}}")), "'factor'"),
    Case("missing-key", edited((SCHEDULE, "{«warmup: {factor: 0.1}}")), "epochs: ..."),
    Case("choice", edited((SCHEDULE, "{warmup: «on}")), "write off or a mapping"),
    Case("type", edited((SCHEDULE, "{warmup: «3}")), "write off or a mapping"),
    Case("range", edited((SCHEDULE, "{warmup: {steps: 3, factor: «1.0}}")), "less than 1"),
    Case("schedule", edited((SCHEDULE, "{warmup: {epochs: «3}}")), "shorten the warm-up"),
    Case(
        "optimizer",
        edited(("weight_decay: 0.01", "weight_decay: 0, «decay: weights-only")),
        "remove `decay`",
    ),
    Case("optimizer", edited(("weight_decay: 0.01", "«encoder_factor: 0.1")), "{encoder_factor: 1}"),
    Case(
        "optimizer",
        edited((TINY, "  - {name: tiny, deviations: {optimizer: {«layer_decay: 0.5}, because: a test}}\n")),
        "remove it",
    ),
    Case("micro-batch", edited((SIZE, SIZE + "\n  micro_batch: «8")), "micro_batch: off"),
    Case("range", edited((SIZE, SIZE + "\n  micro_batch: «0")), "greater than 0"),
    Case("micro-batch", edited((SIZE, SIZE + "\n  «micro_batch: 4\n  loss: dice")), "accept", "warning"),
    Case(
        "micro-batch",
        edited(
            (SIZE, SIZE + "\n  micro_batch: 4"),
            (TINY, "  - {name: tiny, deviations: {batch_size: «2, because: a test}}\n"),
        ),
        "micro_batch: off",
    ),
    Case(
        "device-batch",
        edited((SIZE, SIZE + "\n  batch_size: 6\n  «sync_batch_norm: false"), *WITHOUT_BOXY) + TWO_DEVICES,
        "smallest_device_batch: 3",
    ),
    Case(
        "device-batch",
        edited(
            (SIZE, SIZE + "\n  micro_batch: 6\n  sync_batch_norm: false\n  smallest_device_batch: 2"),
            (TINY, "  - {name: tiny, deviations: {«batch_size: 3, micro_batch: off, because: a test}}\n"),
            *WITHOUT_BOXY,
        )
        + TWO_DEVICES,
        "use larger batches",
    ),
    Case(
        "device-batch",
        edited((SIZE, SIZE + "\n  batch_size: 16\n  «sync_batch_norm: false")) + TWO_DEVICES,
        "train on one device",
    ),
    Case("range", edited((SIZE, "image_size: «16384")), "at most 8192"),
    Case("range", edited((SIZE, SIZE + "\n  batch_size: «100000")), "at most 65536"),
    Case("range", edited((EPOCHS, "layout: rotate, epochs: «1000000}")), "at most 100000"),
    Case("range", edited(("folds: 5", "folds: «2000")), "at most 1000"),
    Case("range", edited((EPOCHS, "epochs: 4, repeats: «101}")), "at most 100"),
    Case("range", VALID + "runtime: {threads: «5000}\n", "at most 1024"),
    Case("range", VALID + "runtime: {workers: «50000}\n", "at most 10000"),
    Case("range", VALID + "runtime: {loader_workers: «5000}\n", "at most 1024"),
    Case("augmentation", edited(("kernel_size: 3", "kernel_size: «99999")), "up to 8192"),
    Case("augmentation", edited(("kernel_size: 3", "kernel_size: «513")), "smaller"),
    Case("augmentation", edited((FLIP, "    - RandomCrop: {size: 256, padding: «99999}\n")), "8192"),
    Case("augmentation", edited((FLIP, "    - ElasticTransform: {sigma: «1.0e+9}\n")), "up to 8192"),
    Case("augmentation", edited((FLIP, "    - ElasticTransform: {sigma: «80}\n")), "smaller"),
    Case("track", edited((TINY, "  - {name: tiny, track: «zero-shot/auto}\n")), "remove"),
    Case("track", edited((TINY, TINY + "  - {name: rule, track: «shared}\n")), "own-protocol"),
    Case("pool", VALID + "pools: {pair: [tiny, «boxi]}\n", "'boxy'"),
    Case("pool", VALID + "pools: {pair: {models: [tiny, «boxi]}}\n", "'boxy'"),
    Case("pool", VALID + "pools: {of-a: {family: [A, B, «C]}}\n", "correct"),
    Case("pool", VALID + "pools: {p: {pretrained: «imagenett}}\n", "'imagenet'"),
    Case("pool", VALID + "pools: {p: {track: «own-protocol}}\n", "correct"),
    Case("pool", VALID + "pools: {p: {«parameters: {least: 9, below: 9}}}\n", "bounds"),
    Case("pool", VALID + "pools: {«none: {family: A, pretrained: none}}\n", "widen"),
    Case("pool", VALID + "pools: {«of-a: {family: A}}\n", "directly", "warning"),
    Case("pool", VALID + "pools: {«all: [tiny, boxy]}\n", "all: all"),
    Case("pool", VALID + "pools: {«tiny: all}\n", "another name"),
    Case("pool", VALID + "pools: {«a b: all}\n", "under-50M"),
    Case(
        "pool",
        VALID + "pools: {pair: all}\nanalyses: [{name: scores, options: {pool: «pairs}}]\n",
        "'pair'",
    ),
    Case("unknown-key", VALID + "pools: {p: {«famly: A}}\n", "'family'"),
    Case("unknown-key", VALID + "pools: {p: {parameters: {«above: 3}}}\n", "remove"),
    Case("choice", VALID + "pools: {p: «al}\n", "'all'"),
    Case("claim", VALID + "claims: [{name: x, models: «tini, than: boxy}]\n", "'tiny'"),
    Case("claim", VALID + "claims: [{name: x, models: tiny, than: [«boxi]}]\n", "'boxy'"),
    Case("claim", VALID + "claims: [{name: x, models: A, than: B, datasets: [«hart]}]\n", "'heart'"),
    Case("claim", VALID + "claims: [{name: x, models: A, than: B, metric: «mdsk}]\n", "'mdsc'"),
    Case("claim", VALID + "claims: [{name: x, models: «A, than: tiny}]\n", "another"),
    Case("claim", VALID + "claims: [{claim: best, name: x, model: «A}]\n", "correct"),
    Case("claim", VALID + "claims: [{claim: average, name: x, models: all, than: «B}]\n", "share no model"),
    Case(
        "claim",
        VALID + "claims: [{claim: largest, name: x, models: A, than: B, datasets: [skin], dataset: «skin}]\n",
        "another dataset",
    ),
    Case(
        "claim",
        VALID + "claims: [{name: x, models: A, than: B}, {name: «x, models: B, than: A}]\n",
        "another name",
    ),
    Case(
        "claim",
        edited((TINY, TINY + "  - rule\n")) + "claims: [{name: x, models: tiny, than: «rule}]\n",
        "one track",
    ),
    Case("choice", VALID + "claims: [{claim: «betters, name: x, models: A, than: B}]\n", "'better'"),
    Case("missing-key", VALID + "claims: [«{name: x, models: A}]\n", "than"),
    Case("unknown-key", VALID + "claims: [{claim: best, name: x, model: tiny, «share: most}]\n", "better"),
    Case("range", VALID + "claims: [{name: x, models: A, than: B, margin: «-1}]\n", "at least 0"),
    Case(
        "expected",
        VALID + "expected: [{source: a book, scores: {«tini: {skin: {mean: 90}}}}]\n",
        "'tiny'",
    ),
    Case(
        "expected",
        VALID + "expected: [{source: a book, scores: {tiny: {«skim: {mean: 90}}}}]\n",
        "'skin'",
    ),
    Case(
        "expected",
        VALID + "expected: [{source: a book, class: lesions, scores: {tiny: {«skin: {mean: 90}}}}]\n",
        "'lesion'",
    ),
    Case(
        "expected",
        VALID + "expected: [{source: a book, metric: «hd95, scores: {tiny: {skin: {mean: 9}}}}]\n",
        "measure",
    ),
    Case("missing-key", VALID + "expected: [{source: a book, scores: {tiny: {«skin: {std: 1}}}}]\n", "mean"),
    Case("fold", edited((EPOCHS, "epochs: 4, «reshuffle: true}")), "repeats: 3"),
    Case("learning-rate", edited((RATES, "[1e-4, 5e-5, «0.0001]")), "remove one"),
    Case("fold", edited(("folds: [0]", "folds: [0, «5]")), "0 to 4"),
    Case("fold", edited(("folds: [0]", "folds: [1, «1]")), "remove one"),
    Case("fold", edited((EPOCHS, "epochs: 4, only: [0, «9]}")), "0 to 4"),
    Case("fold", edited(("folds: [0]", "«folds: [0], nested: true")), "remove `folds`"),
    Case("fold", edited(("folds: 5", "folds: «2")), "at least 3"),
    Case("choice", edited((HEART, "  - {name: heart, duplicates: «dropp}\n")), "'drop'"),
    Case("choice", edited((HEART, "  - {name: heart, duplicates: {rule: «phash}}\n")), "study"),
    Case("folds-file", edited(("root: data/skin", "root: data/skin\n    folds: «nowhere.csv")), "correct"),
    Case(
        "fold",
        edited(("folds: 5, layout: rotate", "folds: «2, layout: holdout"), ("folds: [0]", "nested: true")),
        "3",
    ),
    Case("threshold", edited((SIZE, SIZE + "\n  metrics: {threshold: «1.5}")), "threshold_space: logit"),
    Case("threshold", edited((SIZE, SIZE + "\n  metrics: {threshold: «-1}")), "threshold_space: logit"),
    Case("augmentation", edited((FLIP, "    - «RandomHorizontalFlop\n")), "'RandomHorizontalFlip'"),
    Case("augmentation", edited((FLIP, "    - «Resize: {size: 3}\n")), "use one of"),
    Case("augmentation", edited(("kernel_size: 3", "kernel_size: 3, «sigm: 1")), "'sigma'"),
    Case("augmentation", edited(("kernel_size: 3", "kernel_size: «4")), "odd"),
    Case("augmentation", edited(("GaussianBlur: {kernel_size: 3}", "«GaussianBlur")), "kernel_size"),
    Case("augmentation", edited((FLIP, "    - RandomAffine: {degrees: 3, «fill: 1}\n")), "remove"),
    Case("augmentation", edited((FLIP, "    - RandomResizedCrop: {size: «128}\n")), "size: 256"),
    Case(
        "augmentation",
        edited((FLIP, "    - «{RandomInvert: {p: 1}, RandomEqualize: {p: 1}}\n")),
        "one transform",
    ),
    Case(
        "augmentation",
        edited((HEART, "  - {name: heart, augmentation: [«Flip]}\n")),
        "RandomHorizontalFlip",
    ),
]  # fmt: skip


VALID_TOO = {
    "a metric at original size": VALID + shown("[mdsc-native]", "native"),
    "a metric at original size, by the step's label": VALID
    + shown("[miou-large]", "{name: native, label: large}"),
    "a metric that two steps measure": VALID
    + shown("[hd95, hd95-b]", "measure, {name: measure, label: b, options: {metrics: [hd95]}}"),
    "a bare dataset of a step": VALID + "steps: [{name: moved, dataset: heart}]\n",
    "padding of augmented images": edited(
        (SIZE, SIZE + "\n  resize: stretch\n  padding: ignore"),
        (FLIP, "    - RandomRotation: {degrees: 5}\n"),
    ),
    "padding of one dataset's augmented images": edited(
        (SIZE, SIZE + "\n  resize: stretch\n  padding: ignore"),
        (HEART, "  - {name: heart, augmentation: [ElasticTransform]}\n"),
    ),
}


@pytest.mark.parametrize("name", VALID_TOO)
def test_what_may_be_said_is_valid(name: str, tmp_path: Path) -> None:
    assert findings(write(tmp_path, VALID_TOO[name])) == []


def test_the_valid_spec_is_valid(tmp_path: Path) -> None:
    assert findings(write(tmp_path, VALID)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.check)
def test_each_check_fires_once_at_its_place_with_a_fix(case: Case, tmp_path: Path) -> None:
    text, place = unmarked(case.text)
    path = write(tmp_path, text)
    found = findings(path, case.overrides)
    assert [(item.check, item.severity) for item in found] == [(case.check, case.severity)], found
    (item,) = found
    if place is None:
        assert (item.path, item.line) == ("--set", len(case.overrides))
    else:
        assert (item.path, item.line, item.column) == (str(path), *place)
    assert item.message and case.fix in (item.fix or "")


def test_a_model_without_network_needs_no_pretrained_weights_nor_a_reason(tmp_path: Path) -> None:
    text = (
        edited((TINY, "  - {name: rule, options: {top: 5}}\n"))
        + "steps: [maps, {name: maps, label: b, options: {width: 3}}]\n"
    )
    assert findings(write(tmp_path, text)) == []


def test_plugins_that_fail_are_reported_where_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, "import os\nraise RuntimeError('not today')\n", "raising.py")
    write(tmp_path, "def broken(:\n", "syntax.py")
    write(tmp_path, "import sys\nsys.exit(3)\n", "leaving.py")
    hook = "from bench_core import hookimpl\n@hookimpl\ndef bench_modles():\n    return []\n"
    write(tmp_path, hook, "hook.py")
    good = "from bench_core import Analysis, hookimpl\n@hookimpl\ndef bench_analyses():\n"
    write(tmp_path, good + "    return [Analysis(name='mine-alone', help='x', section='x:y')]\n", "good.py")
    names = ["raising.py", "syntax.py", "leaving.py", "hook.py", "absent.py"]
    listed = "".join(f"  - {name}\n" for name in ["good.py", *names])
    path = write(tmp_path, f"plugins:\n{listed}analyses: [mine-alone]\n")
    from bench_core.spec.diagnostics import SpecError
    from bench_core.spec.load import load_spec

    with pytest.raises(SpecError) as caught:
        load_spec(path)
    found = [item for item in caught.value.diagnostics if item.check == "plugin"]
    assert [(item.line, item.column) for item in found] == [(line, 5) for line in range(3, 8)]
    assert "not today" in found[0].message and "raising.py:2" in (found[0].cause or "")
    assert "syntax.py:1" in (found[1].cause or "")
    assert "ends the program" in found[2].message
    assert "bench_modles" in found[3].message and "bench_models" in (found[3].fix or "")
    assert "does not exist" in found[4].message
    # The good plugin counts although others fail.
    assert not [item for item in caught.value.diagnostics if item.check == "analysis"]


def test_a_model_source_that_fails_is_no_traceback(tmp_path: Path) -> None:
    (found,) = findings(write(tmp_path, edited((TINY, "  - zoo:broken\n"))))
    assert found.check == "model" and "out of order" in found.message


def test_folds_of_a_file_are_not_stratified(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("".join(f"s{fold},{fold}\n" for fold in range(5)))
    both = ("root: data/skin", "root: data/skin\n    folds: f.csv\n    «stratify: [sex]")
    text, place = unmarked(edited(both))
    (found,) = findings(write(tmp_path, text), ())
    assert (found.check, (found.line, found.column)) == ("fold", place) and "no effect" in found.message


def test_every_check_of_the_help_is_shown_to_fire() -> None:
    assert {case.check for case in CASES} | {"plugin"} == set(CHECKS)


def test_the_help_lists_every_check() -> None:
    result = CliRunner().invoke(bench, ["validate", "--help"])
    listed = result.output.split("Checks:")[1]
    assert result.exit_code == 0
    entries = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "]
    assert entries[: len(CHECKS)] == list(CHECKS)


def test_mistakes_do_not_hide_each_other(tmp_path: Path) -> None:
    text = edited(
        (TINY, "  - {nam: tiny}\n  - tini\n"),
        ("{name: boxy, options: {width: 8}}", "{name: boxy, optionz: 3, options: {width: 99}}"),
        (HEART, "  - hart\n"),
        (SIZE, "image_size: 100\n  bach_size: 3\n  loss: {dise: 1}"),
        ("name: adamw", "name: adamm"),
        (FLIP, "    - Flip\n    - 7\n"),
        ("folds: [0]", "folds: [7]"),
        (EPOCHS, "layout: rotated}"),
        ('because: "too slow"', "becaus: slow"),
    )
    found = findings(write(tmp_path, text))
    assert {item.check for item in found} >= {
        "missing-key", "unknown-key", "model", "option", "dataset", "image-size", "choice",
        "augmentation", "type", "fold", "reason",
    }  # fmt: skip
    assert sum(item.check == "unknown-key" for item in found) == 5
    assert [item.line for item in found] == sorted(item.line for item in found)


def test_defaults_of_wrong_values_cause_no_errors_of_their_own(tmp_path: Path) -> None:
    # Fold 6 exists in what the user meant; the default of 5 folds must not be held against it.
    text = edited(("folds: [0]", "folds: [6]"), ("folds: 5", "folds: seven"))
    assert [item.check for item in findings(write(tmp_path, text))] == ["type"]
    text = edited(
        (SIZE, "image_size: big"), ("{name: boxy, options: {width: 8}}", "{name: boxy, pretrained: 3}")
    )
    assert [item.check for item in findings(write(tmp_path, text))] == ["type", "type"]


def test_reasons_may_stand_where_they_are_declared(tmp_path: Path) -> None:
    entries = (
        "  - scratch\n  - {name: bare, pretrained: none, because: no weights exist}\n"
        "  - {name: tiny, pretrained: none, deviations: {precision: fp16, because: both differ}}\n"
    )
    assert findings(write(tmp_path, edited((TINY, entries)))) == []


def test_the_small_registry_has_what_the_cases_need() -> None:
    assert small_registry().model("zoo:lion").pretrained == ("imagenet", "none")
