"""Whether an operator has frequencies of its own, and which of them are decomposed."""

from __future__ import annotations

from convspec.operators.geometry import Axis, ConvGeometry
from convspec.operators.reads import Reads
from convspec.operators.reduce import Reduction

__all__ = ["fourier_obstacle", "torus_shape"]


def fourier_obstacle(geometry: ConvGeometry) -> str | None:
    """Why the operator is not block circulant, or None if it is."""
    for j, axis in enumerate(geometry.axes):
        read = Reads.of(axis)
        if not (read.single or read.cyclic):
            return f"axis {j} {_obstacle(axis)}"
    return None


def _obstacle(axis: Axis) -> str:
    pad = f"({axis.before}, {axis.after})"
    if axis.mode != "circular" and axis.reads_padding:
        return f"has {axis.mode} padding {pad}, which is read at the border"
    if axis.size % axis.stride:
        return f"has stride {axis.stride}, which does not divide its {axis.size} pixels"
    return (
        f"has {axis.output} outputs for {axis.size} pixels at stride {axis.stride}, "
        f"where a torus has {axis.size // axis.stride}; padding {pad} does not fit"
    )


def torus_shape(reduced: Reduction) -> tuple[int, ...]:
    """The number of frequencies per axis."""
    return tuple(axis.outputs for axis in reduced.kept)
