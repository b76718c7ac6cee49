"""Proofs that no small change flips a verdict.

`amplitude` computes exactly how far a change of one level moves the spectrum of a window. `bounds`
propagates such bounds through functions of amplitudes. `radius` certifies verdicts on images, by
detectors whose score moves no farther than the image; `photograph` certifies verdicts on whole
photographs.
"""

from trueshot.certificates.amplitude import (
    l2_constants,
    linf_constants,
    taper,
    worst_change,
)
from trueshot.certificates.bounds import Bounds
from trueshot.certificates.photograph import CertifiedPhotograph, certify_photograph
from trueshot.certificates.radius import CertifiedRadius, certified_radius, is_certifiable

__all__ = [
    "Bounds",
    "CertifiedPhotograph",
    "CertifiedRadius",
    "certified_radius",
    "certify_photograph",
    "is_certifiable",
    "l2_constants",
    "linf_constants",
    "taper",
    "worst_change",
]
