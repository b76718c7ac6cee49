"""Proofs that no small change flips a verdict.

`amplitude` computes exactly how far a change of one level moves the spectrum of a window. `bounds`
propagates such bounds through functions of amplitudes. `radius` certifies verdicts on images, by
detectors whose score moves no farther than the image.
"""

from trueshot.certificates.amplitude import linf_constants, taper, worst_change
from trueshot.certificates.bounds import Bounds
from trueshot.certificates.radius import CertifiedRadius, certified_radius, is_certifiable

__all__ = [
    "Bounds",
    "CertifiedRadius",
    "certified_radius",
    "is_certifiable",
    "linf_constants",
    "taper",
    "worst_change",
]
