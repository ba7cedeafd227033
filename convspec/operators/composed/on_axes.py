"""A matrix on each of some axes, the same for all that the others number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy import sparse
from torch import Tensor

from convspec.isolation import isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.composed.part_of import matrix_of
from convspec.operators.composed.product import sparse_product
from convspec.operators.linear_map import LinearMap, numpy_dtype

__all__ = ["OnAxes"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class OnAxes(LinearMap):
    """``M_1 (x) M_2 (x) ...``, most of them the identity: pooling, sampling, weights.

    Attributes:
        matrices: By axis of an image; (outputs, inputs). One or more, of one dtype.
        sizes: The shape of an image that it takes.
        relative: What each entry is off by, at most, relative to itself.
    """

    matrices: Mapping[int, Tensor]
    sizes: tuple[int, ...]
    relative: float = 0.0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an image that it takes."""
        return self.sizes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The outputs of the matrices on their axes."""
        return tuple(
            self.matrices[axis].shape[0] if axis in self.matrices else length
            for axis, length in enumerate(self.sizes)
        )

    @property
    def dtype(self) -> torch.dtype:
        """The matrices'."""
        return next(iter(self.matrices.values())).dtype

    @property
    def device(self) -> torch.device:
        """The matrices'."""
        return next(iter(self.matrices.values())).device

    @property
    def T(self) -> OnAxes:  # noqa: N802
        """Their transposes."""
        turned = {axis: matrix.mT for axis, matrix in self.matrices.items()}
        return OnAxes(turned, self.output_shape, self.relative)

    @property
    def H(self) -> OnAxes:  # noqa: N802
        """Their adjoints."""
        turned = {axis: m.mH.resolve_conj() for axis, m in self.matrices.items()}
        return OnAxes(turned, self.output_shape, self.relative)

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> OnAxes:
        """The matrices in another dtype or on another device."""
        moved = {axis: m.to(device, dtype) for axis, m in self.matrices.items()}
        return OnAxes(moved, self.sizes, self.relative)

    @property
    def _held(self) -> int:
        into, out = self.sizes, self.output_shape
        return 3 * math.prod(max(a, b) for a, b in zip(into, out, strict=True))

    def _images(self, x: Tensor) -> Tensor:
        for axis, matrix in self.matrices.items():
            last = x.movedim(1 + axis, -1) @ matrix.to(x.dtype).mT
            x = last.movedim(-1, 1 + axis)
        return x

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The Kronecker product of the matrices and identities.

        Raises:
            TooLargeError: If it may need more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        kind = numpy_dtype(self.dtype)
        found: sparse.csr_array | None = None
        shape = list(self.sizes)
        for axis, matrix in self.matrices.items():
            before, behind = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
            part = sparse.csr_array(matrix_of(matrix))
            require_bytes(
                f"the sparse matrix on axis {axis}",
                before * behind * part.nnz * (part.dtype.itemsize + 12),
                max_bytes,
                "use apply(), which needs no matrix",
            )
            whole = sparse.kron(sparse.eye_array(before, dtype=kind), part, format="csr")
            whole = sparse.csr_array(
                sparse.kron(whole, sparse.eye_array(behind, dtype=kind), format="csr")
            )
            shape[axis] = matrix.shape[0]
            done = found is None
            found = whole if done else sparse_product(whole, found, max_bytes)
        return found
