"""A x and A^T y without a matrix: torch's convolutions around the padding map.

Kernels: arguments are trusted. ``weight`` is (c_out, c_in / groups, *kernel).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from convspec.operators.geometry import ConvGeometry

__all__ = ["convolve", "convolve_transpose", "product_bytes"]

# torch multiplies in double precision by unfolding a whole batch, each output with all
# that it reads: so many bytes at a time, which is faster too, as they stay in caches
CHUNK_BYTES = 2**23

_CONV: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


def product_bytes(geometry: ConvGeometry, weight: Tensor, images: int = 1) -> int:
    """What a product with some images takes beside them and the results, at most.

    Images padded or the gradients of that, twice; and what torch unfolds. The allocator
    keeps more than one such piece.
    """
    at_once = min(images, _images_at_once(geometry, weight))
    spans = math.prod(axis.span for axis in geometry.axes)
    results = geometry.c_in * spans + geometry.c_out * math.prod(geometry.outputs)
    unfolded = min(at_once * _unfolded_bytes(geometry, weight), CHUNK_BYTES)
    return 2 * at_once * weight.element_size() * results + 2 * unfolded


def _unfolded_bytes(geometry: ConvGeometry, weight: Tensor) -> int:
    """Bytes of one image and one group unfolded: each output with all that it reads."""
    taps = math.prod(axis.kernel for axis in geometry.axes)
    reads = weight.shape[1] * taps * math.prod(geometry.outputs)
    return weight.element_size() * reads if taps > 1 else 0


def _images_at_once(geometry: ConvGeometry, weight: Tensor) -> int:
    """How many images may be unfolded at a time, at least one."""
    return max(1, CHUNK_BYTES // max(1, _unfolded_bytes(geometry, weight)))


def convolve(x: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """A x for images (batch, c_in, *sizes) -> (batch, c_out, *outputs)."""
    return _in_pieces(_convolved, x, weight, geometry)


def convolve_transpose(y: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """A^T y for images (batch, c_out, *outputs) -> (batch, c_in, *sizes)."""
    return _in_pieces(_transposed, y, weight, geometry)


def _in_pieces(
    product: Callable[[Tensor, Tensor, ConvGeometry, int], Tensor],
    images: Tensor,
    weight: Tensor,
    geometry: ConvGeometry,
) -> Tensor:
    """The products with all images: some, or stripes of one, at a time."""
    outputs = geometry.outputs[0]
    if weight.dtype not in (torch.float64, torch.complex128) or images.is_cuda:
        return product(images, weight, geometry, outputs)
    each = _unfolded_bytes(geometry, weight)
    if len(images) * each <= CHUNK_BYTES:
        return product(images, weight, geometry, outputs)
    rows = min(outputs, max(1, CHUNK_BYTES * outputs // each))
    some = torch.split(images, _images_at_once(geometry, weight))
    parts = [product(x, weight, geometry, rows) for x in some]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _convolved(x: Tensor, weight: Tensor, geometry: ConvGeometry, rows: int) -> Tensor:
    """A x, so many rows of outputs at a time."""
    axes, native = geometry.axes, _native(geometry, rows)
    x = _extend(x, geometry, native)  # (batch, c_in, *spans)
    parts = [
        _CONV[len(axes)](
            part,
            weight,
            stride=[axis.stride for axis in axes],
            padding=native,
            dilation=[axis.dilation for axis in axes],
            groups=geometry.groups,
        )
        for part in _stripes(x, geometry, rows)
    ]
    y = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    # a transposed layer with output_padding >= stride keeps fewer outputs than fit
    for j, axis in enumerate(axes):
        y = y.narrow(2 + j, 0, axis.output)
    return y


def _stripes(x: Tensor, geometry: ConvGeometry, rows: int) -> Iterator[Tensor]:
    """What so many rows of outputs read of a padded image, with an overlap."""
    axis = geometry.axes[0]
    if rows == axis.output:
        yield x
        return
    for first in range(0, axis.output, rows):
        count = min(rows, axis.output - first)
        reach = (count - 1) * axis.stride + axis.extent
        yield x.narrow(2, first * axis.stride, reach)


def _transposed(y: Tensor, weight: Tensor, geometry: ConvGeometry, rows: int) -> Tensor:
    """A^T y, so many rows of outputs at a time: what they add to overlaps."""
    axes, native = geometry.axes, _native(geometry, rows)
    first = axes[0]
    # padded pixels behind the last one that any kept output reads
    behind = [axis.span - (axis.output - 1) * axis.stride - axis.extent for axis in axes]

    def product(part: Tensor, output_padding: list[int]) -> Tensor:
        """What some rows of outputs add to the padded pixels."""
        return _CONV_TRANSPOSE[len(axes)](
            part,
            weight,
            stride=[axis.stride for axis in axes],
            padding=native,
            output_padding=output_padding,
            dilation=[axis.dilation for axis in axes],
            groups=geometry.groups,
        )

    if rows == first.output:
        return _fold(product(y, behind), geometry, native)
    z: Tensor | None = None
    for start in range(0, first.output, rows):
        count = min(rows, first.output - start)
        added = product(y.narrow(2, start, count), [0, *behind[1:]])
        if z is None:
            z = added.new_zeros(*added.shape[:2], first.span, *added.shape[3:])
        z.narrow(2, start * first.stride, added.shape[2]).add_(added)
    assert z is not None
    return _fold(z, geometry, native)


def _native(geometry: ConvGeometry, rows: int) -> list[int]:
    """The part of zero padding that torch's convolution does by itself, per axis."""
    striped = [rows < geometry.outputs[0], *[False] * (len(geometry.axes) - 1)]
    return [
        min(axis.before, axis.after) if axis.mode == "zeros" and not apart else 0
        for axis, apart in zip(geometry.axes, striped, strict=True)
    ]


def _extend(x: Tensor, geometry: ConvGeometry, native: list[int]) -> Tensor:
    """The padding map P, less its native part: sizes become spans."""
    excess: list[int] = []
    for j, (axis, done) in enumerate(zip(geometry.axes, native, strict=True)):
        if axis.mode == "zeros":
            excess = [axis.before - done, axis.after - done, *excess]
            continue
        excess = [0, 0, *excess]
        if axis.before or axis.after:
            x = x.index_select(2 + j, torch.as_tensor(axis.padded, device=x.device))
    return F.pad(x, excess) if any(excess) else x


def _fold(z: Tensor, geometry: ConvGeometry, native: list[int]) -> Tensor:
    """P^T, the adjoint of :func:`_extend`: each padded pixel adds to the one it shows."""
    for j, (axis, done) in enumerate(zip(geometry.axes, native, strict=True)):
        if axis.mode == "zeros":
            z = z.narrow(2 + j, axis.before - done, axis.size)
        elif axis.before or axis.after:
            shape = list(z.shape)
            shape[2 + j] = axis.size
            index = torch.as_tensor(axis.padded, device=z.device)
            z = z.new_zeros(shape).index_add(2 + j, index, z)
    return z
