"""Convolutions with efficient second derivatives.

The penalty of equation 5 differentiates a gradient. PyTorch's own convolution then takes many times
as long as for the first gradient and computes gradients that are not needed; its average pooling is
slow on a CPU with few channels. The versions here give the same values. They are fastest on images
stored channels last; other layouts work too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

_convolve = torch.ops.aten.convolution
_backward = torch.ops.aten.convolution_backward
_Geometry = tuple[int, int, int, int]  # stride, padding, dilation, groups


def layout(images: Tensor) -> torch.memory_format:
    """Return channels last if images (n, c, h, w) are stored so, contiguous in all other cases."""
    last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


_FIRST: ContextVar[int] = ContextVar("first image whose gradient is wanted", default=0)


@contextmanager
def gradient_wanted_from(first: int) -> Iterator[None]:
    """Declare that gradients with respect to images are needed only from number `first` on.

    It applies to batches that a network judges inside the block; gradients of earlier images are
    undefined. The backward convolution to the images is the most expensive one: leaving out half
    of the batch saves half of it.
    """
    token = _FIRST.set(first)
    try:
        yield
    finally:
        _FIRST.reset(token)


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` without bias, equal strides and equal zero padding along both axes.

    Attributes:
        leads_to_images: Whether features of different images have not been mixed before this layer,
            so that it can skip the images whose gradients `gradient_wanted_from` excludes.
    """

    leads_to_images = False

    def forward(self, images: Tensor) -> Tensor:
        assert self.bias is None
        assert not isinstance(self.padding, str)
        if not torch.is_grad_enabled():
            return super().forward(images)
        geometry = (self.stride[0], self.padding[0], self.dilation[0], self.groups)
        # The view is a separate graph node, which can tell whether its gradient is needed.
        weight = self.weight.view_as(self.weight)
        first = _FIRST.get() if self.leads_to_images else 0
        features: Tensor = _Convolution.apply(images, weight, geometry, first)
        return features


def convolve(images: Tensor, weight: Tensor, *, groups: int = 1) -> Tensor:
    """Convolve without padding, skipping the images that `gradient_wanted_from` excludes.

    Args:
        images: Shape (n, c, h, w); features of different images have not been mixed before.
        weight: Shape (filters, c / groups, side, side); it may be a computed tensor.
        groups: Number of groups of channels.
    """
    if not torch.is_grad_enabled():
        return functional.conv2d(images, weight, groups=groups)
    features: Tensor = _Convolution.apply(
        images, weight.view_as(weight), (1, 0, 1, groups), _FIRST.get()
    )
    return features


class AveragePool(nn.Module):
    """`torch.nn.AvgPool2d` that counts the zeros of its padding, computed as a fixed filter."""

    def __init__(self, side: int, *, stride: int, padding: int) -> None:
        super().__init__()
        self.side = side
        self.stride = stride
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        # On a GPU a convolution may round its inputs, and pooling is fast in other runtimes.
        if features.is_cuda or torch.onnx.is_in_onnx_export():
            return functional.avg_pool2d(features, self.side, self.stride, self.padding)
        kernel = features.new_full((1, 1, self.side, self.side), 1 / self.side**2)
        return fixed_filter(features, kernel, stride=self.stride, padding=self.padding)


def fixed_filter(images: Tensor, kernel: Tensor, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Filter each channel separately with one kernel that is not learned.

    Args:
        images: Shape (n, c, h, w).
        kernel: Shape (1, 1, side, side), or (c, 1, side, side) with the same kernel per channel.
        stride: Stride along both axes.
        padding: Zeros on each side.

    Returns:
        Shape (n, c, …, …), differentiable any number of times with respect to the images.
    """
    if not torch.is_grad_enabled() and len(kernel) > 1:
        return functional.conv2d(images, kernel, None, stride, padding, groups=len(kernel))
    channels = images.shape[1]
    weight = kernel.expand(channels, 1, -1, -1).contiguous()
    filtered: Tensor = _Filter.apply(images, weight, (stride, padding, 1, channels))
    return filtered


class _Filter(Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry, ctx.shape = geometry, images.shape
        return _forward(images, weight, geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _FilterBack.apply(gradient, weight, ctx.geometry, ctx.shape), None, None


class _FilterBack(Function):
    """The transpose of `_Filter`; its own gradient is `_Filter` again."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, weight: Tensor, geometry: _Geometry, shape: torch.Size
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = geometry
        like = torch.empty(
            shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout(gradient)
        )
        back, _ = _gradients(gradient, like, weight, geometry, images=True, weights=False)
        assert back is not None
        return back

    @staticmethod
    def backward(ctx: Any, change: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return _Filter.apply(change, weight, ctx.geometry), None, None, None


class _Convolution(Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, geometry: _Geometry, first: int
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry, ctx.first = geometry, first
        return _forward(images, weight, geometry)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        settings = ctx.geometry, (_is_wanted(ctx, 0), _is_wanted(ctx, 1)), ctx.first
        return *_ConvolutionBack.apply(gradient, images, weight, *settings), None, None


class _ConvolutionBack(Function):
    """Gradients of a convolution with respect to weight and images, from image `first` on."""

    @staticmethod
    def forward(
        ctx: Any,
        gradient: Tensor,
        images: Tensor,
        weight: Tensor,
        geometry: _Geometry,
        wanted: tuple[bool, bool],
        first: int,
    ) -> tuple[Tensor | None, Tensor | None]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(gradient, weight)
        ctx.geometry, ctx.first = geometry, first
        of_images, of_weight = wanted
        if not (first and of_images):
            return _gradients(
                gradient, images, weight, geometry, images=of_images, weights=of_weight
            )
        rest, _ = _gradients(gradient[first:], images[first:], weight, geometry, images=True)
        if not of_weight:
            return _from(first, rest), None
        return _from(first, rest), _gradients(gradient, images, weight, geometry, weights=True)[1]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, change: Tensor | None, change_of_weight: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        if change_of_weight is not None:
            raise NotImplementedError(
                "cannot differentiate gradients of weights, only gradients of images"
            )
        if change is None:
            return (None,) * 6
        gradient, weight = ctx.saved_tensors
        first, geometry = ctx.first, ctx.geometry
        of_gradient, _, of_weight = ctx.needs_input_grad[:3]
        change, gradient = change[first:], gradient[first:]
        return (
            _from(first, _forward(change, weight, geometry)) if of_gradient else None,
            None,
            _gradients(gradient, change, weight, geometry, weights=True)[1] if of_weight else None,
            None,
            None,
            None,
        )


def _from(first: int, rest: Tensor | None) -> Tensor | None:
    """Return a batch of `first` zero images followed by `rest`."""
    if not first or rest is None:
        return rest
    shape = (first + len(rest), *rest.shape[1:])
    whole = torch.empty(shape, dtype=rest.dtype, device=rest.device, memory_format=layout(rest))
    whole[:first] = 0
    whole[first:] = rest
    return whole


def _is_wanted(ctx: Any, number: int) -> bool:
    """Whether this backward pass needs the gradient of input `number`.

    `needs_input_grad` only says whether some pass may need it, so both gradients would always be
    computed. The function PyTorch itself uses is not public; if it is missing or fails, both
    gradients are computed, which only costs time.
    """
    node = ctx.next_functions[number][0]
    if node is None:
        return False
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except (AttributeError, RuntimeError):
        return True


def _forward(images: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
    stride, padding, dilation, groups = geometry
    two = (padding, padding)
    features: Tensor = _convolve(
        images, weight, None, (stride,) * 2, two, (dilation,) * 2, False, (0, 0), groups
    )
    return features


def _gradients(
    gradient: Tensor,
    at: Tensor,
    weight: Tensor,
    geometry: _Geometry,
    *,
    images: bool = False,
    weights: bool = False,
) -> tuple[Tensor | None, Tensor | None]:
    stride, padding, dilation, groups = geometry
    if weights and stride > 1 and padding == 0 and weight.shape[2:] == (1, 1):
        # Here oneDNN (3.12, AVX2, two to six channels) writes past the end of its buffer.
        back = _gradients(gradient, at, weight, geometry, images=True)[0] if images else None
        seen = at[:, :, ::stride, ::stride].contiguous(memory_format=layout(at))
        once = (1, 0, dilation, groups)
        return back, _gradients(gradient, seen, weight, once, weights=True)[1]
    two = (padding, padding)
    of_images, of_weight, _ = _backward(
        gradient,
        at,
        weight,
        None,
        (stride,) * 2,
        two,
        (dilation,) * 2,
        False,
        (0, 0),
        groups,
        (images, weights, False),
    )
    return of_images, of_weight
