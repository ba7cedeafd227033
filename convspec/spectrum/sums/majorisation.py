"""Sums over all singular values of zero padding, from a coarse grid of the symbol.

``A = P L Q``: the operator L of the symbol F on an endless image, cut off to m outputs
and to n pixels in each phase of the stride. Cells of M_1 x ... x M_d frequencies.

**A minorant.** With N_t the outputs of which tap t reads a pixel, and sinc the mean of
``exp(i <q_t, w - w_j>)`` over a cell, put ``F_j = sum_t N_t sinc_t K_t exp(i <q_t,
w_j>)`` and ``v = sqrt(m n) / prod M``. *The sums of the k largest values of A are at
least those of all ``sigma(F_j) / sqrt(m n)``, each counted v times.*

Proof. Choose some singular triples of each F_j, T in all, and W constant on each cell,
``W_j = sum u_i v_i^H`` over those chosen. ``B = P W Q`` is a contraction, as W is. It is
an integral of ``|P e_w u> <Q e_w v|``, of norm at most sqrt(m n) each, so that its
nuclear norm is at most ``v T``. Hence (Ky Fan) the sum of the ``v T`` largest values is
at least ``Re tr(B^H A) = sum_t N_t Re <W^_t, K_t>`` with W^_t the t-th Fourier
coefficient of W, and that is the mean over cells of ``Re <W_j, F_j>``, the sum of the
values chosen.

**A majorant.** With n_tu the outputs of which taps t and u both read a pixel, put ``G_j =
sum_tu n_tu sinc(q_u - q_t) K_t^H K_u exp(i <q_u - q_t, w_j>)``. *For concave f with f(0)
= 0, ``sum f(sigma^2) <= (n / prod M) sum_j tr f(G_j / n)``, with equality for f(x) = x:*
sigma^2 majorises the eigenvalues of ``G_j / n``, each counted ``n / prod M`` times.

Proof. Waves ``e_w`` on the pixels resolve the identity, so the trace of f(A^H A) is the
mean over w of ``<e_w v| f(A^H A) |e_w v>`` summed over any orthonormal v. By Jensen each
is at most ``l f(g / l)``, where ``l = ||e_w v||^2 <= n`` and ``g = <v| G(w) |v>``, which
is ``<e_w v| A^H A |e_w v>``; and that grows with l, since f is concave and f(0) = 0.
Choose the eigenvectors of G(w). Over a cell ``tr f`` is concave in G (Jensen once more),
and the mean of G is G_j. For ``A A^H`` the same holds with m for n and the pixels that
both taps read.

Factors ``exp(i <q, w>)`` of F's columns change neither: lags of each phase are centred.
Dilation splits A into operators with one symbol, whose counts add up; groups do as well.

Sources: Ky Fan, Proc. Nat. Acad. Sci. 37, 1951; Berezin 1972 and Simon, "Trace Ideals",
2nd ed., chapter 8, for the inequalities used; the entropy's bounds are proven where they
are (:mod:`convspec.spectrum.sums.majorised`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator, require_operator
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS, scaled, scaled_ends
from convspec.rounding import down_nonnegative, up
from convspec.spectrum.envelope.frobenius import frobenius_norm
from convspec.spectrum.sums.cut import CutSymbol
from convspec.spectrum.sums.gram import Eigenvalues
from convspec.spectrum.sums.grid import cells
from convspec.spectrum.sums.majorised import (
    Steps,
    effective_rank_above,
    effective_rank_below,
)
from convspec.spectrum.sums.pairs import repeats

__all__ = ["Sums", "sums", "sums_flops"]


@isolated_class
@dataclass(frozen=True)
class Sums:
    """Enclosures of sums over all singular values, rounding included.

    Attributes:
        nuclear_norm: ``sum sigma``.
        effective_rank: ``exp(-sum p ln p)`` with ``p = sigma / sum sigma``; 0 for zero.
        log_volume: ``sum ln sigma`` of all min(m, n); nothing is known from below.
        grid: Cells of frequencies per axis.
        schatten: ``(sum sigma^p)^(1/p)`` for each p that was asked for.
    """

    nuclear_norm: Enclosure
    effective_rank: Enclosure
    log_volume: Enclosure
    grid: tuple[int, ...]
    schatten: dict[float, Enclosure] = field(default_factory=dict)


@isolated
def sums(
    op: ConvOperator,
    *,
    max_flops: float = math.inf,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
    norm_upper: float = math.inf,
    powers: Sequence[float] = (),
) -> Sums | None:
    """Nuclear norm, effective rank and log volume from a grid of cells; proof above.

    The cost does not depend on the image. Widths fall with the image, about as 1 / n for
    the boundary, and with the square of the cells.

    Args:
        op: Any operator without padding that repeats pixels.
        max_flops: The finest grid whose operations fit is taken; see
            :func:`sums_flops`.
        max_bytes: Byte limit of what is held at a time.
        norm_upper: An upper bound on sigma_1, if one is known.
        powers: The p of Schatten norms to bound, 1 to 2.

    Returns:
        None if not even the coarsest grid fits, or padding repeats pixels.

    Raises:
        ValueError: If norm_upper is not positive, for weights that are not all 0, or a
            power is not in [1, 2].

    >>> op = ConvOperator(torch.ones(1, 1, 3, 3) / 9, 64, padding=1)
    >>> found = sums(op)
    >>> found.grid, round(found.nuclear_norm.gap, 3)
    ((48, 48), 0.035)
    """
    max_bytes = byte_limit(max_bytes)
    require_operator(op, "sums")
    if not all(1 <= p <= 2 for p in powers):
        raise ValueError(f"powers must be from 1 to 2; got {tuple(powers)}")
    if any(map(repeats, op.geometry.axes)):
        return None
    work, exponent = normalised(op.to(device="cpu"), torch.float64)
    cut = CutSymbol.of(work)
    if not bool(cut.blocks.any()):
        zero = Enclosure(0.0, 0.0)
        none = Enclosure(-math.inf, -math.inf)
        schatten = dict.fromkeys(powers, zero)
        return Sums(zero, zero, none, (1,) * len(cut.axes), schatten)
    if not norm_upper > 0:
        raise ValueError(f"norm_upper must be positive; got {norm_upper}")
    fitting = [
        sizes
        for sizes in cut.grids
        if cut.flops(sizes) <= max_flops and cut.bytes <= max_bytes
    ]
    if not fitting:
        return None
    found = cut.values(fitting[-1], int(max_bytes - cut.bytes))
    norm = float(scaled(np.array([norm_upper]), -exponent, math.inf)[0])
    return _enclosed(cut, found, fitting[-1], exponent, norm, powers)


def sums_flops(op: ConvOperator) -> dict[tuple[int, ...], float]:
    """Operations of :func:`sums`, about, for each grid; none if padding repeats pixels.

    Eigenvalues, which are most of it, run at a fifth of the speed of products or so.
    """
    if any(map(repeats, op.geometry.axes)):
        return {}
    cut = CutSymbol.of(normalised(op.to(device="cpu"), torch.float64)[0])
    return {sizes: cut.flops(sizes) for sizes in cut.grids}


def _enclosed(
    cut: CutSymbol,
    found: Eigenvalues,
    sizes: tuple[int, ...],
    exponent: int,
    norm: float,
    powers: Sequence[float],
) -> Sums:
    """All enclosures, of the operator ``2^exponent`` times this one.

    Args:
        cut: The operator.
        found: Eigenvalues of ``F_j F_j^H / m^2`` and of ``G_j / m``.
        sizes: M.
        exponent: Of the scale.
        norm: At least sigma_1 of this operator.
        powers: p of Schatten norms.
    """
    _, times = cells(sizes, cut.blocks.is_complex())
    shape = found.values[:, 0].shape
    shares = np.broadcast_to(times[:, None, None] / math.prod(sizes), shape).ravel()
    shares = shares * (1 + 8 * EPS)
    m, n = float(cut.outputs), float(cut.places)
    # values rounded down as counts are rounded up
    root = np.sqrt(found.below(0)).ravel() * math.sqrt(m / n) * (1 - 32 * EPS)
    minorant = Steps.of(root, shares * math.sqrt(m * n))
    places = m if cut.of_outputs else n
    scale = m / places
    lower_squares = found.below(1).ravel() * scale * (1 - 32 * EPS)
    upper_squares = found.above(1).ravel() * scale * (1 + 8 * EPS)
    below = Steps.of(lower_squares, shares * places)
    above = Steps.of(upper_squares, shares * places)

    frobenius = frobenius_norm(cut.operator)
    squares = frobenius.squared
    room = float(cut.room)
    even = below.flattest(room, squares.upper)
    least = max(minorant.total(-1), down_nonnegative(squares.lower / norm, 2))
    most = min(above.power(0.5).total(1), even.power(0.5).total(1))
    nuclear = Enclosure(least, up(most, 2))
    rank = Enclosure(
        effective_rank_below(above, least, squares) if least > 0 else 1.0,
        effective_rank_above(minorant, room, nuclear.upper),
    )
    volume = _log_volume(cut, even, above, exponent)
    schatten = {
        p: scaled_ends(_schatten(p, minorant, (above, even)), exponent) for p in powers
    }
    return Sums(
        nuclear_norm=scaled_ends(nuclear, exponent),
        effective_rank=rank,
        log_volume=Enclosure(-math.inf, volume),
        grid=sizes,
        schatten=schatten,
    )


def _schatten(p: float, minorant: Steps, squares: Sequence[Steps]) -> Enclosure:
    """Bounds on ``(sum sigma^p)^(1/p)``: ``x^p`` is convex, ``x^(p/2)`` concave.

    Args:
        p: From 1 to 2.
        minorant: What the values majorise.
        squares: What bounds sums of concave functions of their squares from above.
    """
    least = minorant.power(p).total(-1) ** (1 / p) * (1 - 16 * EPS)
    most = min(steps.power(p / 2).total(1) for steps in squares) ** (1 / p)
    return Enclosure(least, most * (1 + 16 * EPS))


def _log_volume(cut: CutSymbol, even: Steps, above: Steps, exponent: int) -> float:
    """At least ``sum ln sigma``: -inf where fewer than min(m, n) can be positive."""
    count = min(cut.operator.shape)
    if cut.room < count:
        return -math.inf
    places = cut.outputs if cut.of_outputs else cut.places
    most = even.log_sum_above()
    if cut.blocks.shape[0] * places * cut.side == count:
        most = min(most, above.log_sum_above())
    if math.isinf(most):
        return most
    shift = count * exponent * math.log(2)
    return up(most / 2 + shift + 8 * EPS * (abs(most) + abs(shift)))
