"""Averages and interpolation: the same matrix for every channel, one for each axis.

Pooling and interpolation act on each axis by itself, so their matrices are what torch
makes of the unit vectors of one axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from convspec.network.kinds import Axes, Kind
from convspec.network.nodes.given import Given
from convspec.rounding.directed import gamma

__all__ = ["READERS"]

# roundings of an average or an interpolation of few entries
ROUNDINGS = 16


def _average(given: Given) -> Kind:
    """``avg_pool``, also of partial windows."""
    spatial = given.name[-2]
    dim = int(spatial)
    named = given.named
    kernel = _each(named["kernel_size"], dim)
    stride = _each(named["stride"] or kernel, dim)
    padding = _each(named["padding"], dim)
    override = named.get("divisor_override")
    counted = bool(named["count_include_pad"])
    shape = given.data[0].shape
    matrices: dict[int, Tensor] = {}
    for j in range(dim):
        axis = len(shape) - dim + j
        window = kernel[j], stride[j], padding[j], bool(named["ceil_mode"]), counted
        matrices[axis] = _matrix(
            partial(_averaged, window=window),
            shape[axis],
        )
    if override is not None:  # sums over windows, whole or not, by one number
        matrices = {axis: (m != 0).to(m.dtype) for axis, m in matrices.items()}
        last = len(shape) - 1
        matrices[last] = matrices[last] / override
    return Axes(matrices, gamma(ROUNDINGS))


def _averaged(x: Tensor, window: tuple[int, int, int, bool, bool]) -> Tensor:
    return functional.avg_pool1d(x, *window)


def _adaptive(given: Given) -> Kind:
    sizes = given.named["output_size"]
    dim = len(sizes)
    shape = given.data[0].shape
    matrices = {
        len(shape) - dim + j: _matrix(
            partial(functional.adaptive_avg_pool1d, output_size=size),
            shape[len(shape) - dim + j],
        )
        for j, size in enumerate(sizes)
    }
    return Axes(matrices, gamma(ROUNDINGS))


def _interpolated(given: Given) -> Kind:
    """``upsample_linear``, ``bilinear``, ``bicubic`` and ``trilinear``.

    One axis is interpolated as the middle one of an image that is constant along a
    second axis, which interpolation leaves constant.
    """
    named, shape = given.named, given.data[0].shape
    cubic = "bicubic" in given.name
    aten = torch.ops.aten
    interpolate = aten.upsample_bicubic2d if cubic else aten.upsample_bilinear2d
    sizes = given.event.outputs[0].shape[2:]
    scales = _scales(named, len(sizes))
    matrices: dict[int, Tensor] = {}
    for j, size in enumerate(sizes):
        length = shape[2 + j]

        def rows(x: Tensor, size: int = size, scale: float | None = scales[j]) -> Tensor:
            image = x[:, :, :, None].expand(-1, -1, -1, 4)
            made: Tensor = interpolate(
                image, [size, 4], named["align_corners"], scale, None
            )
            return made[..., 0]

        matrices[2 + j] = _matrix(rows, length)
    return Axes(matrices, gamma(ROUNDINGS))


def _scales(named: dict[str, object], dim: int) -> Sequence[float | None]:
    """The scale of each axis as it was given, which moves what is read."""
    if dim == 1:
        return [named.get("scales")]  # type: ignore[list-item]
    names = [f"scales_{axis}" for axis in ("d", "h", "w")[-dim:]]
    return [named.get(name) for name in names]  # type: ignore[misc]


def _matrix(function: Callable[[Tensor], Tensor], length: int) -> Tensor:
    """The matrix (outputs, length) of a map of one axis: its images of unit vectors."""
    units = torch.eye(length, dtype=torch.float64, device="cpu")
    return function(units[None])[0].mT.contiguous()


def _each(given: int | Sequence[int], dim: int) -> list[int]:
    values = [given] if isinstance(given, int) else list(given)
    return values if len(values) == dim else values * dim


READERS: dict[str, Callable[[Given], Kind | str | list[Kind]]] = {
    "avg_pool1d": _average,
    "avg_pool2d": _average,
    "avg_pool3d": _average,
    "_adaptive_avg_pool2d": _adaptive,
    "_adaptive_avg_pool3d": _adaptive,
    "adaptive_avg_pool1d": _adaptive,
    "upsample_linear1d": _interpolated,
    "upsample_bilinear2d": _interpolated,
    "upsample_bicubic2d": _interpolated,
    "upsample_trilinear3d": _interpolated,
}
