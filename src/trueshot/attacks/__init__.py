"""Attacks: levels and true labels in, levels out. `perturb` runs one and checks its promise."""

from trueshot.attacks.apgd import APGD
from trueshot.attacks.base import (
    Attack,
    Budget,
    Norm,
    as_filed,
    distance,
    norm_of,
    per_image,
    perturb,
    statistics_kept,
    undisturbed,
)
from trueshot.attacks.calls import Calls, counted
from trueshot.attacks.iterative import PGD
from trueshot.attacks.losses import Loss, cotangent, image_gradient, margin
from trueshot.attacks.one_step import FGSM, LeastLikelyClass

BY_NAME: dict[str, type[FGSM] | type[LeastLikelyClass] | type[PGD]] = {
    "fgsm": FGSM,
    "llcm": LeastLikelyClass,
    "pgd": PGD,
}

__all__ = [
    "APGD",
    "BY_NAME",
    "FGSM",
    "PGD",
    "Attack",
    "Budget",
    "Calls",
    "LeastLikelyClass",
    "Loss",
    "Norm",
    "as_filed",
    "cotangent",
    "counted",
    "distance",
    "image_gradient",
    "margin",
    "norm_of",
    "per_image",
    "perturb",
    "statistics_kept",
    "undisturbed",
]
