"""What UPerNet's publications on timm's backbones say beyond the backbone: output norms and drop path.

By the configurations and backbones of MMSegmentation 1.2 (configs/convnext, swin, twins, beit and vit), which
hold the authors' rates for ConvNeXt (Liu et al., arXiv:2201.03545), Swin (arXiv:2103.14030), Twins
(arXiv:2104.13840), BEiT (arXiv:2106.08254) and DeiT (arXiv:2012.12877). Imports no framework.
"""

from __future__ import annotations

import re

_OUTPUT_NORMS = (
    (r"convnext(v2)?_.*", 1e-6),
    (r"(swin|swinv2)_(?!cr_).*", 1e-5),
    (r"twins_svt_.*", 1e-5),
)
"""Families whose publications normalize every stage's output, with the norms' epsilon.

Successors without configurations of their own, ConvNeXt V2 and Swin V2, are taken for their predecessors.
"""
_DROP_PATH = (
    (r"convnext_small", 0.3),
    (r"convnext_(tiny|base|large|xlarge)", 0.4),
    (r"swin_(tiny|small|base|large)_patch4_window\d+_\d+", 0.3),
    (r"twins_pcpvt_(base|large)|twins_svt_large", 0.3),
    (r"twins_pcpvt_small|twins_svt_(small|base)", 0.2),
    (r"beit_base_patch16_\d+|deit_(small|base)_patch16_\d+", 0.1),
    (r"beit_large_patch16_\d+", 0.2),
)


def output_norm_eps(backbone: str) -> float | None:
    """Return the epsilon of the layer norms behind every stage, None where none is published."""
    return _of(backbone, _OUTPUT_NORMS)


def drop_path(backbone: str) -> float | None:
    """Return the published rate of the last block, None where none is known."""
    return _of(backbone, _DROP_PATH)


def _of(backbone: str, table: tuple[tuple[str, float], ...]) -> float | None:
    plain = backbone.partition(".")[0]
    return next((value for pattern, value in table if re.fullmatch(pattern, plain)), None)
