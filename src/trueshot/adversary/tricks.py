"""Edits that anybody can apply to a recapture without knowing the detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import scipy.fft
from PIL import Image
from scipy.ndimage import median_filter, uniform_filter

from trueshot.channels import Blurred, Channel, Jpeg, Resized
from trueshot.channels.base import Chain, filed
from trueshot.pixels import Bytes
from trueshot.simulation.camera import Camera, Shot, photograph
from trueshot.simulation.colour import decode_srgb
from trueshot.simulation.display import Display, stripes
from trueshot.simulation.recapture import Ambience, View, look, see_display

Floats = npt.NDArray[np.float64]

_DARKEST = 0.01  # lowest mean in linear light that the exposure is set for


@final
@dataclass(frozen=True)
class Denoised(Channel):
    """A median filter, applied to each colour channel separately.

    Args:
        side: Side of the square neighbourhood in pixels, odd.
    """

    side: int = 3

    @property
    def name(self) -> str:
        return f"median-{self.side}"

    def changed(self, pixels: Bytes) -> Bytes:
        return np.asarray(median_filter(pixels, (self.side, self.side, 1)))


@final
@dataclass(frozen=True)
class Notched(Channel):
    """A filter against moiré and grids: spectral peaks are lowered to the level around them.

    It works on the spectra of overlapping windows.

    Args:
        window: Side of a window in pixels, even.
        above: A frequency is a peak if its log amplitude exceeds the mean around it by more than
            this, in nats.
        lowest: Frequencies below this, in cycles per pixel, are left alone.
    """

    window: int = 256
    above: float = 1.5
    lowest: float = 0.04

    @property
    def name(self) -> str:
        return f"notch-{self.window}"

    def changed(self, pixels: Bytes) -> Bytes:
        half = self.window // 2
        height, width = pixels.shape[:2]
        edge = ((half, half + -height % half), (half, half + -width % half), (0, 0))
        padded = np.pad(
            pixels, edge, "reflect" if min(height, width) > self.window else "symmetric"
        )
        sine = np.sin(np.pi * (np.arange(self.window) + 0.5) / self.window)
        taper = np.outer(sine, sine)[..., None]  # squares of half-overlapping tapers sum to one
        found = np.zeros(padded.shape)
        for y in range(0, padded.shape[0] - half, half):
            for x in range(0, padded.shape[1] - half, half):
                place = np.s_[y : y + self.window, x : x + self.window]
                found[place] += taper * self._without_peaks(taper * padded[place])
        return filed(found[half : half + height, half : half + width])

    def _without_peaks(self, tile: Floats) -> Floats:
        spectrum = scipy.fft.rfft2(tile, axes=(0, 1))
        logarithms = np.log(np.abs(spectrum) + 1.0)
        around = uniform_filter(logarithms, (11, 11, 1), mode="wrap")
        down = np.abs(scipy.fft.fftfreq(self.window))[:, None]
        far = np.hypot(down, scipy.fft.rfftfreq(self.window)) >= self.lowest
        excess = np.where(far[..., None], logarithms - around, 0.0)
        spectrum *= np.where(excess > self.above, np.exp(-excess), 1.0)
        return np.asarray(scipy.fft.irfft2(spectrum, tile.shape[:2], axes=(0, 1)))


@final
@dataclass(frozen=True)
class Rephotographed(Channel):
    """A photograph of the image on a display, taken straight on and filling the frame.

    The lens is out of focus just enough to blur away the display's pixel grid, and the camera is so
    near that the picture, resized to its original size, is hardly blurred. Display and camera are
    simulated and always the same.

    Args:
        magnification: Camera pixels per display pixel; a display pixel shows one image pixel.
        defocus: Standard deviation of the lens blur, in camera pixels.
        angle: Rotation between camera and display, in degrees.
    """

    magnification: float = 1.7
    defocus: float = 1.0
    angle: float = 0.3

    @property
    def name(self) -> str:
        return "rephotographed"

    def changed(self, pixels: Bytes) -> Bytes:
        height, width = pixels.shape[:2]
        frame = (round(self.magnification * side) for side in (height, width))
        places = look(View(magnification=self.magnification, angle=self.angle), *frame)
        spare = (places.height - height, places.width - width)
        edges = [(each // 2, each - each // 2) for each in spare]
        picture = np.pad(pixels, (*edges, (0, 0)), "edge")
        camera = Camera(name="of the adversary")
        bright = max(float(decode_srgb(pixels).mean()), _DARKEST)
        shot = Shot(gain=1.0, defocus=self.defocus, brightness=bright)
        display = Display(name="of the adversary", layout=stripes())
        light = see_display(picture, display, places, camera, shot, Ambience())
        taken = Image.fromarray(photograph(light, camera, shot, np.random.default_rng(0)))
        return np.array(taken.resize((width, height), Image.Resampling.LANCZOS))


TRICKS: tuple[Channel, ...] = (
    Resized(0.7, back=False),
    Blurred(1.0),
    Denoised(3),
    Notched(),
    Jpeg(60),
    Chain((Notched(), Resized(0.7, back=False), Jpeg(75)), title="notch+resize-0.7+jpeg-75"),
    Rephotographed(),
)
"""All tricks, in order of increasing effort."""
