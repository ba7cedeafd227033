"""Whether an operator has frequencies of its own, and if not, why."""

from __future__ import annotations

from collections.abc import Collection

from convspec.operators.geometry import Axis, ConvGeometry
from convspec.operators.reads import Reads

__all__ = ["fourier_obstacle"]


def fourier_obstacle(
    geometry: ConvGeometry, half_rings: Collection[int] = ()
) -> str | None:
    """Why the operator has no frequencies of its own, or None if it has.

    Args:
        geometry: Its axes.
        half_rings: Those that its kernel makes halves of rings.
    """
    for j, axis in enumerate(geometry.axes):
        read = Reads.of(axis)
        if not (read.single or read.cyclic or j in half_rings):
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
