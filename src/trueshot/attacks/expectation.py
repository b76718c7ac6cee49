"""An attack on the mean of what a random detector says."""

from __future__ import annotations

import zlib
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor, nn

from trueshot.attacks.randomness import generators
from trueshot.attacks.wrapping import Wrapper, attack_network


@dataclass(frozen=True)
class Expectation(Wrapper):
    """An attack on a detector that is random: noise at the input, resizing at random, and so on.

    The attack inside meets a detector whose logits are the mean over `draws` evaluations: its
    gradient is that of the mean, in which what is random has averaged out. It is a function of the
    image: PyTorch's global random state is seeded, inside a fork of it, from the seed and the
    image's levels, so the same image meets the same draws and the next step of an attack meets
    others. For that, each image is judged by itself. Random numbers that a detector takes from
    elsewhere (NumPy, its own generator) are averaged over just as well, but are not seeded.

    Args:
        attack: Any; its budget and norm are this one's.
        draws: Evaluations of each image for each of its logits.
        seed: Of the draws.
        name: By default of the attack and of the draws.

    Raises:
        ValueError: Fewer than one draw, or a negative seed.

    Source: Athalye et al. 2018, arXiv:1802.00420, section 4.2.
    """

    _: KW_ONLY
    draws: int = 10
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"draws: 1 or more wanted, got {self.draws}")
        if self.seed < 0:
            raise ValueError(f"seed: 0 or more wanted, got {self.seed}")
        self._name_after_attack(f"mean-of-{self.draws}")

    def __call__(self, detector: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Attack the mean; levels in, levels out, not rounded to whole ones."""
        network = _OnAverage(detector, self.draws, self.seed)
        return attack_network(self.attack, network, self.draws, detector, images, labels)


class _OnAverage(nn.Module):
    """Mean logits over draws, which depend on each image's levels and on a seed alone."""

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
        # The generator of a CPU keeps 32 bits of a seed: those have to depend on all of it.
        torch.manual_seed(zlib.crc32(f"{seed} {self.seed}".encode()))
        return torch.stack([self.detector(image) for _ in range(self.draws)]).mean(0)
