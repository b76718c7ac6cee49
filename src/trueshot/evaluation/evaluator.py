"""A detector and the images that it is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trueshot.datasets import Part
from trueshot.detector import Detector, evaluating
from trueshot.errors import RunError
from trueshot.evaluation.journal import Flags
from trueshot.evaluation.sanity_checks.random_numbers import random_numbers_from
from trueshot.evaluation.security import PerClass

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """What is judged, on which images, and how.

    Args:
        detector: Prediction in evaluation mode, and left as it was.
        part: The images.
        device: Where to compute.
        batch: Images at a time; it does not change a result.
        seed: Of the detector's own random numbers, should it draw any.
    """

    detector: Detector
    part: Part
    device: str | torch.device = "cpu"
    batch: int = 128
    seed: int = 0

    def batches(self, places: Places) -> Iterator[tuple[Tensor, Tensor]]:
        """Levels and labels of the images at these places."""
        for start in range(0, len(places), self.batch):
            yield self.part.batch(places[start : start + self.batch], self.device)

    def everything(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Levels and labels of all images."""
        return self.batches(np.arange(len(self.part)))

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """What the detector says, shape (n, 2).

        Raises:
            RunError: It says no numbers.
        """
        with evaluating(self.detector), random_numbers_from(self.seed, images.device):
            logits: Tensor = self.detector(images)
        if not bool(torch.isfinite(logits).all()):
            raise RunError("the detector returned logits that are no finite numbers")
        return logits

    def is_random(self) -> bool:
        """Whether the detector says two things of one image, with other random numbers."""
        images, _ = self.part.batch(slice(0, 4), self.device)
        again = replace(self, seed=self.seed + 1)
        said = [self.logits(images), self.logits(images), again.logits(images)]
        return not all(torch.equal(said[0], other) for other in said[1:])

    def scores(self, images: Tensor) -> npt.NDArray[np.float64]:
        """Logit of recaptured minus logit of original, shape (n,)."""
        logits = self.logits(images).double()
        found: npt.NDArray[np.float64] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
        return found

    def wrong(self, images: Tensor, labels: Tensor) -> Flags:
        """Which of the images it judges wrongly, shape (n,)."""
        found: Flags = (self.logits(images).argmax(1) != labels).cpu().numpy()
        return found

    def per_class(self, flags: Flags) -> PerClass:
        """How many of the flagged images are originals, and recaptures."""
        originals, recaptures = np.bincount(self.part.labels[flags], minlength=2)
        return int(originals), int(recaptures)

    @property
    def total(self) -> PerClass:
        """How many of the images are originals, and recaptures."""
        return self.per_class(np.ones(len(self.part), bool))
