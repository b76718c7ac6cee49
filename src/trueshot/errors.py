"""What can go wrong, by name. Every message says which file, what was wrong, and what to do."""

from __future__ import annotations


class TrueshotError(Exception):
    """Any error that a user can act on; the command line prints it without a traceback."""


class ImageFileError(TrueshotError):
    """An image file that cannot be judged; `path` names it.

    Args:
        path: The file, as the caller gave it.
        reason: What is wrong with it and what to do, one sentence.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageFileError], tuple[str, str]]:
        return type(self), (self.path, self.reason)  # so that it comes whole out of a process


class NotAnImageError(ImageFileError):
    """The bytes are of no image format that is read here."""


class EmptyFileError(ImageFileError):
    """The file holds no bytes."""


class TruncatedImageError(ImageFileError):
    """The file begins as an image and does not end as one, or its data is damaged."""


class ImageTooLargeError(ImageFileError):
    """The file declares more pixels than the limit; it was not decoded."""


class DatasetError(TrueshotError):
    """A data set, or the photographs for one, that cannot be used as asked."""


class LeakError(DatasetError):
    """A photograph, or a source, stands in more than one part of a split."""


class SimulationError(TrueshotError):
    """A simulation that cannot be made as asked."""


class PluginError(TrueshotError):
    """A file of the user's own code that is missing, fails, or does not define what it should."""


class TaskError(TrueshotError, ValueError):
    """A task that is not known, or does not say what it decides."""


class RecipeError(TrueshotError):
    """A recipe that does not say a training run; the message names the setting."""


class BundleError(TrueshotError):
    """A file that is no detector of ours, or a damaged one."""


class CalibrationError(TrueshotError):
    """Scores that a calibration or a threshold cannot be made from as asked."""


class RunError(TrueshotError):
    """A run folder that cannot be continued as asked."""


class BrokenPromiseError(TrueshotError):
    """An attack that left its budget, the levels 0 to 255, or numbers altogether."""
