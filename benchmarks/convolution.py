"""The convolution whose matrix is built, and the judge of such a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

__all__ = ["Convolution", "as_float64"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Convolution:
    """A float32 Conv2d of stride 1 with a square kernel on a square image.

    Attributes:
        weight: (c_out, c_in, kernel, kernel).
        size: Input pixels per axis.
        padding: Zeros on each side of each axis.
    """

    weight: Tensor
    size: int
    padding: int

    @classmethod
    def random(cls, channels: int, size: int, kernel: int, padding: int) -> Convolution:
        """A convolution with normal weights, as many channels out as in."""
        generator = torch.Generator().manual_seed(0)
        weight = torch.randn(channels, channels, kernel, kernel, generator=generator)
        return cls(weight, size, padding)

    @property
    def channels(self) -> tuple[int, int]:
        """(c_out, c_in)."""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def kernel(self) -> int:
        """Taps per axis."""
        return self.weight.shape[2]

    @property
    def output(self) -> int:
        """Outputs per axis."""
        return self.size + 2 * self.padding - self.kernel + 1

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): the lengths of a flattened output and input."""
        c_out, c_in = self.channels
        return c_out * self.output**2, c_in * self.size**2

    def __str__(self) -> str:
        c_out, c_in = self.channels
        return (
            f"Conv2d {c_in} -> {c_out}, {self.size} x {self.size} image, "
            f"{self.kernel} x {self.kernel} kernel, padding {self.padding}, "
            f"{str(self.weight.dtype).removeprefix('torch.')}"
        )

    def images(self, columns: range) -> Tensor:
        """The one-hot images of some columns, (columns, c_in, size, size)."""
        flat = self.weight.new_zeros(len(columns), self.shape[1])
        flat[torch.arange(len(columns)), torch.arange(columns.start, columns.stop)] = 1
        return flat.reshape(len(columns), self.channels[1], self.size, self.size)

    def apply(self, image: FloatArray, weight: Tensor | None = None) -> FloatArray:
        """conv2d of a flattened image in float64, flattened."""
        kernel = (self.weight if weight is None else weight).double()
        batch = torch.from_numpy(image).reshape(1, -1, self.size, self.size)
        output: FloatArray = functional.conv2d(
            batch, kernel, padding=self.padding
        ).numpy()
        return output.reshape(-1)

    def product_error(self, matrix: Any) -> float:
        """Worst error of matrix times random image over its rounding bound.

        The product is taken in float64 and compared with conv2d in float64. Entry by
        entry both lie within ``(terms + 1) eps / 2 * |A| |x|`` of the exact product if
        the matrix holds the weight's entries unchanged, so that the two differ by at
        most twice that; ``eps`` is float64's. The matrix may be the first rows or the
        first columns of the whole one.
        """
        rows, columns = matrix.shape
        image = np.random.default_rng(0).standard_normal(self.shape[1])
        image[columns:] = 0
        expected = self.apply(image)[:rows]
        terms = self.weight[0].numel() + 1
        bound = self.apply(np.abs(image), self.weight.abs())[:rows]
        allowed = terms * np.finfo(np.float64).eps * bound + np.finfo(np.float64).tiny
        product = as_float64(matrix) @ image[:columns]
        return float((np.abs(product - expected) / allowed).max())

    def entries(self, rows: int, columns: int) -> int:
        """Number of entries in the first rows and the first columns of the matrix."""
        image = np.zeros(self.shape[1])
        image[:columns] = 1
        return int(self.apply(image, torch.ones_like(self.weight))[:rows].sum())


def as_float64(matrix: Any) -> Any:
    """A dense matrix as a float64 NumPy array; a sparse one as it is."""
    if sparse.issparse(matrix):
        return matrix
    return np.asarray(matrix, dtype=np.float64)
