"""Every check of `bench validate`, by the name that diagnostics carry, in the words of its help."""

from __future__ import annotations

from collections.abc import Mapping

CHECKS: Mapping[str, str] = {
    # The file.
    "file-size": "files beyond 1 MiB or 100,000 values",
    "encoding": "binary files, other encodings than UTF-8, invisible line ends and marks that reverse text",
    "syntax": "YAML syntax, tabs included",
    "documents": "empty files, several documents, files that hold no mapping",
    "nesting": "nesting beyond 40 levels",
    "alias": "alias bombs, aliases of nothing, values that contain themselves",
    "tag": "YAML tags that name code or disagree with the value",
    "number": "numbers of absurd length",
    "duplicate-key": "keys given twice",
    "key-type": "keys that are not text",
    "merge-key": "<< of something that is not a mapping",
    "extends": "base specs that are missing or extend each other in a circle",
    "variable": "environment variables that are not set, malformed ${...}",
    "text": "control characters, reversed text and bytes that are not UTF-8 in keys and values",
    "set": "--set with a path that does not exist",
    # Keys and values.
    "unknown-key": "unknown keys, settings that have no effect with the chosen optimizer, schedule or loss",
    "missing-key": "missing keys",
    "type": "wrong types",
    "range": "values out of range",
    "choice": "words that are not a valid choice",
    "name": "names and labels that cannot name files",
    "reason": "exclusions and deviations without `because`",
    # Names and options.
    "plugin": "plugin files that are missing, fail to import or declare nonsense, unknown hooks",
    "model": "unknown models and model sources",
    "dataset": "unknown datasets",
    "runner": "unknown runners",
    "executor": "unknown executors",
    "analysis": "unknown and repeated analyses",
    "step": "unknown steps, and steps whose datasets are missing or do not go together",
    "option": "unknown options, and options of a wrong type, range or choice",
    # The matrix.
    "label": "entries of the same label, and labels that are needed",
    "duplicate": "entries that are the same experiment, whatever words they use for it",
    "jobs": "more jobs than a spec can have",
    "path": "paths of unknown home folders, with names that are too long, or with links in a circle",
    "root": "datasets without the root they need",
    "pretrained": "pretrained weights that the model does not offer",
    "weights": "weights files that do not exist (a warning), or that nothing would load",
    "exclusion": "exclusions that match nothing, or leave nothing to run",
    "track": "tracks that a model's runner does not allow",
    "pool": "pools that name what there is not, are empty, or hold one model only (a warning)",
    "claim": "claims about models, datasets or metrics that there are not, or that compare nothing",
    "expected": "published scores of models, datasets, classes or metrics that there are not",
    # The protocol.
    "deviation": "deviations that change nothing",
    "rate-source": "both or neither of a search and a fixed learning rate",
    "channels": "images of other than 1 or 3 channels without `channels: native`",
    "image-size": "image sizes that a model cannot take",
    "batch-size": "batches that a model cannot be trained on",
    "loss": "losses that do not exist or do not fit a dataset's task",
    "normalization": "normalization of other channels than the images have, or of images in 0..255",
    "optimizer": "optimizer settings that do nothing, or need an encoder that a model does not declare",
    "schedule": "schedules that cannot fall, warm-ups that do not end, settings of another schedule",
    "device-batch": "parts of a batch that are too small for a device without `sync_batch_norm`",
    "micro-batch": "parts as large as the batch or too small for a model, losses they change (a warning)",
    "learning-rate": "learning rates listed twice",
    "fold": "folds that do not exist, are listed twice or leave nothing to train on",
    "folds-file": "files of a dataset's own folds that cannot be used, or do not fit evaluate",
    "threshold": "thresholds that are not probabilities",
    "padding": "masks of padding that nothing pads",
    "augmentation": "unknown transforms and arguments, and arguments of the wrong kind",
}
"""Name of a check to what it finds."""
