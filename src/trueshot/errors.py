"""Exceptions. Every message names the file, what is wrong with it, and what to do."""

from __future__ import annotations


class TrueshotError(Exception):
    """An error that a user can act on; the command line prints it without a traceback."""


class ImageFileError(TrueshotError):
    """An image file that cannot be judged.

    Args:
        path: The file, as the caller gave it.
        reason: What is wrong with it and what to do, in one sentence.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageFileError], tuple[str, str]]:
        return type(self), (self.path, self.reason)  # so that it can be pickled between processes


class NotAnImageError(ImageFileError):
    """The file is not in an image format that trueshot reads."""


class EmptyFileError(ImageFileError):
    """The file is empty."""


class TruncatedImageError(ImageFileError):
    """The file starts as an image but is cut off, or its data is damaged."""


class ImageTooLargeError(ImageFileError):
    """The file declares more pixels than the limit; it was not decoded."""


class DatasetError(TrueshotError):
    """A data set, or the photographs for one, cannot be used as requested."""


class LeakError(DatasetError):
    """A photograph or a source appears in more than one part of a split."""


class SimulationError(TrueshotError):
    """A simulation cannot be made as requested."""


class PluginError(TrueshotError):
    """A file with the user's own code is missing, fails, or does not define the requested name."""


class TaskError(TrueshotError, ValueError):
    """A task is unknown, or its definition is not valid."""


class RecipeError(TrueshotError):
    """A recipe does not describe a valid training run; the message names the setting."""


class BundleError(TrueshotError):
    """A file is not a trueshot detector, or is damaged."""


class ExportError(TrueshotError):
    """A detector cannot be exported as requested; nothing was written."""


class CalibrationError(TrueshotError):
    """A calibration or threshold cannot be fitted to these scores as requested."""


class RunError(TrueshotError):
    """A run folder cannot be continued as requested."""


class BrokenPromiseError(TrueshotError):
    """An attack returned images that exceed its budget, leave [0, 255], or are not finite."""
