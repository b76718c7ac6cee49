"""Attacks: levels and true labels in, attacked levels out. `perturb` runs and checks them."""

from trueshot.attacks.apgd import APGD
from trueshot.attacks.base import (
    Attack,
    Budget,
    Norm,
    as_filed,
    distance,
    lost_in_file,
    norm_of,
    per_image,
    perturb,
    statistics_kept,
    undisturbed,
)
from trueshot.attacks.calls import Calls, counted
from trueshot.attacks.control import UniformNoise
from trueshot.attacks.decision import RayS
from trueshot.attacks.expectation import Expectation
from trueshot.attacks.fab import FAB
from trueshot.attacks.iterative import PGD
from trueshot.attacks.losses import Loss, cotangent, image_gradient, margin
from trueshot.attacks.minimal import FMN, boundary_distance
from trueshot.attacks.one_step import FGSM, LeastLikelyClass
from trueshot.attacks.square import Square
from trueshot.attacks.targeted import Targeted
from trueshot.attacks.through import Through, through_channel
from trueshot.attacks.transfer import Transfer

BY_NAME: dict[str, type[FGSM] | type[LeastLikelyClass] | type[PGD]] = {
    "fgsm": FGSM,
    "llcm": LeastLikelyClass,
    "pgd": PGD,
}

__all__ = [
    "APGD",
    "BY_NAME",
    "FAB",
    "FGSM",
    "FMN",
    "PGD",
    "Attack",
    "Budget",
    "Calls",
    "Expectation",
    "LeastLikelyClass",
    "Loss",
    "Norm",
    "RayS",
    "Square",
    "Targeted",
    "Through",
    "Transfer",
    "UniformNoise",
    "as_filed",
    "boundary_distance",
    "cotangent",
    "counted",
    "distance",
    "image_gradient",
    "lost_in_file",
    "margin",
    "norm_of",
    "per_image",
    "perturb",
    "statistics_kept",
    "through_channel",
    "undisturbed",
]
