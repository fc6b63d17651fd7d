"""Errors that a user can cause and correct: what happened, where, why, and the fix."""

from __future__ import annotations

from bench_core.text import visible


class BenchError(Exception):
    """A failure that ends in one clear message instead of a traceback.

    `place` is where (file:line:column, a job, a path), `cause` why it is wrong, `fix` what to do.
    `exit_code` is what `bench` exits with: 1 for invalid input or failed jobs, 2 for "could not run".
    """

    exit_code = 2

    def __init__(
        self, message: str, *, place: str | None = None, cause: str | None = None, fix: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.cause = cause
        self.fix = fix

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.message}" if self.place else self.message]
        if self.cause:
            lines.append(f"  why: {self.cause}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return visible("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders; keyword arguments do not survive the default protocol.
        return _rebuild, (type(self), self.message, self.place, self.cause, self.fix)


def _rebuild(
    kind: type[BenchError], message: str, place: str | None, cause: str | None, fix: str | None
) -> BenchError:
    error = kind.__new__(kind)
    BenchError.__init__(error, message, place=place, cause=cause, fix=fix)
    return error


class UnknownNameError(BenchError):
    """A model, dataset, runner or analysis that no plugin declares."""

    exit_code = 1


class PluginError(BenchError):
    """A plugin that cannot be imported or declares something wrong."""

    exit_code = 1


class DataError(BenchError):
    """A dataset that is missing, corrupt, inconsistent or leaks between folds."""


class WeightsError(BenchError):
    """A checkpoint or weights file that is missing, truncated or does not fit the model."""


class StoreError(BenchError):
    """A results store that cannot be read or written."""


class MissingDependencyError(BenchError):
    """An optional package that a job needs and this environment lacks."""


class TrainingError(BenchError):
    """A job that cannot continue: NaN loss, out of memory, a model that breaks its declaration."""

    exit_code = 1


class DivergedError(TrainingError):
    """A loss or prediction that is not finite: in a search, a learning rate that is not a candidate."""
