"""Dermoscopy: a pigmented lesion on skin, with hairs, gel bubbles and uneven light."""

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

SKINS: tuple[Color, ...] = ((0.86, 0.68, 0.60), (0.82, 0.62, 0.52), (0.89, 0.74, 0.68), (0.76, 0.58, 0.47))
SKIN_NAMES = ("medium", "tan", "light", "brown")
PIGMENTS: tuple[Color, ...] = ((0.45, 0.27, 0.18), (0.33, 0.20, 0.15), (0.55, 0.33, 0.24), (0.40, 0.28, 0.26))


def attributes(patient: Dice) -> dict[str, Attribute]:
    """Return what subgroups of these images are made of: the patient's skin, as `draw` throws it first."""
    return {"skin": SKIN_NAMES[patient.below(len(SKINS))]}


def draw(
    patient: Dice, sample: Dice, size: int, difficulty: float, reach: float = 1.0
) -> tuple[UInt8Array, UInt8Array]:
    """Return an image [3/4 size, size, 3] and its mask: 1 = lesion.

    `reach` widens the lesion: 0.15 is a dot, 8 leaves no skin.
    """
    canvas = Canvas(round(size * 0.75), size)
    skin = SKINS[patient.below(len(SKINS))]
    pigment = PIGMENTS[patient.below(len(PIGMENTS))]
    hairy = patient.between(0, 1)
    dark_corners = patient.chance(0.4)

    picture = _skin(canvas, sample, skin)
    inside, border = _lesion_shape(canvas, sample, reach)
    contrast = 1 - 0.72 * difficulty
    soft = step(1 + border, 1 - border, inside)
    picture = mix(picture, _pigment(canvas, sample, pigment, skin, contrast), soft)
    picture = _distract(canvas, sample, picture, pigment, difficulty, inside)
    if hairy < 0.25 + 0.6 * difficulty:
        picture = _hairs(canvas, sample, picture, 2 + sample.below(4 + round(16 * difficulty)))
    picture = _bubbles(canvas, sample, picture, sample.below(2 + round(6 * difficulty)))
    picture = _light(canvas, sample, picture, dark_corners)
    grain = sample.field(canvas.height, canvas.width, 3) - 0.5
    return to_bytes(picture + (0.02 + 0.05 * difficulty) * grain), (inside <= 1).astype(np.uint8)


def _skin(canvas: Canvas, dice: Dice, color: Color) -> Field:
    mottle = canvas.noise(dice, 5, 3) - 0.5
    pores = canvas.noise(dice, 45, 2) - 0.5
    tone = 1 + 0.10 * mottle + 0.07 * pores
    redness = 0.07 * (canvas.noise(dice, 7, 2) - 0.5)
    skin: Field = tone[:, :, None] * np.asarray(color) + redness[:, :, None] * np.asarray((1.0, -0.5, -0.4))
    return skin


def _lesion_shape(canvas: Canvas, dice: Dice, reach: float) -> tuple[Field, float]:
    """Return the distance field (1 on the border) and half the width of the border's blur."""
    x, y = canvas.warp(dice, 4, dice.between(0.06, 0.20))
    fine_x, fine_y = canvas.warp(dice, 16, 0.025)
    center = (dice.between(-0.12, 0.12), dice.between(-0.09, 0.09))
    long = dice.between(0.12, 0.27)
    radii = (long * reach, long * dice.between(0.6, 1.0) * reach)
    inside = ellipse(x + fine_x - canvas.x, y + fine_y - canvas.y, center, radii, dice.between(-1, 1))
    return inside, dice.between(0.05, 0.16)


def _pigment(canvas: Canvas, dice: Dice, pigment: Color, skin: Color, contrast: float) -> Field:
    """Return the lesion's color everywhere: patches of light and dark brown under a pigment network."""
    patches = canvas.noise(dice, 6, 3)
    network = np.abs(canvas.noise(dice, 52) - 0.5)
    globules = step(0.62, 0.85, canvas.noise(dice, 38))
    color = np.asarray(pigment) * (0.62 + 0.85 * patches)[:, :, None]
    color = mix(color, tuple(0.55 * value for value in pigment), 0.3 * step(0.15, 0.0, network))
    color = mix(color, tuple(0.45 * value for value in pigment), 0.3 * globules)
    if dice.chance(0.3):
        color = mix(color, (0.42, 0.43, 0.50), 0.6 * step(0.6, 0.75, canvas.noise(dice, 4, 2)))
    return np.asarray(skin) * 0.96 * (1 - contrast) + color * contrast


def _distract(
    canvas: Canvas, dice: Dice, picture: Field, pigment: Color, difficulty: float, inside: Field
) -> Field:
    """Add freckles and, when it is hard, a color chart's edge: pigment that is not a lesion."""
    for _ in range(dice.below(1 + round(8 * difficulty))):
        center = (dice.between(-0.48, 0.48), dice.between(-0.36, 0.36))
        radius = dice.between(0.008, 0.022)
        spot = ellipse(canvas.x, canvas.y, center, (radius, radius * dice.between(0.7, 1)), 0.3)
        amount = dice.between(0.3, 0.6) * step(1.4, 0.6, spot) * (inside > 1.15)
        picture = mix(picture, pigment, amount)
    if dice.chance(0.35 * difficulty):
        disc = ellipse(canvas.x, canvas.y, (0.55, dice.between(-0.3, 0.3)), (0.14, 0.14), 0.0)
        picture = mix(picture, (0.25, 0.45, 0.75), step(1.02, 0.98, disc) * (inside > 1.15))
    return picture


def _hairs(canvas: Canvas, dice: Dice, picture: Field, count: int) -> Field:
    lean = dice.between(-1, 1)
    paths = []
    for _ in range(count):
        start = (dice.between(-0.6, 0.6), dice.between(-0.5, 0.5))
        reach, bend = dice.between(0.2, 0.6), dice.between(-0.15, 0.15)
        slope = lean + dice.between(-0.5, 0.5)
        end = (start[0] + reach, start[1] + reach * slope)
        paths.append(curve(start, ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + bend), end))
    width = max(canvas.width / 190, 0.7)
    shadow = blur(strokes(canvas, paths, width * 1.6), canvas.width / 200)
    picture = picture * (1 - 0.35 * shadow)[:, :, None]
    return mix(picture, (0.13, 0.09, 0.08), 0.85 * strokes(canvas, paths, width))


def _bubbles(canvas: Canvas, dice: Dice, picture: Field, count: int) -> Field:
    for _ in range(count):
        center = (dice.between(-0.45, 0.45), dice.between(-0.33, 0.33))
        radius = dice.between(0.012, 0.035)
        ring = ellipse(canvas.x, canvas.y, center, (radius, radius), 0.0)
        glint = ellipse(
            canvas.x,
            canvas.y,
            (center[0] - radius / 3, center[1] - radius / 3),
            (radius / 3, radius / 3),
            0.0,
        )
        picture = mix(picture, (0.97, 0.95, 0.93), 0.30 * step(0.75, 0.95, ring) * step(1.15, 1.0, ring))
        picture = mix(picture, (1.0, 1.0, 1.0), 0.8 * step(1.1, 0.5, glint))
    return picture


def _light(canvas: Canvas, dice: Dice, picture: Field, dark_corners: bool) -> Field:
    center = (dice.between(-0.1, 0.1), dice.between(-0.1, 0.1))
    distance = ellipse(canvas.x, canvas.y, center, (0.62, 0.62), 0.0)
    picture = picture * (1.06 - 0.28 * distance * distance)[:, :, None]
    if dark_corners:
        rim = ellipse(canvas.x, canvas.y, (0.0, 0.0), (0.53, 0.53), 0.0)
        picture = mix(picture, (0.02, 0.02, 0.02), step(0.97, 1.05, rim))
    return picture
