"""Calibrate a detector, measure its error rates, and describe a bundle.

`describe` needs few imports; the code that makes bundles is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trueshot.calibrating.describing import describe

if TYPE_CHECKING:
    from trueshot.calibrating.write import Bundled, CalibrationSettings, make_bundle

__all__ = ["Bundled", "CalibrationSettings", "describe", "make_bundle"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'trueshot.calibrating' has no attribute {name!r}")
    from trueshot.calibrating import write

    return getattr(write, name)
