"""What tests do with a page that is open in a browser."""

from __future__ import annotations

import json

import numpy as np

from tests.helpers.chromium import Browser

CATCH = """(() => {
  window.saved = [];
  URL.createObjectURL = (blob) => { window.saved.push(blob.text()); return "#"; };
  HTMLAnchorElement.prototype.click = function () { window.saved.push(this.download); };
})()"""
"""Keeps what the page would save: content, then name."""


def opened(chromium: Browser, url: str) -> Browser:
    chromium.complaints.clear()
    chromium.open(url)
    chromium.until("document.documentElement.dataset.ready")
    return chromium


def press(chromium: Browser, within: str, label: str) -> None:
    """Press the one button of this text inside an element."""
    chromium.run(
        f"(() => {{ const found = Array.from({within}.querySelectorAll('button'))"
        f".filter((item) => item.textContent === {json.dumps(label)});"
        " if (found.length !== 1) throw new Error('buttons: ' + found.length); found[0].click(); })()"
    )


def chosen(chromium: Browser, label: str, text: str) -> None:
    """Choose an entry of a labelled select in the viewer."""
    chromium.run(
        "(() => { const box = Array.from(document.querySelectorAll('#viewer .control'))"
        f".find((item) => item.firstChild.textContent === {json.dumps(label)}).lastChild;"
        f" box.value = Array.from(box.options).find((item) => item.textContent === {json.dumps(text)}).value;"
        " box.dispatchEvent(new Event('change')); })()"
    )


def pixels(chromium: Browser, place: int) -> np.ndarray:
    """Return what the viewer's panel shows as RGB [H, W, 3]."""
    found = chromium.run(
        f"(() => {{ const canvas = document.querySelectorAll('#viewer canvas')[{place}];"
        " const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        " return [canvas.height, canvas.width, Array.from(all.data)]; })()"
    )
    return np.array(found[2]).reshape(found[0], found[1], 4)[..., :3]


def settled(chromium: Browser, what: str) -> None:
    """Wait until the viewer's first model is shown as `what`."""
    chromium.until(
        "(document.querySelectorAll('#viewer canvas')[2]?.getAttribute('aria-label') || '')"
        f".includes({json.dumps(what)})"
    )
