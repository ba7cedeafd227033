"""The nearest circular operator whose singular values are in an interval, exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.arguments import shown, single
from convspec.errors import GeometryError
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.axis import Axis
from convspec.operators.operator import ConvOperator, require_operator
from convspec.rounding.scaling import ldexp, real_parts

__all__ = ["clip_spectrum"]

# the kernel, its values, their singular vectors and what they are multiplied to
HELD = 6


@isolated
def clip_spectrum(
    op: ConvOperator,
    lower: float = 0.0,
    upper: float = math.inf,
    *,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> ConvOperator:
    """The nearest operator, in the Frobenius norm, with all values in [lower, upper].

    The singular values of a block-circulant operator are clipped at each of its
    frequencies, which by Mirsky's theorem gives the nearest of all matrices whose
    min(m, n) values are there. The result is circular with the same stride and groups,
    and a kernel as large as the image: no smaller one has these values. For a kernel of
    the same support there is :func:`convspec.clip`.

    Args:
        op: A convolution that is closed along all axes: circular padding that keeps the
            size, which the stride divides; a transposed one too.
        lower: Least singular value; lifted values keep their vectors, of which those
            of 0 are chosen.
        upper: Largest singular value.
        max_bytes: Byte limit of the kernel and its symbol.

    Returns:
        The operator in the dtype of ``op``, which rounds its values; take
        ``op.to(torch.float64)`` for 15 digits.

    Raises:
        TypeError: If op is no :class:`ConvOperator`.
        GeometryError: If it is not block circulant.
        ValueError: If lower is negative or infinite, or more than upper.
        TooLargeError: If it needs more than ``max_bytes``.

    Source: Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR
    2019; Mirsky, "Symmetric gauge functions and unitarily invariant norms", Quart. J.
    Math. 11, 1960.

    Example:
        >>> import torch, convspec as cs
        >>> kernel = torch.tensor([[[1.0, 2.0, 1.0]]], dtype=torch.float64)
        >>> op = cs.ConvOperator(kernel, 4, padding=1, padding_mode="circular")
        >>> [round(value, 12) for value in cs.spectrum(op).values.tolist()]
        [4.0, 2.0, 2.0, 0.0]
        >>> found = cs.clip_spectrum(op, 1.0, 3.0)
        >>> [round(value, 12) for value in cs.spectrum(found).values.tolist()]
        [3.0, 2.0, 2.0, 1.0]
    """
    require_operator(op, "clip_spectrum")
    _check(lower, upper)
    for j, axis in enumerate(op.geometry.axes):
        _require_closed(j, axis)
    sizes = op.geometry.sizes
    needed = 16 * HELD * math.prod(op.weight.shape[:2]) * math.prod(sizes)
    instead = "use clip, which keeps the kernel's support"
    require_bytes("the clipped kernel", needed, byte_limit(max_bytes), instead)
    wide = torch.complex128 if op.dtype.is_complex else torch.float64
    weight = op.weight.detach().to(wide)
    exponent = math.frexp(float(real_parts(weight).abs().max()))[1]
    kernel = _around(ldexp(weight, -exponent), op.geometry.axes)
    strides = [axis.stride for axis in op.geometry.axes]
    ends = math.ldexp(lower, -exponent), _ldexp(upper, -exponent)
    kernel = _clipped(kernel, op.groups, strides, *ends)
    found = ConvOperator(
        ldexp(kernel, exponent).to(op.dtype),
        sizes,
        bias=None,
        stride=strides,
        padding=[_pads(axis) for axis in op.geometry.axes],
        groups=op.groups,
        padding_mode="circular",
    )
    found = found.T if op.transposed else found
    found.bias = None if op.bias is None else op.bias.detach()
    return found


def _clipped(
    kernel: Tensor, groups: int, strides: list[int], lower: float, upper: float
) -> Tensor:
    """A kernel as large as the image, its symbol clipped frequency by frequency."""
    c_out, c, *sizes = kernel.shape
    d = len(sizes)
    grid = [n // s for n, s in zip(sizes, strides, strict=True)]
    split = [number for pair in zip(grid, strides, strict=True) for number in pair]
    taps = kernel.reshape(groups, c_out // groups, c, *split)
    waves = [3 + 2 * j for j in range(d)]
    phases = [4 + 2 * j for j in range(d)]
    order = [*waves, 0, 1, 2, *phases]
    values = torch.fft.fftn(taps, dim=waves).permute(order)
    shape = values.shape
    blocks = values.reshape(math.prod(grid), groups, c_out // groups, -1)
    blocks = _each(blocks, grid, not kernel.is_complex(), lower, upper)
    values = blocks.reshape(shape).permute([order.index(j) for j in range(3 + 2 * d)])
    found: Tensor = torch.fft.ifftn(values, dim=waves).reshape(kernel.shape)
    return found if kernel.is_complex() else found.real


def _each(
    blocks: Tensor, grid: list[int], real: bool, lower: float, upper: float
) -> Tensor:
    """The blocks with clipped values; those of conjugate frequencies are conjugate.

    Vectors of a multiple value, 0 above all, are a choice, which is made once for both.
    """
    if not real:
        return _with_values(blocks, lower, upper)
    places = np.arange(math.prod(grid))
    index = np.unravel_index(places, grid)
    opposite = [-i % n for i, n in zip(index, grid, strict=True)]
    mirror = np.ravel_multi_index(opposite, grid)
    first, alone = (
        torch.from_numpy(np.flatnonzero(some))
        for some in (places < mirror, places == mirror)
    )
    there = torch.from_numpy(mirror)[first]
    found = torch.empty_like(blocks)
    some = _with_values(blocks[first], lower, upper)
    found[first], found[there] = some, some.conj()
    found[alone] = _with_values(blocks[alone].real, lower, upper).to(found.dtype)
    return found


def _with_values(blocks: Tensor, lower: float, upper: float) -> Tensor:
    left, values, right = torch.linalg.svd(blocks, full_matrices=False)
    found: Tensor = (left * values.clamp(lower, upper)[..., None, :]) @ right
    return found


def _around(weight: Tensor, axes: tuple[Axis, ...]) -> Tensor:
    """The taps at what output 0 reads, on a kernel as large as the image."""
    for j, axis in enumerate(axes):
        live = np.flatnonzero(axis.live)
        places = (axis.source[live, 0] + _pads(axis)[0]) % axis.size
        shape = list(weight.shape)
        shape[2 + j] = axis.size
        chosen = weight.index_select(2 + j, torch.as_tensor(live, device=weight.device))
        where = torch.as_tensor(places, device=weight.device)
        weight = weight.new_zeros(shape).index_add(2 + j, where, chosen)
    return weight


def _pads(axis: Axis) -> tuple[int, int]:
    """Of a kernel as large as the image, output 0 in its middle."""
    total = axis.size - axis.stride
    return total // 2, total - total // 2


def _require_closed(j: int, axis: Axis) -> None:
    """Refuse an axis along which the operator does not commute with shifts."""
    reads = axis.source[axis.live]
    shifts = axis.stride * np.arange(axis.output)
    whole = axis.output * axis.stride == axis.size
    shifted = (reads[:, :1] + shifts) % axis.size
    if whole and (reads >= 0).all() and (reads == shifted).all():
        return
    raise GeometryError(
        "clip_spectrum takes operators that are block circulant, with circular padding "
        f"that keeps the size and a stride that divides it; axis {j} has {axis.output} "
        f"outputs of {axis.size} pixels at stride {axis.stride}, with padding "
        f"({axis.before}, {axis.after}) {axis.mode}; use clip, or take op.circular()"
    )


def _check(lower: float, upper: float) -> None:
    single("lower", lower)
    single("upper", upper)
    if not 0 <= lower < math.inf:
        raise ValueError(f"lower must be a number from 0 up; got {shown(lower)}")
    if not lower <= upper:
        raise ValueError(
            f"upper must be at least lower = {shown(lower)}; got {shown(upper)}"
        )


def _ldexp(value: float, exponent: int) -> float:
    return value if math.isinf(value) else math.ldexp(value, exponent)
