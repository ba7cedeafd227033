"""The part of an operator that needs no matrix: shapes, products, transposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from convspec.errors import GeometryError
from convspec.isolation import isolated_class
from convspec.operators.convolve import convolve, convolve_transpose
from convspec.operators.geometry import ConvGeometry

__all__ = ["MatrixFree"]

Map = TypeVar("Map", bound="MatrixFree")


@isolated_class
class MatrixFree:
    """A weight and a geometry as a linear map on images.

    Attributes:
        weight: (C_out, C_in / groups, *kernel) of the convolution.
        bias: One number per output channel, or None.
        geometry: Of the convolution.
        transposed: Whether the map is the transpose of that convolution.
    """

    weight: Tensor
    bias: Tensor | None
    geometry: ConvGeometry
    transposed: bool

    @classmethod
    def _of(
        cls: type[Map],
        weight: Tensor,
        geometry: ConvGeometry,
        transposed: bool,
        bias: Tensor | None = None,
    ) -> Map:
        """An operator from parts that were checked before."""
        op = cls.__new__(cls)
        op.weight, op.bias = weight, bias
        op.geometry, op.transposed = geometry, transposed
        return op

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C_in, *size)."""
        found = self.geometry
        return found.output_shape if self.transposed else found.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(C_out, *size)."""
        found = self.geometry
        return found.input_shape if self.transposed else found.output_shape

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): the lengths of a flattened output and input."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def dtype(self) -> torch.dtype:
        """The weight's dtype."""
        return self.weight.dtype

    @property
    def device(self) -> torch.device:
        """The weight's device."""
        return self.weight.device

    @property
    def groups(self) -> int:
        """Number of groups: the diagonal blocks of A."""
        return self.geometry.groups

    def __repr__(self) -> str:
        def size(numbers: Sequence[int]) -> str:
            return "x".join(map(str, numbers))

        axes = self.geometry.axes
        extras = [
            f"{name} {size(values)}"
            for name, values, usual in (
                ("stride", [a.stride for a in axes], 1),
                ("dilation", [a.dilation for a in axes], 1),
                ("groups", [self.groups], 1),
            )
            if any(value != usual for value in values)
        ]
        if any(a.before or a.after for a in axes):
            pads = ", ".join(
                str(a.before) if a.before == a.after else f"({a.before}, {a.after})"
                for a in axes
            )
            extras.append(f"padding {pads} {axes[0].mode}")
        kind = "transposed " if self.transposed else ""
        return (
            f"<ConvOperator {self.shape[0]} x {self.shape[1]}: {kind}"
            f"{size(self.input_shape)} -> {size(self.output_shape)}, "
            f"kernel {size([a.kernel for a in axes])}"
            f"{''.join(', ' + extra for extra in extras)}, {self.dtype}>"
        )

    def to(
        self: Map,
        dtype: torch.dtype | None = None,
        device: str | torch.device | None = None,
    ) -> Map:
        """The same operator in another dtype or on another device."""
        bias = None if self.bias is None else self.bias.to(device, dtype)
        weight = self.weight.to(device, dtype)
        return self._of(weight, self.geometry, self.transposed, bias)

    def with_weight(self: Map, weight: Tensor) -> Map:
        """The map of another weight of the same shape, without a bias."""
        return self.with_geometry(weight, self.geometry)

    def with_geometry(self: Map, weight: Tensor, geometry: ConvGeometry) -> Map:
        """The map of another weight and the geometry that fits it, without a bias."""
        return self._of(weight, geometry, self.transposed)

    @property
    def T(self: Map) -> Map:  # noqa: N802
        """A^T as an operator, with zero offset: the adjoint, for real weights."""
        return self._of(self.weight, self.geometry, not self.transposed)

    @property
    def H(self: Map) -> Map:  # noqa: N802
        """The adjoint A^H as an operator, with zero offset; ``T`` for real weights."""
        return self._of(
            self.weight.conj().resolve_conj(), self.geometry, not self.transposed
        )

    def apply(self, x: Tensor) -> Tensor:
        """A x on images, matrix-free and without the bias; differentiable.

        Args:
            x: (..., *input_shape); with the weight's dtype or one to promote to.

        Returns:
            (..., *output_shape).

        Raises:
            GeometryError: If x does not end in ``input_shape``.
        """
        return self._product("x", x)

    def _product(self, name: str, x: Tensor) -> Tensor:
        """A x on images; ``name`` is what messages call x."""
        x, weight = self.operands(name, x)
        lead = x.shape[: x.ndim - len(self.input_shape)]
        images = x.reshape(math.prod(lead), *self.input_shape)
        kernel = convolve_transpose if self.transposed else convolve
        return kernel(images, weight, self.geometry).reshape(*lead, *self.output_shape)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y on images (A^H y for complex weights), the exact adjoint; differentiable.

        ``<A x, y> = <x, A^T y>`` to rounding, strides with a remainder included.

        Args:
            y: (..., *output_shape).

        Returns:
            (..., *input_shape).

        Raises:
            GeometryError: If y does not end in ``output_shape``.
        """
        return self.H._product("y", y)

    def __matmul__(self, v: Tensor) -> Tensor:
        """A v for a flattened vector (n,) or a block of columns (n, j)."""
        if not isinstance(v, Tensor):
            raise TypeError(
                f"op @ v takes a torch.Tensor; got {type(v).__name__}; "
                "for NumPy arrays use op.to_scipy() @ v"
            )
        if v.ndim not in (1, 2) or v.shape[0] != self.shape[1]:
            raise GeometryError(
                f"op @ v takes a vector ({self.shape[1]},) or a block "
                f"({self.shape[1]}, j); got shape {tuple(v.shape)}; "
                "for images use op.apply(x)"
            )
        rows = v.T if v.ndim == 2 else v  # (j, n)
        lead = rows.shape[:-1]
        result = self.apply(rows.reshape(*lead, *self.input_shape))
        return result.reshape(*lead, self.shape[0]).T if v.ndim == 2 else result.flatten()

    def operands(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Input images, checked, and the weight, both in their common dtype."""
        shape = self.input_shape
        if not isinstance(x, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor; got {type(x).__name__}")
        if tuple(x.shape[max(0, x.ndim - len(shape)) :]) != shape:
            raise GeometryError(
                f"{name} must have shape (..., {', '.join(map(str, shape))}); "
                f"got {tuple(x.shape)}"
            )
        dtype = torch.promote_types(x.dtype, self.dtype)
        return x.to(dtype), self.weight.to(dtype)
