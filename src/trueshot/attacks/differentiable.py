"""Differentiable stand-ins for channels, which attacks use in place of the real ones.

Their values are as close to the real channel as is sensible: the JPEG follows libjpeg's integer
arithmetic. How gradients pass rounding is a setting of `stand_in`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trueshot.channels import Blurred, Brightened, Chain, Channel, Jpeg, Resized
from trueshot.pixels import LEVELS

Rounding = Literal["straight", "soft", "none"]
StandIn = Callable[[Tensor], Tensor]

_ROUNDINGS = ("straight", "soft", "none")
_BLOCK = 8
_ONE = 65536.0  # the number 1 in libjpeg's fixed-point arithmetic
# libjpeg's weights of red, green and blue, times 65536. Sums of their products with levels stay
# below 2**24, so float32 represents them exactly.
_TO_YCC = ((19595.0, 38470.0, 7471.0), (-11059.0, -21709.0, 32768.0), (32768.0, -27439.0, -5329.0))
_FACTORS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # vertical, horizontal


def stand_in(channel: Channel, rounding: Rounding = "soft") -> StandIn:
    """Return a differentiable function that replaces a channel.

    Args:
        channel: The real channel. A channel without a stand-in of its own only rounds levels, as is
            done before every channel. This holds for `Png`, and for `Noisy`, whose noise an
            attacker cannot predict and which changes nothing on average.
        rounding: How gradients pass rounding. `straight`: as if nothing were rounded. `soft`: the
            same, except for JPEG coefficients, where the slope is 4 d² + 1/10, with d the distance
            to the nearest whole number of steps. `none`: nothing is rounded at all, which is
            another, smooth function.

    Returns:
        A function from levels in [0, 255], float, shape (n, 3, h, w), to levels.

    Raises:
        ValueError: `rounding` is unknown, or the installed PyTorch lacks the channel's filter.

    Source: `soft` follows the cubic of Shin & Song 2017 ("JPEG-resistant adversarial images"),
    whose slope is 3 d². Where that is zero an attack could never start, hence the added tenth. A
    `straight` gradient asks for changes that the file drops: most coefficients are zero and stay
    so.
    """
    if rounding not in _ROUNDINGS:
        raise ValueError(f"rounding must be one of {', '.join(_ROUNDINGS)}, got {rounding!r}")
    filed = partial(_filed, rounding=rounding)
    return partial(_one_after_another, [filed, *_changes(channel, rounding)])


def _changes(channel: Channel, rounding: Rounding) -> list[StandIn]:
    """Return the stand-ins for a channel's steps after rounding; none if it has no stand-in."""
    if isinstance(channel, Chain):
        return [change for step in channel.steps for change in _changes(step, rounding)]
    if isinstance(channel, Jpeg):
        return [partial(_jpeg, channel, rounding)]
    if isinstance(channel, Resized):
        _check_filter(channel)
        return [partial(_resized, channel, rounding)]
    if isinstance(channel, Blurred):
        return [partial(_blurred, channel, rounding)]
    if isinstance(channel, Brightened):
        return [partial(_brightened, channel, rounding)]
    return []


def _check_filter(channel: Resized) -> None:
    """Raise a ValueError if PyTorch lacks the filter, as older versions lack Lanczos."""
    try:
        resize = partial(functional.interpolate, mode=channel.resample, antialias=True)
        resize(torch.zeros(1, 3, 2, 2), size=(1, 1))
    except (ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{channel.name}: PyTorch {torch.__version__} cannot resize with {channel.resample!r}; "
            "choose another filter, or install a later PyTorch"
        ) from error


def _one_after_another(steps: list[StandIn], images: Tensor) -> Tensor:
    for step in steps:
        images = step(images)
    return images


def _resized(channel: Resized, rounding: Rounding, images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    sizes = [channel.size(height, width), (height, width)]
    resize = partial(functional.interpolate, mode=channel.resample, antialias=True)
    device = images.device
    if channel.resample == "lanczos":  # which PyTorch has for the CPU only
        images = images.cpu()
    for rows, columns in sizes if channel.back else sizes[:1]:
        # Pillow resizes horizontally first, and rounds before it resizes vertically.
        images = _filed(resize(images, size=(images.shape[2], columns)), rounding)
        images = _filed(resize(images, size=(rows, columns)), rounding)
    return images.to(device)


def _blurred(channel: Blurred, rounding: Rounding, images: Tensor) -> Tensor:
    radius = channel.radius
    places = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-0.5 * (places / channel.sigma).square())
    kernel = (weights / weights.sum()).expand(3, 1, -1)
    padded = functional.pad(images, (radius,) * 4, mode="replicate")
    down = functional.conv2d(padded, kernel[..., None], groups=3)
    return _filed(functional.conv2d(down, kernel[:, :, None], groups=3), rounding)


def _brightened(channel: Brightened, rounding: Rounding, images: Tensor) -> Tensor:
    return _filed(images * channel.factor + channel.levels, rounding)


def _jpeg(channel: Jpeg, rounding: Rounding, images: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    down, across = _FACTORS[channel.subsampling]
    luma_table, chroma_table = channel.steps
    luma, chroma = _to_ycc(images, rounding)
    chroma = _subsampled(chroma, down, across, rounding)
    luma = _coded(luma, luma_table, rounding)
    chroma = _coded(chroma, chroma_table, rounding)[..., : -(-width // across)]
    chroma = _upsampled(chroma, down, across, rounding)[..., :height, :width]
    return _to_rgb(luma, chroma, rounding)


def _to_ycc(images: Tensor, rounding: Rounding) -> tuple[Tensor, Tensor]:
    """Return luminance (n, 1, h, w) and chrominance (n, 2, h, w)."""
    weights = images.new_tensor(_TO_YCC) / _ONE
    planes = (weights @ images.flatten(2)).reshape(images.shape)
    # Halves of chrominance are rounded down, because it could reach 256 otherwise.
    chroma = _rounded(planes[:, 1:] + 128, rounding, 0.5 - 1 / _ONE)
    return _rounded(planes[:, :1], rounding), chroma


def _to_rgb(luma: Tensor, chroma: Tensor, rounding: Rounding) -> Tensor:
    blue, red = ((chroma - 128) / _ONE).split(1, 1)
    offsets = torch.cat([91881 * red, -22554 * blue - 46802 * red, 116130 * blue], 1)
    return (luma + _rounded(offsets, rounding)).clamp(0, LEVELS)


def _subsampled(chroma: Tensor, down: int, across: int, rounding: Rounding) -> Tensor:
    """Average chrominance over `down` × `across` pixels; edges of odd sides are repeated."""
    if across == 1:
        return chroma
    height, width = chroma.shape[-2:]
    # libjpeg fills blocks up with the last column before it averages, with the last row after it.
    right = -width % (_BLOCK * across)
    padded = functional.pad(chroma, (0, right, 0, -height % down), mode="replicate")
    means = functional.avg_pool2d(padded, (down, across))
    # Halves are rounded up in every second column only, which keeps the mean.
    first = 0.25 if down == 2 else 0.0
    return _rounded(means, rounding, _alternating(means, first, 0.5))


def _upsampled(chroma: Tensor, down: int, across: int, rounding: Rounding) -> Tensor:
    """Upsample with libjpeg's triangle filter: 3/4 of the nearest value, 1/4 of the next, per axis.

    Only subsampled axes are enlarged.
    """
    if across == 1:
        return chroma
    if chroma.shape[-1] <= 2:  # too narrow for libjpeg's triangle filter
        return chroma.repeat_interleave(across, 3).repeat_interleave(down, 2)
    if down == 2:
        chroma = _doubled(chroma.transpose(2, 3)).transpose(2, 3)
    chroma = _doubled(chroma)
    biases = (0.5, 7 / 16) if down == 2 else (0.25, 0.5)
    return _rounded(chroma, rounding, _alternating(chroma, *biases))


def _doubled(rows: Tensor) -> Tensor:
    before = torch.cat([rows[..., :1], rows[..., :-1]], -1)
    after = torch.cat([rows[..., 1:], rows[..., -1:]], -1)
    pairs = torch.stack([0.75 * rows + 0.25 * before, 0.75 * rows + 0.25 * after], -1)
    return pairs.flatten(-2)


def _alternating(like: Tensor, even: float, odd: float) -> Tensor:
    columns = torch.arange(like.shape[-1], device=like.device)
    return torch.where(columns % 2 == 0, even, odd).to(like.dtype)


def _coded(plane: Tensor, table: tuple[int, ...], rounding: Rounding) -> Tensor:
    """Return planes (n, c, h, w) with the DCT of 8×8 blocks rounded to the steps of the table."""
    height, width = plane.shape[-2:]
    padding = (0, -width % _BLOCK, 0, -height % _BLOCK)
    blocks = _blocks(functional.pad(plane, padding, mode="replicate") - 128)
    basis = _basis(plane.dtype, plane.device)
    steps = plane.new_tensor(table)
    # libjpeg rounds coefficients to an eighth before it divides them.
    coefficients = _rounded(8 * (blocks @ basis.T), rounding) / (8 * steps)
    blocks = (_quantised(coefficients, rounding) * steps) @ basis
    decoded = _rounded(_joined(blocks) + 128, rounding).clamp(0, LEVELS)
    return decoded[..., :height, :width]


def _blocks(planes: Tensor) -> Tensor:
    """Cut planes (n, c, h, w) into blocks (n, c, h / 8, w / 8, 64)."""
    n, planes_each, height, width = planes.shape
    cut = planes.reshape(n, planes_each, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return cut.transpose(3, 4).flatten(4)


def _joined(blocks: Tensor) -> Tensor:
    n, planes_each, rows, columns, _ = blocks.shape
    cut = blocks.reshape(n, planes_each, rows, columns, _BLOCK, _BLOCK).transpose(3, 4)
    return cut.reshape(n, planes_each, rows * _BLOCK, columns * _BLOCK)


@cache
@torch.inference_mode(False)  # the result is cached, and backward passes use it later
def _basis(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the discrete cosine transform of a block as one orthogonal matrix (64, 64)."""
    places = torch.arange(_BLOCK, dtype=torch.float64)
    waves = torch.cos(math.pi / 16 * (2 * places + 1) * places[:, None]) / 2
    waves[0] = math.sqrt(1 / 8)
    return torch.kron(waves, waves).to(device, dtype)


def _quantised(coefficients: Tensor, rounding: Rounding) -> Tensor:
    """Round to whole numbers, halves away from zero."""
    if rounding == "none":
        return coefficients
    held = coefficients.detach()
    whole = held.sign() * (held.abs() + 0.5).floor()
    if rounding == "soft":
        return whole + _without_value((coefficients - whole) ** 3 * 4 / 3 + coefficients / 10)
    return whole + _without_value(coefficients)


def _rounded(values: Tensor, rounding: Rounding, bias: float | Tensor = 0.5) -> Tensor:
    """Round to whole numbers, by default halves up; the gradient is that of `values`."""
    if rounding == "none":
        return values
    return (values.detach() + bias).floor() + _without_value(values)


def _filed(images: Tensor, rounding: Rounding) -> Tensor:
    """Round and clip to the levels of a file; halves go to the even level, as in `to_bytes`."""
    if rounding != "none":
        images = images.detach().round() + _without_value(images)
    return images.clamp(0, LEVELS)


def _without_value(values: Tensor) -> Tensor:
    """Return exactly zero, with the gradient of `values`."""
    return values - values.detach()
