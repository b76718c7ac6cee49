"""Turn scores into likelihood ratios and verdicts, and compute error rates with intervals.

Label 0 is an original (bona fide presentation), label 1 a recapture (attack presentation). The
higher the score, the more likely the photograph is a recapture. See docs/calibration.md.
"""

import lazy_loader  # names are imported on first use

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
