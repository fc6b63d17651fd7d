"""The README.md beside an exported network: what it takes and gives, and how each file is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SNIPPETS = {
    "state-dict": """Tensors by name, and nothing else. They need the network's code:

```python
from bench_core.deploy.rebuilt import load_network  # segtrial, with the extra of this model

network = load_network(".")  # checks the SHA-256, builds the architecture, fills it strictly
```

In a program that has the architecture's code already:

```python
network.load_state_dict(torch.load("weights.pt", map_location="cpu", weights_only=True))
network.eval()
```
""",
    "torchscript": """Needs PyTorch and no code of the network:

```python
import torch

network = torch.jit.load("network.torchscript.pt", map_location="cpu")
logits = network(images)
```
""",
    "torch-export": """Needs PyTorch and no code of the network. It is written by the PyTorch that
model.json names, and not promised to load in others:

```python
import torch

network = torch.export.load("network.pt2").module()
logits = network(images)
```
""",
    "onnx": """Needs ONNX Runtime, or any program that reads ONNX:

```python
import onnxruntime

session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
(logits,) = session.run(["logits"], {"images": images})  # numpy, float32
```
""",
}


def readme(about: Mapping[str, Any]) -> str:
    """Return the page as Markdown; texts of others stand in code spans, where they are shown as they are."""
    model, network = about["model"], about["network"]
    classes = ", ".join(f"{item['label']} {_code(item['name'])}" for item in about["classes"])
    lines = [
        f"# {_code(model['label'])}, trained on {_code(about['dataset'])}",
        "",
        f"Exported by segtrial {about['versions']['segtrial']} from job {_code(network['digest'])} "
        f"({about['chosen']}). All that is known of it stands in `model.json`.",
        "",
        "## What it takes and gives",
        "",
        f"- `images`: {_kind(about['input'])}, {_prepared(about)}.",
        f"- `logits`: {_kind(about['output'])}. {_scored(about['scoring'])}",
        f"- Classes: {classes}.",
        f"- Random numbers when it predicts: {about['draws']}.",
        "",
        "`python predict.py IMAGE LABELS.png` does all of this for a picture of 8 bits, without segtrial.",
        "",
        "## Files",
        "",
        "| file | batch | images compared | largest difference of a logit | pixels of the same label | by |",
        "|---|---|---|---|---|---|",
        *(_row(name, file) for name, file in about["files"].items()),
        "",
    ]
    for name, file in about["files"].items():
        lines += [f"### {name}", "", SNIPPETS[file["format"]]]
    if about["failed"]:
        lines += ["## Not written", ""]
        lines += [f"- {name}: {_code(reason)}" for name, reason in about["failed"].items()]
        lines.append("")
    return "\n".join(lines)


def _kind(tensor: Mapping[str, Any]) -> str:
    return f"{tensor['dtype']} [{', '.join(map(str, tensor['shape']))}]"


def _prepared(about: Mapping[str, Any]) -> str:
    how = about["preprocessing"]
    resize, normalize = how["resize"], how["normalize"]
    return (
        f"{how['channel_order']}. From 8 bits: padding {how['pad']}; resized to {resize['height']} x "
        f"{resize['width']}, {resize['method']}; {how['scale']}; then (value - mean) / std with mean "
        f"{normalize['mean']} and std {normalize['std']}"
    )


def _scored(scoring: Mapping[str, Any]) -> str:
    rule = f"{scoring['rule'][0].upper()}{scoring['rule'][1:]}"
    if "logit_threshold" not in scoring:
        return f"{rule}."
    probability = scoring["threshold_space"] == "probability"
    same = f", which is a probability of {scoring['threshold']:g}" if probability else ""
    return f"{rule} {scoring['logit_threshold']:g}{same}."


def _row(name: str, file: Mapping[str, Any]) -> str:
    parity = file["parity"]
    return (
        f"| `{name}` | {file['batch']} | {parity['images']} | {parity['max_abs_difference']:.2g} of "
        f"{parity['largest_logit']:.3g} | {parity['equal_pixels']:.4%} | {parity['by']} |"
    )


def _code(text: object) -> str:
    plain = " ".join(str(text).split()).replace("`", "'")
    return f"`{plain}`"
