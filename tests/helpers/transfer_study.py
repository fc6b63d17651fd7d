"""A small study whose networks are taken to other datasets: one class, equal classes, a class too few."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.step_study import write_boxes

CRATES = '''

from bench_core import Reference

CLASSES = {"one": ("crate",), "same": ("dark", "bright"), "turned": ("bright", "dark"),
           "more": ("dark", "bright", "lid"), "apart": ("lid", "crate")}


class Crates(Boxes):
    """Other drawn images; the first ones may be those of the boxes, as they are or brightened."""

    def samples(self):
        return [
            Sample(f"crate{i:02d}", f"pile{i // 2}", (), attributes={"yard": "a" if i % 3 else "b"})
            for i in range(self.options["count"])
        ]

    def read(self, sample):
        number, copies = int(sample.id[5:]), self.options["copies"]
        image, mask = super().read(Sample(f"box{number + (0 if number < copies else 40):02d}", "x", ()))
        if number < copies and number % 2:
            image = np.clip(image.astype(int) + 6, 0, 255).astype(np.uint8)
        if self.options["kind"] == "one":
            mask[(mask > 0) & (mask != IGNORE)] = 1
        if self.options["kind"] == "turned":
            mask = np.choose((mask == 1) + 2 * (mask == 2), [mask, 2, 1]).astype(np.uint8)
        return image, mask


def more_datasets():
    options = {
        "kind": Option(type=str, default="one", choices=tuple(CLASSES), help="classes"),
        "count": Option(type=int, default=14, help="images"),
        "copies": Option(type=int, default=0, help="images of boxes"),
        "channels": Option(type=int, default=1, help="of what is declared"),
    }

    def task(given):
        return Task(classes=CLASSES[given["kind"]], channels=given["channels"], ignore=True)

    told = (Reference(model="U-Net", trained=("boxes", "barrels"), value=0.512, metric="mdsc",
                      training="20 boxes and 5 barrels", source="A survey, 2023"),)
    shared = {"version": 1, "task": task, "open": Crates, "needs_root": False, "options": options}
    return [
        Dataset(name="crates", title="Crates", modality="yard", references=told, **shared),
        Dataset(name="boxes-again", same_images={"boxes": "all of them"}, **shared),
    ]
'''

ONE = "{name: transfer, dataset: crates, options: {map: {dark: crate, bright: crate}}}"


def write_transfer(folder: Path, steps: str = f"[{ONE}]", **settings: str) -> Path:
    """Write plugin.py and spec.yaml and return the spec's path."""
    path = write_boxes(folder, steps, plugin=CRATES, **settings)  # type: ignore[arg-type]
    plugin = path.with_name("plugin.py")
    alone = 'return [Dataset(name="boxes"'
    plugin.write_text(plugin.read_text().replace(alone, alone.replace("[", "more_datasets() + [", 1)))
    return path
