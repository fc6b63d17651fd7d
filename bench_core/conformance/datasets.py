"""The properties that a dataset is tried for, in order."""

from __future__ import annotations

from bench_core.conformance import dataset_checks as checks
from bench_core.conformance import dataset_files as files
from bench_core.conformance.dataset_subject import DatasetSubject, subject_of
from bench_core.conformance.declared import complete_declaration, light_to_load
from bench_core.conformance.loose_checks import loose_images
from bench_core.conformance.properties import Finding, Property, judge

__all__ = ["PROPERTIES", "DatasetSubject", "Finding", "Property", "judge", "subject_of"]

PROPERTIES: tuple[Property[DatasetSubject], ...] = (
    Property("the declaration is filled in", complete_declaration, "fill it in"),
    Property("the task names its classes", checks.task, "correct the declared task"),
    Property(
        "ids and groups are plain text",
        checks.ids_and_groups,
        "name samples alike on every machine, each by a name of its own",
    ),
    Property("attributes are of one kind", checks.attributes, "leave out what is not known"),
    Property("spacing is two lengths", checks.spacing, "give (down, across) in mm, or None"),
    Property(
        "samples come in the same order",
        checks.same_order,
        "sort them, and draw nothing when they are listed",
    ),
    Property(
        "listing order does not matter",
        files.any_listing_order,
        "sort what a folder lists: sorted(path.iterdir())",
    ),
    Property("groups can be dealt into folds", checks.groups),
    Property("the declared number is there", checks.expected_count, "correct `samples`, or the reader"),
    Property("images and masks fit the task", checks.pairs),
    Property(
        "every class occurs", checks.classes_occur, "correct the labels, or declare the classes there are"
    ),
    Property("images show something", checks.images_show, "see how pixels are converted to uint8"),
    Property(
        "reading repeats itself", checks.repeatable, "seed by the sample, and keep nothing between reads"
    ),
    Property("reading in threads is safe", checks.threads, "share no buffer or open file between reads"),
    Property(
        "the working folder does not matter",
        files.any_working_folder,
        "build every path from request.root",
    ),
    Property("every file that is read is named", files.files_listed, "put it into Sample.files"),
    Property("nothing is written", files.nothing_written, "keep what is computed in memory"),
    Property("a missing folder is named", files.missing_folder, "raise DataError with the path"),
    Property("a missing file is named", files.missing_file, "raise DataError with the path"),
    Property("a damaged file is named", files.damaged_file, "raise DataError with the path"),
    Property(
        "other images are decoded as its own",
        loose_images,
        "decode files in `loose` by the same code as the reader does",
    ),
    Property("loading it is light", light_to_load),
    Property(
        "another process sees the same",
        checks.other_process,
        "sort sets, and do not use hash() of text",
    ),
    Property("a cache can be made, and nothing leaks", checks.cached),
)
"""All that is checked, cheap reasons to fail first."""
