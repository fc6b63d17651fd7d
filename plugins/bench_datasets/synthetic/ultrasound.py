"""Cardiac ultrasound, apical view: a sector with speckle, left ventricle, its wall and left atrium."""

from __future__ import annotations

import numpy as np

from bench_core.data.samples import Attribute, UInt8Array
from bench_datasets.synthetic.canvas import Canvas, Dice, Field, blur, ellipse, lookup, step, to_bytes

APEX = -0.47
"""Height of the transducer, where the beams start, in canvas units."""
TILTS = (-0.15, 0.15)
"""Of a patient's heart: shift to the right by depth."""


def attributes(patient: Dice) -> dict[str, Attribute]:
    """Return what subgroups of these images are made of: how the heart lies, as `draw` throws it first."""
    tilt = patient.between(*TILTS)
    if abs(tilt) < TILTS[1] / 3:
        return {"axis": "upright"}
    return {"axis": "tilted left" if tilt < 0 else "tilted right"}


def draw(patient: Dice, sample: Dice, size: int, difficulty: float) -> tuple[UInt8Array, UInt8Array]:
    """Return an image [size, 5/6 size, 1] and its mask: 1 = left ventricle, 2 = its wall, 3 = left atrium."""
    canvas = Canvas(size, round(size * 5 / 6))
    x, y = canvas.warp(sample, 4, 0.05)
    cavity, muscle, atrium, base = _chambers(x, y, patient, sample)
    mask = np.zeros((canvas.height, canvas.width), dtype=np.uint8)
    mask[(muscle <= 1) & (base < 0.012)] = 2
    mask[atrium <= 1] = 3
    mask[(cavity <= 1) & (base < 0)] = 1

    depth = canvas.y - APEX
    beam = canvas.x / np.maximum(depth, 1e-3)
    sector = (
        step(0.80, 0.77, np.abs(beam)) * step(0.93, 0.91, _range(canvas)) * step(0.02, 0.04, _range(canvas))
    )
    mask[sector < 0.5] = 0

    echo = _echo(canvas, sample, cavity, muscle, atrium, base, 1 - 0.7 * difficulty)
    echo = echo * _gain(canvas, sample, beam, difficulty)
    picture = echo * _speckle(canvas, sample, beam, 0.45 + 0.4 * difficulty)
    picture = blur(picture, size / 400)
    return to_bytes(picture * sector)[:, :, None], mask


def _range(canvas: Canvas) -> Field:
    depth = canvas.y - APEX
    return np.sqrt(canvas.x * canvas.x + depth * depth)


def _chambers(x: Field, y: Field, patient: Dice, sample: Dice) -> tuple[Field, Field, Field, Field]:
    """Return distances (1 on the border) of cavity, muscle and atrium, and the depth below the valves."""
    tilt = patient.between(*TILTS)
    squeeze = sample.between(0.80, 1.0)
    center = (patient.between(-0.05, 0.05), patient.between(-0.10, -0.06))
    width, length = (
        patient.between(0.125, 0.16) * squeeze,
        patient.between(0.27, 0.31) * (0.5 + 0.5 * squeeze),
    )
    wall = patient.between(0.040, 0.055) * (1.9 - 0.9 * squeeze)
    norm = (1 + tilt * tilt) ** 0.5
    u = (x - center[0] + tilt * (y - center[1])) / norm
    v = (y - center[1] - tilt * (x - center[0])) / norm
    base = v - patient.between(0.15, 0.18)
    # Below its widest point the cavity keeps its width, as a bullet does, down to the valve plane.
    low = np.where(v > 0, 0.55 * v, v)
    cavity = ellipse(u, low, (0.0, 0.0), (width, length * 0.85), 0.0)
    muscle = ellipse(u, low, (0.0, 0.0), (width + wall, length * 0.85 + wall), 0.0)
    radius = patient.between(0.10, 0.13) * (1.8 - 0.8 * squeeze)
    height = radius * patient.between(0.75, 0.95)
    atrium = ellipse(u, base, (0.0, 0.015 + height), (radius, height), 0.0)
    return cavity, muscle, atrium, base


def _echo(
    canvas: Canvas, dice: Dice, cavity: Field, muscle: Field, atrium: Field, base: Field, contrast: float
) -> Field:
    """Return brightness before speckle: dark blood, gray muscle, bright borders and pericardium."""
    tissue = 0.25 + 0.30 * canvas.noise(dice, 6, 3)
    wall = 0.42 + 0.22 * canvas.noise(dice, 10, 2)
    blood = 0.05 + 0.06 * canvas.noise(dice, 5, 2)
    above = step(0.015, -0.005, base)
    in_muscle = step(1.05, 0.97, muscle) * above
    in_blood = np.maximum(step(1.06, 0.95, cavity) * above, step(1.07, 0.94, atrium))
    lining = step(0.10, 0.0, np.abs(cavity - 1.02)) * above + step(0.10, 0.0, np.abs(atrium - 1.04)) * 0.7
    sac = step(0.12, 0.0, np.abs(muscle - 1.08)) * above
    echo = tissue * (1 - in_muscle) + wall * in_muscle
    echo = echo + 0.22 * lining + 0.38 * sac
    echo = echo * (1 - in_blood) + blood * in_blood
    leaflet = step(0.010, 0.002, np.abs(base + 0.02)) * step(1.0, 0.8, cavity)
    gap = step(0.15, 0.45, np.abs(cavity))
    echo = echo + 0.45 * leaflet * gap * (1 - in_muscle + in_blood).clip(0, 1)
    shown: Field = 0.22 * (1 - contrast) + echo * (contrast + (1 - contrast) * 0.25)
    return shown


def _gain(canvas: Canvas, dice: Dice, beam: Field, difficulty: float) -> Field:
    """Return attenuation with depth, dark beams behind ribs, and near-field haze."""
    reach = _range(canvas)
    gain = 1.25 - 0.55 * reach + 0.5 * step(0.16, 0.04, reach)
    columns = dice.field(2, 9)
    shadows = lookup(columns, np.zeros_like(beam), (beam + 0.85) / 1.7 * 7)
    gain = gain * (1 - (0.25 + 0.45 * difficulty) * step(0.55, 0.95, shadows) * step(0.1, 0.3, reach))
    if dice.chance(0.8 * difficulty):
        side = -1.0 if dice.chance(0.5) else 1.0
        gain = gain * (1 - 0.75 * step(0.42, 0.62, side * beam))
    return gain


def _speckle(canvas: Canvas, dice: Dice, beam: Field, strength: float) -> Field:
    """Return multiplicative speckle around 1: fine along the beam, wider across it and with depth."""
    rows, columns = 150, 64
    position = _range(canvas) * rows, (beam + 0.85) / 1.7 * columns
    real = lookup(_bell(dice, rows + 2, columns + 2), *position)
    imaginary = lookup(_bell(dice, rows + 2, columns + 2), *position)
    amplitude = np.sqrt(real * real + imaginary * imaginary)
    fine = 0.85 + 0.3 * dice.field(canvas.height, canvas.width)
    speckle: Field = (1 - strength + strength * 2.1 * amplitude) * fine
    return speckle


def _bell(dice: Dice, rows: int, columns: int) -> Field:
    """Return bell-shaped values around 0 with variance 1/3: the sum of four uniform ones."""
    parts = dice.field(4, rows, columns)
    total: Field = parts[0] + parts[1] + parts[2] + parts[3] - 2.0
    return total
