"""A convolution on the torus: its weight, its exact singular values, and their judge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt
import torch
from scipy.linalg import svd
from torch import Tensor

from convspec import ConvOperator

__all__ = ["EPS", "FloatArray", "HalfSpectrum", "TorusLayer"]

FloatArray = npt.NDArray[np.float64]
ComplexArray = npt.NDArray[np.complex128]
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class HalfSpectrum:
    """Singular values at one of each pair of frequencies, and how many it stands for.

    Attributes:
        values: (frequencies, values per frequency).
        multiplicity: (frequencies,).
    """

    values: FloatArray
    multiplicity: npt.NDArray[np.int64]

    @property
    def all(self) -> FloatArray:
        """Every value as often as it occurs, descending."""
        every = np.repeat(self.values, self.multiplicity, axis=0)
        return np.sort(every.reshape(-1))[::-1]


@dataclass(frozen=True, eq=False)
class TorusLayer:
    """A circular float64 convolution of a square kernel on a square image.

    Attributes:
        weight: (c_out, c_in, kernel, kernel).
        size: Input pixels per axis, a multiple of the stride.
        stride: Pixels per output.
    """

    weight: Tensor
    size: int
    stride: int = 1

    @classmethod
    def random(
        cls, c_out: int, c_in: int, kernel: int, size: int, stride: int = 1, seed: int = 0
    ) -> TorusLayer:
        """Normal weights of variance ``1 / (c_in kernel^2)``."""
        generator = torch.Generator().manual_seed(seed)
        shape = (c_out, c_in, kernel, kernel)
        weight = torch.randn(shape, generator=generator, dtype=torch.float64)
        return cls(weight / math.sqrt(weight[0].numel()), size, stride)

    @property
    def array(self) -> FloatArray:
        """The weight as an array that shares its memory."""
        array: FloatArray = self.weight.numpy()
        return array

    @property
    def kernel(self) -> int:
        """Taps per axis."""
        return self.weight.shape[2]

    @property
    def frequencies(self) -> int:
        """Outputs per axis, of which the torus has as many frequencies."""
        return self.size // self.stride

    def __str__(self) -> str:
        c_out, c_in = self.weight.shape[:2]
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return (
            f"Conv2d {c_in} -> {c_out}, {self.size} x {self.size} image, "
            f"{self.kernel} x {self.kernel} kernel{stride}, circular, float64"
        )

    def operator(self) -> ConvOperator:
        """The layer, padded like a layer that keeps the size up to its stride."""
        return ConvOperator(
            self.weight,
            self.size,
            stride=self.stride,
            padding=self.kernel // 2,
            padding_mode="circular",
        )

    def half(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """One of each pair of frequencies as integers (j, 2), and its multiplicity."""
        n = self.frequencies
        grid = np.indices((n, n)).reshape(2, -1).T
        mirror = -grid % n
        here, there = grid @ [n, 1], mirror @ [n, 1]
        keep = here <= there
        return grid[keep], np.where(here == there, 1, 2)[keep]

    def blocks(self, index: npt.NDArray[np.int64]) -> ComplexArray:
        """The blocks of A at some frequencies, straight from the definition.

        ``B_j = [F(2 pi (j + a n / s) / n)]_a / s`` side by side for a in ``Z_s^2``, with
        ``F(w) = sum_t K_t exp(i <t, w>)`` summed tap by tap.

        Args:
            index: (j, 2).

        Returns:
            (j, c_out, s^2 c_in).
        """
        n, s = self.size, self.stride
        c_out, c_in = self.weight.shape[:2]
        blocks = np.zeros((s * s, len(index), c_out, c_in), dtype=np.complex128)
        aliases = product(range(s), repeat=2)
        for block, alias in zip(blocks, aliases, strict=True):
            points = index + np.array(alias) * self.frequencies
            for a, b in product(range(self.kernel), repeat=2):
                turns = points @ [a, b] % n
                wave = np.exp(2j * math.pi * turns / n)
                block += wave[:, None, None] * self.array[:, :, a, b]
        side_by_side: ComplexArray = blocks.transpose(1, 2, 0, 3)
        return side_by_side.reshape(len(index), c_out, -1) / s

    @cached_property
    def exact(self) -> FloatArray:
        """All singular values, descending, by SciPy's LAPACK from :meth:`blocks`.

        No method under test makes its blocks so.
        """
        index, multiplicity = self.half()
        rows = []
        for some in np.array_split(index, max(1, len(index) // 64)):
            rows += [_values(block) for block in self.blocks(some)]
        return HalfSpectrum(np.array(rows), multiplicity).all

    def error(self, values: FloatArray) -> float:
        """Worst error of all values over ``(max(rows, columns) + taps) eps sigma_1``.

        Rows and columns are those of a block: the size of an SVD's backward error, and
        the tolerance of ``numpy.linalg.matrix_rank``. Taps are summed to evaluate it.
        """
        exact = self.exact
        if values.shape != exact.shape:
            return math.inf
        c_out, c_in = self.weight.shape[:2]
        roundings = max(c_out, c_in * self.stride**2) + self.kernel**2
        allowed = roundings * EPS * exact[0]
        found = np.sort(values)[::-1]
        return float(np.abs(found - exact).max() / allowed)


def _values(block: ComplexArray) -> FloatArray:
    values: FloatArray = svd(block, compute_uv=False, lapack_driver="gesvd")
    return values
