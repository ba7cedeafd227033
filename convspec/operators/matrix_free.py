"""The part of an operator that needs no matrix: shapes, products, transposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from convspec.isolation import isolated_class
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.convolve import convolve, convolve_transpose, product_bytes
from convspec.operators.geometry import ConvGeometry
from convspec.operators.linear_map import LinearMap
from convspec.operators.padding_mode import PaddingMode

__all__ = ["MatrixFree"]

Map = TypeVar("Map", bound="MatrixFree")


@isolated_class
class MatrixFree(LinearMap):
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
            extras.append(f"padding {pads} {self.geometry.padding_mode}")
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

    def with_padding_mode(self: Map, padding_mode: PaddingMode) -> Map:
        """The same kernel, bias and amounts of padding in another padding mode.

        Args:
            padding_mode: As :class:`convspec.ConvOperator` takes it.

        Raises:
            GeometryError: If it is none of them, or cannot pad so much.

        >>> from convspec import ConvOperator
        >>> op = ConvOperator(torch.tensor([[[1.0, 2.0, 3.0]]]), 3, padding=1)
        >>> op.with_padding_mode("circular").to_dense()
        tensor([[2., 3., 1.],
                [1., 2., 3.],
                [3., 1., 2.]])
        """
        geometry = self.geometry
        given = ConvArguments(
            tuple(axis.stride for axis in geometry.axes),
            tuple((axis.before, axis.after) for axis in geometry.axes),
            tuple(axis.dilation for axis in geometry.axes),
            geometry.groups,
            padding_mode,
        )
        other = ConvGeometry.of(self.weight.shape, geometry.sizes, given)
        axes = tuple(
            replace(axis, mode=new.mode)
            for axis, new in zip(geometry.axes, other.axes, strict=True)
        )
        return self._of(
            self.weight, replace(geometry, axes=axes), self.transposed, self.bias
        )

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

    def _images(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype)
        kernel = convolve_transpose if self.transposed else convolve
        return kernel(x, weight, self.geometry)

    @property
    def _held(self) -> int:
        """Numbers held while one image passes, what torch unfolds included."""
        unfolded = product_bytes(self.geometry, self.weight) // self.weight.element_size()
        return 2 * sum(self.shape) + unfolded

    def operands(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Input images, checked, and the weight, both in their common dtype."""
        x = self._checked(name, x)
        return x, self.weight.to(x.dtype)
