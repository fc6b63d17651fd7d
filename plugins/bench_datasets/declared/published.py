"""Published scores on datasets that networks were not trained on, to hold one's own against."""

from __future__ import annotations

from collections.abc import Mapping

from bench_core import Reference

_SURVEY = "Wu et al. 2024, arXiv:2401.11734, Table V"
_TRAINED = ("kvasir-seg", "hyperkvasir", "cvc-clinicdb")
"""HyperKvasir's segmented images are Kvasir-SEG's."""

COLONDB: Mapping[str, float] = {
    "U-Net": 0.512,
    "SFANet": 0.469,
    "ResUNet++": 0.588,
    "PraNet": 0.709,
    "HarDNet-MSEG": 0.735,
    "SANet": 0.752,
    "CaraNet": 0.775,
    "SSFormer-L": 0.802,
    "Polyp-PVT": 0.808,
    "CASCADE": 0.825,
}
ETIS: Mapping[str, float] = {
    "U-Net": 0.398,
    "SFANet": 0.297,
    "ResUNet++": 0.337,
    "PraNet": 0.628,
    "HarDNet-MSEG": 0.700,
    "SANet": 0.750,
    "CaraNet": 0.740,
    "SSFormer-L": 0.796,
    "Polyp-PVT": 0.787,
    "CASCADE": 0.801,
}


def of_pranet_split(scores: Mapping[str, float]) -> tuple[Reference, ...]:
    """Return mean Dice over images of networks that were trained on PraNet's training images."""
    return tuple(
        Reference(
            model=model,
            trained=_TRAINED,
            value=value,
            metric="mdsc",
            training="900 images of Kvasir-SEG and 550 of CVC-ClinicDB",
            source=_SURVEY,
        )
        for model, value in scores.items()
    )
