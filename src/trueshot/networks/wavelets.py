"""Wavelet noise residuals: the noise that camera and compression leave, without the scene.

Source: Mihçak, Kozintsev, Ramchandran, Moulin 1999, "Low-complexity image denoising based on
statistical modeling of wavelet coefficients", as image forensics uses it (Lukáš, Fridrich, Goljan
2006): four levels of the 8-tap Daubechies wavelet; the variance of a coefficient, the smallest of
those estimated in windows of side 3 to 9; and Wiener shrinkage. The image is continued periodically
(a choice of ours).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# The orthonormal scaling filter of Daubechies 1988 with four vanishing moments.
_SCALING = (
    *(0.2303778133088965, 0.7148465705529157, 0.6308807679298589, -0.0279837694168599),
    *(-0.1870348117190931, 0.0308413818355607, 0.0328830116668852, -0.0105974017850690),
)
_WINDOWS = (3, 5, 7, 9)
_LEVELS = 4


class NoiseResidual(nn.Module):
    """Grey levels (n, 1, side, side) minus their denoised version.

    Args:
        side: Height and width of the images. Each wavelet level halves it, up to four times, as
            long as it is even and no less than the 8 taps of the filter.
        deviation: Standard deviation of the noise to extract, in levels.

    Raises:
        ValueError: `side` is odd or below 8.
    """

    def __init__(self, side: int, deviation: float = 5.0) -> None:
        super().__init__()
        self.variance = deviation**2
        self.levels = 0
        while self.levels < _LEVELS and side % 2 == 0 and side >= len(_SCALING):
            self.register_buffer(f"transform{self.levels}", _transform(side), persistent=False)
            side //= 2
            self.levels += 1
        if not self.levels:
            raise ValueError(f"side must be even and at least 8, got {side}")

    def forward(self, planes: Tensor) -> Tensor:
        return self._noise(planes, 0)

    def _noise(self, planes: Tensor, level: int) -> Tensor:
        """Keep only the noise in the wavelet coefficients, and transform it back to pixels."""
        if level == self.levels:
            return torch.zeros_like(planes)
        transform: Tensor = getattr(self, f"transform{level}")
        coefficients = transform @ planes @ transform.T
        half = len(transform) // 2
        upper, lower = coefficients.split(half, 2)
        (smooth, across), (down, both) = upper.split(half, 3), lower.split(half, 3)
        rows = [
            torch.cat([self._noise(smooth, level + 1), self._taken_away(across)], 3),
            torch.cat([self._taken_away(down), self._taken_away(both)], 3),
        ]
        return transform.T @ torch.cat(rows, 2) @ transform

    def _taken_away(self, details: Tensor) -> Tensor:
        """Return the part that a Wiener filter removes: details · σ₀² / (σ² + σ₀²)."""
        squares = details.square()
        means = [
            functional.avg_pool2d(squares, window, 1, window // 2, count_include_pad=False)
            for window in _WINDOWS
            if window <= 2 * int(details.shape[2]) - 1
        ]
        signal = means[0]
        for mean in means[1:]:
            signal = torch.minimum(signal, mean)
        return details * (self.variance / ((signal - self.variance).clamp(min=0) + self.variance))


def _transform(side: int) -> Tensor:
    """Return one wavelet level as an orthogonal matrix: smooth coefficients, then details."""
    matrix = torch.zeros(side, side, dtype=torch.float64)
    taps = len(_SCALING)
    for row in range(side // 2):
        for tap, value in enumerate(_SCALING):
            matrix[row, (2 * row + tap) % side] += value
            mirrored = _SCALING[taps - 1 - tap]
            matrix[side // 2 + row, (2 * row + tap) % side] += (-1) ** tap * mirrored
    return matrix.float()
