"""Swin-UMamba's declaration: a VMamba-Tiny encoder in a U-shaped network."""

from __future__ import annotations

from bench_core import Architecture, Departure, Layers
from bench_sma.options import drop_path, variant
from bench_sma.swin_umamba.weights import weights

SWIN_UMAMBA = Architecture(
    name="swin-umamba",
    family="SMA",
    runner="torch",
    version=1,
    build="bench_sma.swin_umamba.network:build",
    title="Swin-UMamba",
    paper="Liu et al., MICCAI 2024, arXiv:2402.03302",
    year=2024,
    license="MIT (VMamba-Tiny)",
    pretrained=("imagenet", "none"),
    weights=weights,
    parameters={1: 59_885_620, 2: 59_886_344, 3: 59_887_068, 4: 59_887_792},
    options={
        "variant": variant(
            "vmamba-tiny",
            ("vmamba-tiny", "pico"),
            "vmamba-tiny: the published network; pico: a sixth of its widths and one block per stage, "
            "for tests and trials, not published",
        ),
        "drop_path": drop_path(0.2, "the last block's branch is"),
    },
    small={"variant": "pico"},
    size_multiple=32,
    # At 32 pixels the last stage has a single one, over which nothing can be normalized.
    size_minimum=64,
    # Heads of deep supervision; the authors' counts and checkpoints include them.
    dead_parameters=("heads.1.", "heads.2.", "heads.3."),
    encoder=("encoder",),
    explained=Layers(
        encoder=("stem", "encoder.stages.0", "encoder.stages.1", "encoder.stages.2", "encoder.stages.3"),
        decoder="decoder.4",
    ),
    quirks=(
        "Of the patches' normalization the bias comes from the ImageNet file and the weight does not, "
        "since the authors' list of tensors to leave out names one of the two twice.",
    ),
    departures=(
        Departure(
            what="deep supervision",
            published="losses at four resolutions",
            here="one loss, at the image's; the other heads stay unused",
            because="the protocol has one loss for all models",
        ),
        Departure(
            what="training of the encoder",
            published="frozen in the first 10 epochs; no weight decay of A and D of the scans",
            here="trained from the first epoch on, with the protocol's weight decay",
            because="every model of a study is trained alike",
        ),
    ),
)
