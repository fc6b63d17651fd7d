"""Predict a picture with a network that segtrial exported; segtrial itself is not needed.

    python predict.py IMAGE LABELS.png [NETWORK]

NETWORK is one of the files beside this script; without it the first that is there and can be run is taken.
Needs numpy and Pillow, and PyTorch for .pt and .pt2 or ONNX Runtime for .onnx. Load files of others only if
you trust them: a network is a program.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FILES = ("network.torchscript.pt", "network.pt2", "network.onnx")
Array = np.ndarray[Any, Any]


def prepare(picture: Image.Image, about: dict[str, Any]) -> Array:
    """Return a picture of 8 bits as the network takes it, float32 [1, C, S, S]."""
    how = about["preprocessing"]
    channels, resize, normalize = how["channels"], how["resize"], how["normalize"]
    if channels not in (1, 3):
        raise SystemExit(f"a picture file has no {channels} channels: prepare arrays as model.json says")
    picture = picture.convert("RGB" if channels == 3 else "L")
    width, height = picture.size
    if resize["mode"] == "pad-square" and width != height:
        side = max(width, height)
        square = Image.new(picture.mode, (side, side))
        square.paste(picture, ((side - width) // 2, (side - height) // 2))
        picture = square
    size = (resize["width"], resize["height"])
    values = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)
    values = values.reshape(resize["height"], resize["width"], channels) / np.float32(255)
    mean, std = (np.asarray(normalize[name], dtype=np.float32) for name in ("mean", "std"))
    return np.ascontiguousarray(((values - mean) / std).transpose(2, 0, 1)[None])


def load(path: Path) -> Callable[[Array], Array]:
    """Return the network in a file, from images [B, C, S, S] to logits [B, K, S, S]."""
    if path.suffix == ".onnx":
        import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda images: np.asarray(session.run(["logits"], {"images": images})[0])
    import torch

    if path.suffix == ".pt2":
        network: Any = torch.export.load(path).module()
    else:
        network = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(images: Array) -> Array:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(images)).numpy())

    return run


def to_size(logits: Array, height: int, width: int, about: dict[str, Any]) -> Array:
    """Return logits [K, S, S] at the picture's size [K, H, W]: bilinear, half-pixel centers, padding cut."""
    side = max(height, width)
    padded = about["preprocessing"]["resize"]["mode"] == "pad-square"
    for axis, length in ((1, height), (2, width)):
        size = side if padded else length
        places = np.clip((np.arange(size) + 0.5) * logits.shape[axis] / size - 0.5, 0, None)
        if padded:
            places = places[(side - length) // 2 :][:length]
        low = np.minimum(places.astype(int), logits.shape[axis] - 1)
        high = np.minimum(low + 1, logits.shape[axis] - 1)
        share = (places - low).reshape([-1 if each == axis else 1 for each in range(3)])
        logits = logits.take(low, axis) * (1 - share) + logits.take(high, axis) * share
    return logits


def to_labels(logits: Array, about: dict[str, Any]) -> Array:
    """Return the class of each pixel, uint8 [H, W], of logits [K, H, W]; 0 is background."""
    scoring = about["scoring"]
    found = logits[0] > scoring["logit_threshold"] if scoring["logits"] == 1 else logits.argmax(0)
    return np.asarray(found, dtype=np.uint8)


def predict(picture: Image.Image, run: Callable[[Array], Array], about: dict[str, Any]) -> Array:
    """Return the label map of a picture, uint8 [H, W]."""
    width, height = picture.size
    return to_labels(to_size(run(prepare(picture, about))[0], height, width, about), about)


def main() -> None:
    """Predict one picture."""
    if len(sys.argv) not in (3, 4):
        raise SystemExit("usage: python predict.py IMAGE LABELS.png [NETWORK]")
    here = Path(__file__).resolve().parent
    about = json.loads((here / "model.json").read_text("utf-8"))
    files = [here / name for name in FILES if (here / name).exists()]
    network = Path(sys.argv[3]) if len(sys.argv) == 4 else next(iter(files), None)
    if network is None:
        raise SystemExit("there is no network beside this script that runs without its code")
    with Image.open(sys.argv[1]) as picture:
        labels = predict(picture, load(network), about)
    shown = Image.fromarray(labels)
    colors = [int(item["color"][at : at + 2], 16) for item in about["classes"] for at in (1, 3, 5)]
    shown.putpalette(colors + [0] * (768 - len(colors)))
    shown.save(sys.argv[2])


if __name__ == "__main__":
    main()
