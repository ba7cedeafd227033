"""Closed operators by ones whose blocks have low rank at every frequency."""

from __future__ import annotations

from torch import Tensor

from convspec.compression.difference import BlockDifference
from convspec.compression.rank import chosen_rank
from convspec.compression.result import LowRank, relative_distance
from convspec.limits import require_bytes
from convspec.operators.operator import ConvOperator
from convspec.rounding.scaling import ldexp
from convspec.tori.circulant import Circulant, require_closed, whole_kernel

__all__ = ["by_frequency"]

# the kernel, its blocks, their singular vectors, both factors and their product
HELD = 10
OTHER_WAYS = "use by='input', by='output' or by='axis'"


def by_frequency(
    op: ConvOperator, rank: int | None, energy: float | None, max_bytes: int
) -> LowRank:
    """The nearest operator whose block has rank r at each frequency, as two convolutions.

    Arguments are those of :func:`convspec.low_rank`.

    Raises:
        GeometryError: If the operator is not block circulant.
        TooLargeError: If it needs more than ``max_bytes``.
    """
    require_closed(op, "low_rank by='frequency'", OTHER_WAYS)
    torus = Circulant.of(op)
    needed = 16 * HELD * torus.entries
    require_bytes("kernels as large as the image", needed, max_bytes, OTHER_WAYS)
    kernel, exponent = whole_kernel(op)
    u, values, vh = torus.svd(torus.blocks(kernel))
    times = torus.times.to(values)[:, None, None].sqrt()
    weighted = (times * values).flatten(0, 1).numpy(force=True)
    count = chosen_rank(weighted, rank, energy, "each frequency's block")
    root = values[..., :count].sqrt()
    into = root[..., None] * vh[..., :count, :]
    out = u[..., :count] * root[..., None, :]
    halves = exponent // 2, exponent - exponent // 2
    tori = torus.factors(count)
    kernels = [
        ldexp(space.kernel(some), half).to(op.dtype)
        for space, some, half in zip(tori, (into, out), halves, strict=True)
    ]
    parts = [some.operator(each) for some, each in zip(tori, kernels, strict=True)]
    # of the factors as they were rounded
    into, out = (
        space.blocks(ldexp(each.to(kernel.dtype), -half))
        for space, each, half in zip(tori, kernels, halves, strict=True)
    )
    made = torus.kernel(out @ into)
    error = relative_distance(kernel - made, kernel)
    weight = ldexp(torus.operator(made).weight, exponent)
    return _result(op, parts, count, weight, error)


def _result(
    op: ConvOperator, parts: list[ConvOperator], rank: int, weight: Tensor, error: float
) -> LowRank:
    """Of what is no transpose; that of a product has its factors in the other order."""
    base = op.T if op.transposed else op
    difference = BlockDifference(base, *parts)
    first, second = [part.T for part in parts[::-1]] if op.transposed else parts
    if op.bias is not None:
        second.bias = op.bias
    return LowRank(op, first, second, "frequency", rank, weight, error, difference)
