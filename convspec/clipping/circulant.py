"""The nearest circular operator with values in an interval, or of a rank, exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from convspec.arguments import integer, shown, single
from convspec.arrays import FloatArray
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.operator import ConvOperator, require_operator
from convspec.rounding.scaling import ldexp
from convspec.tori.circulant import Circulant, require_closed, whole_kernel

__all__ = ["clip_spectrum"]

# the kernel, its values, their singular vectors and what they are multiplied to
HELD = 6


@isolated
def clip_spectrum(
    op: ConvOperator,
    lower: float = 0.0,
    upper: float = math.inf,
    *,
    rank: int | None = None,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
) -> ConvOperator:
    """The nearest operator, in the Frobenius norm, with all values in [lower, upper].

    The singular values of a block-circulant operator are clipped at each of its
    frequencies, which by Mirsky's theorem gives the nearest of all matrices whose
    min(m, n) values are there. The result is circular with the same stride and groups,
    and a kernel as large as the image: no smaller one has these values. For a kernel of
    the same support there is :func:`convspec.clip`.

    With ``rank=k`` at most k values of the whole operator are kept, the others are 0, and
    those kept are clipped to [lower, upper]; ``lower`` lifts none of the others. The
    values kept are the k largest, which by the theorem of Eckart and Young gives the
    nearest of all matrices of rank k, but for one case. A real kernel has the same values
    at two opposite frequencies, and keeps both of a pair or none: where the k-th value
    and the next one are a pair, no real circular operator is as near as that matrix. The
    result is then the nearest of those that are real and circular, of the same groups and
    stride, and of rank k at most. It may keep one value less, or that pair in the place
    of a larger value with fewer squares than the two have together. ``lower`` has no part
    in the choice.

    Args:
        op: A convolution that is closed along all axes: circular padding that keeps the
            size, which the stride divides; a transposed one too.
        lower: Least singular value; lifted values keep their vectors, of which those
            of 0 are chosen.
        upper: Largest singular value.
        rank: How many values of all frequencies and groups are kept at most, as
            ``spectrum(op).rank()`` counts them; all unless told.
        max_bytes: Byte limit of the kernel and its symbol.

    Returns:
        The operator in the dtype of ``op``, which rounds its values, those of 0 too; take
        ``op.to(torch.float64)`` for 15 digits.

    Raises:
        TypeError: If op is no :class:`ConvOperator`.
        GeometryError: If it is not block circulant.
        ValueError: If lower is negative or infinite, or more than upper, or the rank not
            positive.
        TooLargeError: If it needs more than ``max_bytes``.

    Source: Sedghi, Gupta and Long, "The singular values of convolutional layers", ICLR
    2019; Mirsky, "Symmetric gauge functions and unitarily invariant norms", Quart. J.
    Math. 11, 1960; Eckart and Young, Psychometrika 1, 1936.

    Example:
        >>> import torch, convspec as cs
        >>> kernel = torch.tensor([[[1.0, 2.0, 1.0]]], dtype=torch.float64)
        >>> op = cs.ConvOperator(kernel, 4, padding=1, padding_mode="circular")
        >>> [round(value, 12) for value in cs.spectrum(op).values.tolist()]
        [4.0, 2.0, 2.0, 0.0]
        >>> found = cs.clip_spectrum(op, 1.0, 3.0)
        >>> [round(value, 12) for value in cs.spectrum(found).values.tolist()]
        [3.0, 2.0, 2.0, 1.0]
        >>> [cs.spectrum(cs.clip_spectrum(op, rank=k)).rank() for k in (1, 2, 3)]
        [1, 1, 3]
    """
    require_operator(op, "clip_spectrum")
    _check(lower, upper)
    if rank is not None:
        rank = integer("rank", rank, 1, "it is the number of values to keep at most")
    require_closed(op, "clip_spectrum", "use clip")
    torus = Circulant.of(op)
    needed = 16 * HELD * torus.entries
    instead = "use clip, which keeps the kernel's support"
    require_bytes("the clipped kernel", needed, byte_limit(max_bytes), instead)
    kernel, exponent = whole_kernel(op)
    ends = math.ldexp(lower, -exponent), _ldexp(upper, -exponent)
    u, values, vh = torus.svd(torus.blocks(kernel))
    clipped = values.clamp(*ends)
    if rank is not None:
        clipped = torch.where(_kept(values, torus.times, ends[1], rank), clipped, 0)
    kernel = torus.kernel((u * clipped[..., None, :]) @ vh)
    found = torus.operator(ldexp(kernel, exponent).to(op.dtype))
    found = found.T if op.transposed else found
    found.bias = None if op.bias is None else op.bias.detach()
    return found


def _kept(values: Tensor, times: Tensor, upper: float, rank: int) -> Tensor:
    """Which values to keep so that the others and the clipping change the least.

    A value s that is kept and clipped to c, and not dropped, saves ``s^2 - (s - c)^2`` of
    the squared distance. Of pairs and of single values the largest save most, and p pairs
    leave room for ``rank - 2 p`` single ones: the best p is looked for.

    Args:
        values: (points, groups, values), descending in the last axis.
        times: How many frequencies each point stands for, 1 or 2; (points,).
        upper: What values are clipped to.
        rank: How many are kept at most, those of pairs counting twice.

    Returns:
        Booleans in the shape of the values.
    """
    clipped = values.clamp(max=upper)
    saved = (clipped * (2 * values - clipped)).flatten().numpy(force=True)
    double = (times == 2)[:, None, None].expand(values.shape).flatten().numpy(force=True)
    pairs, single_ones = (
        some[np.argsort(-saved[some], kind="stable")]
        for some in (np.flatnonzero(double), np.flatnonzero(~double))
    )
    count = np.arange(min(len(pairs), rank // 2) + 1)
    room = np.minimum(rank - 2 * count, len(single_ones))
    gain = 2 * _sums(saved[pairs])[count] + _sums(saved[single_ones])[room]
    best = len(gain) - 1 - int(gain[::-1].argmax())  # where equal, all that there is
    kept = np.zeros(len(saved), dtype=bool)
    kept[pairs[: count[best]]] = kept[single_ones[: room[best]]] = True
    return torch.from_numpy(kept).reshape(values.shape).to(values.device)


def _sums(numbers: FloatArray) -> FloatArray:
    """Of the first 0, 1, ... numbers."""
    return np.concatenate((np.zeros(1), np.cumsum(numbers)))


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
