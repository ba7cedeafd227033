"""The norm where no vector of its size fits: from below by a smaller image.

With zero padding the operator on a smaller image is a submatrix of that on a larger one
(:mod:`convspec.operators.submatrix`), so that its norm is at most as large. What it lacks
to the supremum over all sizes falls with the square of the image's extent: 4e-3 for a
random kernel of 32 channels on 32^3 pixels, in the place of 96^3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from convspec.bounds.schur import schur_norm
from convspec.bounds.spectral_norm.lower import leading
from convspec.bounds.supremum import supremum
from convspec.bounds.unfolding import unfolding_norm
from convspec.errors import TooLargeError
from convspec.operators.axis import Axis
from convspec.operators.kernel import ScaledKernel, scaled_down
from convspec.operators.operator import ConvOperator
from convspec.operators.submatrix import is_part
from convspec.rounding import up
from convspec.run.budget import Budget
from convspec.spectrum.krylov.largest import basis_within

__all__ = ["norm_by_smaller_image", "smaller_images"]

# Krylov products that the smaller image is to take, of a share of the operations
PRODUCTS, SHARE = 40.0, 0.5
# of the extent of an image, that of the next smaller one
STEP = 0.75
# pixels in extents of the kernel, fewer of which say little of more
FEWEST_EXTENTS = 2
# of the operations that are left, for the supremum
SUPREMUM_SHARE = 0.9


def norm_by_smaller_image(
    kernel: ScaledKernel, rtol: float, budget: Budget, known: dict[str, float]
) -> tuple[float, float, str] | None:
    """Ends of the norm of the scaled operator, and where they come from.

    Args:
        kernel: The operator, without the axes that factor out.
        rtol: Relative gap to stop at.
        budget: What may be spent; it is told that memory was short.
        known: Numbers that are at least the norm, by where they come from.

    Returns:
        None where no smaller image is a part of it, or none fits.
    """
    op = kernel.detached().operator
    small = next((each for each in smaller_images(op) if _fits(each, budget)), None)
    if small is None:
        return None
    budget.allows(held=math.inf)
    part = ScaledKernel.of(small)
    if not part.weight.any():
        return None
    found = leading(part, rtol, max_flops=budget.left, max_bytes=budget.bytes)
    lower = scaled_down(found.lower, part.exponent)
    ends = dict(known, counting=up(min(unfolding_norm(kernel), schur_norm(kernel))))
    if min(ends.values()) > (1 + rtol) * lower:
        ends["the supremum of the symbol"] = _supremum(kernel, rtol, budget)
    words = min(ends, key=ends.__getitem__)
    size = "x".join(map(str, small.geometry.sizes))
    return lower, ends[words], f"upper end: {words}; lower end: an image of {size}"


def smaller_images(op: ConvOperator) -> Iterator[ConvOperator]:
    """The operator on smaller and smaller images, as long as it is a part of itself."""
    axes = op.geometry.axes
    while True:
        smaller = [_smaller(axis) for axis in axes]
        if smaller == [*axes] or not all(map(is_part, smaller, op.geometry.axes)):
            return
        axes = tuple(smaller)
        yield op.with_geometry(op.weight, replace(op.geometry, axes=axes))


def _smaller(axis: Axis) -> Axis:
    """An axis of fewer pixels, and the outputs of these; itself if it is small."""
    size = math.ceil(STEP * axis.size)
    if axis.kernel == 1 or size < FEWEST_EXTENTS * axis.extent:
        return axis
    output = (axis.before + size + axis.after - axis.extent) // axis.stride + 1
    return replace(axis, size=size, output=min(output, axis.output))


def _fits(op: ConvOperator, budget: Budget) -> bool:
    """Whether its Krylov vectors fit, and products with them are within a share."""
    if 2 * PRODUCTS * op.geometry.reads > budget.part(SHARE):
        return False
    try:
        basis_within(op, 1, budget.bytes)
    except TooLargeError:
        return False
    return True


def _supremum(kernel: ScaledKernel, rtol: float, budget: Budget) -> float:
    flops = budget.part(SUPREMUM_SHARE)
    budget.spend(flops)
    try:
        found = supremum(kernel.operator, rtol, max_flops=flops, max_bytes=budget.bytes)
    except TooLargeError:
        return math.inf
    return found.upper
