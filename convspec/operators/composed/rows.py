"""A matrix over all entries of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import sparse
from torch import Tensor

from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.composed.part_of import matrix_of
from convspec.operators.linear_map import LinearMap

__all__ = ["Rows"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Rows(LinearMap):
    """A dense matrix M: ``y = M x`` for flattened images.

    Attributes:
        matrix: (m, n).
        into: The shape of an image that it takes.
        out: The shape of an image that it gives.
        relative: What each entry is off by, at most, relative to itself.
    """

    matrix: Tensor
    into: tuple[int, ...]
    out: tuple[int, ...]
    relative: float = 0.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an image that it takes."""
        return self.into

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of an image that it gives."""
        return self.out

    @property
    def dtype(self) -> torch.dtype:
        """The matrix's."""
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        """The matrix's."""
        return self.matrix.device

    @property
    def T(self) -> Rows:  # noqa: N802
        """The transpose."""
        return Rows(self.matrix.mT, self.out, self.into, self.relative)

    @property
    def H(self) -> Rows:  # noqa: N802
        """The adjoint."""
        return Rows(self.matrix.mH.resolve_conj(), self.out, self.into, self.relative)

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Rows:
        """The matrix in another dtype or on another device."""
        return Rows(self.matrix.to(device, dtype), self.into, self.out, self.relative)

    def _images(self, x: Tensor) -> Tensor:
        rows = x.flatten(1) @ self.matrix.to(x.dtype).mT
        return rows.reshape(len(x), *self.out)

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The matrix, without its zeros.

        Raises:
            TooLargeError: If it may need more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        needed = math.prod(self.shape) * (self.dtype.itemsize + 8)
        require_bytes("the matrix in CSR format", needed, max_bytes, "use apply()")
        return sparse.csr_array(matrix_of(self.matrix))
