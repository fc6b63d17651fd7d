"""Hair on skin: dark, tapered, slightly bent strands with soft shadows, as they hide lesions in dermoscopy.

Hair is the artifact that dermoscopy removes most often (Lee et al., Computers in Biology and Medicine 1997:
DullRazor); drawn hair is how its removal is measured (Attia et al., Artificial Intelligence in Medicine
2020).
"""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.exact import Float, UInt8, mixed, smoothed, to_bytes

_HAIRS = (5, 11, 20, 32, 48)
_FINE = 4
"""Points across a pixel: strands are about two pixels wide."""
_STEPS = 40


def hair(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Draw hairs over the image; a higher severity has the hairs of the lower ones, and more."""
    import cv2

    height, width = image.shape[:2]
    canvas = np.zeros((height * _FINE, width * _FINE), dtype=np.uint8)
    main = random.random() * np.pi
    color = np.array([52.0, 36.0, 28.0]) * (0.35 + 0.9 * random.random())
    strands = [_strand(random, main, height, width, side) for _ in range(_HAIRS[-1])]
    for outline, opacity in strands[: _HAIRS[severity - 1]]:
        cv2.fillPoly(canvas, [outline], int(255 * opacity))
    cover = canvas.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3), dtype=np.float64) / 255.0
    depth = max(1, round(0.006 * side))
    shadow = smoothed(_moved(cover, depth), 0.004 * side, 0.004 * side)
    shaded = to_bytes(image * (1.0 - 0.3 * shadow)[:, :, None])
    return mixed(shaded, color, cover)


def _strand(
    random: np.random.Generator, main: float, height: int, width: int, side: int
) -> tuple[np.ndarray, float]:
    """Return the outline of one hair in fine points, and how dark it is."""
    center = np.array([random.random() * width, random.random() * height])
    # Most hairs of a place grow one way, some lie across.
    spread = 0.28 if random.random() < 0.8 else 1.2
    angle = main + spread * random.standard_normal()
    length = side * (0.25 + 0.75 * random.random())
    along = np.array([np.cos(angle), np.sin(angle)])
    normal = np.array([-along[1], along[0]])
    bend, turn = (0.13 * length * random.standard_normal() for _ in range(2))
    thick = side * (0.0022 + 0.0026 * random.random())
    opacity = 0.82 + 0.16 * random.random()
    at = np.linspace(-0.5, 0.5, _STEPS)[:, None]
    line = center + along * (at * length) + normal * (bend * (0.25 - at**2) * 4 + turn * at**3 * 4)
    # The root is as thick as the shaft, the tip is fine.
    half = thick * np.sqrt(np.clip(1.15 - 1.1 * (at + 0.5), 0.05, 1.0))
    slope = np.gradient(line, axis=0)
    across = np.stack([-slope[:, 1], slope[:, 0]], axis=1)
    across /= np.maximum(np.hypot(across[:, :1], across[:, 1:]), 1e-9)
    outline = np.concatenate([line + across * half, (line - across * half)[::-1]]) * _FINE
    return np.rint(outline).astype(np.int32), opacity


def _moved(cover: Float, depth: int) -> Float:
    """Return the cover of the shadows: below and to the right of the hairs."""
    found = np.zeros_like(cover)
    found[depth:, depth:] = cover[:-depth, :-depth]
    return found
