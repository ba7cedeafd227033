"""The identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy import sparse
from torch import Tensor

from convspec.arguments import is_integer, shown
from convspec.errors import GeometryError
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.linear_map import LinearMap, numpy_dtype

__all__ = ["Identity", "identity"]


@isolated_class
@dataclass(frozen=True, eq=False, repr=False)
class Identity(LinearMap):
    """Every image as it is.

    Attributes:
        sizes: The shape of an image.
        kind: The dtype.
        where: The device.
    """

    sizes: tuple[int, ...]
    kind: torch.dtype
    where: torch.device

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return self.sizes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of an image."""
        return self.sizes

    @property
    def dtype(self) -> torch.dtype:
        """As it was made."""
        return self.kind

    @property
    def device(self) -> torch.device:
        """As it was made."""
        return self.where

    @property
    def T(self) -> Identity:  # noqa: N802
        """Itself."""
        return self

    @property
    def H(self) -> Identity:  # noqa: N802
        """Itself."""
        return self

    def to(
        self,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Identity:
        """The identity in another dtype or on another device."""
        where = self.where if device is None else torch.device(device)
        return Identity(self.sizes, dtype or self.kind, where)

    def _images(self, x: Tensor) -> Tensor:
        return x

    def to_sparse(self, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> sparse.csr_array:
        """The identity matrix.

        Raises:
            TooLargeError: If it needs more than ``max_bytes``.
        """
        max_bytes = byte_limit(max_bytes)
        side = self.shape[0]
        what = f"the sparse identity of {side} entries"
        require_bytes(what, 24 * side, max_bytes, "use apply()")
        return sparse.csr_array(sparse.eye_array(side, dtype=numpy_dtype(self.dtype)))


@isolated
def identity(
    of: LinearMap | Sequence[int],
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
) -> Identity:
    """The identity on images of a shape, or on what a map takes.

    Args:
        of: The shape of an image, or a map: its input shape, dtype and device.
        dtype: Of its numbers; float64 for a shape unless told.
        device: Where they are; the CPU for a shape unless told.

    Raises:
        GeometryError: If the shape is not positive integers.

    >>> import torch, convspec as cs
    >>> blur = cs.ConvOperator(torch.tensor([[[1.0, 2.0, 1.0]]]), 3, padding=1)
    >>> (identity(blur) - blur / 4).to_dense()
    tensor([[ 0.5000, -0.2500,  0.0000],
            [-0.2500,  0.5000, -0.2500],
            [ 0.0000, -0.2500,  0.5000]])
    """
    if isinstance(of, LinearMap):
        where = of.device if device is None else torch.device(device)
        return Identity(of.input_shape, dtype or of.dtype, where)
    sizes = tuple(of) if isinstance(of, list | tuple) else ()
    if not sizes or not all(is_integer(n) and n > 0 for n in sizes):
        raise GeometryError(
            "identity takes a map or the shape of an image, positive integers such as "
            f"(3, 32, 32); got {shown(of)}"
        )
    plain = tuple(int(n) for n in sizes)
    where = torch.device("cpu" if device is None else device)
    return Identity(plain, dtype or torch.float64, where)
