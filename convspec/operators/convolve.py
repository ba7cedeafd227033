"""A x and A^T y without a matrix: torch's convolutions around the padding map.

Kernels: arguments are trusted. ``weight`` is (c_out, c_in / groups, *kernel).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from convspec.operators.geometry import ConvGeometry

__all__ = ["convolve", "convolve_transpose", "product_bytes"]

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def product_bytes(geometry: ConvGeometry, weight: Tensor) -> int:
    """What a product with one image takes beside the image and the result, at most.

    The image padded or the gradient of that, twice; and, as torch multiplies it in double
    precision, one group unfolded: each of its outputs with all that it reads.
    """
    axes = geometry.axes
    spans = math.prod(axis.before + axis.size + axis.after for axis in axes)
    taps = math.prod(axis.kernel for axis in axes)
    outputs = math.prod(geometry.outputs)
    unfolded = weight.shape[1] * taps * outputs if taps > 1 else 0
    results = geometry.c_in * spans + geometry.c_out * outputs
    return weight.element_size() * (2 * results + unfolded)


def convolve(x: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """A x for images (batch, c_in, *sizes) -> (batch, c_out, *outputs)."""
    axes = geometry.axes
    y = _CONV[len(axes)](
        _extend(x, geometry),  # (batch, c_in, *spans)
        weight,
        stride=[axis.stride for axis in axes],
        padding=_native(geometry),
        dilation=[axis.dilation for axis in axes],
        groups=geometry.groups,
    )
    # a transposed layer with output_padding >= stride keeps fewer outputs than fit
    for j, axis in enumerate(axes):
        y = y.narrow(2 + j, 0, axis.output)
    return y


def convolve_transpose(y: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """A^T y for images (batch, c_out, *outputs) -> (batch, c_in, *sizes)."""
    axes = geometry.axes
    z = _CONV_TRANSPOSE[len(axes)](
        y,
        weight,
        stride=[axis.stride for axis in axes],
        padding=_native(geometry),
        # padded pixels behind the last one that any kept output reads
        output_padding=[
            axis.before
            + axis.size
            + axis.after
            - (axis.output - 1) * axis.stride
            - axis.extent
            for axis in axes
        ],
        dilation=[axis.dilation for axis in axes],
        groups=geometry.groups,
    )
    return _fold(z, geometry)


def _native(geometry: ConvGeometry) -> list[int]:
    """The part of zero padding that torch's convolution does by itself, per axis."""
    return [
        min(axis.before, axis.after) if axis.mode == "zeros" else 0
        for axis in geometry.axes
    ]


def _extend(x: Tensor, geometry: ConvGeometry) -> Tensor:
    """The padding map P, less its native part: sizes become spans."""
    excess: list[int] = []
    for j, (axis, native) in enumerate(
        zip(geometry.axes, _native(geometry), strict=True)
    ):
        if axis.mode == "zeros":
            excess = [axis.before - native, axis.after - native, *excess]
        elif axis.before or axis.after:
            x = x.index_select(2 + j, torch.as_tensor(axis.padded, device=x.device))
    return F.pad(x, excess) if any(excess) else x


def _fold(z: Tensor, geometry: ConvGeometry) -> Tensor:
    """P^T, the adjoint of :func:`_extend`: each padded pixel adds to the one it shows."""
    for j, (axis, native) in enumerate(
        zip(geometry.axes, _native(geometry), strict=True)
    ):
        if axis.mode == "zeros":
            z = z.narrow(2 + j, axis.before - native, axis.size)
        elif axis.before or axis.after:
            shape = list(z.shape)
            shape[2 + j] = axis.size
            index = torch.as_tensor(axis.padded, device=z.device)
            z = z.new_zeros(shape).index_add(2 + j, index, z)
    return z
