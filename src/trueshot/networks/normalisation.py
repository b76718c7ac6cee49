"""Batch normalisation with efficient second derivatives.

On a CPU, the second derivative of PyTorch's own accounts for half the time of an exact penalty. In
train mode this version computes the same values from a few sums per channel and one linear
combination of tensors in each direction. Where a channel's mean is many times its standard
deviation, which a Laplacian prevents, float32 loses more digits than with PyTorch's. The sums may
run over the images of several processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trueshot.networks.convolution import layout

Reduction = Callable[[Tensor], Tensor]


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with efficient second derivatives in train mode.

    Attributes:
        total: Function that turns a sum over the images of this process, shape (k,), into the sum
            over those of all processes; None if this process has all images. With it, statistics
            and all gradients are those of a single process with all images.
    """

    total: Reduction | None = None

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        if self.total is None and images.numel() // images.shape[1] < 2:
            raise ValueError(f"training needs more than one value per channel, got {images.shape}")
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        running = (self.running_mean, self.running_var, self.momentum)
        features: Tensor = _BatchNormalisation.apply(
            images, self.weight, self.bias, running, self.eps, self.total or _alone
        )
        return features


class _BatchNormalisation(Function):
    """y = scale · (x - mean) / σ + shift, with the batch's mean and σ; s below is 1/σ."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        scale: Tensor,
        shift: Tensor,
        running: tuple[Tensor, Tensor, float],
        epsilon: float,
        total: Reduction,
    ) -> Tensor:
        own = _channel_sums(images), torch.full((1,), images.numel() // images.shape[1]).to(images)
        sums = total(torch.cat(own))
        mean, count = sums[:-1] / sums[-1], sums[-1]
        variance = total(_squared_distances(images, mean)) / count
        inverse = (variance + epsilon).rsqrt()
        running_mean, running_variance, momentum = running
        running_mean.lerp_(mean, momentum)
        running_variance.lerp_(variance * (count / (count - 1)), momentum)
        ctx.save_for_backward(images, scale, mean, inverse, count)
        ctx.total = total
        return _combine(shift - scale * inverse * mean, (images, scale * inverse))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        back = _BatchNormalisationBack.apply(gradient, *ctx.saved_tensors, ctx.total)
        return *back, None, None, None


class _BatchNormalisationBack(Function):
    """Backward pass. With ⟨·⟩ the mean over a channel, x̂ = s(x - mean), y' the gradient at y:

    x' = scale · s · (y' - ⟨y'⟩ - x̂⟨x̂ y'⟩), scale' = Σ x̂ y', shift' = Σ y'.
    """

    @staticmethod
    def forward(
        ctx: Any,
        gradient: Tensor,
        images: Tensor,
        scale: Tensor,
        mean: Tensor,
        inverse: Tensor,
        count: Tensor,
        total: Reduction,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        own, whole = _moments(gradient, images, mean, inverse, total)
        ctx.save_for_backward(gradient, images, scale, mean, inverse, count, *whole)
        ctx.total = total
        back = _projected(gradient, images, scale, mean, inverse, count, whole)
        return back, own[1], own[0]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        change: Tensor | None,
        change_of_scale: Tensor | None,
        change_of_shift: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        gradient, images, scale, mean, inverse, count, g_sum, g_dot = ctx.saved_tensors
        if change_of_scale is not None or change_of_shift is not None:
            raise NotImplementedError(
                "cannot differentiate gradients of weights, only gradients of images"
            )
        if change is None:
            return (None,) * 7
        own, whole = _moments(change, images, mean, inverse, ctx.total, gradient)
        c_sum, c_dot, both = whole
        # L = Σ change · x' = scale · s · t; it is symmetric in change and gradient.
        t = both - (c_sum * g_sum + c_dot * g_dot) / count
        own_t = own[2] - (own[0] * g_sum + own[1] * g_dot) / count
        at_gradient = _projected(change, images, scale, mean, inverse, count, (c_sum, c_dot))
        slope = scale * inverse.square() / count
        by_change, by_gradient = -slope * g_dot, -slope * c_dot
        by_images = inverse * slope * (2 * c_dot * g_dot / count - t)
        constant = -(by_change * c_sum + by_gradient * g_sum) / count - by_images * mean
        at_images = _combine(
            constant, (change, by_change), (gradient, by_gradient), (images, by_images)
        )
        return at_gradient, at_images, inverse * own_t, None, None, None, None


def _moments(
    gradient: Tensor,
    images: Tensor,
    mean: Tensor,
    inverse: Tensor,
    total: Reduction,
    *others: Tensor,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return Σ g, Σ x̂ g, and Σ other · g for each other, over this process and over all."""
    plain, product = _channel_sums(gradient), _channel_sums(gradient * images)
    more = [_channel_sums(gradient * other) for other in others]
    own = plain, inverse * (product - mean * plain), *more
    return own, tuple(total(torch.cat(own)).split(len(mean)))


def _projected(
    gradient: Tensor,
    images: Tensor,
    scale: Tensor,
    mean: Tensor,
    inverse: Tensor,
    count: Tensor,
    moments: tuple[Tensor, ...],
) -> Tensor:
    """Multiply a gradient by the Jacobian of batch normalisation, which is symmetric."""
    by_gradient = scale * inverse
    by_images = -by_gradient * inverse * moments[1] / count
    constant = -by_gradient * moments[0] / count - by_images * mean
    return _combine(constant, (gradient, by_gradient), (images, by_images))


def _combine(constant: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """Return constant + Σ term · factor; constant and factors are per channel, shape (c,).

    With channels last, each image row is one long row of values, along which the factors are
    repeated: a loop over such a row is fast, one over the few channels of a pixel is not.
    """
    images = [term for term, _ in terms]
    factors = torch.stack([constant, *(factor for _, factor in terms)])
    rows = layout(images[0]) == torch.channels_last
    along = factors.repeat(1, images[0].shape[3]) if rows else factors[:, :, None, None]
    result = torch.empty_like(images[0], memory_format=layout(images[0]))
    wide = _wide(result, rows)
    torch.addcmul(along[0], _wide(images[0], rows), along[1], out=wide)
    for image, factor in zip(images[1:], along[2:], strict=True):
        wide.addcmul_(_wide(image, rows), factor)
    return result


def _squared_distances(images: Tensor, mean: Tensor) -> Tensor:
    """Return Σ (x - mean)² per channel, shape (c,)."""
    distances = _combine(-mean, (images, torch.ones_like(mean)))
    return _channel_sums(distances.square_())


def _channel_sums(features: Tensor) -> Tensor:
    return features.sum((0, 2, 3))


def _wide(features: Tensor, rows: bool) -> Tensor:
    """Reshape channels-last features to (n · h, w · c) if `rows`, else return them unchanged."""
    if not rows:
        return features
    n, channels, height, width = features.shape
    return features.permute(0, 2, 3, 1).reshape(n * height, width * channels)


def _alone(sums: Tensor) -> Tensor:
    return sums
