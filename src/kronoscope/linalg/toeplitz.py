"""Symmetric positive semi-definite Toeplitz matrices: products, circulant neighbours, exact draws, all by FFT."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from .draws import standard_normal

_EPS = torch.finfo(torch.float64).eps
LARGEST_ENLARGEMENT = 16


class Toeplitz:
    """Gamma_ij = c(|i - j|) of size (frames, frames), never formed.

    Args:
        frames: N.
        covariance: c at the lags 0..L-1 for any L, float64. The circulant embedding may ask for lags beyond N.
    """

    def __init__(self, frames: int, covariance: Callable[[int], Tensor]) -> None:
        self.frames = frames
        self.column = covariance(frames)
        self._covariance = covariance

    def product(self, y: Tensor) -> Tensor:
        """Gamma y along the last axis of ``y``, (..., frames)."""
        if not y.numel():  # some FFT libraries refuse an empty batch
            return y.clone()
        spectrum = torch.fft.rfft(y, n=self._length).mul_(self._spectrum)
        return torch.fft.irfft(spectrum, n=self._length)[..., : self.frames]

    @cached_property
    def circulant_values(self) -> Tensor:
        """Eigenvalues of the circulant matrix nearest to Gamma in Frobenius norm, (frames // 2 + 1,).

        They are Rayleigh quotients of Gamma at the Fourier vectors, so they lie between its extreme eigenvalues.
        Source: T. Chan, SIAM J. Sci. Stat. Comput. 9 (1988) 766, eq. (2.4).
        """
        n = self.frames
        share = torch.arange(n, dtype=torch.float64, device=self.column.device) / n
        wrapped = torch.cat([torch.zeros_like(self.column[:1]), self.column[1:].flip(0)])
        return torch.fft.rfft((1 - share) * self.column + share * wrapped).real.contiguous()

    def eigenvalue_bounds(self) -> tuple[float, float]:
        """An interval that holds all eigenvalues: those of the smallest circulant that contains Gamma.

        Gamma is a principal submatrix of it, so Cauchy's interlacing applies; the lower end is at least 0 because
        a kernel's Gamma is positive semi-definite.
        """
        values = self._embedding_values(1)
        slack = _EPS * self.frames * float(values.max())
        return max(0.0, float(values.min()) - slack), float(values.max()) + slack

    def sample(self, n: int, features: int, generator: torch.Generator) -> Tensor | None:
        """``n * features`` independent draws from N(0, Gamma), (n, features, frames), or None where no embedding is
        positive semi-definite.

        White noise with the spectrum of a circulant that contains Gamma, cut to N frames, is exact if no eigenvalue
        of the circulant is negative. Those above -frames eps max count as round-off of 0; where others are
        negative, twice the length is tried, up to 16 times.
        Source: Wood and Chan, J. Comput. Graph. Stat. 3 (1994) 409, section 3.
        """
        roots = self._embedding_roots
        if roots is None:
            return None
        drawn = torch.empty(n, features, self.frames, dtype=torch.float64, device=self.column.device)
        chunk = max(1, 2**22 // (features * len(roots)))
        for start in range(0, n, chunk):
            part = drawn[start : start + chunk]
            white = standard_normal(len(part), (features, len(roots), 2), generator, self.column.device)
            spectrum = torch.view_as_complex(white.contiguous()).mul_(roots)
            part.copy_(torch.fft.irfft(spectrum, norm="ortho")[..., : self.frames])
        return drawn

    @cached_property
    def _length(self) -> int:
        return next_fast_len(2 * self.frames - 1, real=True)

    @cached_property
    def _spectrum(self) -> Tensor:
        column = torch.zeros(self._length, dtype=torch.float64, device=self.column.device)
        column[: self.frames] = self.column
        if self.frames > 1:
            column[1 - self.frames :] = self.column[1:].flip(0)
        return torch.fft.rfft(column).real.contiguous()

    def _embedding_values(self, enlargement: int) -> Tensor:
        half = next_fast_len(max(1, enlargement * (self.frames - 1)), real=True)
        lags = self._covariance(half + 1)
        return torch.fft.rfft(torch.cat([lags, lags[1:-1].flip(0)])).real

    @cached_property
    def _embedding_roots(self) -> Tensor | None:
        """Standard deviations of the real and imaginary parts of the embedding's half spectrum."""
        enlargement = 1
        while enlargement <= LARGEST_ENLARGEMENT:
            values = self._embedding_values(enlargement)
            if float(values.min()) >= -self.frames * _EPS * float(values.max()):
                roots = torch.where(values > 0, values, 0.0).div(2).sqrt()
                roots[0], roots[-1] = roots[0] * 2**0.5, roots[-1] * 2**0.5
                return roots
            enlargement *= 2
        return None


def block_toeplitz(blocks: Tensor) -> Tensor:
    """The matrix with block C(i - j) at (i, j) and C(-m) = C(m)', (N d, N d), from ``blocks`` C(0) .. C(N-1)."""
    frames, features, _ = blocks.shape
    both = torch.cat([blocks[1:].mT.flip(0), blocks])
    steps = torch.arange(frames, device=blocks.device)
    gathered = both[steps[:, None] - steps + frames - 1]
    return gathered.permute(0, 2, 1, 3).reshape(frames * features, frames * features)
