"""The Schatten 4-norm of any operator, exactly: ``sum sigma^4 = ||A^H A||_F^2``.

With the pairs of taps and their weights W of :mod:`convspec.spectrum.sums.pairs`,

    sum sigma^4 = sum W[ab, cd] <P_ab, P_cd>,    P_ab = L_a L_b^H,

where ``L_t = K_t^H``, or K_t if outputs have fewer channels: ``A A^H`` has the same norm.

*Rounding.* ``X = A^H A = sum P_ab (x) Z_ab`` with 0/1 matrices Z_ab whose inner products
are W >= 0. Products computed off by E_ab, ``||E_ab||_F <= g ||L_a||_F ||L_b||_F = e_ab``
(Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.5), move
``||X||_F`` by at most ``(sum W e_ab e_cd)^(1/2)``. The inner products of what was
computed are off by at most gamma times ``||P_ab||_F ||P_cd||_F``, and the sum by gamma
times the same form of these norms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from convspec.arrays import IntArray
from convspec.isolation import isolated
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit, require_bytes
from convspec.operators.geometry import ConvGeometry
from convspec.operators.lags import leading_sign
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator, require_operator
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, scaled_ends
from convspec.rounding import down_nonnegative, frobenius_above, gamma, up
from convspec.rounding.products import product_error
from convspec.rounding.scaling import UNDERFLOW
from convspec.spectrum.sums.pairs import all_counts, lag_counts, repeats

__all__ = ["Family", "families", "fourth_flops", "schatten_4", "tap_factors", "work_of"]

# products are held this many bytes at a time, and summed this many numbers at a time
CHUNK_BYTES, PIECE = 2**25, 4096


@dataclass(frozen=True)
class Family:
    """Pairs of taps (a, b) that meet each other and no others.

    Attributes:
        first: a, places among all taps; (j,).
        second: b; (j,).
        weights: W of two pairs; (j, j), float64.
        times: How many such families there are: 2 where (b, a) make one as well.
    """

    first: IntArray
    second: IntArray
    weights: Tensor
    times: int


@isolated
def schatten_4(op: ConvOperator, *, max_bytes: Bytes = DEFAULT_MAX_BYTES) -> Enclosure:
    """``(sum sigma_i^4)^(1/4) = ||A^H A||_F^(1/2)``, up to rounding; proof above.

    Costs about ``k^2 / 2`` products of two c x c matrices for k taps in all, the image of
    whatever size; ``k^2`` and more where padding repeats pixels.

    Args:
        op: Any operator.
        max_bytes: Byte limit of what is held at a time.

    Returns:
        An enclosure, of relative width around 1e-11 for wide layers.

    Raises:
        TooLargeError: If the weights of the pairs of taps need more than ``max_bytes``.

    >>> laplacian = torch.tensor([[[1.0, -2.0, 1.0]]])
    >>> ends = schatten_4(ConvOperator(laplacian, 3, padding=1))
    >>> [round(end**4, 9) for end in ends]  # (2 + sqrt 2)^4 + 2^4 + (2 - sqrt 2)^4
    [152.0, 152.0]
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "schatten_4")
    work, exponent = normalised(op.to(device="cpu"), torch.float64)
    largest = max(_family_bytes(work.geometry), default=0)
    require_bytes(
        "the weights of the pairs of taps", largest, max_bytes, "crop the kernel"
    )
    square = _gram_norm(work, min(CHUNK_BYTES, max(0, max_bytes - largest)))
    root = Enclosure(
        down_nonnegative(math.sqrt(square.lower)),
        up(math.sqrt(square.upper)) if square.upper else 0.0,
    )
    return scaled_ends(root, exponent)


def fourth_flops(op: ConvOperator) -> float:
    """Operations that :func:`schatten_4` takes, about, on the side that takes fewer."""
    return min(work_of(op, outputs) for outputs in (False, True))


def work_of(op: ConvOperator, outputs: bool) -> float:
    """Operations by ``A A^H`` if outputs, else by ``A^H A``."""
    geometry = op.geometry
    rows, inner = geometry.c_in // geometry.groups, geometry.c_out // geometry.groups
    rows, inner = (inner, rows) if outputs else (rows, inner)
    pairs, meetings = _pair_numbers(geometry, outputs)
    each = 2.0 * rows**2 * (pairs * inner + meetings)
    return each * geometry.groups * (4 if op.dtype.is_complex else 1)


def _pair_numbers(geometry: ConvGeometry, outputs: bool) -> tuple[float, float]:
    """How many pairs of taps are multiplied, and how many pairs of these meet."""
    if any(map(repeats, geometry.axes)):
        pairs = math.prod(axis.kernel for axis in geometry.axes) ** 2
        return float(pairs), float(pairs) ** 2
    pairs, meetings, centre = 1, 1, 1
    for axis in geometry.axes:
        step = axis.phases if outputs else 1  # other lags have no pixel in common
        numbers = [axis.kernel - lag for lag in range(0, axis.kernel, step)]
        pairs *= 2 * sum(numbers) - numbers[0]
        meetings *= 2 * sum(j**2 for j in numbers) - numbers[0] ** 2
        centre *= axis.kernel
    return (pairs + centre) / 2, (meetings + centre**2) / 2


def _family_bytes(geometry: ConvGeometry) -> list[int]:
    """Of the weights of all pairs at once, with the inner products: where they are."""
    if not any(map(repeats, geometry.axes)):
        return []
    return [40 * math.prod(axis.kernel for axis in geometry.axes) ** 4]


def families(geometry: ConvGeometry, outputs: bool) -> Iterator[Family]:
    """All pairs of taps that meet, by their lags; all in one where pixels repeat."""
    axes = geometry.axes
    kernel = tuple(axis.kernel for axis in axes)
    taps = np.arange(math.prod(kernel)).reshape(kernel)
    if any(map(repeats, axes)):
        count = taps.size
        weights = _products([all_counts(axis, outputs) for axis in axes], 4)
        first, second = np.divmod(np.arange(count**2), count)
        yield Family(first, second, weights.reshape(count**2, count**2), 1)
        return
    for lags in product(*(range(1 - k, k) for k in kernel)):
        sign = int(leading_sign(np.array([lags], dtype=np.int64))[0]) if lags else 0
        if sign < 0:
            continue
        tables = [
            lag_counts(axis, lag, outputs) for axis, lag in zip(axes, lags, strict=True)
        ]
        if not all(table.any() for table in tables):
            continue
        zipped = list(zip(kernel, lags, strict=True))
        first = taps[tuple(slice(max(0, -lag), k - max(0, lag)) for k, lag in zipped)]
        second = taps[tuple(slice(max(0, lag), k - max(0, -lag)) for k, lag in zipped)]
        weights = _products(tables, 2).reshape(first.size, first.size)
        yield Family(first.reshape(-1), second.reshape(-1), weights, 2 if sign else 1)


def _products(tables: list[IntArray], dims: int) -> Tensor:
    """Products over the axes: the first numbers of all tables, then the second, ..."""
    found = torch.ones((1,) * dims, dtype=torch.float64)
    for table in tables:
        found = torch.kron(found, torch.as_tensor(table, dtype=torch.float64))
    return found


def _gram_norm(work: ConvOperator, held: int) -> Enclosure:
    """Bounds on ``||A^H A||_F``, for weights near 1."""
    outputs = work_of(work, True) < work_of(work, False)
    factors = tap_factors(work, outputs).detach()
    lengths = frobenius_above(factors)  # (groups, taps)
    _, taps, rows, inner = factors.shape
    parts = 2 if factors.is_complex() else 1
    value = size = moved = 0.0
    count = 0
    for family in families(work.geometry, outputs):
        found, norms = _inner_products(factors, family, held)
        total = float((family.weights * found).sum(-1).sum())
        value += family.times * total
        size += family.times * _form(family.weights, norms)
        bound = lengths[:, family.first] * lengths[:, family.second]
        moved += family.times * _form(family.weights, bound)
        count += 1
    if not size:
        return Enclosure(0.0, UNDERFLOW if moved else 0.0)
    pieces = -(-(rows**2) // PIECE) + rows  # each of a chunk of rows may end early
    terms = parts * min(PIECE, rows**2) + pieces + work.groups + 2 * taps**2 + count + 32
    unsure = up(gamma(terms) * size * (1 + 1e-6)) + UNDERFLOW
    error = up(math.sqrt(moved)) * product_error(inner, factors.is_complex()) * (1 + 1e-6)
    most = math.sqrt(value + unsure) * (1 + 4 * EPS) + error
    least = math.sqrt(max(0.0, value - unsure)) * (1 - 4 * EPS) - error
    return Enclosure(down_nonnegative(least, 2), up(most + UNDERFLOW, 2))


def tap_factors(work: ConvOperator, outputs: bool) -> Tensor:
    """L_t of each group, (groups, taps, rows, inner); differentiable."""
    weight = work.weight.flatten(2)
    blocks = weight.reshape(work.groups, -1, *weight.shape[1:])  # (g, c_out, c_in, t)
    if outputs:
        return blocks.permute(0, 3, 1, 2).contiguous()
    return blocks.conj().resolve_conj().permute(0, 3, 2, 1).contiguous()


def _form(weights: Tensor, norms: Tensor) -> float:
    """``sum W x_ab x_cd`` over groups, but for rounding of a few thousand terms."""
    return float((norms @ weights * norms).sum())


def _inner_products(factors: Tensor, family: Family, held: int) -> tuple[Tensor, Tensor]:
    """``Re <P_ab, P_cd>`` summed over groups, (j, j), and ``||P_ab||_F``, (groups, j)."""
    first = torch.as_tensor(family.first)
    second = torch.as_tensor(family.second)
    groups, _, rows, _ = factors.shape
    count = len(first)
    row_bytes = 2 * factors.element_size() * count * rows
    at_once = max(1, min(rows, held // row_bytes))
    together = max(1, held // (row_bytes * rows + 16 * count**2))
    total = torch.zeros((count, count), dtype=torch.float64)
    norms = torch.empty((groups, count), dtype=torch.float64)
    for start in range(0, groups, together):
        some = factors[start : start + together]
        found = torch.zeros((len(some), count, count), dtype=factors.dtype)
        for row in range(0, rows, at_once):
            left = some[:, first, row : row + at_once]
            products = (left @ some[:, second].mH).flatten(2)
            for piece in torch.split(products, PIECE, dim=2):
                found += piece @ piece.mH
        squares = found.diagonal(dim1=1, dim2=2).real.clamp(min=0)
        norms[start : start + together] = squares.sqrt()
        total += found.real.sum(0)
    return total, norms
