"""Colonoscopy: polyps on mucosa, with folds, vessels, a dark lumen and specular highlights."""

from __future__ import annotations

import numpy as np

from bench_core.data.samples import Attribute, UInt8Array
from bench_datasets.synthetic.canvas import (
    Canvas,
    Color,
    Dice,
    Field,
    blur,
    curve,
    ellipse,
    mix,
    step,
    strokes,
    to_bytes,
)

MUCOSAE: tuple[Color, ...] = ((0.80, 0.47, 0.36), (0.76, 0.42, 0.34), (0.84, 0.54, 0.42), (0.73, 0.40, 0.29))
PALE: Color = (0.94, 0.82, 0.66)
RED: Color = (0.66, 0.20, 0.17)
SHOWN = ([2], [1], [2], [1], [1, 2])
"""Labels of the polyps in an image, by its number: of five in a row."""


def attributes(number: int) -> dict[str, Attribute]:
    """Return what subgroups of these images are made of: which polyps an image shows."""
    labels = SHOWN[number % len(SHOWN)]
    return {"finding": "both" if len(labels) > 1 else ("neoplastic" if 2 in labels else "non-neoplastic")}


def draw(
    patient: Dice, sample: Dice, size: int, difficulty: float, number: int
) -> tuple[UInt8Array, UInt8Array]:
    """Return an image [4/5 size, size, 3] and its mask: 1 = non-neoplastic, 2 = neoplastic polyp.

    `number` decides which classes are shown, so that both occur: of five images two hold a neoplastic
    polyp, two a smaller, non-neoplastic one, and one holds both.
    """
    canvas = Canvas(round(size * 0.8), size)
    color = MUCOSAE[patient.below(len(MUCOSAE))]
    shininess = patient.between(0.5, 1.0)
    lumen = (sample.between(-0.22, 0.22), sample.between(-0.18, 0.18))

    height = _relief(canvas, sample, lumen)
    tint = _mucosa(canvas, sample, color, difficulty)
    mask = np.zeros((canvas.height, canvas.width), dtype=np.uint8)
    for label, place in _polyps(sample, number, lumen):
        height, tint, mask = _polyp(canvas, sample, (height, tint, mask), label, place, difficulty)
    picture = _shade(canvas, sample, height, tint, lumen, shininess)
    picture = _distract(canvas, sample, picture, difficulty)
    corner = np.abs(canvas.x) + np.abs(canvas.y)
    seen = (
        step(0.80, 0.78, corner) * step(0.495, 0.485, np.abs(canvas.x)) * step(0.395, 0.388, np.abs(canvas.y))
    )
    grain = sample.field(canvas.height, canvas.width, 3) - 0.5
    picture = (picture + (0.02 + 0.05 * difficulty) * grain) * seen[:, :, None]
    return to_bytes(picture + 0.01), np.where(corner < 0.79, mask, 0).astype(np.uint8)


def _relief(canvas: Canvas, dice: Dice, lumen: tuple[float, float]) -> Field:
    """Return the wall's height: rings of folds around the lumen, and low bumps."""
    x, y = canvas.warp(dice, 3, 0.22)
    distance = ellipse(x, y, lumen, (1.0, dice.between(0.75, 1.0)), dice.between(-0.8, 0.8))
    phase = distance * dice.between(4.0, 6.5) + dice.between(0, 1)
    ring = np.abs(phase - np.floor(phase) - 0.5) * 2
    folds = step(0.5, 1.0, ring) * step(0.05, 0.22, distance)
    return 0.030 * folds + 0.030 * canvas.noise(dice, 5, 2)


def _mucosa(canvas: Canvas, dice: Dice, color: Color, difficulty: float) -> Field:
    mottle = canvas.noise(dice, 6, 3) - 0.5
    tint = (1 + 0.16 * mottle)[:, :, None] * np.asarray(color)
    paths = []
    for _ in range(5 + dice.below(6)):
        start = (dice.between(-0.5, 0.5), dice.between(-0.4, 0.4))
        middle = (start[0] + dice.between(-0.2, 0.2), start[1] + dice.between(-0.2, 0.2))
        end = (middle[0] + dice.between(-0.2, 0.2), middle[1] + dice.between(-0.2, 0.2))
        fork = (middle[0] + dice.between(-0.15, 0.15), middle[1] + dice.between(-0.15, 0.15))
        paths += [curve(start, middle, end), curve(curve(start, middle, end)[12], middle, fork)]
    vessels = blur(strokes(canvas, paths, max(canvas.width / 220, 0.6)), canvas.width / 300)
    return mix(tint, (0.55, 0.16, 0.14), (0.35 + 0.25 * difficulty) * vessels)


def _polyps(dice: Dice, number: int, lumen: tuple[float, float]) -> list[tuple[int, tuple[float, float]]]:
    """Return labels and places of this image's polyps: beside the lumen and beside each other."""
    labels = SHOWN[number % len(SHOWN)]
    side = 1.0 if lumen[0] < 0 else -1.0
    reach = dice.between(0.22, 0.30)
    places = [
        (lumen[0] + side * reach, lumen[1] * 0.5 + dice.between(-0.15, 0.15)),
        (lumen[0] * 0.5 + dice.between(-0.06, 0.06), lumen[1] - (0.25 if lumen[1] > 0 else -0.25)),
    ]
    return list(zip(labels, places, strict=False))


def _polyp(
    canvas: Canvas,
    dice: Dice,
    scene: tuple[Field, Field, UInt8Array],
    label: int,
    place: tuple[float, float],
    difficulty: float,
) -> tuple[Field, Field, UInt8Array]:
    """Raise a bump: neoplastic ones large, red and pitted, non-neoplastic ones small, pale and smooth."""
    height, tint, mask = scene
    neoplastic = label == 2
    x, y = canvas.warp(dice, 5, 0.10 if neoplastic else 0.05)
    radius = dice.between(0.11, 0.19) if neoplastic else dice.between(0.09, 0.13)
    inside = ellipse(x, y, place, (radius, radius * dice.between(0.7, 1.0)), dice.between(-1, 1))
    dome = np.sqrt(np.clip(1 - inside * inside, 0, 1))
    contrast = 1 - 0.65 * difficulty
    pits = canvas.noise(dice, 36, 2)
    height = height * (1 - 0.9 * step(1.15, 0.85, inside)) + (0.5 if neoplastic else 0.42) * radius * dome
    color: Field = (
        np.asarray(RED if neoplastic else PALE) * (0.9 + 0.2 * canvas.noise(dice, 10, 2))[:, :, None]
    )
    if neoplastic:
        color = color * (0.72 + 0.55 * pits)[:, :, None]
        height = height + 0.006 * contrast * (pits - 0.5) * step(1.05, 0.8, inside)
    tint = mix(tint, color, (0.20 + 0.55 * contrast) * step(1.08, 0.92, inside))
    mask = np.where(inside <= 1, np.uint8(label), mask)
    return height, tint, mask


def _shade(
    canvas: Canvas, dice: Dice, height: Field, tint: Field, lumen: tuple[float, float], shininess: float
) -> Field:
    """Light the relief from the camera: bright near, dark into the lumen, white where it mirrors."""
    side = max(canvas.height, canvas.width)
    surface = blur(height, side / 160)
    slope_y = np.zeros_like(surface)
    slope_x = np.zeros_like(surface)
    slope_y[1:-1] = (surface[2:] - surface[:-2]) * side / 2
    slope_x[:, 1:-1] = (surface[:, 2:] - surface[:, :-2]) * side / 2
    length = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    light = (0.45 * -slope_x + 0.55 * -slope_y + 1.0) / (length * 1.225)
    depth = ellipse(canvas.x, canvas.y, lumen, (1.0, 1.0), 0.0)
    near = 0.16 + 0.94 * step(0.0, 0.30, depth) - 0.35 * step(0.30, 0.85, depth)
    picture = tint * (np.clip(0.35 + 0.75 * light, 0.1, 1.3) * near)[:, :, None]
    sparkle = canvas.noise(dice, 40, 2)
    mirror = step(0.955, 0.995, light) * step(0.60, 0.72, sparkle) * step(0.2, 0.4, depth)
    return mix(picture, (1.0, 0.98, 0.95), np.clip(shininess * mirror, 0, 1))


def _distract(canvas: Canvas, dice: Dice, picture: Field, difficulty: float) -> Field:
    """Add bubbles and residue, which are not polyps."""
    for _ in range(dice.below(1 + round(10 * difficulty))):
        center = (dice.between(-0.45, 0.45), dice.between(-0.35, 0.35))
        radius = dice.between(0.008, 0.025)
        ring = ellipse(canvas.x, canvas.y, center, (radius, radius), 0.0)
        picture = mix(picture, (0.95, 0.88, 0.80), 0.5 * step(0.6, 0.9, ring) * step(1.2, 1.0, ring))
    if dice.chance(0.2 + 0.6 * difficulty):
        x, y = canvas.warp(dice, 8, 0.12)
        center = (dice.between(-0.4, 0.4), dice.between(0.22, 0.38))
        pool = ellipse(x, y, center, (dice.between(0.06, 0.16), dice.between(0.03, 0.06)), 0.0)
        picture = mix(picture, (0.62, 0.50, 0.18), 0.55 * step(1.1, 0.8, pool))
    return picture
