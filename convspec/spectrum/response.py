"""The singular values of the symbol over the frequency square: what a layer amplifies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from convspec.arguments import per_axis
from convspec.arrays import FloatArray
from convspec.frequency.conjugate import conjugate_half
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.normal import without_overflow
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.symbol import Symbol
from convspec.rounding.blocks import (
    block_bytes,
    block_values,
    blocks_at_once,
)

__all__ = ["FrequencyResponse", "frequency_response"]

# frequencies per axis, by the number of axes
GRIDS = {1: 512, 2: 64, 3: 24}


class Located(Protocol):
    """What was found at a frequency, :class:`convspec.bounds.WorstCase` for one."""

    @property
    def frequency(self) -> tuple[float, ...]:
        """In radians, one number per axis."""


@isolated_class
@dataclass(frozen=True, eq=False)
class FrequencyResponse:
    """``sigma_i(F(w))`` at the frequencies ``w = 2 pi j / N`` from -pi on.

    They are samples: the supremum over all frequencies may lie between them, and is
    enclosed by :func:`convspec.worst_case_norm`.

    Attributes:
        values: (N_1, ..., N_d, c), descending in the last axis, all groups together.
        symmetric: Whether w and -w have the same values, as with real weights.
    """

    values: FloatArray
    symmetric: bool = True

    @property
    def dim(self) -> int:
        """Number of frequency variables."""
        return self.values.ndim - 1

    @property
    def frequencies(self) -> tuple[FloatArray, ...]:
        """Per axis the sampled frequencies in radians, ascending from -pi."""
        return tuple(2 * math.pi / n * _centred(n) for n in self.values.shape[:-1])

    def maximum(self, index: int = 0) -> float:
        """The largest sampled ``sigma_{index + 1}``."""
        return float(self.values[..., index].max())

    def maximiser(self, index: int = 0) -> tuple[float, ...]:
        """The sampled frequency where ``sigma_{index + 1}`` is largest, in radians."""
        values = self.values[..., index]
        place = np.unravel_index(int(values.argmax()), values.shape)
        return tuple(
            float(axis[j]) for axis, j in zip(self.frequencies, place, strict=True)
        )

    def place(
        self, worst: Located, near: tuple[float, ...] | None = None
    ) -> tuple[float, ...]:
        """Where a worst case of this layer lies among these frequencies, from -pi on.

        With dilation it repeats, and this is the place nearest to 0.

        Args:
            worst: The worst case.
            near: Of w and -w, where both have the same values, the one that is nearer
                to this frequency.

        Raises:
            ValueError: If it has not as many frequencies.
        """
        if len(worst.frequency) != self.dim:
            raise ValueError(
                f"the worst case must have {self.dim} frequencies; "
                f"got {worst.frequency}; give worst_case_norm of the same layer"
            )
        turns = list(worst.frequency)
        if near is not None and self.symmetric:
            turns = min(turns, [-turn for turn in turns], key=lambda w: _apart(w, near))
        # from -pi on, as the samples
        return tuple(-math.pi if turn >= math.pi - 1e-9 else turn for turn in turns)

    def __repr__(self) -> str:
        grid = " x ".join(map(str, self.values.shape[:-1]))
        return (
            f"<FrequencyResponse at {grid} frequencies: {self.values.shape[-1]} singular "
            f"values, the largest {self.maximum():.6g}>"
        )


@isolated
def frequency_response(
    op: ConvOperator,
    grid: int | Sequence[int] | None = None,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> FrequencyResponse:
    """``sigma_i(F(w))``, all i, on a grid of the frequency square ``[-pi, pi)^d``.

    F is the symbol of the layer (:meth:`ConvOperator.symbol`), what it does far from
    any border: a wave of frequency w is amplified by at most ``sigma_1(F(w))``. The
    input size does not matter.

    Args:
        op: Any operator.
        grid: Frequencies per axis, or one number for all; by default 512, 64 x 64 or
            24 x 24 x 24. Even numbers hold the corners -pi.
        max_bytes: Byte limit of the result.

    Raises:
        GeometryError: If grid is not one positive integer per axis.
        TooLargeError: If the result needs more than ``max_bytes``.

    Example:
        >>> import torch, convspec as cs
        >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
        >>> response = cs.frequency_response(cs.ConvOperator(laplacian, 9, padding=1), 4)
        >>> response.values[:, 0].round(12)  # 2 - 2 cos w, from w = -pi
        array([4., 2., 0., 2.])
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "frequency_response")
    work, exponent = without_overflow(op)
    symbol = work.symbol()
    if grid is None:
        grid = GRIDS[symbol.dim]
    sizes = per_axis("grid", grid, symbol.dim, least=1)
    each = symbol.groups * min(symbol.block_shape)
    needed = (24 * each + 32 * symbol.dim) * math.prod(sizes)
    needed += block_bytes(symbol.groups, symbol.block_shape)
    require_bytes(
        f"{each} singular values at {math.prod(sizes)} frequencies",
        needed,
        max_bytes,
        "take a smaller grid",
    )
    # where nothing depends on a frequency, one will do
    flat = [bool(span == 0) for span in np.ptp(symbol.lags, axis=0)]
    used = tuple(1 if idle else n for idle, n in zip(flat, sizes, strict=True))
    values = np.broadcast_to(
        _centred_values(symbol, used, max_bytes - needed), (*sizes, each)
    )
    with np.errstate(over="ignore"):  # beyond float64 a value is inf
        values = np.ldexp(values, exponent)
    symmetric = not symbol.coefficients.is_complex()
    return FrequencyResponse(np.ascontiguousarray(values), symmetric)


def _centred_values(symbol: Symbol, sizes: tuple[int, ...], free: int) -> FloatArray:
    """(*sizes, c), with frequencies from -pi on, in chunks of so many free bytes."""
    each = symbol.groups * min(symbol.block_shape)
    index, _ = conjugate_half(sizes, symbol.coefficients.is_complex())
    values = np.empty((*sizes, each))
    at_once = blocks_at_once(symbol.groups, symbol.block_shape, free)
    for first in range(0, len(index), at_once):
        chunk = index[first : first + at_once]
        found = block_values(symbol.at_grid(chunk, sizes)).flatten(1).cpu().numpy()
        found = -np.sort(-found.astype(np.float64), axis=1)
        if not symbol.coefficients.is_complex():  # F(-w) is the conjugate of F(w)
            values[tuple((-chunk % np.array(sizes)).T)] = found
        values[tuple(chunk.T)] = found
    order = np.ix_(*(_centred(n) % n for n in sizes))
    centred: FloatArray = values[order]
    return centred


def _apart(first: Sequence[float], second: Sequence[float]) -> float:
    """The squared distance of two frequencies on the torus."""
    return sum(
        math.remainder(a - b, 2 * math.pi) ** 2
        for a, b in zip(first, second, strict=True)
    )


def _centred(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The integers of n frequencies around 0: -n/2, ..., n/2 - 1, or to (n - 1)/2."""
    return np.arange(count, dtype=np.int64) - count // 2
