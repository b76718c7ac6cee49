"""Proofs that no small change turns a verdict.

`amplitude` knows by how much a change of a level moves the spectrum of a window, exactly; `bounds`
leads such bounds through what is made of amplitudes; `radius` proves the verdicts of detectors
whose score moves no farther than the image, `photograph` those of whole photographs, and `accuracy`
counts them.
"""

from trueshot.certificates.accuracy import CertifiedAccuracy, certified_accuracy
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
    "CertifiedAccuracy",
    "CertifiedPhotograph",
    "CertifiedRadius",
    "certified_accuracy",
    "certified_radius",
    "certify_photograph",
    "is_certifiable",
    "l2_constants",
    "linf_constants",
    "taper",
    "worst_change",
]
