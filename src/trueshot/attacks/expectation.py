"""An attack on the mean logits of a randomised detector."""

from __future__ import annotations

import zlib
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.randomness import generators
from trueshot.attacks.wrapping import Wrapper, attack_network


@dataclass(frozen=True)
class Expectation(Wrapper):
    """An attack on a randomised detector, with input noise, random resizing and the like.

    The inner attack sees a detector whose logits are the mean over `draws` evaluations, so
    randomness averages out of the gradient. This mean is a function of the image: PyTorch's global
    random state is seeded, inside a fork of it, from `seed` and the image's levels. So the same
    image always gets the same draws, and the next step of the attack gets others. For this reason
    each image is judged by itself. Random numbers from elsewhere (NumPy, the detector's own
    generator) are averaged over as well, but are not seeded.

    Args:
        attack: Inner attack, of any kind; its budget and norm apply.
        draws: Number of evaluations that are averaged for each image.
        seed: Seed of the draws.
        name: Name of the attack; by default that of the inner attack with the number of draws.

    Raises:
        ValueError: `draws` is below 1, or `seed` is negative.

    Source: Athalye et al. 2018, arXiv:1802.00420, section 4.2.
    """

    _: KW_ONLY
    draws: int = 10
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws must be at least 1, got {self.draws}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        self._name_after_attack(f"mean-of-{self.draws}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack the mean logits; return levels, not rounded to whole ones."""
        network = _OnAverage(detector, self.draws, self.seed)
        return attack_network(self.attack, network, self.draws, detector, images, labels)


class _OnAverage(nn.Module):
    """Mean logits over draws that depend only on each image's levels and a seed."""

    def __init__(self, detector: nn.Module, draws: int, seed: int) -> None:
        super().__init__()
        self.detector = detector
        self.draws = draws
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        if not len(images):
            logits: Tensor = self.detector(images)
            return logits
        devices = [images.device.index or 0] if images.is_cuda else []
        sources = generators(images, self.seed)
        with torch.random.fork_rng(devices=devices):
            pairs = zip(images.split(1), sources, strict=True)
            return torch.cat([self._mean(image, source.initial_seed()) for image, source in pairs])

    def _mean(self, image: Tensor, seed: int) -> Tensor:
        # PyTorch's CPU generator keeps 32 bits of a seed, which must depend on the whole seed.
        torch.manual_seed(zlib.crc32(f"{seed} {self.seed}".encode()))
        return torch.stack([self.detector(image) for _ in range(self.draws)]).mean(0)
