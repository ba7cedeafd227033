"""The geometry of a convolution: per axis, the pixel that each tap of each output reads.

Every convolution, its bias set aside, is one sum over the taps of its kernel,

    A = sum_t  K_t (x) S_1[t_1] (x) ... (x) S_d[t_d],

with ``S_j[t]`` a 0/1 matrix that has at most one 1 per row. An :class:`Axis` holds
all ``S_j[t]`` of one axis as an integer table ``source[t, o] -> pixel``, -1 where the
tap falls into zero padding. Stride, dilation, padding and input size live here and
nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from convspec.arguments import (
    group_count,
    kernel_size,
    pad_pairs,
    per_axis,
    shown,
)
from convspec.errors import GeometryError
from convspec.operators.axis import Axis
from convspec.operators.conv_arguments import ConvArguments
from convspec.operators.padding_mode import (
    mode_words,
    modes_per_axis,
    require_room,
)

__all__ = ["Axis", "ConvGeometry"]


@dataclass(frozen=True)
class ConvGeometry:
    """Channels, groups and axes of a convolution: all of it but the weight.

    Attributes:
        c_in: Input channels of the convolution.
        c_out: Output channels of the convolution.
        groups: Number of groups.
        axes: One :class:`Axis` per spatial dimension.
    """

    c_in: int
    c_out: int
    groups: int
    axes: tuple[Axis, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Input pixels per axis."""
        return tuple(axis.size for axis in self.axes)

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """Outputs per axis."""
        return tuple(axis.output for axis in self.axes)

    @cached_property
    def input_shape(self) -> tuple[int, ...]:
        """(c_in, *sizes)."""
        return (self.c_in, *self.sizes)

    @cached_property
    def output_shape(self) -> tuple[int, ...]:
        """(c_out, *outputs)."""
        return (self.c_out, *self.outputs)

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(m, n): the flattened lengths."""
        return math.prod(self.output_shape), math.prod(self.input_shape)

    @property
    def reads(self) -> int:
        """Entries of the operator, those that fall on one pixel counted apart."""
        live = math.prod(int((axis.source >= 0).sum()) for axis in self.axes)
        return self.c_out * (self.c_in // self.groups) * live

    @property
    def padding_mode(self) -> str:
        """The mode of all axes, or of each, in a word."""
        return mode_words([axis.mode for axis in self.axes])

    @classmethod
    def of(
        cls,
        weight_shape: Sequence[int],
        input_size: int | Sequence[int],
        given: ConvArguments,
    ) -> ConvGeometry:
        """The geometry of torch's layer with these arguments, refused where torch fails.

        Of a transposed layer it is that of the convolution whose transpose the layer is:
        the layer reads ``axis.output`` pixels and writes ``axis.size``.
        """
        kernel = kernel_size(weight_shape)
        dim = len(kernel)
        which = "input channels" if given.transposed else "output channels"
        groups = group_count(given.groups, weight_shape[0], which)
        modes = _modes(given, dim)
        strides = per_axis("stride", given.stride, dim, least=1)
        dilations = per_axis("dilation", given.dilation, dim, least=1)
        pads = pad_pairs(given.padding, kernel, strides, dilations, modes)
        more = per_axis("output_padding", given.output_padding, dim, least=0)
        if any(more) and not given.transposed:
            raise GeometryError(
                "output_padding is for transposed convolutions; "
                f"got {shown(given.output_padding)} with transposed=False"
            )
        sizes = per_axis("input_size", input_size, dim, least=1)
        lines = enumerate(zip(sizes, kernel, strides, dilations, pads, strict=True))
        if given.transposed:
            axes = tuple(_transposed_axis(j, *line, more[j]) for j, line in lines)
        else:
            axes = tuple(_convolution_axis(j, *line, modes[j]) for j, line in lines)
        return cls(groups * weight_shape[1], weight_shape[0], groups, axes)

    def with_sizes(self, sizes: tuple[int, ...]) -> ConvGeometry:
        """The geometry with other input sizes but the same outputs, if they allow it.

        These are the output sizes a transposed convolution can take by output padding.
        """
        axes = []
        for j, (axis, size) in enumerate(zip(self.axes, sizes, strict=True)):
            least = (
                (axis.output - 1) * axis.stride - axis.before - axis.after + axis.extent
            )
            if not least <= size < least + max(axis.stride, axis.dilation):
                raise GeometryError(
                    "the output size must be within reach of output_padding; "
                    f"axis {j} can have {least} to "
                    f"{least + max(axis.stride, axis.dilation) - 1}; got {size}"
                )
            axes.append(replace(axis, size=size))
        return replace(self, axes=tuple(axes))

    def on_torus(self) -> ConvGeometry:
        """The same kernel wrapped around this input size: n / stride outputs per axis."""
        axes = []
        for j, axis in enumerate(self.axes):
            if axis.size % axis.stride:
                raise GeometryError(
                    "a torus needs a size that the stride divides; "
                    f"axis {j} has size {axis.size} and stride {axis.stride}"
                )
            total = max(0, axis.extent - axis.stride)
            before = min(axis.before, total)
            numbers = axis.size, axis.kernel, axis.stride, axis.dilation
            pad = before, total - before
            axes.append(_convolution_axis(j, *numbers, pad, "circular"))
        return replace(self, axes=tuple(axes))


def _modes(given: ConvArguments, dim: int) -> tuple[str, ...]:
    """The padding mode of each axis; refused where a transposed convolution has none."""
    modes = modes_per_axis(given.padding_mode, dim)
    if given.transposed and {*modes} != {"zeros"}:
        raise GeometryError(
            "a transposed convolution has padding_mode='zeros' only, as in torch; "
            f"got {shown(given.padding_mode)}; for the adjoint of a {mode_words(modes)} "
            "convolution take ConvOperator(...).T"
        )
    if given.transposed and isinstance(given.padding, str):
        raise GeometryError(
            "padding of a transposed convolution must be integers; "
            f"got {shown(given.padding)}; give the amount per axis"
        )
    return modes


def _convolution_axis(
    j: int,
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    pad: tuple[int, int],
    mode: str,
) -> Axis:
    """Axis j of a convolution, with as many outputs as fit, or a refusal."""
    before, after = pad
    extent = dilation * (kernel - 1) + 1
    require_room(mode, j, size, pad)
    span = before + size + after
    if span < extent:
        raise GeometryError(
            "the padded input must be at least as long as the kernel's extent "
            f"dilation * (kernel - 1) + 1; axis {j} has {before} + {size} + {after} = "
            f"{span} padded pixels and extent {extent}; use a larger input or pad more"
        )
    output = (span - extent) // stride + 1
    return Axis(size, output, kernel, stride, dilation, before, after, mode)


def _transposed_axis(
    j: int,
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    pad: tuple[int, int],
    output_padding: int,
) -> Axis:
    """Axis j of the convolution that a layer transposes, which reads ``size`` pixels."""
    before, after = pad
    if output_padding >= max(stride, dilation):
        raise GeometryError(
            "output_padding must be smaller than stride or dilation; "
            f"axis {j} has output_padding {output_padding}, stride {stride}, "
            f"dilation {dilation}"
        )
    extent = dilation * (kernel - 1) + 1
    output = (size - 1) * stride - before - after + extent + output_padding
    if output < 1:
        raise GeometryError(
            "the output size must be at least 1; "
            f"axis {j} gives ({size} - 1) * {stride} - {before} - {after} + {extent} + "
            f"{output_padding} = {output}; use a larger input or less padding"
        )
    return Axis(output, size, kernel, stride, dilation, before, after)
