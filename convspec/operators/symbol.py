"""The symbol: the matrix-valued trigonometric polynomial of a convolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convspec.arguments import per_axis
from convspec.arrays import IntArray
from convspec.errors import GeometryError
from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.autocorrelation import half_coefficients
from convspec.operators.lags import LagPairs
from convspec.rounding.waves import rational_waves, wave_sums

__all__ = ["Symbol"]

# waves that are held at a time: angles, cosines and sines
WAVE_BYTES = 2**24


@isolated_class
class Symbol:
    """``F(w) = sum_q C_q exp(i <q, w>)``, one (rows, columns) block per group.

    On an endless input the convolution acts on ``exp(i <p, w>) v`` as multiplication of
    v by F(w). With stride s each axis is split into its s phases, which become
    channels: columns are (C_in / groups, phase_1, ..., phase_d), flattened.

    Attributes:
        coefficients: (groups, rows, columns, lags), float64 or complex128.
        lags: The integer vectors q; (lags, d).
    """

    def __init__(self, coefficients: Tensor, lags: IntArray) -> None:
        self.coefficients = coefficients
        self.lags = lags

    @classmethod
    def of_taps(
        cls,
        weight: Tensor,
        groups: int,
        offsets: Sequence[IntArray],
        strides: Sequence[int],
    ) -> Symbol:
        """The symbol of ``y[p] = sum_t K_t x[s p + offset_t]``; differentiable.

        Args:
            weight: (C_out, C_in / groups, *kernel).
            groups: Number of groups.
            offsets: Per axis the pixel that each tap of output 0 reads; (k_j,).
            strides: Stride per axis.
        """
        weight = weight.to(torch.complex128 if weight.is_complex() else torch.float64)
        grids = np.meshgrid(*offsets, indexing="ij") if offsets else []
        lag = [grid.reshape(-1) // s for grid, s in zip(grids, strides, strict=True)]
        taps = math.prod(weight.shape[2:])
        phase = np.zeros(taps, dtype=np.int64)
        for grid, s in zip(grids, strides, strict=True):
            phase = phase * s + grid.reshape(-1) % s
        lags, which = np.unique(
            np.reshape(lag, (len(grids), taps)).T, axis=0, return_inverse=True
        )
        phases, count = math.prod(strides), len(lags)
        place = torch.as_tensor(phase * count + which.reshape(-1), device=weight.device)
        c_out, c = weight.shape[:2]
        split = weight.new_zeros((c_out, c, phases * count))
        split = split.index_add(2, place, weight.reshape(c_out, c, taps))
        shape = (groups, c_out // groups, c * phases, count)
        return cls(split.reshape(shape), lags.astype(np.int64))

    @classmethod
    def of_kernel(
        cls,
        weight: Tensor,
        groups: int,
        strides: Sequence[int],
        taps: Sequence[IntArray] | None = None,
    ) -> Symbol:
        """The symbol with the fewest lags, ``ceil(k / stride)``; differentiable.

        Dilation is left out: it permutes frequencies, once strides share no factor with
        it. With a stride beyond the kernel every tap is a phase of its own.

        Args:
            weight: (C_out, C_in / groups, *kernel).
            groups: Number of groups.
            strides: Phases per axis, coprime to the dilation.
            taps: Per axis the places of the weight's taps in the kernel, ascending from
                0; (k_j,). Without a gap unless told.
        """
        taps = taps or [np.arange(k) for k in weight.shape[2:]]
        phases = [min(s, int(t[-1]) + 1) for s, t in zip(strides, taps, strict=True)]
        return cls.of_taps(weight, groups, taps, phases)

    @property
    def dim(self) -> int:
        """Number of frequency variables d."""
        return int(self.lags.shape[1])

    @property
    def groups(self) -> int:
        """Number of diagonal blocks."""
        return self.coefficients.shape[0]

    @property
    def block_shape(self) -> tuple[int, int]:
        """(rows, columns) of each block."""
        return self.coefficients.shape[1], self.coefficients.shape[2]

    def at(
        self,
        frequencies: Tensor | npt.ArrayLike,
        *,
        max_bytes: Bytes = DEFAULT_MAX_BYTES,
    ) -> Tensor:
        """F at given frequencies.

        Args:
            frequencies: (j, d) in radians.
            max_bytes: Byte limit of the result.

        Returns:
            (j, groups, rows, columns), complex of the coefficients' precision.

        Raises:
            GeometryError: If frequencies is not (j, d).
            TooLargeError: If the result needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        points = torch.as_tensor(
            frequencies, dtype=torch.float64, device=self.coefficients.device
        )
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise GeometryError(
                f"frequencies must have shape (j, {self.dim}), in radians; "
                f"got {tuple(points.shape)}"
            )
        self._guard(len(points), max_bytes)
        lags = torch.as_tensor(self.lags.T, device=points.device).to(points)
        return self._in_chunks(
            lambda some: self._sums(_waves(points[some] @ lags)), len(points)
        )

    def grid(
        self, shape: int | Sequence[int], *, max_bytes: Bytes = DEFAULT_MAX_BYTES
    ) -> Tensor:
        """F on the torus grid ``w_j = 2 pi j / N``.

        Args:
            shape: (N_1, ..., N_d), or one N for all axes. Lags are reduced modulo N, so
                a kernel larger than the grid is folded onto it, never cropped.
            max_bytes: Byte limit of the result.

        Returns:
            (N_1, ..., N_d, groups, rows, columns), complex128.

        Raises:
            GeometryError: If the shape is not d positive integers.
            TooLargeError: If the result needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        sizes = per_axis("shape", shape, self.dim, least=1)
        count = math.prod(sizes)
        self._guard(count, max_bytes)
        index = np.indices(sizes).reshape(self.dim, count).T
        return self.at_grid(index, sizes).reshape(*sizes, self.groups, *self.block_shape)

    def at_grid(self, index: IntArray, sizes: Sequence[int]) -> Tensor:
        """F at ``w = 2 pi index / sizes`` for integer rows of index (j, d).

        Phases are reduced in integers first, so they carry no error from large angles.
        """
        return self._in_chunks(
            lambda some: self._at_places(index[some], sizes), len(index)
        )

    def _at_places(self, index: IntArray, sizes: Sequence[int]) -> Tensor:
        """:meth:`at_grid` for frequencies that are few enough to be done at once."""
        wave = rational_waves(self.lags, index, sizes)
        return self._sums(wave.to(self.coefficients.device))

    def _in_chunks(self, evaluate: Callable[[slice], Tensor], points: int) -> Tensor:
        """All values of F, so many at a time that their waves take a few megabytes."""
        size = max(1, WAVE_BYTES // (32 * len(self.lags)))
        if points <= size:
            return evaluate(slice(None))
        chunks = (slice(first, first + size) for first in range(0, points, size))
        if self.coefficients.requires_grad:
            return torch.cat([evaluate(some) for some in chunks])
        kind = self.coefficients.dtype.to_complex()
        shape = points, self.groups, *self.block_shape
        values = torch.empty(shape, dtype=kind, device=self.coefficients.device)
        for some in chunks:
            values[some] = evaluate(some)
        return values

    def _sums(self, wave: Tensor) -> Tensor:
        """``sum_q C_q wave[j, q]``: (j, lags) -> (j, groups, rows, columns)."""
        flat = self.coefficients.flatten(0, 1)  # (groups * rows, columns, lags)
        values = wave_sums(flat, wave.to(flat.dtype.to_complex()))
        return values.reshape(len(wave), self.groups, *self.block_shape)

    def _guard(self, points: int, max_bytes: int) -> None:
        """Refuse values at so many frequencies that need more than ``max_bytes``."""
        needed = 16 * points * self.groups * math.prod(self.block_shape)
        require_bytes(
            f"the symbol at {points} frequencies",
            needed,
            max_bytes,
            "ask for fewer frequencies at a time",
        )

    def to(self, dtype: torch.dtype) -> Symbol:
        """The symbol with coefficients in float32 or float64, or their complex kin."""
        kin = dtype.to_complex() if self.coefficients.is_complex() else dtype.to_real()
        return Symbol(self.coefficients.to(kin), self.lags)

    def transpose(self) -> Symbol:
        """The transposed operator's symbol, ``F(-w)^T``: ``F(w)^H`` for real weights."""
        return Symbol(self.coefficients.transpose(1, 2), -self.lags)

    def gram(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> Symbol:
        """The symbol of A^H A, ``F(w)^H F(w) = sum_q G_q exp(i <q, w>)``.

        ``G_q = sum_p C_p^H C_{p+q}``, (columns, columns) per group.

        Raises:
            TooLargeError: If its coefficients need more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        pairs = LagPairs.of(self.lags)
        columns = self.block_shape[1]
        lags = np.concatenate((-pairs.lags[:0:-1], pairs.lags))
        shape = (len(lags), self.groups, columns, columns)
        needed = math.prod(shape) * self.coefficients.element_size()
        instead = "take the Gram of single values of at()"
        require_bytes("the Gram symbol", needed, max_bytes, instead)
        # of F^T, whose Gram polynomial is the transpose of F^H F
        half = half_coefficients(self.coefficients.transpose(1, 2), pairs)
        middle = half[:1].mT + half[:1].conj()
        gram = torch.cat((half[1:].flip(0).conj(), middle, half[1:].mT))
        return Symbol(gram.permute(1, 2, 3, 0), lags)

    def __repr__(self) -> str:
        rows, columns = self.block_shape
        blocks = f"{self.groups} blocks of " if self.groups > 1 else ""
        return f"<Symbol in {self.dim} frequencies: {blocks}{rows} x {columns}>"


def _waves(angle: Tensor) -> Tensor:
    """``exp(i angle)``, entry by entry."""
    return torch.complex(angle.cos(), angle.sin())
