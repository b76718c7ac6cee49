from .describing import describe as describe
from .write import (
    Bundled as Bundled,
    CalibrationSettings as CalibrationSettings,
    make_bundle as make_bundle,
)
