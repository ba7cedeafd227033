"""Whole-spectrum quantities estimated from random frequencies of the symbol.

``(1 / K) sum f(sigma)`` over all K = min(m, n) values tends, as the input grows, to the
mean of f over the values of the symbol at all frequencies (Tilli, "Singular values and
eigenvalues of non-Hermitian block Toeplitz matrices", Linear Algebra Appl. 272, 1998).
The mean is taken over rank-1 lattices (i z / R + shift) with independent uniform shifts:
each is unbiased, and their scatter gives the standard error (Cranley and Patterson, SIAM
J. Numer. Anal. 13, 1976). Functions of means are taken of all lattices together, with
the error of the jackknife.

The sum of squares is known exactly, of the operator and of the symbol. The nuclear norm
is corrected by the square root of their ratio, which takes most of the boundary out.

What no number of frequencies lowers is the distance from the limit, a share of the
values no larger than that of the boundary (:func:`convspec.spectrum.density.boundary
.boundary_fraction`). On a torus there is none: lattices are moved to its frequencies,
and if it has no more than they do it is taken whole, which is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from convspec.arguments import integer
from convspec.arrays import FloatArray
from convspec.isolation import isolated, isolated_class
from convspec.limits import DEFAULT_MAX_BYTES, Bytes, byte_limit
from convspec.operators.normal import normalised
from convspec.operators.operator import ConvOperator, require_operator
from convspec.operators.symbol import Symbol
from convspec.quantity.enclosure import Enclosure
from convspec.quantity.outward import EPS
from convspec.spectrum.density.boundary import boundary_fraction
from convspec.spectrum.fourier.cost import blocks_flops
from convspec.spectrum.sums.sample import LATTICES, Sample

__all__ = ["QUANTILES", "Estimate", "Estimated", "estimated", "estimated_flops"]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
# what decompositions in single precision resolve
SINGLE_RESOLUTION = 1e-5

# of sampled values over all lattices, one row each
Functional = Callable[[FloatArray], float]


@isolated_class
@dataclass(frozen=True)
class Estimated:
    """An estimate, which promises nothing.

    Attributes:
        value: The estimate.
        standard_error: Over the lattices; 0 where nothing is random.
        bias: About the most that the boundary may add, which more frequencies do not
            lower; half the width of the enclosure where one was given.
    """

    value: float
    standard_error: float
    bias: float


@dataclass(frozen=True)
class Estimate:
    """What is to be estimated, and from how much.

    Attributes:
        frequencies: Of each of the 8 lattices; fewer where ``max_flops`` demands it.
        seed: Of the shifts.
        max_flops: Operations, see :func:`estimated_flops`.
        max_bytes: Byte limit of the blocks held at a time, and of all values.
        sigma_1: The norm; without it no rank is estimated.
        rtol: The rank counts values above ``rtol sigma_1``; by default ``max(m, n) eps``.
        nuclear_norm: Certified bounds, see :func:`convspec.spectrum.sums.majorisation
            .sums`; their middle is taken, in place of the mean.
    """

    frequencies: int = 16
    seed: int = 0
    max_flops: float = math.inf
    max_bytes: int = DEFAULT_MAX_BYTES
    sigma_1: float | None = None
    rtol: float | None = None
    nuclear_norm: Enclosure | None = None

    def sample(self, op: ConvOperator) -> Sample | None:
        """The frequencies; None if one for each lattice is too many."""
        work, _ = normalised(op.to(device="cpu"), torch.float64)
        fine = self.sigma_1 is not None and self._tolerance(op) < SINGLE_RESOLUTION
        limits = self.max_flops, self.max_bytes
        return Sample.of(work, self.frequencies, self.seed, fine, *limits)

    def of_values(self, op: ConvOperator, sampled: FloatArray) -> dict[str, Estimated]:
        """The estimates from the values of a sample, one row for each lattice."""
        work, exponent = normalised(op.to(device="cpu"), torch.float64)
        sample = self.sample(op)
        torus = sample is not None and bool(sample.torus)
        share = 0.0 if torus else boundary_fraction(work.geometry)
        level = None
        if self.sigma_1 is not None:
            level = self._tolerance(op) * math.ldexp(self.sigma_1, -exponent)
        ratio = 1.0 if torus else _frobenius_ratio(work, work.symbol())
        plain = _estimates(sampled, min(op.shape), share, level, ratio)
        return _scaled(plain, exponent, min(op.shape), self.nuclear_norm)

    def _tolerance(self, op: ConvOperator) -> float:
        return max(op.shape) * EPS if self.rtol is None else self.rtol


@isolated
def estimated(
    op: ConvOperator,
    *,
    frequencies: int = 16,
    seed: int = 0,
    max_flops: float = math.inf,
    max_bytes: Bytes = DEFAULT_MAX_BYTES,
    sigma_1: float | None = None,
    rtol: float | None = None,
    nuclear_norm: Enclosure | None = None,
) -> dict[str, Estimated]:
    """Sums and quantiles of all singular values, from few frequencies of the symbol.

    Args:
        op: Any operator.
        frequencies: As in :class:`Estimate`, and so are the others.
        seed: Of the shifts.
        max_flops: Operations.
        max_bytes: Byte limit.
        sigma_1: The norm.
        rtol: Of the rank.
        nuclear_norm: Certified bounds.

    Returns:
        By name: ``nuclear_norm``, ``effective_rank``, ``participation_ratio``,
        ``log_volume``, ``rank`` and ``quantile_0.5`` and so on. Nothing if one
        frequency for each lattice is too many.

    Raises:
        ValueError: For less than one frequency, or a bad seed.

    >>> op = ConvOperator(torch.ones(1, 1, 3, 3) / 9, 64, padding=1)
    >>> found = estimated(op, frequencies=256)["nuclear_norm"]
    >>> abs(found.value - 927.08) < 4 * found.standard_error + found.bias
    True
    """
    require_operator(op, "estimated")
    wanted = Estimate(
        integer("frequencies", frequencies, 1, "16 are usual"),
        integer("seed", seed, 0, "any other fixes the shifts as well"),
        max_flops,
        byte_limit(max_bytes),
        sigma_1,
        rtol,
        nuclear_norm,
    )
    sample = wanted.sample(op)
    if sample is None:
        return {}
    return wanted.of_values(op, sample.values(wanted.max_bytes))


def estimated_flops(op: ConvOperator, frequencies: int = 16) -> float:
    """Operations of :func:`estimated`, about: the decompositions."""
    symbol = op.symbol()
    each = blocks_flops(symbol.groups, symbol.block_shape)
    return float(LATTICES * frequencies * each)


# -- estimates ------------------------------------------------------------------------


def _frobenius_ratio(op: ConvOperator, symbol: Symbol) -> float:
    """``||A||_F`` over that of as many values of the symbol; 1 for zero."""
    length = float(torch.linalg.vector_norm(symbol.coefficients))
    values = symbol.groups * min(symbol.block_shape)
    limit = length * math.sqrt(min(op.shape) / values)
    return op.frobenius_norm() / limit if limit else 1.0


def _estimates(
    sampled: FloatArray, count: int, share: float, level: float | None, ratio: float
) -> dict[str, Estimated]:
    """Of an operator of weights near 1.

    Args:
        sampled: Values, one row for each lattice.
        count: K.
        share: Of the values, how many the boundary may move.
        level: Above which values count for the rank, if that is asked for.
        ratio: Of the Frobenius norm to that of the symbol.
    """
    functionals: dict[str, Functional] = {
        "nuclear_norm": lambda x: ratio * count * float(x.mean()),
        "effective_rank": lambda x: _effective_rank(x, count),
        "participation_ratio": lambda x: _participation(x, count),
    }
    found = {}
    for name, functional in functionals.items():
        value, error = _jackknife(functional, sampled)
        found[name] = Estimated(value, error, share * value)
    value, error = _jackknife(lambda x: count * _mean_log(x), sampled)
    found["log_volume"] = Estimated(value, error, share * max(abs(value), count))
    if level is not None:
        value, error = _jackknife(lambda x: count * float((x > level).mean()), sampled)
        if len(sampled) > 1:  # of what never occurred up to one value may
            error = max(error, count / sampled.size)
        found["rank"] = Estimated(value, error, share * count)
    for q in QUANTILES:
        value, error = _jackknife(_quantile(q), sampled)
        ends = [_quantile(end)(sampled) for end in (q - share, q + share)]
        bias = max(abs(end - value) for end in ends)
        found[f"quantile_{q}"] = Estimated(value, error, bias)
    return found


def _scaled(
    plain: dict[str, Estimated], exponent: int, count: int, bounds: Enclosure | None
) -> dict[str, Estimated]:
    """Estimates of ``2^exponent`` times the operator, and certified ends worked in."""
    found = dict(plain)
    for name, each in plain.items():
        if name == "nuclear_norm" or name.startswith("quantile"):
            numbers = np.array([each.value, each.standard_error, each.bias])
            with np.errstate(over="ignore", under="ignore"):
                found[name] = Estimated(*np.ldexp(numbers, exponent).tolist())
    volume = plain["log_volume"]
    shifted = volume.value + count * exponent * math.log(2)
    found["log_volume"] = Estimated(shifted, volume.standard_error, volume.bias)
    if bounds is not None and math.isfinite(bounds.upper):
        middle = bounds.lower + bounds.width / 2
        found["nuclear_norm"] = Estimated(middle, 0.0, bounds.width / 2)
    return found


def _jackknife(functional: Functional, sampled: FloatArray) -> tuple[float, float]:
    """The functional of all rows, and its standard error by leaving out one each."""
    value, rows = functional(sampled), len(sampled)
    if rows == 1:
        return value, 0.0
    left = [functional(np.delete(sampled, row, axis=0)) for row in range(rows)]
    if not np.isfinite(left).all():
        return value, math.inf
    return value, math.sqrt((rows - 1) * float(np.var(left)))


def _effective_rank(values: FloatArray, count: int) -> float:
    """``exp`` of the entropy ``ln K + ln(mean x) - mean(x ln x) / mean x``."""
    mean = float(values.mean())
    if not mean:
        return 0.0
    logs = values * np.log(np.where(values > 0, values, 1.0))
    return count * mean * math.exp(-float(logs.mean()) / mean)


def _participation(values: FloatArray, count: int) -> float:
    """``K mean(x^2)^2 / mean(x^4)``."""
    fourth = float((values**4).mean())
    return count * float((values**2).mean()) ** 2 / fourth if fourth else 0.0


def _mean_log(values: FloatArray) -> float:
    """``mean ln x``, -inf with a zero among them."""
    return float(np.log(values).mean()) if values.all() else -math.inf


def _quantile(q: float) -> Functional:
    """The functional ``x_q``, of which the share q of all values is below."""
    return lambda values: float(np.quantile(values, min(max(q, 0.0), 1.0)))
