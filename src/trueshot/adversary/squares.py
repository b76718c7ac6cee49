"""Square crops of an image, with a gradient that needs little memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from trueshot.inference.pooling import Corners


def squares(image: Tensor, corners: Corners, side: int) -> Tensor:
    """Cut squares out of an image of shape (c, h, w) at `corners` (top, left).

    In PyTorch the gradient of a slice is as large as the whole image, so many slices of a large
    image would need as many images to add up. Here all slices share one gradient.

    Returns:
        The squares, shape (n, c, side, side).
    """
    found: Tensor = _Squares.apply(image, corners, side)  # type: ignore[no-untyped-call]
    return found


class _Squares(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, corners: Corners, side: int) -> Tensor:
        ctx.corners, ctx.side, ctx.shape = corners, side, image.shape
        return torch.stack([image[:, y : y + side, x : x + side] for y, x in corners])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        whole = gradient.new_zeros(ctx.shape)
        for (y, x), square in zip(ctx.corners, gradient, strict=True):
            whole[:, y : y + ctx.side, x : x + ctx.side] += square
        return whole, None, None
