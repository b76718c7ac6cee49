from .describing import describe
from .write import Bundled, CalibrationSettings, make_bundle

__all__ = ["Bundled", "CalibrationSettings", "describe", "make_bundle"]
