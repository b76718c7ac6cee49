"""Detectors that look robust and are not: planted, for the doubts that must find them.

Every fraud is made of one honest linear detector, which sees how strongly a soft wave is present
in an image, and of a trick. `wave_images` makes images that it judges rightly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trueshot.detector import Detector

SIDE = 16
SURE = 10.0  # typical margin of a linear detector here


def wave(side: int = SIDE) -> Tensor:
    """One soft wave across the image, shape (3, side, side), from -1 to 1, nowhere zero."""
    across = torch.cos(2 * math.pi * (torch.arange(side) + 0.3) / side)
    return across.expand(3, side, side).contiguous()


def grain(side: int = SIDE, seed: int = 5) -> Tensor:
    """A fixed pattern of plus and minus one, shape (3, side, side)."""
    random = torch.Generator().manual_seed(seed)
    return torch.where(torch.rand(3, side, side, generator=random) < 0.5, -1.0, 1.0)


def wave_images(
    count: int, amplitude: float, side: int = SIDE, seed: int = 0, mistaken: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Whole levels with plus or minus so many levels of the wave, and which of both it is.

    The share `mistaken` of the labels is wrong.
    """
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    signs = (2.0 * labels - 1)[:, None, None, None]
    noise = 3 * torch.randn(count, 3, side, side, generator=random)
    # What the noise has of the wave would be a second signal.
    pattern = wave(side)
    part = (noise * pattern).sum((1, 2, 3), keepdim=True) / pattern.square().sum()
    strength = amplitude * (0.8 + 0.4 * torch.rand(count, 1, 1, 1, generator=random))
    images = 128 + noise - part * pattern + signs * strength * pattern
    dithered = (images + torch.rand(images.shape, generator=random)).floor()
    wrong = torch.rand(count, generator=random) < mistaken
    return dithered.clamp(0, 255), torch.where(wrong, 1 - labels, labels)


class Wave(nn.Module):
    """Honest: two logits, linear in the levels; their margin is about `SURE` at the amplitude."""

    def __init__(self, amplitude: float, side: int = SIDE) -> None:
        super().__init__()
        weight = wave(side)
        weight = weight * SURE / (amplitude * weight.square().sum())
        self.weight = nn.Parameter(weight)

    def score(self, images: Tensor) -> Tensor:
        return ((images - 128) * self.weight).sum((1, 2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.score(images))


def logits_of(score: Tensor) -> Tensor:
    return torch.stack([-score / 2, score / 2], 1)


class Trick(nn.Module):
    """Something done to the images before the honest network, or to its score after it."""

    def __init__(self, amplitude: float = 1.5, side: int = SIDE, **settings: Any) -> None:
        super().__init__()
        self.honest = Wave(amplitude, side)
        self.register_buffer("grain", grain(side))
        for name, value in settings.items():
            setattr(self, name, value)

    def before(self, images: Tensor) -> Tensor:
        return images

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return score

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.after(self.honest.score(self.before(images)), images))

    def along_grain(self, images: Tensor) -> Tensor:
        """How strongly the pattern is present: one level of it is 1."""
        return ((images - 128) * self.grain).mean((1, 2, 3))


class Quantised(Trick):
    """Logits in steps."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return (score / 4).round() * 4


class QuantisedBehindABack(Trick):
    """Logits in steps, with a gradient that claims something else."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return (score / 4).round().detach() * 4 + 0 * self.along_grain(images)


class Saturated(Trick):
    """So sure that cross-entropy is zero in float32; the margin is not."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return 1e4 * score


class ClampedProbabilities(Trick):
    """Logarithms of probabilities that are kept away from 0 and 1."""

    def forward(self, images: Tensor) -> Tensor:
        sure = (20 * super().forward(images)).softmax(1)
        return sure.clamp(1e-6, 1 - 1e-6).log()


class Probabilities(Trick):
    """Probabilities in place of logits."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images).softmax(1)


class OfOneMind(Trick):
    """Everything is recaptured to it."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return score + 1000


class Shattered(Trick):
    """A fine saw on every level: hardly another image, quite another gradient."""

    def before(self, images: Tensor) -> Tensor:
        return images + 0.5 * torch.sin(51.0 * images)


class Staircase(Trick):
    """Levels in steps of four."""

    def before(self, images: Tensor) -> Tensor:
        return (images / 4).round() * 4


class Dithered(Trick):
    """One bit a value, dithered with a fixed pattern."""

    def before(self, images: Tensor) -> Tensor:
        random = torch.Generator().manual_seed(3)
        threshold = 108 + 40 * torch.rand(images.shape[1:], generator=random)
        return 128 + 20 * torch.where(images > threshold, 1.0, -1.0)


class Noisy(Trick):
    """Noise at the input, from torch's own random state."""

    def before(self, images: Tensor) -> Tensor:
        return images + 4 * torch.randn_like(images)


class NoisyByItself(Trick):
    """Noise at the input, from a generator that no seed reaches."""

    def before(self, images: Tensor) -> Tensor:
        if not hasattr(self, "source"):
            self.source = torch.Generator().manual_seed(0)
        return images + 4 * torch.randn(images.shape, generator=self.source)


class NoisyByPlace(Trick):
    """The same noise in every call, another one at every place in the batch."""

    def before(self, images: Tensor) -> Tensor:
        source = torch.Generator().manual_seed(0)
        return images + 4 * torch.randn(images.shape, generator=source)


class Resizing(Trick):
    """Takes any size and makes it small, or large, without a word."""

    mode: str
    small: int

    def __init__(self, small: int, mode: str, amplitude: float = 1.5) -> None:
        super().__init__(amplitude, side=small, small=small, mode=mode)

    def before(self, images: Tensor) -> Tensor:
        if self.mode == "antialias":
            return functional.interpolate(
                images, (self.small, self.small), mode="bilinear", antialias=True
            )
        return functional.interpolate(images, (self.small, self.small), mode=self.mode)


class Cropping(Trick):
    """Looks at the middle only, of which three quarters are left."""

    def before(self, images: Tensor) -> Tensor:
        edge = images.shape[-1] // 8
        middle = images[:, :, edge:-edge, edge:-edge]
        return functional.pad(middle, (edge,) * 4, value=128.0)


class NeverEvaluating(Trick):
    """Batch normalisation that stays in train mode whatever it is told."""

    def __init__(self, amplitude: float = 1.5) -> None:
        super().__init__(amplitude)
        self.normalise = nn.BatchNorm2d(3, affine=False)

    def train(self, mode: bool = True) -> NeverEvaluating:
        super().train(True)
        return self

    def before(self, images: Tensor) -> Tensor:
        return 128 + 3 * self.normalise(images)


class OfTheBatch(Trick):
    """Normalises by the batch, by hand: no mode, no buffer tells."""

    def before(self, images: Tensor) -> Tensor:
        return 128 + 3 * (images - images.mean((0, 2, 3), keepdim=True)) / images.std()


class Remembering(Trick):
    """Keeps statistics of what it judges, in evaluation mode too."""

    def __init__(self, amplitude: float = 1.5) -> None:
        super().__init__(amplitude)
        self.register_buffer("seen", torch.zeros(()))

    def before(self, images: Tensor) -> Tensor:
        self.seen += images.mean().detach()
        return images


class Plateau(Trick):
    """The score is cut off where every image lies."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return functional.hardtanh(score, -4, 4)


class LeakyPlateau(Trick):
    """A plateau with a faint slope along a pattern that does not matter."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return functional.hardtanh(score, -2, 2) + 0.02 * self.along_grain(images)


class LabelLeak(Trick):
    """What training against one step learns: the first step along the gradient gives a label away.

    Along the pattern the score falls a little, and then rises far above what it was.
    """

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        along = self.along_grain(images)
        return score + 5 * (along**3 / 0.81 - along)


class Rippled(Trick):
    """Ripples along the one direction that matters: many small steps end on the first crest."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        per_level = self.honest.weight.abs().sum()
        return score + per_level * torch.sin(math.pi * score / per_level)


class NarrowGate(Trick):
    """A way out that long steps jump over: only inside it the gradient is the honest one."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        outside = functional.relu((self.along_grain(images) - 0.35).abs() - 0.1)
        return score + score.sign().detach() * 200 * outside


class BetweenLevels(Trick):
    """Unsure of levels that are not whole, which no file holds."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        between = (1 - torch.cos(2 * math.pi * images)).mean((1, 2, 3)) / 2
        return score - 40 * score.sign().detach() * between


class MaskedAtImages(Trick):
    """At whole levels, where every image starts, the gradient leads back to them."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        whole = torch.cos(2 * math.pi * images).mean((1, 2, 3))
        return score - 12 * score.sign().detach() * functional.relu(whole - 0.5)


class OnlyWhenWatched(Trick):
    """Another detector while a gradient is recorded."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return score + 30 * self.along_grain(images) if torch.is_grad_enabled() else score


class Detached(Trick):
    """No gradient at all, as of an ONNX file."""

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(images)


class NoNumbers(Trick):
    """Logits that are finite, gradients that are not."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return score + 0 * ((images - 128) * 0).square().sum((1, 2, 3)).sqrt()


class NoLogits(Trick):
    """The same logits at every call, but for bright corners no numbers."""

    def after(self, score: Tensor, images: Tensor) -> Tensor:
        return torch.where(images[:, 0, 0, 0] > 128, torch.nan, score)


def fraud(trick: type[nn.Module], *arguments: Any, **settings: Any) -> Detector:
    """A detector with a trick, in evaluation mode."""
    return Detector(trick(*arguments, **settings)).eval()


def honest(amplitude: float, side: int = SIDE) -> Detector:
    """A linear detector that is broken at about 0.6 times the amplitude, not before."""
    return Detector(Wave(amplitude, side)).eval()
