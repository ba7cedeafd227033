"""Products with the inverse of a square map, by factors of its blocks or its matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.inverse.blocks import Part
from convspec.inverse.columns import along
from convspec.inverse.form import Form
from convspec.operators.linear_map import LinearMap
from convspec.rounding.scaling import ldexp
from convspec.spectrum.krylov.inverse import pixel_major

__all__ = [
    "BlockFactors",
    "Inverse",
    "Scaled",
    "SparseFactors",
    "lu_flops",
    "square_blocks",
]

# of an SVD with vectors an LU takes this part
LU = 1 / 18


class Inverse(Protocol):
    """What solves with a map and with its adjoint, for images of the map's dtype."""

    def solve(self, y: Tensor) -> Tensor:
        """About ``A^-1 y``; (b, *output_shape) -> (b, *input_shape)."""

    def adjoint(self, x: Tensor) -> Tensor:
        """About ``A^-H x``; (b, *input_shape) -> (b, *output_shape)."""


@dataclass(frozen=True)
class Scaled:
    """The inverse of a map by that of ``2^-exponent A``.

    Attributes:
        of_scaled: That one.
        exponent: Of the scaling.
    """

    of_scaled: Inverse
    exponent: int

    def solve(self, y: Tensor) -> Tensor:
        """``A^-1 y``."""
        return ldexp(self.of_scaled.solve(y), -self.exponent)

    def adjoint(self, x: Tensor) -> Tensor:
        """``A^-H x``."""
        return ldexp(self.of_scaled.adjoint(x), -self.exponent)


def lu_flops(form: Form) -> float:
    """Estimated operations of the factors of all blocks."""
    return LU * form.flops


@dataclass(frozen=True)
class BlockFactors:
    """The factors of each block of a form.

    Attributes:
        form: The map in blocks, square ones that leave out no pixel and no output.
        factors: ``lu, pivots`` of each factor of each part.
    """

    form: Form
    factors: tuple[list[tuple[Tensor, Tensor]], ...]

    @classmethod
    def of(cls, form: Form) -> BlockFactors | None:
        """The factors; None if a block is singular."""
        found = []
        for part in form.parts:
            pairs = []
            for factor in form.factors(part):
                lu, pivots, info = torch.linalg.lu_factor_ex(factor)
                if bool(info.any()):
                    return None
                pairs.append((lu, pivots))
            found.append(pairs)
        return cls(form, tuple(found))

    def solve(self, y: Tensor) -> Tensor:
        """``A^-1 y``."""
        return self._by(y, True)

    def adjoint(self, x: Tensor) -> Tensor:
        """``A^-H x``."""
        return self._by(x, False)

    def _by(self, images: Tensor, left: bool) -> Tensor:
        columns = []
        for pairs, (_, found) in zip(
            self.factors, self.form.taken(images, left), strict=True
        ):
            for i, (lu, pivots) in enumerate(pairs):
                found = along(found, i, len(pairs), _Solve(lu, pivots, not left))
            columns.append(found)
        return self.form.image(columns, len(images), not left)


@dataclass(frozen=True)
class _Solve:
    lu: Tensor
    pivots: Tensor
    adjoint: bool

    def __call__(self, columns: Tensor) -> Tensor:
        solved: Tensor = torch.linalg.lu_solve(
            self.lu, self.pivots, columns, adjoint=self.adjoint
        )
        return solved


def square_blocks(form: Form) -> bool:
    """Whether every block is square and they take all pixels and all outputs."""
    if any(part.widths(True) != part.widths(False) for part in form.parts):
        return False
    size = sum(_size(part) for part in form.parts)
    return size == form.op.shape[0] == form.op.shape[1]


def _size(part: Part) -> int:
    frequencies = int(part.frequencies.stands_for.sum())
    return part.groups * frequencies * part.copies * math.prod(part.widths(True))


class SparseFactors:
    """A sparse LU of the matrix, pixel by pixel, all channels of one together.

    Args:
        op: In double precision.

    Raises:
        RuntimeError: If a pivot is exactly zero.
    """

    def __init__(self, op: LinearMap) -> None:
        self._op = op
        shapes = op.output_shape, op.input_shape
        self._rows, self._columns = map(pixel_major, shapes)
        matrix = op.to_sparse(max_bytes=math.inf)
        matrix = matrix[self._rows][:, self._columns].tocsc()
        self.factor: Any = scipy.sparse.linalg.splu(matrix, permc_spec="COLAMD")

    def solve(self, y: Tensor) -> Tensor:
        """``A^-1 y``."""
        return self._by(y, "N", self._rows, self._columns, self._op.input_shape)

    def adjoint(self, x: Tensor) -> Tensor:
        """``A^-H x``."""
        return self._by(x, "H", self._columns, self._rows, self._op.output_shape)

    def _by(
        self,
        images: Tensor,
        how: str,
        given: IntArray,
        wanted: IntArray,
        shape: tuple[int, ...],
    ) -> Tensor:
        right = np.asfortranarray(images.flatten(1).numpy(force=True)[:, given].T)
        solved = self.factor.solve(right, how)
        rows = np.empty_like(solved.T, order="C")
        rows[:, wanted] = solved.T
        return torch.from_numpy(rows).to(images).reshape(len(images), *shape)
