"""The generated dataset: which looks there are, and a reader that draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_core import DatasetRequest
from bench_core.data.samples import Attribute, Sample, UInt8Array
from bench_datasets.synthetic import dermoscopy, endoscopy, ultrasound
from bench_datasets.synthetic.canvas import Dice


class SyntheticReader:
    """Draws samples on demand; the same options give the same bytes on every machine."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._look = str(options["look"])
        self._count = int(options["samples"])
        self._size = int(options["size"])
        self._difficulty = float(options["difficulty"])
        self._seed = int(options["seed"])
        self._groups = min(int(options["groups"]) or self._count, self._count)

    def samples(self) -> Sequence[Sample]:
        """Return the samples; patients take turns."""
        return [
            Sample(
                id=f"{self._look}-{number:04d}",
                group=f"patient-{number % self._groups:04d}",
                attributes=self._attributes(number),
            )
            for number in range(self._count)
        ]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Draw image [H, W, C] and mask [H, W]."""
        number = int(sample.id.rpartition("-")[2])
        patient, dice = self._dice(number)
        if self._look == "dermoscopy":
            return dermoscopy.draw(patient, dice, self._size, self._difficulty)
        if self._look == "endoscopy":
            return endoscopy.draw(patient, dice, self._size, self._difficulty, number)
        return ultrasound.draw(patient, dice, self._size, self._difficulty)

    def _attributes(self, number: int) -> dict[str, Attribute]:
        patient, _ = self._dice(number)
        if self._look == "dermoscopy":
            return dermoscopy.attributes(patient)
        if self._look == "endoscopy":
            return endoscopy.attributes(number)
        return ultrasound.attributes(patient)

    def _dice(self, number: int) -> tuple[Dice, Dice]:
        """Return the dice of a sample's patient and of the sample itself, neither thrown yet."""
        return (
            Dice("synthetic", self._look, self._seed, "patient", number % self._groups),
            Dice("synthetic", self._look, self._seed, "sample", number),
        )


def open_synthetic(request: DatasetRequest) -> SyntheticReader:
    """Open the generated dataset; it needs no root."""
    return SyntheticReader(request.options)
