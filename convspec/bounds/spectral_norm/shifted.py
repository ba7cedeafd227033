"""The inverse of a torus' augmented matrix, and its compression to what was deleted.

``M = [[gamma I, C], [C^H, gamma I]]`` has the eigenvalues ``gamma +- sigma_i(C)`` and
gamma. The DFT makes it block diagonal, with blocks of the symbol F(w); with
``H = (gamma^2 - F^H F)^-1`` the solution of ``M (x, y) = (a, b)`` is

    y = H (gamma b - F^H a),   x = (a - F y) / gamma,

or the mirror of that where the rows of F are fewer. In single precision: whoever uses it
proves what comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.bounds.spectral_norm.deleted import DeletedTorus
from convspec.spectrum.envelope.torus import Turns, torus_frequencies

__all__ = ["ShiftedInverse"]


@dataclass(frozen=True)
class ShiftedInverse:
    """``M^-1`` at one level, on vectors ``(x, y)`` of outputs and pixels of the torus.

    Vectors are rows: of the whole torus (b, c_out outputs + c_in pixels), or of what was
    deleted. Real ones where the torus is real.

    Attributes:
        torus: The torus.
        gamma: The level.
        at_once: Vectors solved for together.
    """

    torus: DeletedTorus
    gamma: float
    at_once: int = 1024

    @cached_property
    def _grid(self) -> tuple[Turns, tuple[IntArray, tuple[int, ...], IntArray]]:
        """The phases, and the frequencies with them: see :func:`torus_frequencies`."""
        turns = tuple(wrap.turn for wrap in self.torus.wraps)
        is_complex = self.torus.is_complex
        return turns, torus_frequencies(self.torus.torus, turns, is_complex)

    @cached_property
    def _frequencies(self) -> tuple[Tensor, Tensor]:
        """Places on the grid of outputs, and how many each stands for; (j,)."""
        turns, (places, _, times) = self._grid
        parts = np.array([turn.denominator for turn in turns])
        shifts = np.array([turn.numerator for turn in turns])
        index = (places - shifts) // parts
        flat = np.ravel_multi_index(tuple(index.T), self.torus.torus.shape)
        return torch.as_tensor(flat), torch.as_tensor(times)

    @cached_property
    def blocks(self) -> Tensor:
        """F at the frequencies; (j, rows, columns), complex64."""
        _, (index, grid, _) = self._grid
        symbol = self.torus.torus.symbol(self.torus.weight, 1).to(torch.float32)
        return symbol.at_grid(index, grid)[:, 0]

    @cached_property
    def _solver(self) -> Tensor:
        """H of the smaller side at every frequency."""
        side = min(self.blocks.shape[1:])
        found = self.blocks.new_empty(len(self.blocks), side, side)
        # one at a time: a batch on several threads fails in some builds of torch
        for F, inverse in zip(self.blocks, found, strict=True):
            shifted = -(F @ F.mH if self._wide else F.mH @ F)
            shifted.diagonal().add_(self.gamma**2)
            torch.linalg.inv(shifted, out=inverse)
        return found

    @property
    def dtype(self) -> torch.dtype:
        """Of vectors: real ones where the torus is real."""
        return torch.complex64 if self.torus.is_complex else torch.float32

    @property
    def _wide(self) -> bool:
        return self.blocks.shape[1] < self.blocks.shape[2]

    def solve(self, rows: Tensor) -> Tensor:
        """``M^-1`` of rows over the whole torus."""
        a, b = self.split(rows)
        fa, fb = self._to_frequencies(a, False), self._to_frequencies(b, True)
        F, solver, gamma = self.blocks, self._solver, self.gamma
        if self._wide:
            x = solver @ (gamma * fa - F @ fb)
            y = (fb - _adjoint_times(F, x)) / gamma
        else:
            y = solver @ (gamma * fb - _adjoint_times(F, fa))
            x = (fa - F @ y) / gamma
        return torch.cat([self._to_rows(x, False), self._to_rows(y, True)], 1)

    def on_deleted(self, rows: Tensor) -> Tensor:
        """``(M^-1)_DD`` of rows over what was deleted."""
        return torch.cat(
            [
                self.deleted(self.solve(self.embedded(some)))
                for some in torch.split(rows, self.at_once)
            ]
        )

    def on_whole(self, rows: Tensor) -> Tensor:
        """``M^-1`` of rows over the whole torus, some at a time."""
        return torch.cat([self.solve(some) for some in torch.split(rows, self.at_once)])

    def deleted(self, rows: Tensor) -> Tensor:
        """The entries of rows over the torus that were deleted."""
        return rows[:, self.is_deleted]

    def embedded(self, rows: Tensor) -> Tensor:
        """Rows over what was deleted, with zeros elsewhere."""
        whole = rows.new_zeros(len(rows), len(self.is_deleted))
        whole[:, self.is_deleted] = rows
        return whole

    def waves_above(self, place: int, left: Tensor, right: Tensor) -> Tensor:
        """Rows ``(u, -v)`` of singular vectors of one block; (k, rows), (k, columns).

        They are eigenvectors of M of ``gamma - sigma``. Where the block stands for its
        conjugate too there are two real ones for each.
        """
        count = len(left)
        twice = int(self._frequencies[1][place])
        factors = torch.tensor([1.0, 1j][:twice], dtype=torch.complex64)
        if self.torus.is_complex:
            factors = factors[:1]
        parts = []
        for vectors, of_pixels in ((left, False), (-right, True)):
            spread = vectors.new_zeros(
                len(self.blocks), vectors.shape[1], count * len(factors)
            )
            spread[place] = torch.cat([vectors * f for f in factors]).T
            parts.append(self._to_rows(spread, of_pixels))
        return torch.cat(parts, 1)

    @cached_property
    def is_deleted(self) -> Tensor:
        """Which entries of a row were deleted; bool."""
        c_out, c_in = self.torus.channels
        outputs = (~self.torus.outputs).flatten().repeat(c_out)
        return torch.cat([outputs, (~self.torus.pixels).flatten().repeat(c_in)])

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (b, c_out, *shape) and pixels (b, c_in, *sizes) of rows."""
        torus = self.torus
        first = torus.channels[0] * torus.outputs.numel()
        outputs, pixels = rows[:, :first], rows[:, first:]
        return (
            outputs.reshape(len(rows), torus.channels[0], *torus.outputs.shape),
            pixels.reshape(len(rows), torus.channels[1], *torus.pixels.shape),
        )

    @cached_property
    def _twist(self) -> Tensor:
        """``exp(-i phi o / M)`` over the outputs of the torus; (*shape), complex64."""
        found = torch.ones((), dtype=torch.complex128)
        for size, wrap in zip(self.torus.torus.shape, self.torus.wraps, strict=True):
            angle = -2 * math.pi * float(wrap.turn) / size
            angles = angle * torch.arange(size, dtype=torch.float64)
            found = found[..., None] * torch.polar(torch.ones_like(angles), angles)
        twist: Tensor = found.to(torch.complex64)
        return twist

    def _to_frequencies(self, images: Tensor, of_pixels: bool) -> Tensor:
        """(b, c, *sizes) -> (j, c s, b)."""
        torus, dim = self.torus.torus, len(self.torus.wraps)
        if of_pixels:
            images = _phases_first(images, torus.shape, torus.strides)
        axes = tuple(range(-dim, 0))
        waves = torch.fft.fftn(images * self._twist, dim=axes, norm="ortho")
        flat = waves.flatten(2)[..., self._frequencies[0]]  # (b, c s, j)
        found: Tensor = flat.permute(2, 1, 0).contiguous()
        return found

    def _to_rows(self, waves: Tensor, of_pixels: bool) -> Tensor:
        """(j, c s, b) -> rows (b, ...); a real torus has the conjugates beside them."""
        places, times = self._frequencies
        torus, dim = self.torus.torus, len(self.torus.wraps)
        count, channels = waves.shape[2], waves.shape[1]
        full = waves.new_zeros(count, channels, math.prod(torus.shape))
        full[..., places] = (waves * times[:, None, None]).permute(2, 1, 0)
        axes = tuple(range(-dim, 0))
        images = torch.fft.ifftn(
            full.reshape(count, channels, *torus.shape), dim=axes, norm="ortho"
        )
        images = images * self._twist.conj()
        if not self.torus.is_complex:
            images = images.real
        if of_pixels:
            images = _pixels_first(images, torus.shape, torus.strides)
        rows: Tensor = images.flatten(1)
        return rows


def _adjoint_times(F: Tensor, x: Tensor) -> Tensor:
    """``F^H x`` of every block, without a conjugate of F in memory."""
    return (x.mH @ F).mH


def _phases_first(
    images: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor:
    """Pixels ``s y + r`` by phase: (b, c, *sizes) -> (b, c s, *shape)."""
    dim = len(shape)
    pairs = [n for pair in zip(shape, strides, strict=True) for n in pair]
    split = images.reshape(*images.shape[:2], *pairs)
    order = [0, 1, *range(3, 3 + 2 * dim, 2), *range(2, 2 + 2 * dim, 2)]
    return split.permute(order).reshape(len(images), -1, *shape)


def _pixels_first(
    images: Tensor, shape: tuple[int, ...], strides: tuple[int, ...]
) -> Tensor:
    """The mirror of :func:`_phases_first`: (b, c s, *shape) -> (b, c, *sizes)."""
    dim = len(shape)
    split = images.reshape(len(images), -1, *strides, *shape)
    order = [0, 1]
    for j in range(dim):
        order += [2 + dim + j, 2 + j]
    sizes = [n * s for n, s in zip(shape, strides, strict=True)]
    return split.permute(order).reshape(len(images), -1, *sizes)
