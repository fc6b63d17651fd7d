"""A study of tiny jobs for an emulated cluster, and whether two stores hold the same results."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench_core.store.store import Store
from tests.helpers.small_study import PLUGIN

SPEC = """
version: 1
name: many
plugins: [plugin.py]
models: [{models}]
datasets: [{datasets}]
protocol:
  image_size: 16
  channels: native
  batch_size: 4
  pretrained: none
  augmentation: [{{RandomHorizontalFlip: {{p: 0.5}}}}]
  search: {{learning_rate: [0.01, 0.001, 0.0001], epochs: {epochs}, folds: [0]}}
  evaluate: {{folds: 5, epochs: {epochs}}}
"""
MODELS = '''

import os as _os


def build_paced(request):
    """A network that takes its time: SEGTRIAL_TEST_PACE seconds a training step, beside its computing."""
    network, pace = build_dots(request), float(_os.environ.get("SEGTRIAL_TEST_PACE", "0"))

    def wait(module, arguments):
        if pace and module.training:
            time.sleep(pace)

    network.register_forward_pre_hook(wait)
    return network


@hookimpl
def bench_models():
    return [model(f"dots-{letter}", build_paced) for letter in "abcdefghijk"]
'''


def write_study(folder: Path, *, models: int = 11, datasets: int = 3, epochs: int = 2) -> Path:
    """Write a spec of models x datasets x (3 search + 5 evaluate) jobs and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugin.py").write_text(PLUGIN + MODELS)
    path = folder / "spec.yaml"
    path.write_text(
        SPEC.format(
            models=", ".join(f"dots-{letter}" for letter in "abcdefghijk"[:models]),
            datasets=", ".join(
                f"{{name: dots, label: dots-{number}, options: {{count: {15 + number}}}}}"
                for number in range(datasets)
            ),
            epochs=epochs,
        )
    )
    return path


def contents(path: Path) -> dict[str, dict[str, str]]:
    """Return, by digest, hashes of all that must be equal: weights, trace, counts, label maps, values.

    Times, hosts and the number of attempts are left out.
    """
    import torch

    store = Store(path)
    found: dict[str, dict[str, str]] = {}
    for digest, state in store.states().items():
        if state != "done":
            found[digest] = {"state": str(state)}
            continue
        store.check(digest)
        sealed, result = store.folder(digest), store.result(digest)
        weights = torch.load(sealed / "best.pt", weights_only=True)["state_dict"] if result.training else {}
        facts = {
            "weights": b"".join(name.encode() + weights[name].numpy().tobytes() for name in sorted(weights)),
            "history": repr(
                result.training
                and [
                    (record.epoch, record.loss, sorted(record.validation.items()))
                    for record in result.training.history
                ]
                + [result.training.chosen_epoch]
            ).encode(),
        }
        facts |= {
            name: (sealed / name).read_bytes()
            for name in ("trace.jsonl", "counts.csv")
            if (sealed / name).exists()
        }
        if (sealed / "predictions.npz").exists():
            facts["labels"] = store.predictions(digest).labels.tobytes()
        found[digest] = {name: hashlib.sha256(value).hexdigest() for name, value in facts.items()}
    return found
